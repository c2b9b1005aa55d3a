"""What the checkup of exemplars measures of a picture: style, tones, sharpness, and a print to find its twins by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..data.images import Pixels

Plane = npt.NDArray[np.float64]

_THUMB = 64
_GRID = 32
# Correlation over whole steps of the grid below which no finer step makes twins.
_PROMISING = 0.45
_ZOOMS = tuple(1 + 0.02 * step for step in range(9))
# Three blurs in a row, as a matrix for rows or columns of the grid.
_SMOOTH = np.linalg.matrix_power(
    np.apply_along_axis(
        lambda row: np.convolve(np.pad(row, 2, "reflect"), (1, 4, 6, 4, 1), "valid") / 16, 0, np.eye(_GRID)
    ),
    3,
)


class Print:
    """A picture's luminance, ready for comparison with many others."""

    def __init__(self, thumb: Image.Image) -> None:
        self.thumb = thumb
        self.coarse = _unit(_shrunk(thumb, 16))
        self.details = _details(thumb)
        self.zoomed = np.fft.rfft2(np.stack([_details(thumb, zoom) for zoom in _ZOOMS]))


def correlation(one: Print, other: Print, flip: bool) -> float:
    """Return the correlation of two pictures' details after the zoom into the one, and the shift, that fit best."""
    return max(_registered(one, other, flip), _registered(other, one, flip))


def _registered(whole: Print, part: Print, flip: bool) -> float:
    """Correlate ``part``, mirrored or not, with the window of ``whole`` that looks most like it."""
    wanted = part.details[:, ::-1] if flip else part.details
    scores = np.fft.irfft2(whole.zoomed * np.conj(np.fft.rfft2(wanted)), s=wanted.shape)
    if (best := float(scores.max())) < _PROMISING:
        return best
    zoom, down, right = map(int, np.unravel_index(int(scores.argmax()), scores.shape))
    zooms = _ZOOMS[max(0, zoom - 1) : zoom + 2]
    half = _GRID // 2
    down, right = ((value + half) % _GRID - half for value in (down, right))
    # Whole steps of the coarse grid leave the fit short of its peak, and the cyclic shift wraps: look around it.
    steps = (-0.5, 0.0, 0.5)
    windows = [_details(whole.thumb, z, down + i, right + j) for z in zooms for i in steps for j in steps]
    return max(float((window * wanted).sum()) for window in windows)


def _details(thumb: Image.Image, zoom: float = 1.0, down: float = 0.0, right: float = 0.0) -> Plane:
    """Details of a window of a thumb, ``_GRID`` wide, of mean 0 and norm 1; the shift counts in its pixels."""
    side = thumb.width / zoom
    left, top = ((thumb.width - side) / 2 + shift * side / _GRID for shift in (right, down))
    left, top = (min(max(value, 0.0), thumb.width - side) for value in (left, top))
    window = thumb.resize((_GRID, _GRID), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    plane = np.asarray(window, dtype=np.float64)
    return _unit(plane - _SMOOTH @ plane @ _SMOOTH.T)


def _shrunk(thumb: Image.Image, size: int) -> Plane:
    return np.asarray(thumb.resize((size, size), Image.Resampling.BOX), dtype=np.float64)


def _unit(plane: Plane) -> Plane:
    centred: Plane = plane - plane.mean()
    # A flat picture stays nothing; the floor is far below one level's rounding.
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-3))


def thumbnail(square: Pixels) -> Image.Image:
    """Return the luminance of a square picture, small."""
    return Image.fromarray(square).convert("L").resize((_THUMB, _THUMB), Image.Resampling.BOX)


# Groups of statistics, named as users would: what a style's outlier differs in.
STYLE = (
    *("brightness",) * 4,
    *("contrast",) * 2,
    *("colour",) * 5,
    *("variety of colour",) * 3,
    *("fine strokes",) * 4,
    *("middle strokes",) * 4,
    *("broad shapes",) * 4,
    *("edges",) * 3,
)


