"""Comparisons of inversions: what is measured of whom, what is left out, and what is written down."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.data.images import read_image
from portraitist.errors import BadData, BadImage, NonFinite, UsageError
from portraitist.evaluate import (
    Comparison,
    compare_inversions,
    frechet_distance,
    ms_ssim,
    ssim,
)
from portraitist.evaluate.comparison import MEAN
from portraitist.invert import Inverted, Inverter, Progress
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.report.inversion import check_inversion_report, markdown, sheet, write_inversion_report
from portraitist.spaces import WPlus, Z

NAMES = [f"photo {k}" for k in range(8)]


class Oracle:
    """Knows the codes that the photos were drawn from, and adds some noise to them."""

    def __init__(self, model: Model, noise: float = 0.0, planes: bool = False, breaks_at: int = -1) -> None:
        self.model, self.noise, self.planes, self.breaks_at, self.calls = model, noise, planes, breaks_at, -1
        self.codes = person_codes(model)
        self.photos = draw(model, self.codes).clamp(-1, 1)

    def invert(self, images: Tensor, *, progress: Progress | None = None) -> Inverted:
        (k,) = [k for k, photo in enumerate(self.photos) if torch.allclose(photo, images[0], atol=1e-5)]
        if k == self.breaks_at:
            raise NonFinite("The inversion diverged.")
        code = self.codes[k : k + 1]
        code = code + self.noise * torch.randn(code.shape, generator=torch.Generator().manual_seed(k))
        image = torch.zeros_like(images) if self.planes else draw(self.model, code)
        planes = (torch.zeros(1),) if self.planes else None
        return Inverted(WPlus(code), image, torch.zeros(1), torch.zeros(3, 1), 3, 0.25 * (k + 1), planes)


def person_codes(model: Model) -> Tensor:
    with torch.no_grad():
        return model.generator.map(Z.sample(8, 16, torch.Generator().manual_seed(7))).data


def draw(model: Model, codes: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.generator.synthesize(WPlus(code[None])) for code in codes])


def compare(model: Model, ways: dict[str, Inverter], **options: object) -> Comparison:
    photos = dict(zip(NAMES, draw(model, person_codes(model)).clamp(-1, 1), strict=True))

    def read(name: str) -> Tensor:
        if name not in photos:
            raise BadImage(f"{name} is no picture.", kind="format")
        return photos[name]

    assert model.discriminator is not None
    looks = PerceptualDistance(DiscriminatorFeatures(model.discriminator))
    identity = DiscriminatorIdentity(model.discriminator, torch.stack(list(photos.values())))
    settings: dict[str, object] = {"photos": NAMES, "prior_count": 40, **options}
    names = settings.pop("photos")
    return compare_inversions(names, read, ways, model.generator, looks, identity, **settings)  # type: ignore[arg-type]


def test_the_true_codes_are_as_like_as_can_be_and_noise_is_less(tiny_model: Model) -> None:
    found = compare(tiny_model, {"true": Oracle(tiny_model), "noisy": Oracle(tiny_model, 0.3)})
    assert list(found.results) == [MEAN, "true", "noisy"] and found.photos == tuple(NAMES) and not found.failures
    true, noisy = found.results["true"], found.results["noisy"]
    assert true.mean("ssim").value == pytest.approx(1, abs=1e-5) and true.mean("ms_ssim").value == pytest.approx(
        1, abs=1e-5
    )
    assert true.mean("perceptual").value == pytest.approx(0, abs=1e-6)
    assert true.mean("identity").value == pytest.approx(1, abs=1e-5)
    assert true.mean("stranger").value < 0.9
    assert noisy.mean("ssim").value < 0.99 and noisy.mean("perceptual").value > true.mean("perceptual").value
    assert true.seconds == tuple(0.25 * (k + 1) for k in range(8)) and true.steps == 3
    assert torch.equal(true.codes, person_codes(tiny_model))
    assert true.frechet == frechet_distance(true.codes, found.prior)


def test_every_photo_is_measured_against_itself(tiny_model: Model) -> None:
    found = compare(tiny_model, {"noisy": Oracle(tiny_model, 0.3)})
    result = found.results["noisy"]
    photos, drawings = draw(tiny_model, person_codes(tiny_model)), draw(tiny_model, result.codes)
    assert result.ssim == pytest.approx(ssim(drawings, photos).tolist(), abs=1e-5)
    assert result.ms_ssim == pytest.approx(ms_ssim(drawings, photos).tolist(), abs=1e-5)
    mean = result.mean("ssim")
    assert mean.value == pytest.approx(float(np.mean(result.ssim)))
    assert mean.spread == pytest.approx(float(np.std(result.ssim, ddof=1)) / math.sqrt(8))


def test_the_mean_face_is_one_drawing_far_from_the_prior(tiny_model: Model) -> None:
    mean = compare(tiny_model, {"true": Oracle(tiny_model)}).results[MEAN]
    assert (mean.codes == tiny_model.generator.mean.data).all() and mean.seconds == (0.0,) * 8
    assert all(np.array_equal(mean.drawings[0], drawing) for drawing in mean.drawings)
    assert mean.overlap is not None and mean.overlap.value == 0


def test_fitted_noise_is_not_measured(tiny_model: Model) -> None:
    found = compare(tiny_model, {"planes": Oracle(tiny_model, planes=True)})
    assert found.results["planes"].mean("ssim").value == pytest.approx(1, abs=1e-5)


def test_a_photo_that_fails_once_is_left_out_everywhere(tiny_model: Model) -> None:
    told: dict[str, str] = {}
    found = compare(
        tiny_model,
        {"true": Oracle(tiny_model), "breaks": Oracle(tiny_model, breaks_at=2)},
        photos=[NAMES[0], "bad", *NAMES[1:]],
        on_photo=told.__setitem__,
    )
    assert found.failures == {"bad": "bad is no picture.", "photo 2": "The inversion diverged."}
    assert found.photos == tuple(name for name in NAMES if name != "photo 2")
    assert {len(result.ssim) for result in found.results.values()} == {7}
    assert [name for name, reason in told.items() if reason] == ["bad", "photo 2"] and len(told) == 9
    assert "Left out (2)" in markdown(found) and "- bad: bad is no picture." in markdown(found)


def test_what_every_photo_would_meet_stops_at_once(tiny_model: Model) -> None:
    class Unfit:
        def invert(self, images: Tensor, *, progress: Progress | None = None) -> Inverted:
            raise UsageError("It fits no photo.")

    with pytest.raises(UsageError, match="fits no photo"):
        compare(tiny_model, {"unfit": Unfit()})
    with pytest.raises(BadData, match="bad is no picture"):
        compare(tiny_model, {}, photos=["bad"])
    with pytest.raises(BadData, match="7 codes of the prior are too few for 8 photos"):
        compare(tiny_model, {}, prior_count=7)


def test_one_photo_has_no_spread_and_no_distribution(tiny_model: Model, tmp_path: Path) -> None:
    found = compare(tiny_model, {"true": Oracle(tiny_model)}, photos=NAMES[:1])
    result = found.results["true"]
    assert result.frechet is None and result.energy is None and result.overlap is None and result.stranger == ()
    assert math.isnan(result.mean("ssim").spread) and found.chance_frechet is None
    files = write_inversion_report(found, tmp_path)
    assert "nan" not in files[0].read_text() and "NaN" not in files[1].read_text()


def test_the_report_says_what_was_measured(tiny_model: Model, tmp_path: Path) -> None:
    found = compare(tiny_model, {"true": Oracle(tiny_model)}, shown=3)
    files = write_inversion_report(found, tmp_path / "new", about={"base": "tiny"})
    assert [file.name for file in files] == ["inversion.md", "inversion.json", "inversion.png"]
    text, numbers = files[0].read_text(), json.loads(files[1].read_text())
    assert "| true | 1.000 ± 0.000 | 1.000 ± 0.000 |" in text and "MS-SSIM has 1 of 5 scales" in text
    assert numbers["settings"]["base"] == "tiny" and numbers["settings"]["prior codes"] == 40
    assert numbers["results"]["true"]["each"]["ssim"] == list(found.results["true"].ssim)
    assert numbers["results"]["true"]["frechet"] == found.results["true"].frechet
    # A head, then three rows of the photo, the mean face and the drawing.
    assert np.array_equal(read_image(files[2]), sheet(found)) and sheet(found).shape == (
        24 + 3 * 162 - 2,
        3 * 162 - 2,
        3,
    )
    with pytest.raises(UsageError, match="exists already"):
        check_inversion_report(tmp_path / "new", False, False)
    assert write_inversion_report(found, tmp_path / "new", overwrite=True) == files


def test_the_plot_of_codes_is_a_picture(tiny_model: Model, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = compare(tiny_model, {"true": Oracle(tiny_model), "noisy": Oracle(tiny_model, 0.3)})
    files = write_inversion_report(found, tmp_path, with_tsne=True)
    picture = read_image(files[3])
    assert files[3].name == "codes.png" and picture.shape[1] > 1.8 * picture.shape[0]
    assert (picture == (196, 65, 42)).all(2).sum() > 20


def test_comparisons_repeat_bit_by_bit(tiny_model: Model) -> None:
    first, second = (compare(tiny_model, {"noisy": Oracle(tiny_model, 0.3)}) for _ in range(2))
    assert markdown(first) == markdown(second)
    assert first.results["noisy"].ssim == second.results["noisy"].ssim
    assert first.results["noisy"].overlap == second.results["noisy"].overlap
    assert first.chance_frechet == second.chance_frechet
