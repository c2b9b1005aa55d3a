"""What draws for the service: styles by name, from a table that is fixed at the start, and Stylizers that stay loaded.

    studio = Studio(["toon3d", "charcoal"])
    pictures = studio.draw(photo, Wanted(style=("toon3d",)), report)    # {"portrait.toon3d.png": b"...", ...}

A studio is used by one thread at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..data.images import Pixels, encode_image, read_image
from ..errors import UsageError
from ..faces import Face, FaceFinder, ffhq_quad, finder_named
from ..io import registry
from ..io.encoder_files import StoredEncoder
from ..io.headers import Header, read_header
from ..io.licences import check_licence
from ..io.model_file import Model
from ..stylize import ByEncoder, Stylizer
from ..stylize.appearance import random_codes
from ..stylize.batch import pictures
from ..stylize.mixture import Mixture, default_styles, no_style, of_commonest_base
from ..stylize.portraits import SMALLEST_PICTURE
from .limits import Limits
from .wanted import StylizerSettings, Wanted

STEM = "portrait"
"""What the names of all pictures begin with."""
STYLIZERS = 4
"""How many stay loaded; of each, only the tensors count that differ from the base."""
THUMBNAIL = 128
SITTER, TRUNCATION, SEED = 12, 0.5, 11
"""Which person of the prior the thumbnails show: nobody, but a face that the styles of `faces` draw well."""


class Report(Protocol):
    """Who is told how a drawing goes, and may stop it by an error."""

    def check(self) -> None:
        """Raise an error if the drawing is to stop."""
        ...

    def found(self, faces: int) -> None:
        """Take note of how many faces are drawn."""
        ...

    def step(self, done: int, total: int) -> None:
        """Take note of the steps of the face in hand."""
        ...


class Studio:
    """Draws photos in the styles of a table.

    Args:
        styles: Names, files or run folders of styles; all that have a name when empty.
        finder: Finds faces; the first of ``faces.FINDERS`` when None.
        device: ``cpu`` or ``cuda``.
        limits: How much one request may ask for.

    Raises:
        UsageError: There is no such style, two have one name, or none is known.

    Attributes:
        styles: Name -> header of each style.
    """

    def __init__(
        self,
        styles: Sequence[str | Path] = (),
        *,
        finder: FaceFinder | None = None,
        device: str = "cpu",
        limits: Limits | None = None,
    ) -> None:
        files = [registry.find(style) for style in styles] or [
            entry.path for entry in registry.entries(lambda path, error: None) if entry.header.kind == "style-pack"
        ]
        self._files = {registry.name_of(path): path for path in files}
        if len(self._files) < len(files):
            raise UsageError("Two styles have one name.", "Name each once, or rename a run folder.")
        if not files:
            raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
        self.styles: dict[str, Header] = {name: read_header(path) for name, path in self._files.items()}
        for name, header in self.styles.items():
            check_licence(name, header.licence)
        if wrong := [name for name, header in self.styles.items() if header.kind != "style-pack"]:
            raise no_style(self._files[wrong[0]])
        self._chosen = tuple(of_commonest_base(self.styles)) if styles else ()
        self._finder = _Watched(finder or finder_named())
        self._device, self._limits = device, limits or Limits()
        self._bases: dict[str, tuple[Model, StoredEncoder | None]] = {}
        self._stylizers: OrderedDict[StylizerSettings, Stylizer] = OrderedDict()
        self._thumbnails: dict[str, bytes] = {}

    def default_styles(self, attribute: str | None = None) -> tuple[str, ...]:
        """Return the names of the styles that are drawn where none is named, as ``portraitist stylize`` has it.

        Of those that the studio was given, those of the base that most of them have.
        """
        return self._chosen or tuple(default_styles(attribute))

    def draw(self, photo: bytes, wanted: Wanted, report: Report) -> dict[str, bytes]:
        """Redraw a photo: name -> picture file, the same bytes as ``portraitist stylize`` writes.

        Raises:
            PortraitistError: The photo or what is wanted cannot be drawn, or the report stopped it.
        """
        options = wanted.options
        stylizer = self._stylizer(wanted.settings)
        side = options.size or max(stylizer.base.generator.anatomy.resolution, SMALLEST_PICTURE)

        def found(faces: int) -> None:
            drawn = faces if options.which == "all" else 1
            self._check_amount(drawn * len(stylizer.styles), side)
            report.found(drawn)

        self._finder.found, stylizer.progress = found, report.step
        try:
            redrawn = stylizer.stylize(photo, which=options.which, aligned=options.aligned, size=options.size)
        finally:
            self._finder.found = stylizer.progress = None
        files: dict[str, bytes] = {}
        for end, picture in pictures(redrawn, stylizer.styles, ("", *stylizer.further), options):
            report.check()
            files[f"{STEM}{end}"] = encode_image(picture, options.suffix)
            if sum(map(len, files.values())) > self._limits.kept_bytes:
                raise UsageError(
                    f"The pictures take more than {self._limits.kept_bytes >> 20} MiB.",
                    "Ask for fewer styles or a smaller size, or send a smaller photo.",
                )
        return files

    def faces(self, photo: bytes) -> dict[str, object]:
        """Find the faces of a photo: its width and height, and the corners of each face's square, in pixels.

        Raises:
            BadImage: The photo cannot be read.
        """
        pixels = read_image(photo)
        quads = [ffhq_quad(face.landmarks).round(2).tolist() for face in self._finder.find(pixels)]
        height, width = pixels.shape[:2]
        numbered = [{"number": k, "corners": quad} for k, quad in enumerate(quads, 1)]
        return {"width": width, "height": height, "faces": numbered}

    def preview(self, photo: bytes) -> bytes:
        """Return a photo as JPEG, upright and as large as it is.

        Raises:
            BadImage: The photo cannot be read.
        """
        return encode_image(read_image(photo), ".jpg")

    def thumbnail(self, name: str) -> bytes:
        """Return a PNG that shows a style: somebody whom the base made up, the same for all styles of a base.

        Raises:
            UsageError: There is no such style.
        """
        if name not in self._thumbnails:
            self._file_of(name)
            stylizer = self._made(StylizerSettings(style=(name,), attribute=next(iter(self.styles[name].paths), None)))
            *_, code = random_codes(stylizer.base.generator, SITTER, TRUNCATION, SEED)
            (generator,) = stylizer.generators.values()
            self._thumbnails[name] = encode_image(stylizer.draw(generator, code, THUMBNAIL), ".png")
        return self._thumbnails[name]

    def warm_up(self) -> None:
        """Load what the first photo needs, so that it does not wait, and errors show before anybody asks."""
        stylizer = self._stylizer(StylizerSettings())
        assert stylizer.inverter
        self._finder.find(stylizer.draw(stylizer.base.generator, stylizer.base.generator.mean, SMALLEST_PICTURE))

    def _stylizer(self, settings: StylizerSettings) -> Stylizer:
        """Return a Stylizer, one of the last that were used where it fits."""
        if settings not in self._stylizers:
            self._stylizers[settings] = self._made(settings)
        self._stylizers.move_to_end(settings)
        while len(self._stylizers) > STYLIZERS:
            self._stylizers.popitem(last=False)
        return self._stylizers[settings]

    def _made(self, settings: StylizerSettings) -> Stylizer:
        """Build a Stylizer on a base that stays: the one place where settings of a request reach it."""
        names = settings.style or self.default_styles(settings.attribute)
        mixtures = [Mixture.find(style, attribute=settings.attribute, file_of=self._file_of) for style in names]
        registry.refuse_idle_attribute(settings.attribute, [part.path for m in mixtures for part in m.parts])
        headers = {part.header.base_digest: part for mixture in mixtures for part in mixture.parts}
        if len(headers) > 1:
            raise UsageError(
                f"The styles {', '.join(names)} belong to different bases.", "Ask for one after the other."
            )
        part = mixtures[0].parts[0]
        base, encoder = self._base(part.header, part.path)
        stylizer = Stylizer(
            base,
            {},
            inversion=None if encoder is None and not settings.refine else ByEncoder(encoder, settings.refine),
            finder=self._finder,
            strength=settings.strength,
            detail=settings.detail,
            seed=settings.seed,
            device=self._device,
        )
        for mixture in mixtures:
            stylizer.add(mixture)
        return stylizer

    def _base(self, header: Header, path: Path) -> tuple[Model, StoredEncoder | None]:
        if header.base_digest not in self._bases:
            base = registry.base_of(header, path)
            self._bases[header.base_digest] = base, registry.load_encoder_of(base)
        return self._bases[header.base_digest]

    def _file_of(self, name: Path | str) -> Path:
        """Return the file of a style of the table; nothing that a request names is ever taken for a path."""
        if str(name) not in self._files:
            raise UsageError(f"There is no style '{str(name)[:40]}'.", f"Styles: {', '.join(self._files)}.")
        return self._files[str(name)]

    def _check_amount(self, count: int, side: int) -> None:
        if count * side**2 > self._limits.drawn_pixels:
            raise UsageError(
                f"{count} pictures of {side} pixels a side are more than are drawn at a time.",
                "Ask for fewer styles, one face, or a smaller size.",
            )


class _Watched:
    """A finder that tells how many faces it found."""

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self.found: Callable[[int], None] | None = None

    def find(self, image: Pixels) -> list[Face]:
        faces = self._finder.find(image)
        if self.found is not None:
            self.found(len(faces))
        return faces