def style_statistics(lab: Plane) -> Plane:
    """Statistics of brightness, colour and detail by octaves, grouped as ``STYLE`` names them."""
    # The rim shows backgrounds and what alignment made up beyond the picture's edges.
    rim = lab.shape[0] // 8
    middle = lab[:-rim, rim:-rim]
    light, colour = middle[..., 0], middle[..., 1:]
    chroma = np.hypot(colour[..., 0], colour[..., 1])
    spread = light.std()
    values = [light.mean(), *np.percentile(light, (2, 50, 98))]
    values += [np.log(spread + 1), ((light - light.mean()) ** 3).mean() / (spread + 1) ** 3]
    values += [*colour.mean(axis=(0, 1)), *np.log(np.percentile(chroma, (10, 50, 95)) + 2)]
    values += [*np.log(colour.std(axis=(0, 1)) + 2), np.log(chroma.std() + 2)]
    octaves = []
    for _ in range(3):
        smooth = _blurred(light)
        detail = np.abs(light - smooth)
        tinted = sum(np.abs(colour[..., i] - _blurred(colour[..., i])).mean() for i in (0, 1))
        heavy = np.log((detail**4).mean() + 1e-2) - 2 * np.log((detail**2).mean() + 1e-1)
        octaves.append([np.log(detail.mean() + 0.1), np.log(np.median(detail) + 0.05), heavy, np.log(tinted + 0.2)])
        light, colour = smooth[::2, ::2], np.stack([_blurred(colour[..., i])[::2, ::2] for i in (0, 1)], axis=-1)
    values += [value for octave in octaves for value in octave]
    values += [octaves[0][0] - octaves[1][0], octaves[1][0] - octaves[2][0], octaves[0][3] - octaves[1][3]]
    return np.array(values, dtype=np.float64)


# Least robust deviation of a statistic: differences below it cannot be seen, however alike the set is.
FLOOR = np.array([4.0] * 4 + [0.1] * 2 + [3.0] * 2 + [0.2] * 6 + [0.15] * 15)


def tones_of(lab: Plane) -> Plane:
    """Lab (a, b) of the brightest and of the most neutral tenth of the face."""
    side = lab.shape[0]
    face = lab[side // 4 : 7 * side // 8, 9 * side // 32 : 23 * side // 32].reshape(-1, 3)
    tenth = len(face) // 10
    bright = face[np.argsort(-face[:, 0], kind="stable")[:tenth], 1:]
    neutral = face[np.argsort(np.hypot(face[:, 1], face[:, 2]), kind="stable")[:tenth], 1:]
    return np.concatenate([bright.mean(axis=0), neutral.mean(axis=0)])


# Share of the variance along the main axis that a cut in two explains: 0.64 of a normal distribution, 0.75 of a
# uniform one.
_TWO_GROUPS = 0.82


def smaller_group(style: Plane) -> float:
    """Return the smaller group's share if the pictures fall into two groups, else 0 (Otsu's criterion)."""
    centred = style / FLOOR - np.median(style / FLOOR, axis=0)
    _, _, axes = np.linalg.svd(np.clip(centred, -30, 30), full_matrices=False)
    values = np.sort(centred @ axes[0])
    total, best = float(values.var()), (0.0, 0.0)
    for cut in range(len(values) // 10 + 1, len(values) - len(values) // 10):
        low, high = values[:cut], values[cut:]
        between = len(low) * len(high) / len(values) ** 2 * (high.mean() - low.mean()) ** 2
        best = max(best, (float(between) / max(total, 1e-9), min(len(low), len(high)) / len(values)))
    return best[1] if best[0] > _TWO_GROUPS else 0.0


def robust_deviations(values: Plane, floor: Plane) -> Plane:
    """Return each column's distances from its median in robust deviations [N, F]."""
    apart = values - np.median(values, axis=0)
    return np.asarray(apart / np.maximum(1.4826 * np.median(np.abs(apart), axis=0), floor))


def sharpness_of(square: Pixels) -> float:
    """Return the detail of the finest octave over that of the next, at the picture's own size."""
    # Bottom and rim are left out: alignment may have blurred them beyond the picture's edges.
    rim = square.shape[0] // 8
    light = lab_of(square[: square.shape[0] - rim, rim : square.shape[0] - rim])[..., 0]
    if min(light.shape) < 8:
        return 1.0
    smooth = _blurred(light)
    coarse = smooth[::2, ::2]
    fine, middle = (light - smooth).std(), (coarse - _blurred(coarse)).std()
    return float(fine / middle) if middle > 0.1 else 1.0


def _blurred(plane: Plane) -> Plane:
    """Blur with the binomial kernel of five taps; the rim is mirrored."""
    for _ in range(2):
        rows, count = np.pad(plane, [(2, 2), (0, 0)], mode="reflect"), len(plane)
        taps = [rows[tap : tap + count] for tap in range(5)]
        plane = ((taps[0] + 4 * taps[1] + 6 * taps[2] + 4 * taps[3] + taps[4]) / 16).T
    return plane


def lab_of(picture: Pixels) -> Plane:
    """Turn sRGB into CIE 1976 L*a*b* under D65 (IEC 61966-2-1, CIE 15)."""
    coded = picture.astype(np.float64) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    # Rows are scaled to white: X/Xn, Y/Yn, Z/Zn.
    x, y, z = np.moveaxis(np.cbrt(linear @ (_XYZ / _XYZ.sum(axis=1, keepdims=True)).T), -1, 0)
    x, y, z = (np.where(v > 6 / 29, v, v**3 * (29 / 6) ** 2 / 3 + 4 / 29) for v in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
