from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from portraitist.ops.augment import (
    PRESETS,
    AugmentSettings,
    Draws,
    apply,
    augment,
    chosen_groups,
    diff_augment,
    draw,
)
from portraitist.ops.augment.colour import colour_matrices
from portraitist.ops.augment.corruptions import SYM2, band_filters
from portraitist.ops.augment.geometry import DELAY, SYM6, affine_matrices, resample
from portraitist.ops.fir import taps, upfirdn
from portraitist.ops.warp import affine_warp_reference, reflect_pad


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(n: int = 4, height: int = 16, width: int = 16, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand((n, channels, height, width), generator=dice(seed), dtype=torch.float64) * 2 - 1


def nothing(n: int) -> Draws:
    return draw(n, 0.0, dice(), "bgcfnc")


def all_of(value: float, n: int = 4) -> torch.Tensor:
    return torch.full((n,), value, dtype=torch.float64)


# Blits: whole pixels, exactly.


def test_mirror_is_exact() -> None:
    images = photos(height=9, width=12)
    assert torch.equal(apply(images, replace(nothing(4), mirror=all_of(1).bool())), images.flip(3))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [15, 16])
def test_quarter_turns_are_exact_and_counterclockwise(turns: int, side: int) -> None:
    images = photos(height=side, width=side)
    turned = apply(images, replace(nothing(4), turns=all_of(turns).long()))
    assert torch.equal(turned, images.rot90(turns, (2, 3)))


def test_shift_is_exact_and_mirrors_the_border() -> None:
    images = photos(height=16, width=32)
    shift = torch.tensor([[0.1, -0.125]], dtype=torch.float64).expand(4, 2)  # 3.2 pixels right, 2 up
    moved = apply(images, replace(nothing(4), shift=shift))
    padded = torch.nn.functional.pad(images, (3, 0, 0, 2), mode="reflect")
    assert torch.equal(moved, padded[:, :, 2:, :32])


def test_blits_act_in_the_order_of_the_fields() -> None:
    images = photos()
    draws = replace(nothing(4), mirror=all_of(1).bool(), turns=all_of(1).long())
    assert torch.equal(apply(images, draws), images.flip(3).rot90(1, (2, 3)))


# Geometry.


def test_wavelets_are_orthonormal() -> None:
    for values in (SYM6, SYM2):
        taps = torch.tensor(values, dtype=torch.float64)
        assert taps.sum().item() == pytest.approx(math.sqrt(2), abs=1e-10)
        for step in range(0, len(taps), 2):
            assert (taps[step:] @ taps[: len(taps) - step]).item() == pytest.approx(float(step == 0), abs=1e-10)
    alternating = torch.tensor([(-1.0) ** i * tap for i, tap in enumerate(SYM6)], dtype=torch.float64)
    for moment in range(6):
        # Six vanishing moments.
        at = (torch.arange(12, dtype=torch.float64) - DELAY) ** moment
        assert abs((alternating * at).sum().item()) < 1e-7


@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 13), (4, 5)])
def test_resampling_by_the_identity_keeps_the_image(height: int, width: int) -> None:
    images = photos(height=height, width=width)
    identity = torch.eye(2, 3, dtype=torch.float64).expand(4, 2, 3)
    torch.testing.assert_close(resample(images, identity), images, rtol=0, atol=1e-10)


def test_a_ramp_is_warped_exactly() -> None:
    height, width = 40, 48
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ramp = (0.03 * xs.double() - 0.02 * ys.double())[None, None]
    draws = replace(
        nothing(1),
        scale=all_of(1.2, 1),
        turn_before=all_of(0.5, 1),
        stretch=all_of(0.9, 1),
        turn_after=all_of(-0.3, 1),
        slide=torch.tensor([[0.03, -0.05]], dtype=torch.float64),
    )
    x, y = (affine_matrices(draws, height, width)[0] @ torch.stack((xs, ys, xs * 0 + 1)).double().flatten(1)).unbind(0)
    # Far enough from where the mirrored border bends the ramp.
    inside = (x > 7) & (x < width - 8) & (y > 7) & (y < height - 8)
    assert inside.sum() > 300
    torch.testing.assert_close(apply(ramp, draws).flatten()[inside], (0.03 * x - 0.02 * y)[inside], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (7, 10)])
