"""Numbers of a face, and which way codes go for each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from portraitist.data.images import Pixels
from portraitist.edit import EXPRESSIONS, expression, expression_directions
from portraitist.edit.expressions import answer_of, measured, regressed
from portraitist.errors import UsageError
from portraitist.faces import Face, Landmarks
from portraitist.faces.landmarks import Points
from portraitist.io.model_file import Model
from portraitist.spaces import W

from ..video.made_faces import MESH

BLANK = np.full((256, 256, 3), 128, np.uint8)
LIDS = ((160, 158, 159), (144, 153, 145), (385, 387, 386), (380, 373, 374))


def numbers(points: Points, picture: Pixels = BLANK) -> dict[str, float]:
    return dict(zip(EXPRESSIONS, expression(picture, Landmarks.from_points(points * 256)).tolist(), strict=True))


def changed(rows: slice | list[int], by: tuple[float, float]) -> set[str]:
    """Return which numbers grow when some points move."""
    points = MESH.copy()
    points[rows] += by
    before, after = numbers(MESH), numbers(points)
    return {name for name in EXPRESSIONS if after[name] > before[name] + 1e-3}


def test_each_number_is_moved_by_its_own_part() -> None:
    assert changed([1], (0.02, 0)) == {"yaw"}
    assert changed([1], (0, 0.02)) == {"pitch"}
    assert changed([14], (0, 0.02)) == {"mouth"}
    assert changed([291], (0.02, 0)) == {"smile"}
    assert "blink" in changed([*LIDS[0], *LIDS[2]], (0, 0.01))


def test_the_gaze_is_where_the_eyes_are_dark_or_the_irises_are() -> None:
    def looking(way: float) -> float:
        canvas = Image.new("RGB", (256, 256), (230, 230, 230))
        for one, other in ((33, 133), (362, 263)):
            x, y = (MESH[one] + (MESH[other] - MESH[one]) * (0.5 + way)) * 256
            ImageDraw.Draw(canvas).ellipse((x - 4, y - 4, x + 4, y + 4), fill=(20, 20, 20))
        return numbers(MESH, np.asarray(canvas))["gaze"]

    assert looking(-0.15) < looking(0.0) - 0.05 and looking(0.15) > looking(0.0) + 0.05
    middles = [(MESH[one] + MESH[other]) / 2 for one, other in ((33, 133), (362, 263))]
    irises = np.zeros((10, 2))
    irises[0], irises[5] = middles
    assert numbers(np.concatenate([MESH, irises]))["gaze"] == pytest.approx(0)
    shut = MESH.copy()
    shut[[*LIDS[1], *LIDS[3]]] = shut[[*LIDS[0], *LIDS[2]]]
    assert math.isnan(numbers(shut)["gaze"])


@dataclass(frozen=True)
class MeanFinder:
    """Finds a face whose parts lie where the mean colours of the picture say."""

    def find(self, image: Pixels) -> list[Face]:
        means = np.array([part.reshape(-1, 3).mean(axis=0) for part in np.array_split(image, 3, axis=1)]) / 255 - 0.5
        points = MESH.copy()
        points[1] += (0.1 * means[0, 0], 0.1 * means[1, 1])
        points[14] += (0, 0.05 + 0.1 * means[2, 2])
        points[291] += (0.1 * means[2, 0], 0)
        points[[*LIDS[0], *LIDS[2]]] += (0, 0.02 * means[0, 1])
        irises = np.full((10, 2), 0.4)
        irises[0], irises[5] = ((MESH[a] + MESH[b]) / 2 + (0.1 * means[1, 2], 0) for a, b in ((33, 133), (362, 263)))
        return [Face.around(Landmarks.from_points(np.concatenate([points, irises]) * len(image)), 1.0)]


def test_codes_go_where_one_number_grows_and_the_others_stay() -> None:
    random = np.random.default_rng(0)
    w, read = random.standard_normal((400, 16)), random.standard_normal((16, 6))
    read[:, 1] += 2 * read[:, 0]  # two numbers that go together
    numbers = w @ read + 3
    numbers[7, 2] = np.nan
    codes = W(torch.from_numpy(w).float()).broadcast(4)
    found, spread = regressed(codes, numbers, (0, 2), ridge=1e-3)
    assert [d.name for d in found] == list(EXPRESSIONS) and all(d.rows == (0, 2) for d in found)
    assert "399 measured samples" in found[0].found and np.allclose(spread, np.delete(numbers, 7, 0).std(axis=0))
    answers = np.array([d.unit * d.vector.double().numpy() @ read / spread for d in found])
    assert np.allclose(answers, np.eye(6), atol=0.02)  # one unit is one deviation


def test_a_base_is_drawn_and_measured(tiny_model: Model) -> None:
    told: list[tuple[int, int]] = []
    found = expression_directions(
        tiny_model.generator, MeanFinder(), count=40, progress=lambda done, every: told.append((done, every))
    )
    assert [d.name for d in found] == list(EXPRESSIONS) and told[-1] == (64, 64)
    codes = [W(tiny_model.generator.w_mean[None]).broadcast(tiny_model.generator.anatomy.rows)]
    answers = np.array([answer_of(tiny_model.generator, MeanFinder(), codes, d) for d in found])
    assert (np.diag(answers) > 0).sum() >= 5  # numbers are no straight functions of codes
    assert "one unit, in deviations: yaw" in found[0].found
    assert np.isnan(measured(BLANK, NobodyFinder())).all()


class NobodyFinder:
    """Finds nobody."""

    def find(self, image: Pixels) -> list[Face]:
        return []


def test_a_base_without_faces_is_refused(tiny_model: Model) -> None:
    with pytest.raises(UsageError, match="Only 0 of 5 drawings"):
        expression_directions(tiny_model.generator, NobodyFinder(), count=5)
    with pytest.raises(UsageError, match="468 points"):
        expression(BLANK, Landmarks.from_points([(38, 52), (74, 52), (56, 74), (42, 92), (70, 92)]))


def test_the_mean_face_is_measured() -> None:
    assert torch.tensor([v for k, v in numbers(MESH).items() if k != "gaze"]).isfinite().all()
