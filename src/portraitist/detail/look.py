"""What a style changes of any photo, and how a photo and the drawings of its code become the picture.

After HFGI (Wang et al. 2022, arXiv:2109.06590) and VToonify (Yang et al. 2022, arXiv:2209.11224): a code holds little
of a person, so the picture takes the rest from the photo. A *look* is the difference between the style's exemplars and
photos as populations: where the parts of the face lie, which colours they have at each place (the linear map that takes
one Gaussian to the other: Pitié and Kokaram 2007), and how strong detail of each fineness is (Shih et al. 2014, "Style
transfer for headshot portraits"). With F the filter and W the warp of a look, p the photo, and d and b what style and
base draw from its code, the picture is

    W(F(p)) + own * blur(d - W(F(b)))

so that the style's own drawing says what it does to this face beyond what it does to all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.colour import luminance
from . import filters
from .medium import Medium
from .shape import displacement, warp

SIDE = 256
"""The side that looks are measured at; lengths grow with the picture's."""
BANDS = 4
POINTS = 468
CELLS, COARSE = 16, 8
_GAINS = (0.6, 2.0)
"""Least and largest gain of a band."""
_LEAST_ENERGY = 1.0
"""Added to a photo's: a plain wall has none, and its noise is not to be raised."""
_LIGHTNESS = (0.8, 1.25)
"""What becomes of a place's lightness at most, so that dark skin stays as dark as it is, and light skin as light."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a style changes of any photo, in the frame of aligned faces."""

    shape: Tensor
    """Where the points of the face mesh move to, [468, 2], in parts of the side."""
    centre: Tensor
    """Mean colour of photos, [3, 16, 16] in grey levels, about which colours are stretched."""
    shift: Tensor
    """What colours of the person move by, [3, 16, 16] in grey levels."""
    background: Tensor
    """The same behind the person, [3]."""
    stretch: Tensor
    """Linear map of colours about the centre, [3, 3]."""
    energy: Tensor
    """Mean square of each band of the exemplars' luminance, the finest first, [4, 8, 8]."""
    medium: Medium
    weight: float = 1.0
    """How far bands are brought to ``energy``, 0 to 1."""

    @classmethod
    def neutral(cls) -> Self:
        """Return the look that changes nothing."""
        return cls(
            torch.zeros(POINTS, 2),
            torch.full((3, CELLS, CELLS), 127.5),
            torch.zeros(3, CELLS, CELLS),
            torch.zeros(3),
            torch.eye(3),
            torch.ones(BANDS, COARSE, COARSE),
            Medium(),
            weight=0.0,
        )

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], medium: Medium) -> Self:
        """Return the look of these tensors, by name, and this medium."""
        shape, centre, shift, background, stretch, energy = (tensors[name] for name in TENSORS)
        return cls(shape, centre, shift, background, stretch, energy, medium)

    @classmethod
    def mixed(cls, looks: Sequence[tuple[Self, float]]) -> Self:
        """Add what looks change, each with its weight; energies are averaged in logarithms."""
        looks = [(look, weight) for look, weight in looks if weight]
        if len(looks) == 1 and looks[0][1] == 1:
            return looks[0][0]
        start = cls.neutral()
        total = sum(weight for _, weight in looks)
        if total <= 0:
            return start

        def added(name: str) -> Tensor:
            first: Tensor = getattr(start, name)
            moved = [weight * (getattr(look, name) - first) for look, weight in looks]
            return first + torch.stack(moved).sum(dim=0)

        medium = {f.name: sum(w * getattr(k.medium, f.name) for k, w in looks) for f in fields(Medium)}
        return cls(
            added("shape"),
            sum((weight / total * look.centre for look, weight in looks), torch.zeros(())),
            added("shift"),
            added("background"),
            added("stretch"),
            torch.exp(sum((weight / total * look.energy.log() for look, weight in looks), torch.zeros(()))),
            Medium(**medium),
            weight=min(1.0, sum(weight * look.weight for look, weight in looks)),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors, by name."""
        return {name: getattr(self, name) for name in TENSORS}


TENSORS = {
    "shape": (POINTS, 2),
    "centre": (3, CELLS, CELLS),
    "shift": (3, CELLS, CELLS),
    "background": (3,),
    "stretch": (3, 3),
    "energy": (BANDS, COARSE, COARSE),
}
"""The tensors of a look, and their shapes."""


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Where a face lies in its aligned square, in parts of the side."""

    points: Tensor
    """Landmarks [N, 2]."""
    shift: Tensor
    """What the look moves each by, [N, 2]."""
    parts: Tensor
    """Centres of both eyes and of the mouth, [3, 2]: detail is kept there."""
    person: Tensor
    """How much of each pixel is the person, [1, 1, S, S] in [0, 1]."""


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """A photo in a look: what all drawings of its face in a style share."""

    painted: Tensor
    """W(F(p)), [1, 3, S, S] in grey levels."""
    expected: Tensor | None
    """W(F(b)) in colour alone; None where the style's own drawing does not enter."""
    person: Tensor
    """How much of each pixel of the picture is the person, [1, 1, S, S]."""
    look: Look

    def picture(self, drawing: Tensor) -> Tensor:
        """Return the picture that a drawing of the style [1, 3, S, S] gives, of the same layout."""
        painted = self.painted
        if self.expected is not None:
            painted = (
                painted + self.look.medium.own * _own(drawing, self.expected, self.look, self.person) * self.person
            )
        return painted.clamp(0, 255)


def own_change(base: Tensor, drawing: Tensor, look: Look, person: Tensor) -> Tensor:
    """Return what a style's drawing does to a face beyond what its look does to all: [N, 3, S, S] in grey levels.

    Args:
        base: What the base draws from codes, [N, 3, S, S] in grey levels.
        drawing: What the style draws from them.
        look: Of the style.
        person: How much of each pixel is the person, [1, 1, S, S].
    """
    expected = _coloured(_grey(base, look), look, person, base.shape[-1] / SIDE)
    return _own(drawing, expected, look, person)


def _own(drawing: Tensor, expected: Tensor, look: Look, person: Tensor) -> Tensor:
    # What the code says of the background is noise.
    return filters.blur((_grey(drawing, look) - expected) * person, 12 * drawing.shape[-1] / SIDE)


def prepare_detail(photo: Tensor, base: Tensor, look: Look, frame: FaceFrame) -> PreparedPhoto:
    """Return what does not depend on the style's drawing; arguments as of :func:`redraw_detail`."""
    scale = photo.shape[-1] / SIDE
    moved = displacement(frame.points, frame.points + frame.shift, photo.shape[-1])
    painted = warp(_painted(photo, look, frame.person, _kept(photo, frame.parts), scale), moved)
    expected = None
    if look.medium.own:
        expected = warp(_coloured(_grey(base, look), look, frame.person, scale), moved)
    return PreparedPhoto(painted, expected, warp(frame.person, moved).clamp(0, 1), look)


def redraw_detail(photo: Tensor, base: Tensor, drawing: Tensor, look: Look, frame: FaceFrame) -> tuple[Tensor, Tensor]:
    """Return the picture that a photo and the drawings of its code give, and where the person is in it.

    Args:
        photo: Aligned, [1, 3, S, S] in grey levels.
        base: What the base draws from its code, of the same size.
        drawing: What the style draws.
        look: Of the style.
        frame: Where the face lies.

    Returns:
        The picture [1, 3, S, S] in grey levels, and how much of each pixel is the person, [1, 1, S, S].
    """
    prepared = prepare_detail(photo, base, look, frame)
    return prepared.picture(drawing), prepared.person


def band_energy(x: Tensor) -> Tensor:
    """Return the mean square of each band of the luminance of pictures [N, 3, S, S]: [N, 4, 8, 8]."""
    found, _ = filters.bands(luminance(x), BANDS, x.shape[-1] / SIDE)
    return torch.cat([F.adaptive_avg_pool2d(band**2, COARSE) for band in found], dim=1)


def _painted(photo: Tensor, look: Look, person: Tensor, kept: Tensor, scale: float) -> Tensor:
    """F: simplify, colour, mark, and bring each band to the strength that it has in the style."""
    medium = look.medium
    photo = _grey(photo, look)
    times = round(medium.smoothing)
    plain = filters.smooth(photo, times, stride=max(1, round(scale))) if times else photo
    plain = plain + 0.5 * kept * (photo - plain)
    # Of the person alone: a plain wall would show the other side of the edge as a halo.
    plain = plain + person * (filters.sharpen_edges(plain, medium.edges, 1.2 * scale) - plain)
    painted = _coloured(plain, look, person, scale)
    if medium.strokes and medium.length:
        steps = math.ceil(medium.length)
        marks = filters.strokes(filters.tangents(plain, 4 * scale), steps, medium.length / steps * scale)
        # Neither black nor white takes the marks of a medium.
        tone = 1 - (luminance(painted) / 127.5 - 1).abs().clamp(0, 1) ** 2
        # Backgrounds are laid in with a broader hand than people.
        where = (1 - kept) * (0.25 + 0.75 * person)
        painted = painted + medium.strokes * marks * tone * where
    return _strengthened(painted, look, scale)


def _grey(x: Tensor, look: Look) -> Tensor:
    amount = min(1.0, look.medium.colourless)
    return x + amount * (luminance(x) - x) if amount else x


def _coloured(x: Tensor, look: Look, person: Tensor, scale: float) -> Tensor:
    """Give each place the colour that the style has there, and keep how light it is within bounds."""
    about = x - _enlarged(look.centre, x.shape[-1])
    stretched = torch.einsum("ij,njhw->nihw", look.stretch - torch.eye(3, device=x.device), about)
    shift = _enlarged(look.shift, x.shape[-1])
    # Half of the stretch behind the person: walls keep their colour.
    change = person * (shift + stretched) + (1 - person) * (look.background.view(1, 3, 1, 1) + stretched / 2)
    before = filters.blur(luminance(x), 8 * scale) + 16
    after = filters.blur(luminance(x + change), 8 * scale) + 16
    wanted = torch.clamp(after, before * _LIGHTNESS[0], before * _LIGHTNESS[1])
    return x + change + (wanted - after)


def _strengthened(x: Tensor, look: Look, scale: float) -> Tensor:
    if not look.weight:
        return x
    # Of the photo as a whole and of each place, half and half: a face has its own distribution of detail.
    found = band_energy(x) + _LEAST_ENERGY
    wanted = look.energy[None] + _LEAST_ENERGY
    local, whole = wanted / found, wanted.mean(dim=(2, 3), keepdim=True) / found.mean(dim=(2, 3), keepdim=True)
    gains = ((local * whole) ** (look.weight / 4)).clamp(*_GAINS)
    split, left = filters.bands(x, BANDS, scale)
    for k, band in enumerate(split):
        left = left + band * _enlarged(gains[0, k : k + 1], x.shape[-1])
    return left


def _enlarged(cells: Tensor, side: int) -> Tensor:
    return F.interpolate(cells[None], (side, side), mode="bicubic", align_corners=False)


def _kept(photo: Tensor, parts: Tensor) -> Tensor:
    """Return how much of the photo's own detail stays: 1 at the eyes and the mouth, 0 elsewhere, [1, 1, S, S]."""
    side = photo.shape[-1]
    centres = (torch.arange(side, dtype=photo.dtype, device=photo.device) + 0.5) / side
    kept = photo.new_zeros(side, side)
    for (x, y), width, height in zip(parts.tolist(), (0.09, 0.09, 0.12), (0.05, 0.05, 0.06), strict=True):
        away = ((centres[None, :] - x) / width) ** 2 + ((centres[:, None] - y) / height) ** 2
        kept = torch.maximum(kept, torch.exp(-(away**2) / 2))
    return kept[None, None]