def test_resampling_is_padding_filtering_warping_filtering(height: int, width: int) -> None:
    # The paper's order of steps, with padding wide enough for every lookup instead of folded coordinates.
    images = photos(3, height, width)
    draws = draw(3, 1.0, dice(2), {"geom"}, AugmentSettings(slide=0.02, scale=0.05, stretch=0.05, rotation=0.03))
    matrices, pad, filter_ = affine_matrices(draws, height, width), 12, taps(SYM6, dtype=torch.float64)
    fine = upfirdn(reflect_pad(images, pad), filter_, up=2, pad=(11, 10), gain=4)
    to_pixels = torch.tensor([[0.5, 0, -DELAY / 2], [0, 0.5, -DELAY / 2], [0, 0, 1]], dtype=torch.float64)
    full = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    full[:, :2] = matrices
    to_elements = torch.tensor([[2, 0, DELAY + 2 * pad], [0, 2, DELAY + 2 * pad], [0, 0, 1]], dtype=torch.float64)
    merged = to_elements @ full @ to_pixels
    warped = affine_warp_reference(fine, merged, (2 * height + 10, 2 * width + 10))
    expected, result = upfirdn(warped, filter_.flip(0), down=2), resample(images, matrices)
    torch.testing.assert_close(result[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])
    # Folding a lookup far outside differs from looking up padding, as sym6 is not quite symmetric.
    torch.testing.assert_close(result, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("field", ["turn_before", "turn_after"])
def test_a_turn_by_an_angle_goes_the_way_of_a_quarter_turn(field: str) -> None:
    angle, whole = affine_matrices(replace(nothing(4), **{field: all_of(math.pi / 2)}), 16, 16), nothing(4)
    torch.testing.assert_close(angle, affine_matrices(replace(whole, turns=all_of(1).long()), 16, 16))


def test_matrices_merge_the_transforms_in_order() -> None:
    draws = draw(20, 0.9, dice(), "bg")
    height, width = 12, 20
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    for i, merged in enumerate(affine_matrices(draws, height, width)):
        one = draws[torch.tensor([i])]
        step = torch.eye(3, dtype=torch.float64)  # input to output, one transform after another

        def then(linear: list[list[float]], move: tuple[float, float] = (0, 0)) -> None:
            nonlocal step
            new = torch.eye(3, dtype=torch.float64)
            new[:2, :2], new[:2, 2] = torch.tensor(linear, dtype=torch.float64), torch.tensor(move)
            step = new @ step

        def turn(angle: float) -> list[list[float]]:
            return [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]

        unit = [[1.0, 0.0], [0.0, 1.0]]
        then([[1 - 2 * float(one.mirror), 0], [0, 1]])
        then(turn(float(one.turns) * math.pi / 2))
        then(unit, (round(float(one.shift[0, 0]) * width), round(float(one.shift[0, 1]) * height)))
        then([[float(one.scale), 0], [0, float(one.scale)]])
        then(turn(float(one.turn_before)))
        then([[float(one.stretch), 0], [0, 1 / float(one.stretch)]])
        then(turn(float(one.turn_after)))
        then(unit, (float(one.slide[0, 0]) * width, float(one.slide[0, 1]) * height))
        to_centre, back = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        to_centre[:2, 2], back[:2, 2] = -half, half
        torch.testing.assert_close(merged, (back @ step.inverse() @ to_centre)[:2])


def test_no_border_shows_however_far_a_transform_looks() -> None:
    # White stays white: anything dark would have come from outside.
    white = torch.ones(64, 1, 8, 16, dtype=torch.float64)
    wild = AugmentSettings(scale=2.0, stretch=2.0, slide=3.0, shift=2.0)
    torch.testing.assert_close(augment(white, 1.0, dice(), "bg", wild), white)


# Colour.


def test_colour_transforms_on_known_colours() -> None:
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 2, 2)
    for draws, expected in (
        (replace(nothing(1), brightness=all_of(0.25, 1)), (1.25, 0.25, 0.25)),
        (replace(nothing(1), contrast=all_of(2, 1)), (2, 0, 0)),
        (replace(nothing(1), luma_flip=all_of(1, 1).bool()), (1 / 3, -2 / 3, -2 / 3)),
        (replace(nothing(1), hue=all_of(2 * math.pi / 3, 1)), (0, 1, 0)),
        (replace(nothing(1), hue=all_of(-2 * math.pi / 3, 1)), (0, 0, 1)),
        (replace(nothing(1), saturation=all_of(0, 1)), (1 / 3, 1 / 3, 1 / 3)),
    ):
        result = apply(red, draws)
        expected_image = torch.tensor(expected, dtype=torch.float64)[None, :, None, None].expand(1, 3, 2, 2)
        torch.testing.assert_close(result, expected_image, rtol=0, atol=1e-12)


