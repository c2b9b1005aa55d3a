"""The filters of the detail stage on pictures whose filtered form is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.detail.filters import along, bands, blur, luminance, sharpen_edges, smooth, strokes, tangents


def noise(*shape: int, seed: int = 0, rms: float = 40.0) -> Tensor:
    return 127 + rms * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grating(degrees: float, side: int = 96, period: float = 12.0) -> Tensor:
    """A sine of colour [1, 3, S, S] whose lines run at this angle from the x axis towards y."""
    turn = math.radians(degrees)
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    wave = 127 + 100 * torch.sin(2 * math.pi / period * (x * math.sin(turn) - y * math.cos(turn)))
    return wave.expand(1, 3, -1, -1)


def test_luminance_weighs_colours_as_bt_601() -> None:
    colours = torch.tensor([[255.0, 0, 0], [0, 255, 0], [0, 0, 255], [100, 100, 100]]).view(4, 3, 1, 1)
    assert torch.allclose(luminance(colours).flatten(), torch.tensor([76.245, 149.685, 29.07, 100.0]))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0, 40.0])
def test_a_blur_keeps_what_is_constant_and_its_size(sigma: float) -> None:
    flat = torch.full((2, 3, 20, 31), 77.0)
    assert torch.allclose(blur(flat, sigma), flat, atol=1e-3)


@pytest.mark.parametrize("sigma", [1.2, 2.0, 5.0])
def test_a_blurred_dot_has_the_deviation_asked_for(sigma: float) -> None:
    dot = torch.zeros(1, 1, 65, 65)
    dot[0, 0, 32, 32] = 1
    spread = blur(dot, sigma)[0, 0]
    steps = torch.arange(65) - 32.0
    for profile in (spread.sum(dim=0), spread.sum(dim=1)):
        assert float(profile.sum()) == pytest.approx(1, abs=1e-4)
        assert float((profile * steps).sum()) == pytest.approx(0, abs=1e-4)
        # The kernel ends at three deviations, and so is 1.4 per cent narrower.
        assert float((profile * steps**2).sum()) ** 0.5 == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("count", "scale"), [(1, 1.0), (4, 1.0), (4, 2.0)])
def test_bands_add_up_to_the_picture(count: int, scale: float) -> None:
    picture = noise(1, 1, 64, 64)
    found, left = bands(picture, count, scale)
    assert len(found) == count
    assert torch.allclose(sum(found, left), picture, atol=1e-3)


def test_a_band_lies_between_two_blurs_an_octave_apart() -> None:
    picture = noise(1, 1, 96, 96)
    found, left = bands(picture, 4)
    assert torch.allclose(found[0], picture - blur(picture, 1.2), atol=1e-3)
    assert (found[1] - (blur(picture, 1.2) - blur(picture, 2.4))).std() < 0.05 * found[1].std()
    assert (left - blur(picture, 9.6)).std() < 0.1 * left.std()


def test_smoothing_flattens_noise_and_keeps_a_step() -> None:
    step = torch.full((1, 3, 32, 32), 60.0)
    step[..., 16:] = 190
    noisy = step + noise(1, 3, 32, 32, rms=5) - 127
    plain = smooth(noisy, 2)
    left, right = plain[..., :14], plain[..., 18:]
    assert max(left.std(), right.std()) < 0.45 * 5
    rise = (plain[..., 16] - plain[..., 15]).mean()  # across the edge, one pixel
    assert abs(float(rise) - 130) < 3
    assert float(blur(noisy, 2.0)[..., 16].mean() - blur(noisy, 2.0)[..., 15].mean()) < 60  # as blurs do not


def test_smoothing_leaves_what_is_flat_and_no_pass_leaves_all() -> None:
    flat, picture = torch.full((1, 3, 16, 16), 90.0), noise(1, 3, 16, 16)
    assert torch.allclose(smooth(flat, 3), flat, atol=1e-3)
    assert torch.equal(smooth(picture, 0), picture)
    wide = smooth(picture, 1, stride=2)
    assert wide.shape == picture.shape and not torch.allclose(wide, smooth(picture, 1))


@pytest.mark.parametrize(("strength", "sigma", "period"), [(1.0, 1.2, 8), (4.0, 1.2, 16), (2.0, 2.4, 16)])
def test_edges_are_sharpened_by_the_gain_of_the_formula(strength: float, sigma: float, period: int) -> None:
    x = torch.arange(128) + 0.5
    wave = (50 * torch.sin(2 * math.pi * x / period)).expand(1, 1, 128, 128)
    found = sharpen_edges(wave, strength, sigma)[..., 32:96]
    damping = [math.exp(-((2 * math.pi / period * s) ** 2) / 2) for s in (sigma, 1.6 * sigma)]
    gain = (1 + strength) * damping[0] - strength * damping[1]
    measured = (found * wave[..., 32:96]).sum() / (wave[..., 32:96] ** 2).sum()
    assert float(measured) == pytest.approx(gain, rel=0.03)
    assert torch.equal(sharpen_edges(wave, 0.0), wave)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135, 160])
def test_tangents_follow_the_lines_of_a_grating(degrees: float) -> None:
    found = tangents(grating(degrees))[..., 16:-16, 16:-16]
    assert torch.allclose(found.norm(dim=1), torch.ones(()), atol=1e-5)
    wanted = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]).view(1, 2, 1, 1)
    cosine = (found * wanted).sum(dim=1).abs()  # a vector and its opposite mean the same
    assert float(cosine.min()) > math.cos(math.radians(3))


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_averaging_along_lines_keeps_them_and_averages_noise(degrees: float) -> None:
    lines = grating(degrees)
    directions = tangents(lines)
    inner = (..., slice(24, -24), slice(24, -24))
    kept = along(lines, directions, 8)
    assert float((kept - lines)[inner].abs().max()) < 8  # of 100
    grain = noise(1, 1, 96, 96)
    averaged = along(grain, directions, 8) - 127
    assert float(averaged[inner].std()) < 0.5 * 40
    # What is left changes little along a line, and much across.
    if degrees in (0, 90):
        steps = [(0, 2), (2, 0)] if degrees == 0 else [(2, 0), (0, 2)]
        onward, across = ((averaged - averaged.roll(step, (2, 3)))[inner].std() for step in steps)
        assert onward < 0.5 * across


def test_averaging_across_lines_removes_them() -> None:
    lines = grating(0, period=6)
    across = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 96, 96)
    left = along(lines, across, 8)[..., 24:-24, 24:-24]
    assert float((left - 127).abs().max()) < 3


def test_a_direction_and_its_opposite_mean_the_same() -> None:
    picture, directions = noise(1, 3, 48, 48), tangents(grating(30, 48))
    whole = along(picture, directions, 4)
    assert torch.allclose(along(picture, -directions, 4), whole, atol=1e-2)
    # Between a vector and its opposite interpolation finds neither: signs are turned where they lie whole.
    halves = torch.where(torch.arange(48) < 24, -1.0, 1.0).view(1, 1, 1, 48) * directions
    far = (along(picture, halves, 4) - whole).abs()
    assert float(far[..., :18].max()) < 1e-2 and float(far[..., 30:].max()) < 1e-2


def test_strokes_are_of_one_strength_and_the_same_every_time() -> None:
    directions = tangents(grating(30, 256))
    marks = strokes(directions, 8)
    assert marks.shape == (1, 1, 256, 256)
    assert float(marks.mean()) == pytest.approx(0, abs=1e-5) and float(marks.std()) == pytest.approx(1, abs=1e-4)
    torch.manual_seed(5)
    assert torch.equal(strokes(directions, 8), marks)
    assert not torch.allclose(strokes(tangents(grating(120, 256)), 8), marks, atol=0.5)


def test_strokes_of_a_larger_picture_are_the_same_enlarged() -> None:
    small = strokes(tangents(grating(30, 256, 24)), 6)
    large = strokes(tangents(grating(30, 512, 48), 8.0), 6, 2.0)
    reduced = F.avg_pool2d(large, 2)
    agreement = (reduced * small).mean() / (reduced.std() * small.std())
    assert float(agreement) > 0.9
