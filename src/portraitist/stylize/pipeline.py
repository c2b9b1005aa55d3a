"""One photo to pictures in every style.

stylizer = Stylizer.load(["toon3d"])
portraits = stylizer.stylize("me.jpg")
write_image("me.toon3d.png", portraits.faces[0].pictures["toon3d"])
stylizer.add("toon3d:0.6+charcoal:0.4")     # another style, or a mixture, on the same base
again = stylizer.redraw(portraits.faces[0].aligned, code=portraits.faces[0].code)    # without a new inversion
several = Stylizer.load(["toon3d"], inversion=ByEncoder(samples=4))    # faces[0].picture("toon3d", "sample1"), ...
varied = Stylizer.load(["toon3d"], appearance=Appearance(random=8))    # the same person in other colours
softer = Stylizer.load(["toon3d"], swap=32)                            # the base's features through 32 pixels
papers = Stylizer.load(["toon3d"], detail=0)                           # the drawings of the code, as in the papers
across = Stylizer.load(["charcoal", "faces"], source="toon3d")         # redraws drawings instead of photos
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Self, Unpack

import torch

from ..data.images import Pixels, resize, to_array, to_tensor
from ..detail import Look
from ..errors import PortraitistError, UsageError
from ..faces import AlignedFace, FaceFinder, finder_named
from ..invert import Inverter, Progress
from ..io import registry
from ..io.encoder_files import StoredEncoder
from ..io.model_file import Model
from ..losses.perceptual import PerceptualDistance
from ..networks.digest import tensors_digest
from ..ops.devices import device_named
from ..ops.memory import memory_told
from ..spaces import WPlus
from ..surgery import By
from .appearance import Appearance, dressed, reference_face
from .choices import Which
from .crops import Photo, check_size, faces_of, one_thread, opened
from .detailed import DetailStage
from .drawings import Drawings, Drawn, Further, Style, Synthesizer
from .inversion import Inversion, PhotoInverter, is_plain
from .mixture import Mixture
from .packed import Method, PackedPainter, painter_for
from .paths import SeveralPaths, drawn_with, for_face, path_rule
from .portraits import SMALLEST_PICTURE, Portrait, Portraits, Sample
from .reader import StyleReader, of_one_base
from .settings import OnProgress, Settings
from .together import redrawn_together

log = logging.getLogger("portraitist")


class Stylizer:
    """Draw photos in one or several styles of one base.

    The base and what inverts photos stay while styles come (:meth:`add`) and go (:meth:`remove`); of a style only the
    tensors are held that differ from the base.

    Args:
        base: The model that knows faces; its discriminator compares drawings while inverting.
        styles: Name -> model fine-tuned from the base.
        inversion: How faces become codes, or an inverter of your own; see :data:`Inversion` for the default.
        finder: Finds faces; the first of ``faces.FINDERS`` when None.
        perceptual: What compares drawings; the discriminator of the base when None.
        appearance: Which appearances each face is drawn in beside its own.
        strength: Multiplies the weight of every style: 1 draws it as trained, 0 no style: the base, or with detail the
            photo.
        swap: Draw the features through so many pixels by the base and the rest by the style; 0 for the style alone.
        swap_by: What is swapped, see ``surgery.swap``.
        source: The style that the pictures come in, which then inverts them; the base, that is photos, when None.
        detail: How far pictures take from a photo what its code does not hold, in the styles that carry a look: 1 for
            the whole detail stage, 0 for the drawings of the code alone. Drawings that a ``source`` style inverts are
            redrawn by their codes alone.
        method: ``painter`` to draw by the painters of the styles, ``code`` by codes; ``auto`` takes the painter of a
            style where it measured better, and nothing is asked for that only codes have (see ``stylize.packed``).
        seed: Of the samples of an encoder, of appearances, and of the default optimisation; a projection has its own.
        device: ``cpu`` or ``cuda``.
        progress: Called with the steps of each inversion.
        on_progress: Called with each stage of a photo, and how much of it is done of how much: ``faces``, ``inversion``
            (in steps), ``drawing`` (in pictures).

    Raises:
        UsageError: A style belongs to another base, a source style is to be inverted by an encoder, there is no such
            resolution to swap or to begin an appearance at, or a painter is asked for and a style has none.
        NoFaceFound: A reference of the appearance shows no face.
        BadModel: The encoder was trained for another base.

    Attributes:
        generators: Name -> what draws each style held, in the order they came.
    """

    generators: dict[str, Synthesizer]

    def __init__(
        self,
        base: Model,
        styles: Mapping[str, Model],
        *,
        inversion: Inversion | Inverter | None = None,
        finder: FaceFinder | None = None,
        perceptual: PerceptualDistance | None = None,
        appearance: Appearance | None = None,
        strength: float = 1.0,
        swap: int = 0,
        swap_by: By = "features",
        source: Mixture | Model | None = None,
        detail: float = 1.0,
        method: Method = "auto",
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        if not isinstance(strength, int | float) or not math.isfinite(strength):
            raise UsageError(f"The strength {strength!r} is no number.", "Give 1 for the style as trained.")
        try:
            base.generator.to(device)
        except RuntimeError as error:
            raise UsageError(f"There is no device {device!r} here.", "Give cpu or cuda.") from error
        self.base, self.strength, self.seed, self.device = base, strength, seed, device
        self.progress, self.on_progress = progress, on_progress
        self._finder, self._perceptual = finder, perceptual
        self._swap, self._swap_by = swap, swap_by
        self._reader = StyleReader(base, device, perceptual)
        self._source = None if source is None else self._reader.source(source)
        self._detail = DetailStage(detail, lambda: self.finder, photos=source is None)
        self._codes = PhotoInverter(base, inversion, perceptual=perceptual, seed=seed, source=self._source)
        self._appearance = appearance or Appearance()
        self._method: Method = method
        asked = {
            "An inversion": not is_plain(inversion),
            "An appearance": self._appearance.names,
            "A swap": swap,
            "A source": source,
        }
        self._for_codes = next((k for k, v in asked.items() if v), "Less detail" if detail != 1 else "")
        self._row = self._appearance.row(base.generator.anatomy) if self._appearance.names else 0
        self.generators = {}
        self._styles: dict[str, Style] = {}
        resolution = base.generator.anatomy.resolution
        self._references = [reference_face(r, self.crops, resolution) for r in self._appearance.references]
        self._check_names()
        for name, style in styles.items():
            self.add(style, name=name)

    @classmethod
    def load(
        cls,
        styles: Sequence[str | Path] = (),
        *,
        attribute: str | None = None,
        source: str | Path | None = None,
        device: str = "cpu",
        **settings: Unpack[Settings],
    ) -> Self:
        """Load styles by name, file or run folder, or mixtures of them; those of one base when none is named.

        Args:
            styles: What to load, as :meth:`add` takes it.
            attribute: Path of multi-path styles, e.g. ``women``; each face chooses its own where it is None or ``auto``
                and a chooser of the base knows the paths.
            source: The style that the pictures come in, as :meth:`add` takes it; the base, that is photos, when None.
            device: As the constructor.
            settings: As the constructor.

        Raises:
            UsageError: There is no such style, two have one name, the styles have different bases, or one has paths
                and none of this attribute.
        """
        base, mixtures, origin = of_one_base(styles, attribute, source)
        stylizer = cls(base, {}, source=origin, device=device, **settings)
        for mixture in mixtures:
            stylizer.add(mixture)
        return stylizer

    @classmethod
    def from_pretrained(
        cls,
        style: str | Path | Sequence[str | Path] = (),
        *,
        attribute: str | None = None,
        source: str | Path | None = None,
        device: str = "auto",
        **settings: Unpack[Settings],
    ) -> Self:
        """Load one style, or several of one base, onto the best device there is.

        As :meth:`load`, whose arguments and errors it has, but that ``style`` may be one name, file, run folder or
        mixture, and that ``device`` may be ``auto``: the first there is of CUDA, MPS and the CPU.

        Example::

            Stylizer.from_pretrained("toon3d").stylize("me.jpg").save("me.toon3d.png")
        """
        styles = [style] if isinstance(style, str | Path) else list(style)
        return cls.load(styles, attribute=attribute, source=source, device=device_named(device), **settings)

    def add(self, style: str | Path | Mixture | Model, *, name: str = "", attribute: str | None = None) -> str:
        """Take up a style, or a mixture of styles, of this base, or the base itself.

        Args:
            style: Name, file or run folder, or a mixture such as ``toon3d:0.6+charcoal:0.4``; or a model in memory,
                which must then not be changed in place.
            name: What to call it; its own name when empty.
            attribute: Of a style with a path per attribute: which path; as :meth:`load`.

        Returns:
            The name under which ``generators`` holds it.

        Raises:
            UsageError: There is no such style, the name is taken, it belongs to another base, it has paths and none of
                this attribute, or it is a feature swap that would be swapped again.
        """
        if not isinstance(style, Model | Mixture):
            style = Mixture.find(style, or_base=True, attribute=attribute)
            registry.refuse_idle_attribute(attribute, [part.path for part in style.parts])
        name = name or (style.header.name if isinstance(style, Model) else style.name)
        rule = None if isinstance(style, Model) else path_rule(self.base, style, photos=self._source is None)
        upto = style.header.swap_upto if isinstance(style, Model) else style.swap_upto
        if name in self.generators:
            raise UsageError(f"Two styles are called '{name}'.", "Name each once, or rename a run folder.")
        if upto and self._swap:
            raise UsageError(f"The style '{name}' is swapped at {upto} pixels already.", "Leave out --swap.")
        swapped: tuple[int, By] = (upto, "features") if upto else (self._swap, self._swap_by)

        def held(along: Mixture | Model) -> Style:
            plain, look, painter = self._reader.mixed(along, name, self.strength)
            painter = painter_for(painter, self._method, self._for_codes, name)
            if self._swap:
                self._reader.warn(name, plain)
            return Style(plain, *swapped, look=look, painter=painter)

        if rule is None or isinstance(style, Model):
            self._styles[name] = held(style)
            self.generators[name] = self._styles[name].synthesizer(self.base.generator)
        else:
            each = {path: held(style.along(path)) for path in rule.paths}
            self.generators[name] = SeveralPaths(name, each, self.base.generator, rule)
            self._styles[name] = each[rule.paths[0]]  # for the look, which all share, until a face has chosen
        return name

    def remove(self, name: str) -> None:
        """Let go of a style.

        Raises:
            UsageError: There is none of this name.
        """
        if self.generators.pop(name, None) is None:
            raise UsageError(f"No style '{name}' is loaded.", f"Loaded: {', '.join(self.generators) or 'none'}.")
        del self._styles[name]

    def painter(self, name: str) -> PackedPainter | None:
        """Return the painter that draws photos in a style held; None where its codes do."""
        return self._styles[name].painter

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo: for reports and for telling finished files."""
        # Only where they are set: pictures without them stay finished.
        rare = {
            "swap": {name: [style.upto, style.by] for name, style in self._styles.items() if style.upto},
            "appearance": self._appearance.settings if self._appearance.names else [],
            "source": "" if self._source is None else tensors_digest(self._source.state_dict()),
            "detail": self._detail.settings(self._looks),
            "painters": {name: style.painter.settings for name, style in self._styles.items() if style.painter},
        }
        return {key: value for key, value in rare.items() if value} | {
            "base": self.base.digest,
            "styles": {name: tensors_digest(drawn_with(self, name).state_dict()) for name in self._styles},
            "finder": repr(self.finder),
            **self._codes.settings,
            "device": self.device,
        }

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the styles held, in the order they came."""
        return tuple(self.generators)

    @property
    def further(self) -> tuple[str, ...]:
        """The names of the further renderings that are drawn of each face."""
        return (*(f"sample{k}" for k in range(1, self._codes.samples + 1)), *self._appearance.names)

    def stylize(
        self,
        photo: Photo,
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
            BadImage: The photo cannot be read, or which path of a style draws a face is not sure enough.
            UsageError: The pixels have another layout, or ``which`` does not select faces.
        """
        with memory_told():
            photo, opacity = opened(photo)
            pixels, crops = self._faces(photo, which, aligned, size)
            return Portraits(pixels, tuple(self.redraw(crop, size) for crop in crops), opacity)

    def _faces(
        self, photo: Photo, which: Which | int, aligned: bool, size: int | None
    ) -> tuple[Pixels, list[AlignedFace]]:
        """Return the pixels of a photo, and its faces; errors as of :meth:`stylize`."""
        check_size(size)
        self.tell("faces", 0, 1)
        finder, resolution = None if aligned else self.finder, self.base.generator.anatomy.resolution
        found = faces_of(photo, finder, which, resolution, closeup=self._closeup(size))
        self.tell("faces", 1, 1)
        return found

    def tell(self, stage: str, done: int, total: int) -> None:
        """Tell ``on_progress`` how far a stage has come."""
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    def crops(self, photo: Pixels, which: Which | int, size: int) -> list[AlignedFace]:
        """Find and align the faces of a photo.

        Raises:
            NoFaceFound: There is none, or none of that number.
        """
        return faces_of(photo, self.finder, which, size, closeup=self._closeup(None))[1]

    def batch(
        self,
        photos: Iterable[Photo],
        *,
        batch_size: int = 8,
        which: Which | int = "all",
        aligned: bool = False,
        size: int | None = None,
        on_error: Callable[[Photo, PortraitistError], None] | None = None,
    ) -> Iterator[Portraits]:
        """Redraw many photos; the networks see several faces at a time.

        Faces are found photo by photo; ``batch_size`` of them go through encoder and generators together. Sums then
        round otherwise than in :meth:`stylize`, so that pictures may differ from its by two of 255 levels. Codes that
        an optimisation finds are found one by one.

        Args:
            photos: As :meth:`stylize` takes them; drawn from as they are needed.
            batch_size: Faces at a time; fewer of large models, so that the memory stays the same.
            which: As :meth:`stylize`.
            aligned: As :meth:`stylize`.
            size: As :meth:`stylize`.
            on_error: Called with a photo that cannot be redrawn, which is then left out; None raises the error.

        Yields:
            The portraits of each photo, in the order given.

        Raises:
            UsageError: The batch size is not positive, or as :meth:`stylize`.
            PortraitistError: As :meth:`stylize`, where no ``on_error`` is given.
        """
        return redrawn_together(self, photos, batch_size, which=which, aligned=aligned, size=size, on_error=on_error)

    def redraw(
        self,
        crop: AlignedFace,
        size: int | None = None,
        *,
        code: WPlus | None = None,
    ) -> Portrait:
        """Invert one aligned face, unless its code is known already, and draw its code in every style.

        Where painters draw all styles, the code is found when it is first asked for. Samples of a posterior are drawn
        only where the face is inverted. The detail stage needs the crop's close-up. A
        code that is given is drawn itself, and not what a painter makes of the face.

        Each face is worked on alone and by one thread, so that its pictures depend neither on its company nor on the
        machine's cores: sums in another order round otherwise, and the steps of an inversion amplify that.
        """
        with one_thread(), memory_told():
            by = for_face(self, crop)
            if code is None and (painted := by._painted(crop, size)):
                return painted
            first, *others = self._inverted(crop) if code is None else [code]
            return by._portrait(crop, size, first, by._further(first, others), {}, by_painter=code is None)

    def _painted(self, crop: AlignedFace, size: int | None) -> Portrait | None:
        """Return the portrait of a face that painters draw in every style, None where codes take part."""
        drawings = Drawings(self, crop, None, size, {})
        if self.further or (pictures := drawings.painted()) is None:
            return None
        return Portrait(
            crop, lambda: self._inverted(crop)[0], pictures, (), partial(self._reconstruct, size=size), drawings.covered
        )

    def _further(self, first: WPlus, others: Sequence[WPlus]) -> Further:
        """Return rendering -> style -> code of all that is drawn beside a face's own code."""
        further = {f"sample{k}": dict.fromkeys(self.generators, one) for k, one in enumerate(others, 1)}
        return {**further, **dressed(self, first)}

    def _portrait(
        self,
        crop: AlignedFace,
        size: int | None,
        first: WPlus,
        further: Mapping[str, Mapping[str, WPlus]],
        drawn: Drawn,
        *,
        by_painter: bool = True,
    ) -> Portrait:
        """Draw the codes of one face: its own, and by rendering and style; what was drawn before is in ``drawn``."""
        drawings = Drawings(self, crop, first, size, drawn, by_painter=by_painter)
        pictures = drawings.of(dict.fromkeys(self.generators, first))
        samples = tuple(Sample(name, codes, drawings.of(codes, name)) for name, codes in further.items())
        return Portrait(crop, lambda: first, pictures, samples, partial(self._reconstruct, size=size), drawings.covered)

    def draw(self, generator: Synthesizer, code: WPlus, size: int | None = None) -> Pixels:
        """Draw one code [1, rows, w_dim] with the stored noise."""
        with torch.no_grad():
            picture = to_array(generator.synthesize(code.to(self.device))[0])
        return resize(picture, size or max(generator.anatomy.resolution, SMALLEST_PICTURE))

    @cached_property
    def finder(self) -> FaceFinder:
        """What finds faces."""
        return self._finder or finder_named()

    @property
    def inverter(self) -> Inverter:
        """What turns aligned faces into codes."""
        return self._codes.inverter

    @property
    def encoder(self) -> StoredEncoder | None:
        """The encoder that takes part in inversions; None where none does; errors as ``PhotoInverter.encoder``."""
        return self._codes.encoder

    def _reconstruct(self, code: WPlus, size: int | None) -> Pixels:
        with one_thread():
            return self.draw(self._source or self.base.generator, code, size)

    def _inverted(self, crop: AlignedFace) -> list[WPlus]:
        """Invert one face: its code, and the samples that are drawn too."""
        with one_thread(), memory_told():
            return self._codes.codes(self._target(crop), self._step)

    def _step(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)
        self.tell("inversion", done, total)

    def _target(self, crop: AlignedFace) -> torch.Tensor:
        return to_tensor(crop.image)[None].to(self.device)

    @property
    def _looks(self) -> dict[str, Look]:
        """The looks of the styles that carry one."""
        return {name: style.look for name, style in self._styles.items() if style.look is not None}

    def _closeup(self, size: int | None) -> int:
        """Return the side of the close-ups that are needed; 0 where no style takes anything from a photo."""
        taking = any(style.look or style.painter for style in self._styles.values())
        return self._detail.side(size or self.base.generator.anatomy.resolution) if taking else 0

    def _check_names(self) -> None:
        if twice := [name for name in self.further if self.further.count(name) > 1]:
            raise UsageError(f"Two further pictures are called '{twice[0]}'.", "Rename the reference.")

    @property
    def base_digest(self) -> str:
        """Digest of the generator of the base, by which styles, codes and directions know it."""
        return self._reader.base_digest
