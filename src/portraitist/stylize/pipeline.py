"""One photo to pictures in every style.

stylizer = Stylizer.load(["toon3d"])
portraits = stylizer.stylize("me.jpg")
write_image("me.toon3d.png", portraits.faces[0].pictures["toon3d"])
stylizer.add("toon3d:0.6+charcoal:0.4")     # another style, or a mixture, on the same base
again = stylizer.redraw(portraits.faces[0].aligned, code=portraits.faces[0].code)    # without a new inversion
several = Stylizer.load(["toon3d"], encoding=Encoding(samples=4))       # faces[0].samples[0].pictures["toon3d"], ...
varied = Stylizer.load(["toon3d"], appearance=Appearance(random=8))     # the same person in other colours
softer = Stylizer.load(["toon3d"], swap=32)                             # the base's features through 32 pixels
across = Stylizer.load(["charcoal", "faces"], source="toon3d")          # redraws drawings instead of photos
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, Literal, Self, get_args

import numpy as np
import torch

from ..data.images import Pixels, crop_square, read_image, resize, to_array, to_tensor
from ..data.sheet import beside
from ..errors import NoFaceFound, NonFinite, UsageError
from ..faces import AlignedFace, FaceFinder, MediaPipeFinder, align, paste
from ..faces.align import check_photo, square_to_quad
from ..invert import EncoderInverter, Inverter, Progress, Projection, portrait
from ..io import registry
from ..io.encoder_files import StoredEncoder, check_encoder_base
from ..io.model_file import Header, Model, generator_digest, load_model
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks import Generator, GeneratorAnatomy
from ..networks.digest import tensors_digest
from ..spaces import WPlus, mix
from ..surgery import By, FeatureSwap, compatibility, swap
from .appearance import Appearance, Reference, random_codes
from .inversion import Encoding, encoder_inverter, no_encoder, projector
from .mixture import Mixture, Part, mixed, no_style

log = logging.getLogger("portraitist")

Which = Literal["all", "largest"]
Drawer = Generator | FeatureSwap
"""What draws codes of the base."""
# Below this a picture is enlarged, so that a small model gives something to look at.
SMALLEST_PICTURE = 256


@dataclass(frozen=True)
class Sample:
    """One more rendering of a face."""

    name: str
    """What stands for it in names of files: ``sample1``, ``random1`` or the name of a reference."""
    codes: Mapping[str, WPlus]
    """Style -> the code drawn, [1, rows, w_dim]; appearances belong to a style, so that each has its own."""
    pictures: Mapping[str, Pixels]
    """Style -> picture, ``uint8 [S, S, 3]``."""


@dataclass(frozen=True)
class Portrait:
    """One face of a photo, redrawn."""

    aligned: AlignedFace
    """The crop that was inverted, and where it lies in the photo."""
    code: WPlus
    """Its code, [1, rows, w_dim]."""
    pictures: Mapping[str, Pixels]
    """Style -> picture, ``uint8 [S, S, 3]``."""
    samples: tuple[Sample, ...]
    """Further renderings, where they were asked for."""
    reconstruct: Callable[[], Pixels] = field(repr=False, compare=False)
    """Draws the reconstruction."""

    @cached_property
    def reconstruction(self) -> Pixels:
        """What the base, or the style of the picture, draws from the code: how well the face was understood.

        Drawn when it is first asked for.
        """
        return self.reconstruct()


@dataclass(frozen=True)
class Portraits:
    """All faces of a photo, redrawn."""

    photo: Pixels
    faces: tuple[Portrait, ...]
    """The largest face first."""

    def pasted(self, style: str, sample: int = 0) -> Pixels:
        """Return the photo with every face redrawn in its place; ``sample`` counts further renderings from 1."""
        picture = self.photo
        for face in reversed(self.faces):  # the largest lies on top
            drawn = face.samples[sample - 1].pictures if sample else face.pictures
            picture = paste(picture, drawn[style], face.aligned)
        return picture

    def sheet(self, height: int = SMALLEST_PICTURE) -> Pixels:
        """Return a sheet: per face the crop, the reconstruction, the picture in every style, and those of samples."""
        rows = []
        for face in self.faces:
            each = [face.pictures, *(sample.pictures for sample in face.samples)]
            drawn = [picture for pictures in each for picture in pictures.values()]
            rows.append(beside([face.aligned.image, face.reconstruction, *drawn], height))
        return np.concatenate(rows, axis=0)


class Stylizer:
    """Draw photos in one or several styles of one base.

    The base and what inverts photos stay while styles come (:meth:`add`) and go (:meth:`remove`); of a style only the
    tensors are held that differ from the base.

    Args:
        base: The model that knows faces; its discriminator measures likeness while inverting.
        styles: Name -> model fine-tuned from the base.
        finder: Finds faces; MediaPipe's bundled models when None.
        inverter: Turns aligned faces into codes. When None, optimisation if a ``projection`` is given; else the encoder
            of the base, and where none is known optimisation as ``invert.portrait()`` says.
        projection: Settings of an optimisation.
        encoder: The encoder, or its name, file or run folder; the known one of the base when None.
        encoding: How the encoder is used; when given, there must be one.
        perceptual: What likeness is measured with; the discriminator of the base when None.
        seed: Of the samples of an encoder, and of the default optimisation; a projection has its own.
        strength: Multiplies the weight of every style: 1 draws it as trained, 0 the base.
        swap: Draw the features through so many pixels by the base and the rest by the style; 0 for the style alone.
        swap_by: What is swapped, see ``surgery.swap``.
        appearance: Which appearances each face is drawn in beside its own.
        source: The style that the pictures come in, which then inverts them; the base, that is photos, when None.
        attribute: Of a source with a path per attribute: which path.
        device: ``cpu`` or ``cuda``.
        progress: Told of the steps of each inversion.

    Raises:
        UsageError: A style belongs to another base, more than one way of inversion is asked for, or there is no such
            resolution to swap or to begin an appearance at.
        NoFaceFound: A reference of the appearance shows no face.
        BadModel: The encoder was trained for another base.

    Attributes:
        generators: Name -> what draws each style held, in the order they came.
    """

    generators: dict[str, Drawer]

    def __init__(
        self,
        base: Model,
        styles: Mapping[str, Model],
        *,
        finder: FaceFinder | None = None,
        inverter: Inverter | None = None,
        projection: Projection | None = None,
        encoder: StoredEncoder | Path | str | None = None,
        encoding: Encoding | None = None,
        perceptual: PerceptualDistance | None = None,
        seed: int = 0,
        strength: float = 1.0,
        swap: int = 0,
        swap_by: By = "features",
        appearance: Appearance | None = None,
        source: Mixture | Model | None = None,
        attribute: str | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.base = base
        self.base.generator.to(device)
        self.strength = strength
        self.device = device
        self.progress = progress
        self._finder = finder
        self._inverter = inverter
        self._projection, self._given_encoder, self._encoding = projection, encoder, encoding
        self._perceptual, self.seed = perceptual, seed
        self._swap, self._swap_by = swap, swap_by
        self._source = None if source is None else self._read_source(source, attribute)
        self._check_way()
        self._appearance = appearance or Appearance()
        self._row = self._appearance.row(base.generator.anatomy) if self._appearance.names else 0
        self._references = [self._cut(reference) for reference in self._appearance.references]
        self._check_names()
        self.generators = {}
        self._styles: dict[str, _Style] = {}
        for name, style in styles.items():
            self.add(style, name=name)

    @classmethod
    def load(
        cls,
        styles: Sequence[str | Path] = (),
        *,
        attribute: str | None = None,
        source: str | Path | None = None,
        **options: object,
    ) -> Self:
        """Load styles by name, file or run folder, or mixtures of them; all bundled ones when none is named.

        Args:
            styles: What to load, as :meth:`add` takes it.
            attribute: Of styles with a path per attribute: which path.
            source: The style that the pictures come in, as :meth:`add` takes it; the base, that is photos, when None.
            options: Those of the constructor.

        Raises:
            UsageError: There is no such style, two have one name, the styles have different bases, or one has paths
                and none of this attribute.
        """
        chosen = list(styles) or _bundled_styles(attribute)
        if not chosen:
            raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
        mixtures = [Mixture.find(style, or_base=True) for style in chosen]
        origin = None if source is None else Mixture.find(source, or_base=True)
        every = mixtures if origin is None else [*mixtures, origin]
        parts = [part for mixture in every for part in mixture.parts]
        if not parts:
            assert mixtures[0].whole is not None
            raise no_style(mixtures[0].whole)
        if len({part.header.base_digest for part in parts}) > 1:
            named = chosen if source is None else [*chosen, source]
            raise UsageError(f"The styles {named} belong to different bases.", "Stylize them one after the other.")
        base = registry.base_of(parts[0].header, parts[0].path)
        stylizer = cls(base, {}, source=origin, attribute=attribute, **options)  # type: ignore[arg-type]
        for mixture in mixtures:
            stylizer.add(mixture, attribute=attribute)
        return stylizer

    def add(self, style: str | Path | Mixture | Model, *, name: str = "", attribute: str | None = None) -> str:
        """Take up a style, or a mixture of styles, of this base, or the base itself.

        Args:
            style: Name, file or run folder, or a mixture such as ``toon3d:0.6+charcoal:0.4``; or a model in memory,
                which must then not be changed in place.
            name: What to call it; its own name when empty.
            attribute: Of a style with a path per attribute: which path.

        Returns:
            The name under which ``generators`` holds it.

        Raises:
            UsageError: There is no such style, the name is taken, it belongs to another base, it has paths and none of
                this attribute, or it is a feature swap and shall be swapped again.
        """
        if not isinstance(style, Model | Mixture):
            style = Mixture.find(style, or_base=True)
        name = name or (style.header.name if isinstance(style, Model) else style.name)
        upto = style.header.swap_upto if isinstance(style, Model) else style.swap_upto
        if name in self.generators:
            raise UsageError(f"Two styles are called '{name}'.", "Name each once, or rename a run folder.")
        if upto and self._swap:
            raise UsageError(f"The style '{name}' is swapped at {upto} pixels already.", "Leave out --swap.")
        plain = self._mixed(style, name, self.strength, attribute)
        held = _Style(plain, *((upto, "features") if upto else (self._swap, self._swap_by)))
        self.generators[name] = held.drawer(self.base.generator)
        self._styles[name] = held
        if self._swap:
            self._warn(name, plain)
        return name

    def remove(self, name: str) -> None:
        """Let go of a style.

        Raises:
            UsageError: There is none of this name.
        """
        if self.generators.pop(name, None) is None:
            raise UsageError(f"No style '{name}' is loaded.", f"Loaded: {', '.join(self.generators) or 'none'}.")
        del self._styles[name]

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo: for reports and for telling finished files."""
        encoder, encoding = self.encoder, self._encoding or Encoding()
        # Only where they are set: pictures without them stay finished.
        rare = {
            "swap": {name: [style.upto, style.by] for name, style in self._styles.items() if style.upto},
            "appearance": self._appearance.settings if self._appearance.names else [],
            "source": "" if self._source is None else tensors_digest(self._source.state_dict()),
        }
        return {key: value for key, value in rare.items() if value} | {
            "base": self.base.digest,
            "styles": {name: tensors_digest(style.plain.state_dict()) for name, style in self._styles.items()},
            "finder": repr(self.finder),
            "inverter": repr(self._inverter or self._projection or (encoding if encoder else self._optimisation)),
            "seed": self.seed,
            "encoder": "" if encoder is None else encoder.digest,
            "perceptual": "" if self._perceptual is None else [self._perceptual.name, self._perceptual.features.digest],
            "device": self.device,
        }

    @property
    def further(self) -> tuple[str, ...]:
        """The names of the further renderings that are drawn of each face."""
        return (*(f"sample{k}" for k in range(1, self._samples + 1)), *self._appearance.names)

    def stylize(
        self,
        photo: Path | str | bytes | BinaryIO | Pixels,
        *,
        which: Which | int = "all",
        aligned: bool = False,
        size: int | None = None,
    ) -> Portraits:
        """Redraw the faces of one photo.

        Args:
            photo: A file, its bytes, or pixels ``uint8 [H, W, 3]``.
            which: All faces, the largest, or one by its number (1 is the largest).
            aligned: The photo is an aligned square crop already; no face is searched.
            size: Side of the pictures; the model's resolution, but at least 256, when None.

        Raises:
            NoFaceFound: There is no face, or none of that number.
            BadImage: The photo cannot be read.
            UsageError: The pixels have another layout, or ``which`` is no choice of faces.
        """
        finder = None if aligned else self.finder
        pixels, crops = faces_of(photo, finder, which, self.base.generator.anatomy.resolution)
        return Portraits(pixels, tuple(self.redraw(crop, size) for crop in crops))

    def crops(self, photo: Pixels, which: Which | int, size: int) -> list[AlignedFace]:
        """Find and align the faces of a photo.

        Raises:
            NoFaceFound: There is none, or none of that number.
        """
        return faces_of(photo, self.finder, which, size)[1]

    def redraw(self, crop: AlignedFace, size: int | None = None, *, code: WPlus | None = None) -> Portrait:
        """Invert one aligned face, unless its code is known already, and draw its code in every style.

        Samples of a posterior are drawn only where the face is inverted.

        Each face is worked on alone and by one thread, so that its pictures depend neither on its company nor on the
        machine's cores: sums in another order round otherwise, and the steps of an inversion amplify that.
        """
        with one_thread():
            first, *others = self._codes(crop) if code is None else [code]
            further = {f"sample{k}": dict.fromkeys(self.generators, one) for k, one in enumerate(others, 1)}
            further |= self._dressed(first)
            pictures = self._drawn(dict.fromkeys(self.generators, first), size)
            samples = tuple(Sample(name, codes, self._drawn(codes, size)) for name, codes in further.items())
        return Portrait(crop, first, pictures, samples, partial(self._reconstruct, first, size))

    def draw(self, generator: Drawer, code: WPlus, size: int | None = None) -> Pixels:
        """Draw one code [1, rows, w_dim] with the stored noise."""
        with torch.no_grad():
            picture = to_array(generator.synthesize(code.to(self.device))[0])
        return resize(picture, size or max(generator.anatomy.resolution, SMALLEST_PICTURE))

    @cached_property
    def finder(self) -> FaceFinder:
        """What finds faces."""
        return self._finder or MediaPipeFinder()

    @cached_property
    def inverter(self) -> Inverter:
        """What turns aligned faces into codes."""
        if self._inverter is not None:
            return self._inverter
        if self._source is not None:
            return self._inverter_of(self._source)
        perceptual = self._measure()
        if self._projection is None and self.encoder is not None:
            return encoder_inverter(self.base, self.encoder, perceptual, self._encoding, seed=self.seed)
        return projector(self.base, self._optimisation, perceptual, self.encoder)

    @cached_property
    def encoder(self) -> StoredEncoder | None:
        """The encoder that takes part in inversions; None where none does.

        Raises:
            UsageError: One is needed and none is known.
            BadModel: It was trained for another base.
        """
        if self._inverter is not None:
            return None
        if (self._projection or self._source) is not None and not self._optimisation.needs_encoder:
            return None
        found = self._given_encoder
        if isinstance(found, StoredEncoder):
            check_encoder_base(found.header, self.base)
            return found
        stored = registry.load_encoder_of(self.base, found)
        if stored is None and (self._projection is not None or self._encoding is not None):
            raise no_encoder(self.base)
        return stored

    def _reconstruct(self, code: WPlus, size: int | None) -> Pixels:
        with one_thread():
            return self.draw(self._source or self.base.generator, code, size)

    @property
    def _samples(self) -> int:
        return 0 if self._encoding is None else self._encoding.pictures

    @property
    def _optimisation(self) -> Projection:
        return self._projection or replace(portrait(), seed=self.seed)

    def _codes(self, crop: AlignedFace) -> list[WPlus]:
        """Invert one face: its code, and the samples that are drawn too."""
        target = to_tensor(crop.image)[None].to(self.device)
        how = self._encoding or Encoding()
        simple = self._inverter is None and how.best == "mean" and not how.refine
        if simple and isinstance(self.inverter, EncoderInverter):  # the codes alone, without a drawing to measure
            return _finite(self.inverter.variants(target, self._samples))
        return [self.inverter.invert(target, progress=self.progress).code]

    def _measure(self) -> PerceptualDistance:
        """Return what likeness is measured with, on the device of the base."""
        perceptual = self._perceptual
        if perceptual is None:
            perceptual = default_perceptual(self.base.require_discriminator("to measure likeness with"))
        return perceptual.to(self.base.generator.w_mean.device)

    def _inverter_of(self, generator: Generator) -> Inverter:
        """Return what inverts drawings of a style: an optimisation.

        It begins at the encoder's code only where the settings say so: encoders know photos, and from their codes of
        drawings it ends farther from the drawing than from the mean code.
        """
        return projector(self.base, self._optimisation, self._measure(), self.encoder, generator=generator)

    def _dressed(self, content: WPlus) -> dict[str, dict[str, WPlus]]:
        """Return, for each appearance, the code that each style draws."""
        if not self._appearance.names:
            return {}
        looks = {style: self._looks(held) for style, held in self._styles.items()}
        return {
            name: {style: mix(content.to(self.device), codes[k], self._row) for style, codes in looks.items()}
            for k, name in enumerate(self._appearance.names)
        }

    def _looks(self, style: _Style) -> list[WPlus]:
        """Return the code of each appearance in a style's own domain; found once."""
        if style.looks is None:
            wanted = self._appearance
            found = random_codes(style.plain, wanted.random, wanted.truncation, self.seed)
            if self._references:
                inverter = self._inverter_of(style.plain)
                targets = [to_tensor(crop.image)[None].to(self.device) for crop in self._references]
                found += [inverter.invert(target, progress=self.progress).code for target in targets]
            style.looks = found
        return style.looks

    def _drawn(self, codes: Mapping[str, WPlus], size: int | None) -> dict[str, Pixels]:
        return {name: self.draw(self.generators[name], code, size) for name, code in codes.items()}

    def _cut(self, reference: Reference) -> AlignedFace:
        """Align a reference; that it shows no face is not the fault of any photo."""
        resolution = self.base.generator.anatomy.resolution
        if reference.aligned:
            return whole(reference.pixels, resolution)
        try:
            return self.crops(reference.pixels, "largest", resolution)[0]
        except NoFaceFound as error:
            raise NoFaceFound(
                f"No face was found in the reference '{reference.name}'.",
                "If it is a face cut out already, say so (--reference-aligned); else give another.",
            ) from error

    def _check_names(self) -> None:
        if twice := [name for name in self.further if self.further.count(name) > 1]:
            raise UsageError(f"Two further pictures are called '{twice[0]}'.", "Rename the reference.")

    def _check_way(self) -> None:
        """Refuse more than one way of inversion."""
        encodes = self._given_encoder is not None or self._encoding is not None
        if self._source is not None and encodes and self._projection is None:
            raise UsageError(
                "Encoders know photos, and this is a picture in a style: it is inverted by optimisation.",
                "Leave out what is of an encoder (--method encoder, --encoder, --refine, --samples, --best).",
            )
        if self._inverter is not None and (encodes or (self._projection or self._source) is not None):
            raise UsageError(
                "An inverter has settings of its own.", "Leave out the projection, the encoder and the source."
            )
        if self._projection is None:
            return
        if self._encoding is not None or (encodes and not self._projection.needs_encoder):
            raise UsageError(
                "An encoder has no part in this optimisation.", "Choose the one or the other, or refine its code."
            )

    @cached_property
    def _digest(self) -> str:
        return generator_digest(self.base)

    def _read_source(self, source: Mixture | Model, attribute: str | None) -> Generator | None:
        """Return what inverts pictures of a style; None where the style is the base."""
        name = source.header.name if isinstance(source, Model) else source.name
        if source.header.swap_upto if isinstance(source, Model) else source.swap_upto:
            raise UsageError(
                f"'{name}' is a feature swap, which cannot invert pictures.", "Make the swap with --by weights."
            )
        generator = self._mixed(source, name, 1.0, attribute)
        ends = [tensors_digest(g.state_dict()) for g in (generator, self.base.generator)]
        return None if ends[0] == ends[1] else generator

    def _mixed(self, style: Mixture | Model, name: str, strength: float, attribute: str | None) -> Generator:
        """Return the generator of a style, of a mixture of styles, or of the base."""
        if isinstance(style, Model):
            self._check(name, style.header.base_digest, style.generator.anatomy)
            models = [(style, 1.0)]
        elif style.whole is not None:
            if generator_digest(load_model(style.whole)) != self._digest:
                raise no_style(style.whole)
            models = []
        else:
            models = [(self._read(name, part, attribute), part.weight) for part in style.parts]
        return mixed(self.base.generator, [(m.generator.to(self.device), weight * strength) for m, weight in models])

    def _warn(self, name: str, plain: Generator) -> None:
        """Warn of a swap with a style that has moved far from the base."""
        style = Model(plain, None, Header(plain.anatomy, name=name, base_digest=self._digest))
        if warning := compatibility(self.base, style, self._perceptual).warning:
            log.warning(warning)

    def _read(self, name: str, part: Part, attribute: str | None) -> Model:
        self._check(name, part.header.base_digest, part.header.generator)
        return load_model(part.path, find_base=lambda header: self.base, attribute=attribute, minds_swap=True)

    def _check(self, name: str, base_digest: str, anatomy: GeneratorAnatomy) -> None:
        if anatomy.of_base != self.base.generator.anatomy or base_digest not in ("", self._digest):
            raise UsageError(
                f"The style '{name}' belongs to another base than '{self.base.header.name}'.",
                "Use the base that its header names.",
            )


