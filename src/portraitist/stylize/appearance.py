"""One person, many appearances: rows of content from the photo, rows of appearance from elsewhere.

UI2I via StyleGAN2 (Huang et al. 2020, arXiv:2010.05713, Eq. 10, Figs 4 and 5): w = [w_c, w_a], where w_c is the
photo's code and w_a is mapped from a sample of the prior, or found by inverting a reference picture in the style's own
domain. Rows that feed resolutions from ``start`` pixels up are appearance. The paper does not say which rows these are;
its released code replaces all of them and lets the photo enter by swapped features alone.

    look = Appearance(random=8, references=(Reference.read("sunset.png"),))
    Stylizer.load(["toon3d"], appearance=look)      # faces[0].samples: random1, ..., random8, sunset
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from ..data.images import Pixels, read_image
from ..errors import NoFaceFound, UsageError
from ..faces import AlignedFace
from ..networks import Generator, GeneratorAnatomy
from ..spaces import WPlus, Z, mix, truncate
from .choices import Which
from .crops import as_aligned_face

if TYPE_CHECKING:
    from .drawings import Style
    from .pipeline import Stylizer

MOST = 100


@dataclass(frozen=True, eq=False)
class Reference:
    """A picture whose appearance is wanted."""

    name: str
    """What stands for it in the names of files."""
    pixels: Pixels
    """``uint8 [H, W, 3]``."""
    aligned: bool = False
    """It is an aligned square crop already; else its largest face is taken."""

    @classmethod
    def read(cls, path: Path | str, *, aligned: bool = False) -> Self:
        """Read a picture; its name is that of the file without its ending.

        Raises:
            BadImage: It cannot be read.
        """
        return cls(Path(path).stem, read_image(path), aligned)

    @property
    def digest(self) -> str:
        """SHA-256 of its name, size and pixels, and of how they are taken."""
        text = f"{self.name} {self.pixels.shape} {self.aligned} "
        return hashlib.sha256(text.encode() + self.pixels.tobytes()).hexdigest()


@dataclass(frozen=True)
class Appearance:
    """Which appearances a face is drawn in, beside its own.

    Raises:
        UsageError: The settings are not possible, or two appearances have one name.
    """

    random: int = 0
    """How many are drawn from the prior, by the seed."""
    references: tuple[Reference, ...] = ()
    start: int = 64
    """Rows that feed this resolution or a higher one are appearance."""
    truncation: float = 1.0
    """Of the random ones: 1 the whole variety, as the paper; 0 the mean. The released code has 0.5."""

    def __post_init__(self) -> None:
        if not 0 <= self.random <= MOST or not 0 <= self.truncation <= 1.5:
            raise UsageError(
                f"{self.random} random appearances with a truncation of {self.truncation:g} are not possible.",
                f"Ask for 0 to {MOST}, with a truncation from 0 to 1.5.",
            )
        if twice := [n for n in self.names if self.names.count(n) > 1]:
            raise UsageError(f"Two appearances are called '{twice[0]}'.", "Rename a reference.")

    @property
    def names(self) -> tuple[str, ...]:
        """The appearances in the order they are drawn: random1, random2, ..., then the references."""
        return (*(f"random{k}" for k in range(1, self.random + 1)), *(r.name for r in self.references))

    @property
    def settings(self) -> list[object]:
        """What determines the pictures."""
        return [self.random, [r.digest for r in self.references], self.start, self.truncation]

    def row(self, anatomy: GeneratorAnatomy) -> int:
        """Return k such that rows [0, k) are content and the others appearance.

        Raises:
            UsageError: The generator has no block of ``start`` pixels.
        """
        if self.start not in anatomy.resolutions:
            raise UsageError(
                f"The models have no resolution of {self.start} pixels for appearances to begin at.",
                f"Give one of {', '.join(map(str, anatomy.resolutions))} (--appearance-from).",
            )
        return anatomy.block(self.start).convs[0].row


def reference_face(
    reference: Reference, find: Callable[[Pixels, Which, int], list[AlignedFace]], resolution: int
) -> AlignedFace:
    """Align the largest face of a reference; that it shows none is not the fault of any photo.

    Args:
        reference: The picture.
        find: Returns the faces of a picture, selected by ``which``, in squares of so many pixels.
        resolution: Side of the aligned face.

    Raises:
        NoFaceFound: There is none.
    """
    if reference.aligned:
        return as_aligned_face(reference.pixels, resolution)
    try:
        return find(reference.pixels, "largest", resolution)[0]
    except NoFaceFound as error:
        raise NoFaceFound(
            f"No face was found in the reference '{reference.name}'.",
            "If it is an aligned face already, add --reference-aligned; else give another picture.",
        ) from error


def random_codes(generator: Generator, count: int, truncation: float, seed: int) -> list[WPlus]:
    """Draw codes of the prior, each [1, rows, w_dim]; the first do not depend on the count."""
    if not count:
        return []
    z = Z.sample(count, generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        # One by one: a product of another size rounds otherwise.
        codes = [generator.map(z[k].to(generator.w_mean.device)) for k in range(count)]
        return [truncate(code, generator.mean, truncation) for code in codes]


def dressed(stylizer: Stylizer, content: WPlus) -> dict[str, dict[str, WPlus]]:
    """Return, for each appearance that a stylizer draws, the code of a face in each style: appearance -> style -> code.

    Args:
        stylizer: Whose appearances and styles.
        content: The code of the face [1, rows, w_dim], whose first rows stay.
    """
    wanted = stylizer._appearance
    if not wanted.names:
        return {}
    content = content.to(stylizer.device)
    own = {name: _codes_in(stylizer, style) for name, style in stylizer._styles.items()}
    return {
        name: {style: mix(content, codes[k], stylizer._row) for style, codes in own.items()}
        for k, name in enumerate(wanted.names)
    }


def _codes_in(stylizer: Stylizer, style: Style) -> list[WPlus]:
    """Return the code of each appearance in a style's own domain; computed once."""
    if style.appearance_codes is None:
        wanted = stylizer._appearance
        codes = random_codes(style.plain, wanted.random, wanted.truncation, stylizer.seed)
        if stylizer._references:
            inverter = stylizer._codes.of_style(style.plain)
            targets = map(stylizer._target, stylizer._references)
            codes += [inverter.invert(target, progress=stylizer.progress).code for target in targets]
        style.appearance_codes = codes
    return style.appearance_codes
