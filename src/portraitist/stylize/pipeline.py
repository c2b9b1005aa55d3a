"""One photo to pictures in every style.

stylizer = Stylizer.load(["toon3d"])
portraits = stylizer.stylize("me.jpg")
write_image("me.toon3d.png", portraits.faces[0].pictures["toon3d"])
stylizer.add("toon3d:0.6+charcoal:0.4")     # another style, or a mixture, on the same base
again = stylizer.redraw(portraits.faces[0].aligned, code=portraits.faces[0].code)    # without a new inversion
several = Stylizer.load(["toon3d"], encoding=Encoding(samples=4))       # faces[0].samples[0].pictures["toon3d"], ...
"""

from __future__ import annotations

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
from ..io.model_file import Model, generator_digest, load_model
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator, GeneratorAnatomy
from ..networks.digest import tensors_digest
from ..spaces import WPlus
from .inversion import Encoding, encoder_inverter, likeness, no_encoder, projector
from .mixture import Mixture, Part, mixed

Which = Literal["all", "largest"]
# Below this a picture is enlarged, so that a small model gives something to look at.
SMALLEST_PICTURE = 256


@dataclass(frozen=True)
class Sample:
    """One more rendering of a face."""

    code: WPlus
    """A code from the posterior of its encoder, [1, rows, w_dim]."""
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
        """What the base draws from the code: how well the face was understood. Drawn when it is first asked for."""
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
        device: ``cpu`` or ``cuda``.
        progress: Told of the steps of each inversion.

    Raises:
        UsageError: A style belongs to another base, or more than one way of inversion is asked for.
        BadModel: The encoder was trained for another base.

    Attributes:
        generators: Name -> generator of each style held, in the order they came.
    """

    generators: dict[str, Generator]

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
        self._check_way()
        self.generators = {}
        for name, style in styles.items():
            self.add(style, name=name)

    @classmethod
    def load(cls, styles: Sequence[str | Path] = (), *, attribute: str | None = None, **options: object) -> Self:
        """Load styles by name, file or run folder, or mixtures of them; all bundled ones when none is named.

        Args:
            styles: What to load, as :meth:`add` takes it.
            attribute: Of styles with a path per attribute: which path.
            options: Those of the constructor.

        Raises:
            UsageError: There is no such style, two have one name, the styles have different bases, or one has paths
                and none of this attribute.
        """
        chosen = list(styles) or _bundled_styles()
        if not chosen:
            raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
        mixtures = [Mixture.find(style) for style in chosen]
        parts = [part for mixture in mixtures for part in mixture.parts]
        if len({part.header.base_digest for part in parts}) > 1:
            raise UsageError(f"The styles {chosen} belong to different bases.", "Stylize them one after the other.")
        stylizer = cls(registry.base_of(parts[0].header, parts[0].path), {}, **options)  # type: ignore[arg-type]
        for mixture in mixtures:
            stylizer.add(mixture, attribute=attribute)
        return stylizer

    def add(self, style: str | Path | Mixture | Model, *, name: str = "", attribute: str | None = None) -> str:
        """Take up a style, or a mixture of styles, of this base.

        Args:
            style: Name, file or run folder, or a mixture such as ``toon3d:0.6+charcoal:0.4``; or a model in memory,
                which must then not be changed in place.
            name: What to call it; its own name when empty.
            attribute: Of a style with a path per attribute: which path.

        Returns:
            The name under which ``generators`` holds it.

        Raises:
            UsageError: There is no such style, the name is taken, it belongs to another base, or it has paths and none
                of this attribute.
        """
        if isinstance(style, Model):
            name, models = name or style.header.name, [(style, 1.0)]
            self._check(name, style.header.base_digest, style.generator.anatomy)
        else:
            mixture = style if isinstance(style, Mixture) else Mixture.find(style)
            name = name or mixture.name
            models = [(self._read(name, part, attribute), part.weight) for part in mixture.parts]
        weighted = [(model.generator.to(self.device), weight * self.strength) for model, weight in models]
        self.generators[name] = mixed(self.base.generator, weighted)
        return name

    def remove(self, name: str) -> None:
        """Let go of a style.

        Raises:
            UsageError: There is none of this name.
        """
        if self.generators.pop(name, None) is None:
            raise UsageError(f"No style '{name}' is loaded.", f"Loaded: {', '.join(self.generators) or 'none'}.")

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo: for reports and for telling finished files."""
        encoder, encoding = self.encoder, self._encoding or Encoding()
        return {
            "base": self.base.digest,
            "styles": {name: tensors_digest(g.state_dict()) for name, g in self.generators.items()},
            "finder": repr(self.finder),
            "inverter": repr(self._inverter or self._projection or (encoding if encoder else self._optimisation)),
            "seed": self.seed,
            "encoder": "" if encoder is None else encoder.digest,
            "perceptual": "" if self._perceptual is None else [self._perceptual.name, self._perceptual.features.digest],
            "device": self.device,
        }

    @property
    def samples(self) -> int:
        """How many further renderings of each face are drawn."""
        return 0 if self._encoding is None else self._encoding.pictures

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
        if not isinstance(which, int) and which not in get_args(Which):
            raise UsageError(f"'{which}' is no choice of faces.", "Use 'all', 'largest' or a number.")
        pixels = photo if isinstance(photo, np.ndarray) else read_image(photo)
        check_photo(pixels)
        resolution = self.base.generator.anatomy.resolution
        crops = [whole(pixels, resolution)] if aligned else self.crops(pixels, which, resolution)
        return Portraits(pixels, tuple(self.redraw(crop, size) for crop in crops))

    def crops(self, photo: Pixels, which: Which | int, size: int) -> list[AlignedFace]:
        """Find and align the faces of a photo.

        Raises:
            NoFaceFound: There is none, or none of that number.
        """
        found = self.finder.find(photo)
        if not found:
            raise NoFaceFound(
                "No face was found.", "If the picture is a face cut out already, say so (--aligned); else give another."
            )
        if isinstance(which, int):
            if not 1 <= which <= len(found):
                raise NoFaceFound(f"There is no face {which}; {len(found)} were found.", "1 is the largest.")
            found = [found[which - 1]]
        return [align(photo, face.landmarks, size) for face in (found[:1] if which == "largest" else found)]

    def redraw(self, crop: AlignedFace, size: int | None = None, *, code: WPlus | None = None) -> Portrait:
        """Invert one aligned face, unless its code is known already, and draw its code in every style.

        Samples are drawn only where the face is inverted.

        Each face is worked on alone and by one thread, so that its pictures depend neither on its company nor on the
        machine's cores: sums in another order round otherwise, and the steps of an inversion amplify that.
        """
        with one_thread():
            codes = self._codes(crop) if code is None else [code]
            first, *others = (
                Sample(c, {name: self.draw(generator, c, size) for name, generator in self.generators.items()})
                for c in codes
            )
        return Portrait(crop, first.code, first.pictures, tuple(others), partial(self._reconstruct, first.code, size))

    def draw(self, generator: Generator, code: WPlus, size: int | None = None) -> Pixels:
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
        perceptual = likeness(self.base, self._perceptual)
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
        if self._inverter is not None or (self._projection is not None and not self._projection.needs_encoder):
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
            return self.draw(self.base.generator, code, size)

    @property
    def _optimisation(self) -> Projection:
        return self._projection or replace(portrait(), seed=self.seed)

    def _codes(self, crop: AlignedFace) -> list[WPlus]:
        """Invert one face: its code, and the samples that are drawn too."""
        target = to_tensor(crop.image)[None].to(self.device)
        how = self._encoding or Encoding()
        simple = self._inverter is None and how.best == "mean" and not how.refine
        if simple and isinstance(self.inverter, EncoderInverter):  # the codes alone, without a drawing to measure
            return _finite(self.inverter.variants(target, self.samples))
        return [self.inverter.invert(target, progress=self.progress).code]

    def _check_way(self) -> None:
        """Refuse more than one way of inversion."""
        encodes = self._given_encoder is not None or self._encoding is not None
        if self._inverter is not None and (encodes or self._projection is not None):
            raise UsageError("An inverter has settings of its own.", "Leave out the projection and the encoder.")
        if self._projection is None:
            return
        if self._encoding is not None or (encodes and not self._projection.needs_encoder):
            raise UsageError(
                "An encoder has no part in this optimisation.", "Choose the one or the other, or refine its code."
            )

    @cached_property
    def _digest(self) -> str:
        return generator_digest(self.base)

    def _read(self, name: str, part: Part, attribute: str | None) -> Model:
        self._check(name, part.header.base_digest, part.header.generator)
        return load_model(part.path, find_base=lambda header: self.base, attribute=attribute)

    def _check(self, name: str, base_digest: str, anatomy: GeneratorAnatomy) -> None:
        if anatomy.of_base != self.base.generator.anatomy or base_digest not in ("", self._digest):
            raise UsageError(
                f"The style '{name}' belongs to another base than '{self.base.header.name}'.",
                "Use the base that its header names.",
            )
        if name in self.generators:
            raise UsageError(f"Two styles are called '{name}'.", "Name each once, or rename a run folder.")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch work on one core for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def _bundled_styles() -> list[str]:
    """Return the names of the styles inside the package; of the user's where it holds none."""
    known = [e for e in registry.entries() if e.header.kind == "style-pack"]
    return [e.name for e in known if e.where == "bundled"] or [e.name for e in known]