@dataclass
class _Style:
    """One style that a stylizer holds."""

    plain: Generator
    """The style itself, which maps samples and inverts references."""
    upto: int
    by: By
    looks: list[WPlus] | None = None
    """The codes of the appearances, once they are known."""

    def drawer(self, base: Generator) -> Drawer:
        """Return what draws it, with the base's low resolutions where that is asked for."""
        return swap(base, self.plain, self.upto, self.by, "high") if self.upto else self.plain


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch work on one core for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def faces_of(
    photo: Path | str | bytes | BinaryIO | Pixels, finder: FaceFinder | None, which: Which | int, size: int
) -> tuple[Pixels, list[AlignedFace]]:
    """Read a photo, and find and align its faces.

    Args:
        photo: A file, its bytes, or pixels ``uint8 [H, W, 3]``.
        finder: Finds faces; None takes the photo as a face cut out already.
        which: All faces, the largest, or one by its number (1 is the largest).
        size: Side of the faces in pixels.

    Returns:
        The pixels of the photo, and its faces.

    Raises:
        NoFaceFound: There is no face, or none of that number.
        BadImage: The photo cannot be read.
        UsageError: The pixels have another layout, or ``which`` is no choice of faces.
    """
    if not isinstance(which, int) and which not in get_args(Which):
        raise UsageError(f"'{which}' is no choice of faces.", "Use 'all', 'largest' or a number.")
    pixels = photo if isinstance(photo, np.ndarray) else read_image(photo)
    check_photo(pixels)
    if finder is None:
        return pixels, [whole(pixels, size)]
    found = finder.find(pixels)
    if not found:
        raise NoFaceFound(
            "No face was found.", "If the picture is a face cut out already, say so (--aligned); else give another."
        )
    if isinstance(which, int):
        if not 1 <= which <= len(found):
            raise NoFaceFound(f"There is no face {which}; {len(found)} were found.", "1 is the largest.")
        found = [found[which - 1]]
    return pixels, [align(pixels, face.landmarks, size) for face in (found[:1] if which == "largest" else found)]


def whole(photo: Pixels, size: int) -> AlignedFace:
    """Take a whole photo as an aligned face; one that is not square is cut at its centre."""
    crop = crop_square(photo)
    side = len(crop)
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    corners = [(left, top), (left, top + side), (left + side, top + side), (left + side, top)]
    quad = np.array(corners, dtype=np.float64)
    return AlignedFace(resize(crop, size), quad, square_to_quad(quad, size))


def _finite(codes: list[WPlus]) -> list[WPlus]:
    if not all(torch.isfinite(code.data).all() for code in codes):
        raise NonFinite("The encoder gave no numbers.", "Use another, or --method portrait.")
    return codes


def _bundled_styles(attribute: str | None) -> list[str]:
    """Return the names of the styles inside the package that can draw; of the user's where it holds none.

    A style with a path per attribute takes part where it has a path of the one that is asked for.
    """
    styles = [e for e in registry.entries() if e.header.kind == "style-pack"]
    known = [e for e in styles if not e.header.paths or attribute in e.header.paths]
    return [e.name for e in known if e.where == "bundled"] or [e.name for e in known]