def test_colour_matrices_are_the_product_of_the_papers_steps() -> None:
    draws = draw(20, 0.9, dice(1), "bgc")
    v = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(3)
    unit = torch.eye(4, dtype=torch.float64)
    for i, merged in enumerate(colour_matrices(draws)):
        shift, stretch = unit.clone(), unit * draws.contrast[i]
        shift[:3, 3], stretch[3, 3] = draws.brightness[i], 1
        flip = unit - 2 * torch.outer(v, v) * draws.luma_flip[i]
        # Rotation as the exponential of the cross product with the axis.
        cross = torch.zeros(4, 4, dtype=torch.float64)
        cross[:3, :3] = torch.linalg.cross(v[:3].expand(3, 3), torch.eye(3, dtype=torch.float64)).t()
        turn = torch.linalg.matrix_exp(draws.hue[i] * cross)
        saturate = torch.outer(v, v) + (unit - torch.outer(v, v)) * draws.saturation[i]
        saturate[3, 3] = 1
        torch.testing.assert_close(merged, saturate @ turn @ flip @ stretch @ shift)


def test_grey_images_are_recoloured_as_grey_rgb() -> None:
    grey, draws = photos(channels=1), draw(4, 1.0, dice(), {"color"})
    rgb = apply(grey.expand(-1, 3, -1, -1), draws)
    torch.testing.assert_close(apply(grey, draws), rgb[:, :1])


def test_colour_refuses_other_channels() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels"):
        augment(photos(channels=4), 1.0, dice(), {"color"})


# The rest of the full set.


