"""What a face does: where its head turns, how it smiles, opens its mouth, closes its eyes and where it looks.

Six numbers are measured on the face mesh (the gaze also on the picture's brightness), and a ridge regression from the
numbers to the codes of samples says which way codes go when one number grows and the others stay.

    learned = expression_directions(generator, BlazeFinder())        # yaw, pitch, smile, mouth, blink, gaze
    save_directions(Path("faces.expressions.safetensors"), learned, base=digest)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ..data.images import Pixels, resize
from ..errors import UsageError
from ..faces import FaceFinder, Landmarks
from ..faces.landmarks import Points
from ..networks import Generator
from ..ops.warp import sample_bilinear
from ..spaces import WPlus, Z, truncate
from ..spaces.direction import Direction, moved
from .directions import rows_of
from .measure import SMALLEST, drawn, smile, turn

EXPRESSIONS = ("yaw", "pitch", "smile", "mouth", "blink", "gaze")
"""Names of the numbers, in the order of every row here."""
SPREADS = np.array([0.07, 0.06, 0.09, 0.06, 0.04, 0.045])
"""About the deviations of the numbers among faces, by which changes of them are compared."""
MESH = 468
"""Points of the face mesh; those of the irises may follow."""
SAMPLES = 400
RIDGE = 0.1
"""Penalty of the regression, in variances of a number."""
UPTO = 32
"""Blocks of more pixels rest: they colour, and move nothing."""
_PROBES = 24
"""Further samples on which the answer to the directions is measured."""
# Rows of the mesh. Each eye: outer and inner corner along the picture's x, then pairs of upper and lower lid.
_EYES = ((33, 133, (160, 158, 159), (144, 153, 145)), (362, 263, (385, 387, 386), (380, 373, 374)))
_NOSE, _LIPS = 1, (13, 14)
_IRISES = (468, 473)
_LEAST_OPEN = 0.12
"""Eyes that are open by less of their width show no gaze."""
_TRUNCATION = 0.7


def expression(picture: Pixels, face: Landmarks) -> Points:
    """Measure a face: [6], in the order of ``EXPRESSIONS``; all but the angles of the head in distances of the eyes.

    - yaw: how far the nose lies to the picture's right of the eyes' middle.
    - pitch: how far down from the eyes to the mouth it lies, in parts of that way.
    - smile: width of the mouth.
    - mouth: how far the lips are apart.
    - blink: how far both eyes are closed: minus their opening in parts of their width.
    - gaze: how far both irises lie to the picture's right of their eyes' middle, in parts of the eyes' width; NaN
      where an eye is closed.

    Args:
        picture: uint8 [H, W, 3], in which the face lies.
        face: Its mesh.

    Raises:
        UsageError: The finder gave other points than those of the mesh.
    """
    points = mesh_of(face)
    down = (face.mouth_left + face.mouth_right - face.left_eye - face.right_eye) / 2
    nose = points[_NOSE] - (face.left_eye + face.right_eye) / 2
    gap = float(np.linalg.norm(points[_LIPS[1]] - points[_LIPS[0]])) / face.eye_distance
    opening = [_opening(points, eye) for eye in _EYES]
    gaze = float("nan") if min(opening) < _LEAST_OPEN else _gaze(picture, points)
    return np.array([turn(face), float(nose @ down / (down @ down)), smile(face), gap, -float(np.mean(opening)), gaze])


def mesh_of(face: Landmarks) -> Points:
    """Return the points of the face mesh, [468, 2] or [478, 2].

    Raises:
        UsageError: The finder gave others.
    """
    if face.full is None or len(face.full) < MESH:
        raise UsageError(
            "Expressions are read off the 468 points of the face mesh, which this finder does not give.",
            "Leave --detector out.",
        )
    return face.full


def expression_directions(
    generator: Generator,
    finder: FaceFinder,
    *,
    count: int | None = None,
    ridge: float = RIDGE,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Direction]:
    """Draw samples, measure them, and learn which way codes go as each number grows and the others stay.

    With x the numbers of a sample in deviations and w its code, the ridge regression w = B x gives a row of B per
    number. One unit of strength is one deviation of the number among samples.

    Args:
        generator: The base.
        finder: Finds the mesh.
        count: Samples drawn; 400 when None.
        ridge: Penalty on B, in variances of a number.
        seed: Of the samples.
        progress: Called after each sample with the samples done and all.

    Returns:
        A direction per number, in the order of ``EXPRESSIONS``; ``found`` says what one unit does to each number.

    Raises:
        UsageError: Faces are found in too few samples.
    """
    count = SAMPLES if count is None else count
    total, places = count + _PROBES, generator.w_mean.device
    latents = Z.sample(total, generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    samples = [
        truncate(generator.map(z.to(places)), generator.mean, _TRUNCATION) for z in (latents[k] for k in range(total))
    ]
    numbers = []
    for k, code in enumerate(samples[:count]):
        numbers.append(measured(drawn(generator, code), finder))
        if progress is not None:
            progress(k + 1, total)
    rows = rows_of(generator.anatomy, [r for r in generator.anatomy.resolutions if r <= UPTO])
    found, spread = regressed(WPlus(torch.cat([c.data for c in samples[:count]])), np.array(numbers), rows, ridge)
    told = []
    for k, direction in enumerate(found):
        answer = answer_of(generator, finder, samples[count:], direction) / spread
        said = ", ".join(f"{name} {value:+.2f}" for name, value in zip(EXPRESSIONS, answer, strict=True))
        told.append(replace(direction, found=f"{direction.found}; one unit, in deviations: {said}"))
        if progress is not None:
            progress(count + (k + 1) * _PROBES // len(found), total)
    return told


def regressed(
    codes: WPlus, numbers: Points, rows: Sequence[int], ridge: float = RIDGE
) -> tuple[list[Direction], Points]:
    """Return the rows of the ridge regression of codes on numbers as directions, and the deviation of each number.

    Args:
        codes: Of N samples, the same in every row.
        numbers: Theirs, [N, 6]; samples with NaN do not count.
        rows: Rows of W+ that the directions move.
        ridge: As of :func:`expression_directions`.

    Raises:
        UsageError: Too few samples count, or a number is always the same.
    """
    whole = np.isfinite(numbers).all(axis=1)
    counted = numbers[whole]
    if len(counted) < 4 * len(EXPRESSIONS) or not (spread := counted.std(axis=0)).all():
        raise UsageError(
            f"Only {len(counted)} of {len(numbers)} drawings of the base show a face that can be measured, or they are "
            "all alike.",
            "Draw more --samples, or use a base that draws faces.",
        )
    x = torch.from_numpy((counted - counted.mean(axis=0)) / spread)
    w = codes.data[:, 0].detach().cpu().double()[torch.from_numpy(whole)]
    system = x.t() @ x / len(x) + ridge * torch.eye(len(EXPRESSIONS), dtype=x.dtype)
    ways = torch.linalg.solve(system, x.t() @ (w - w.mean(dim=0)) / len(x))
    how = f"ridge regression of codes on {len(counted)} measured samples"
    units = torch.linalg.vector_norm(ways, dim=1)
    found = [
        Direction(name, (way / unit).float(), tuple(rows), float(unit), how)
        for name, way, unit in zip(EXPRESSIONS, ways, units, strict=True)
    ]
    return found, spread


def answer_of(
    generator: Generator, finder: FaceFinder, codes: Sequence[WPlus], direction: Direction, step: float = 1.0
) -> Points:
    """Return what one unit along a direction adds to each number, [6]: the mean over codes, NaN where none counts."""
    changes = []
    for code in codes:
        after, before = (measured(drawn(generator, moved(code, direction, s)), finder) for s in (step, -step))
        changes.append((after - before) / (2 * step))
    counted = np.array(changes)
    return np.array(
        [column[np.isfinite(column)].mean() if np.isfinite(column).any() else np.nan for column in counted.T]
    )


def measured(picture: Pixels, finder: FaceFinder) -> Points:
    """Measure the largest face of a picture, which is enlarged where finders would miss it: [6]; NaN without a face."""
    large = resize(picture, max(SMALLEST, len(picture)))
    found = finder.find(large)
    return expression(large, found[0].landmarks) if found else np.full(len(EXPRESSIONS), np.nan)


def _opening(points: Points, eye: tuple[int, int, tuple[int, ...], tuple[int, ...]]) -> float:
    """Return how far an eye is open, in parts of its width."""
    one, other, upper, lower = eye
    width = float(np.linalg.norm(points[other] - points[one]))
    return float(np.linalg.norm(points[list(upper)] - points[list(lower)], axis=1).mean()) / max(width, 1e-9)


def _gaze(picture: Pixels, points: Points) -> float:
    """Return where the irises lie: by their own points, else by where the eyes are darkest."""
    found = []
    for k, (one, other, upper, lower) in enumerate(_EYES):
        start, across = points[one], points[other] - points[one]
        if len(points) > max(_IRISES):
            found.append(float((points[_IRISES[k]] - start) @ across / (across @ across)))
            continue
        lift = (points[list(upper)].mean(axis=0) - points[list(lower)].mean(axis=0)) / 2
        middle = (points[list(upper)].mean(axis=0) + points[list(lower)].mean(axis=0)) / 2 - start
        middle = middle - across * (middle @ across / (across @ across))
        along, up = np.meshgrid(np.linspace(0.15, 0.85, 29), np.linspace(-0.7, 0.7, 9))
        places = start + middle + along[..., None] * across + up[..., None] * lift
        dark = _luma(picture, places)
        weight = np.clip(np.median(dark) - dark, 0, None) + 1e-6
        found.append(float((weight * along).sum() / weight.sum()))
    return float(np.mean(found)) - 0.5


def _luma(picture: Pixels, places: Points) -> Points:
    """Return the brightness of a picture at places [..., 2], between its pixels."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float64)
    height, width = grey.shape
    points = np.stack([np.clip(places[..., k] - 0.5, 0, n - 1) for k, n in ((0, width), (1, height))])
    return np.asarray(sample_bilinear(torch.from_numpy(grey)[None, None], torch.from_numpy(points)[None])[0, 0])