def test_bands_sum_to_an_impulse_and_rise_in_frequency() -> None:
    bands = band_filters()
    impulse = torch.zeros(bands.shape[1], dtype=torch.float64)
    impulse[bands.shape[1] // 2] = 1
    torch.testing.assert_close(bands.sum(0), impulse, rtol=0, atol=1e-10)
    torch.testing.assert_close(bands, bands.flip(1), rtol=0, atol=1e-10)
    spectrum = torch.fft.rfft(bands, n=256).abs()
    frequency = torch.arange(spectrum.shape[1]) / 128  # in half turns per sample
    edges = [0, 1 / 8, 1 / 4, 1 / 2, 1]
    for band in range(4):
        peak = frequency[spectrum[band].argmax()].item()
        assert edges[band] <= peak <= edges[band + 1]


def test_band_gain_acts_on_its_band_alone() -> None:
    x = torch.arange(64)
    fine = torch.cos(math.pi * x).double().expand(1, 1, 64, 64)  # the highest frequency across, none down
    gains = torch.tensor([[1.5, 1.0, 1.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(apply(fine, replace(nothing(1), band_gains=gains)), fine * 3 * 1.5)
    flat = torch.ones(1, 1, 8, 8, dtype=torch.float64)  # smaller than the filter
    torch.testing.assert_close(apply(flat, replace(nothing(1), band_gains=gains)), flat * 1.5**2)


def test_band_gains_keep_the_power_of_a_natural_spectrum() -> None:
    gains = draw(500, 0.2, dice(), {"filter"}).band_gains
    power = (gains.square() * torch.tensor([10, 1, 1, 1]) / 13).sum(1)
    changed = (gains != 1).any(1)
    assert 0.4 < changed.double().mean() < 0.75  # 1 - 0.8^4 = 0.59
    one_band = changed & (power - 1).lt(1e-9)
    assert one_band.sum() > 150


def test_noise_has_its_deviation_and_follows_its_seed() -> None:
    images = torch.zeros(3, 3, 32, 32)
    draws = replace(nothing(3), noise=torch.tensor([0.0, 0.1, 0.3]), noise_seed=torch.tensor([5, 6, 5]))
    noisy = apply(images, draws)
    assert torch.equal(noisy[0], images[0])
    torch.testing.assert_close(noisy.std((1, 2, 3)), torch.tensor([0.0, 0.1, 0.3]), rtol=0.05, atol=0)
    assert torch.equal(noisy, apply(images, draws))


def test_cutout_erases_its_box() -> None:
    images = torch.ones(2, 1, 8, 16)
    centre = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
    erased = apply(images, replace(nothing(2), cutout_side=all_of(0.5, 2), cutout_centre=centre))
    expected = images.clone()
    expected[0, :, 2:6, 4:12] = 0
    expected[1, :, 6:, :4] = 0
    assert torch.equal(erased, expected)


# Chance.


def test_p_zero_is_the_identity_and_takes_no_chance() -> None:
    images, generator = photos(), dice()
    before = generator.get_state()
    assert augment(images, 0.0, generator, "bgcfnc") is images
    assert torch.equal(apply(images, draw(4, 0.0, generator, "bgcfnc")), images)
    assert torch.equal(generator.get_state(), before)


def test_p_above_one_is_one() -> None:
    assert torch.equal(augment(photos(), 1.7, dice(), "bgcfnc"), augment(photos(), 1.0, dice(), "bgcfnc"))


@pytest.mark.parametrize("p", [-0.1, math.nan])
def test_p_below_zero_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        augment(photos(), p, dice())


def test_at_a_small_p_most_images_come_through_bit_for_bit() -> None:
    images = photos(400, 8, 8)
    kept = (augment(images, 0.02, dice(), "bgc") == images).flatten(1).all(1).double().mean().item()
    # Three blits change nothing in 1/2, 1/4 and some of the cases; six geometric, five colour: about 0.8.
    assert 0.75 < kept < 0.9


def test_chances_and_sizes_of_the_draws() -> None:
    n, p = 20_000, 0.3
    draws = draw(n, p, dice(), "bgcfnc")
    for values, expected in (
        (draws.mirror, p / 2),
        (draws.turns > 0, p * 3 / 4),
        (draws.shift[:, 0] != 0, p),
        (draws.scale != 1, p),
        (draws.turn_before != 0, 1 - math.sqrt(1 - p)),
        ((draws.turn_before != 0) | (draws.turn_after != 0), p),
        (draws.stretch != 1, p),
        (draws.slide[:, 1] != 0, p),
        (draws.brightness != 0, p),
        (draws.contrast != 1, p),
        (draws.luma_flip, p / 2),
        (draws.hue != 0, p),
        (draws.saturation != 1, p),
        (draws.noise > 0, p),
        (draws.cutout_side > 0, p),
    ):
        assert values.double().mean().item() == pytest.approx(expected, abs=0.015)
    drawn = draw(n, 1.0, dice(), "bgcfnc")
    for values, deviation in (
        (drawn.shift[:, 0], 0.125 / math.sqrt(3)),
        (drawn.scale.log2(), 0.2),
        (drawn.stretch.log2(), 0.2),
        (drawn.turn_before, math.pi / math.sqrt(3)),
        (drawn.slide[:, 0], 0.125),
        (drawn.brightness, 0.2),
        (drawn.contrast.log2(), 0.5),
        (drawn.hue, math.pi / math.sqrt(3)),
        (drawn.saturation.log2(), 1.0),
    ):
        assert values.std().item() == pytest.approx(deviation, rel=0.03)
        assert abs(values.mean().item()) < 0.03 * deviation
    assert drawn.noise.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.03)


def test_transforms_are_drawn_independently() -> None:
    draws = draw(20_000, 0.5, dice())
    drawn = torch.stack([draws.mirror, draws.scale != 1, draws.slide[:, 0] != 0, draws.brightness != 0, draws.hue != 0])
    correlation = torch.corrcoef(drawn.double()) - torch.eye(5)
    assert correlation.abs().max() < 0.03


def test_brightness_of_a_batch_has_the_mean_and_spread_of_its_law() -> None:
    grey = torch.zeros(4000, 3, 4, 4)
    # Contrast and a luma flip multiply the offset, so it is brightness alone that is seen here.
    calm = AugmentSettings(contrast=0.0)
    level = augment(grey, 1.0, dice(), {"color"}, calm).mean((1, 2, 3))
    assert abs(level.mean().item()) < 0.015
    assert level.std().item() == pytest.approx(0.2, rel=0.05)


def test_the_generator_is_the_only_source_of_chance() -> None:
    images, generator = photos(), dice(7)
    torch.manual_seed(0)
    first = augment(images, 0.7, generator, "bgcfnc")
    torch.manual_seed(1)
    assert torch.equal(first, augment(images, 0.7, dice(7), "bgcfnc"))
    assert not torch.equal(first, augment(images, 0.7, generator, "bgcfnc"))


def test_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    augment(photos(), 1.0, dice(), "bgcfnc")
    diff_augment(photos(), dice())
    assert torch.equal(torch.get_rng_state(), before)


def test_an_image_depends_on_its_own_draws_only() -> None:
    images, draws = photos(6), draw(6, 0.6, dice(3), "bgcfnc")
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    together = apply(images, draws)
    torch.testing.assert_close(apply(images[order], draws[order]), together[order])
    for i in range(6):
        one = torch.tensor([i])
        torch.testing.assert_close(apply(images[one], draws[one]), together[one])


def test_fixed_draws_do_what_augment_does() -> None:
    images = photos()
    assert torch.equal(apply(images, draw(4, 0.5, dice(2), "bgc")), augment(images, 0.5, dice(2), "bgc"))


def test_groups_limit_what_is_drawn() -> None:
    images = torch.ones(8, 3, 8, 8)
    torch.testing.assert_close(augment(images, 1.0, dice(), "bg"), images)
    neutral = nothing(8)
    draws = draw(8, 1.0, dice(), {"blit"})
    same = {f.name for f in fields(Draws) if torch.equal(getattr(draws, f.name), getattr(neutral, f.name))}
    assert {f.name for f in fields(Draws)} - same == {"mirror", "turns", "shift"}


def test_group_names() -> None:
    assert chosen_groups("bgc") == {"blit", "geom", "color"} == PRESETS["bgc"]
    assert chosen_groups("noise") == {"noise"}
    assert chosen_groups(["blit", "filter"]) == {"blit", "filter"}
    with pytest.raises(ValueError, match="colour"):
        chosen_groups({"colour"})


# Gradients: R1 differentiates the score of an augmented real with respect to the raw real, and that again.


@pytest.mark.parametrize("groups", ["b", "bgc", "bgcfnc"])
def test_is_differentiable_twice(groups: str) -> None:
    images = photos(2, 4, 5).requires_grad_()
    draws = draw(2, 1.0, dice(5), groups)
    assert gradcheck(lambda x: apply(x, draws), (images,))
    # Linear in the images: squared, so that there is a second derivative to check.
    assert gradgradcheck(lambda x: apply(x, draws).square(), (images,))


def test_r1_reaches_the_raw_images() -> None:
    images = photos(8).requires_grad_()
    score = augment(images, 0.8, dice(), "bgc").pow(3).sum()
    (gradient,) = torch.autograd.grad(score, images, create_graph=True)
    gradient.square().sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()


# DiffAugment.


def test_diff_augment_translation_moves_whole_pixels_over_black() -> None:
    images = torch.ones(200, 1, 16, 16)
    moved = diff_augment(images, dice(), "translation")
    columns, rows = moved[:, 0].amax(1).sum(1), moved[:, 0].amax(2).sum(1)
    assert set(columns.tolist()) == set(rows.tolist()) == {14.0, 15.0, 16.0}
    assert torch.equal(moved.sum((1, 2, 3)), columns * rows)
    ramp = torch.arange(16.0).expand(200, 1, 16, 16) + 1
    shifted = diff_augment(ramp, dice(), "translation")
    steps = (ramp - shifted)[:, 0, 8, 8]
    assert set(steps.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_diff_augment_cutout_erases_boxes_of_half_the_side() -> None:
    images = torch.ones(500, 1, 16, 16)
    gone = 1 - diff_augment(images, dice(), "cutout")[:, 0]
    heights, widths = gone.amax(2).sum(1), gone.amax(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), heights * widths)
    assert heights.max() == widths.max() == 8
    assert heights.min() == widths.min() == 4
    # Every pixel may be hit, so none is safe to learn from.
    assert (gone.sum(0) > 0).all()


def test_diff_augment_colour_keeps_what_it_should() -> None:
    images = photos(300)
    seen = diff_augment(images, dice(), "color")
    offset = seen.mean((1, 2, 3)) - images.mean((1, 2, 3))  # saturation and contrast keep the mean
    assert -0.5 <= offset.min() < -0.45
    assert 0.45 < offset.max() <= 0.5
    grey_before, grey_after = images.mean(1).std((1, 2)), seen.mean(1).std((1, 2))  # saturation keeps grey
    contrast = grey_after / grey_before
    assert 0.5 <= contrast.min() < 0.55
    assert 1.45 < contrast.max() <= 1.5


def test_diff_augment_policy_and_determinism() -> None:
    images = photos()
    assert diff_augment(images, dice(), "") is images
    assert torch.equal(diff_augment(images, dice(4)), diff_augment(images, dice(4)))
    with pytest.raises(ValueError, match="'blur'"):
        diff_augment(images, dice(), "color,blur")


def test_diff_augment_is_differentiable_twice() -> None:
    images = photos(2, 5, 6).requires_grad_()
    assert gradcheck(lambda x: diff_augment(x, dice(1)), (images,))
    assert gradgradcheck(lambda x: diff_augment(x, dice(1)).square(), (images,))
