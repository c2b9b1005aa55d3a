"""What a look does to a photo: nothing, where it is neutral; else what its parts say, within their bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.detail import SIDE, Look, Medium, redraw_detail
from portraitist.detail.filters import blur, luminance
from portraitist.detail.look import BANDS, CELLS, COARSE, POINTS, TENSORS, FaceFrame, band_energy

PARTS = torch.tensor([[0.376, 0.476], [0.625, 0.476], [0.5, 0.73]])
FOUR = torch.tensor([[0.376, 0.476], [0.625, 0.476], [0.42, 0.73], [0.58, 0.73]])


def oval(side: int) -> Tensor:
    centres = (torch.arange(side) + 0.5) / side
    away = ((centres[None, :] - 0.5) / 0.27) ** 2 + ((centres[:, None] - 0.58) / 0.36) ** 2
    return ((1.2 - away) / 0.4).clamp(0, 1)[None, None]


def frame(side: int = SIDE, shift: Tensor | None = None) -> FaceFrame:
    return FaceFrame(FOUR, torch.zeros(4, 2) if shift is None else shift, PARTS, oval(side))


def soft(side: int, seed: int, rms: float = 30.0, grey: float = 127.0) -> Tensor:
    """A smooth picture in colour, the same at any side."""
    coarse = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    return (grey + rms * F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)).clamp(20, 235)


def full(seed: int = 0) -> Look:
    """A look that changes everything a little."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    medium = Medium(smoothing=2, edges=1, strokes=3, length=8, colourless=0.25, own=0.4)
    return Look(
        0.01 * normal(POINTS, 2),
        127 + 10 * normal(3, CELLS, CELLS),
        5 * normal(3, CELLS, CELLS),
        5 * normal(3),
        torch.eye(3) + 0.05 * (m := normal(3, 3)) + 0.05 * m.T,
        torch.exp(normal(BANDS, COARSE, COARSE)) * 20,
        medium,
    )


def same(a: Look, b: Look) -> bool:
    tensors = all(torch.equal(x, b.tensors()[name]) for name, x in a.tensors().items())
    return tensors and a.medium == b.medium and a.weight == b.weight


def close(a: Tensor, b: Tensor, atol: float = 1e-4) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("side", [64, 256])
def test_a_neutral_look_gives_the_photo_back(side: int) -> None:
    photo = 255 * torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    picture, person = redraw_detail(photo, soft(side, 1), soft(side, 2), Look.neutral(), frame(side))
    assert close(picture, photo, 0.02) and close(person, oval(side))


def test_the_styles_own_drawing_enters_inside_the_person_alone() -> None:
    photo, base, drawing = (soft(SIDE, seed) for seed in (1, 2, 3))
    look = replace(Look.neutral(), medium=Medium(own=0.5))
    picture, person = redraw_detail(photo, base, drawing, look, frame())
    # A neutral look expects of the style what the base draws.
    wanted = photo + 0.5 * blur((drawing - base) * oval(SIDE), 12) * oval(SIDE)
    assert close(picture, wanted.clamp(0, 255), 0.02)
    assert close(picture[person.expand(-1, 3, -1, -1) == 0], photo[person.expand(-1, 3, -1, -1) == 0], 0.02)
    assert float((picture - photo).abs().max()) > 3


def test_what_a_look_does_to_all_is_not_counted_as_the_styles_own() -> None:
    shift = torch.zeros(3, CELLS, CELLS)
    shift[0] += 8
    look = replace(Look.neutral(), shift=shift, background=torch.tensor([8.0, 0, 0]), medium=Medium(own=1.0))
    base = soft(SIDE, 2)
    without = replace(look, medium=Medium())
    picture, _ = redraw_detail(soft(SIDE, 1), base, base + torch.tensor([8.0, 0, 0]).view(1, 3, 1, 1), look, frame())
    plain, _ = redraw_detail(soft(SIDE, 1), base, base, without, frame())
    assert close(picture, plain, 0.05)


def test_colours_of_the_person_and_behind_it_move_by_what_is_said() -> None:
    flat = torch.full((1, 3, SIDE, SIDE), 127.5)
    look = replace(
        Look.neutral(),
        shift=torch.tensor([10.0, 0, -10]).view(3, 1, 1).expand(3, CELLS, CELLS).clone(),
        background=torch.tensor([0.0, 6, 0]),
    )
    picture, person = redraw_detail(flat, flat, flat, look, frame())
    assert close(picture[0, :, 150, 128], torch.tensor([137.5, 127.5, 117.5]), 0.05)
    assert float(person[0, 0, 150, 128]) == 1 and float(person[0, 0, 4, 4]) == 0
    assert close(picture[0, :, 4, 4], torch.tensor([127.5, 133.5, 127.5]), 0.05)


def test_colours_are_stretched_about_the_centre_by_half_behind_the_person() -> None:
    photo = torch.full((1, 3, SIDE, SIDE), 127.5)
    photo[:, 0] += 20
    photo[:, 2] -= 20 * 0.299 / 0.114  # of the same luminance
    look = replace(Look.neutral(), stretch=torch.diag(torch.tensor([1.4, 1.0, 1.4])))
    picture, _ = redraw_detail(photo, photo, photo, look, frame())
    assert float(picture[0, 0, 150, 128]) == pytest.approx(127.5 + 1.4 * 20, abs=0.05)
    assert float(picture[0, 0, 4, 4]) == pytest.approx(127.5 + 1.2 * 20, abs=0.05)


@pytest.mark.parametrize(("shift", "factor"), [(100.0, 1.25), (-100.0, 0.8)])
@pytest.mark.parametrize("grey", [40.0, 90.0, 150.0])
def test_lightness_stays_within_its_bounds(shift: float, factor: float, grey: float) -> None:
    flat = torch.full((1, 3, SIDE, SIDE), grey)
    everywhere = torch.full((3, CELLS, CELLS), shift)
    look = replace(Look.neutral(), shift=everywhere, background=torch.full((3,), shift))
    picture, _ = redraw_detail(flat, flat, flat, look, frame())
    wanted = (grey + 16) * factor - 16  # of luminance and a little, so that black is not held
    assert close(picture, torch.full_like(picture, wanted), 0.05)


def test_the_parts_of_a_face_move() -> None:
    photo = torch.full((1, 3, SIDE, SIDE), 200.0)
    photo[..., 120:124, 94:98] = 20  # at the left eye
    shift = torch.zeros(4, 2)
    shift[0] = torch.tensor([-0.02, 0.01])
    picture, _ = redraw_detail(photo, photo, photo, Look.neutral(), frame(shift=shift))
    dark = (200 - picture[0].mean(dim=0)).clamp_min(5) - 5
    place = [float((dark.sum(dim=k) * (torch.arange(SIDE) + 0.5)).sum() / dark.sum()) for k in (0, 1)]
    assert place == pytest.approx([96 - 0.02 * SIDE, 122 + 0.01 * SIDE], abs=0.9)


def grained(side: int, rms: float) -> Tensor:
    grain = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    return (127 + rms * grain).expand(1, 3, -1, -1)


@pytest.mark.parametrize(("factor", "gain"), [(2.25, 1.5), (0.64, 0.8), (100.0, 2.0), (0.01, 0.6)])
def test_detail_is_brought_to_the_strength_of_the_style_within_bounds(factor: float, gain: float) -> None:
    photo = grained(SIDE, 10)
    look = replace(Look.neutral(), energy=(band_energy(photo)[0] + 1) * factor - 1, weight=1.0)
    picture, _ = redraw_detail(photo, photo, photo, look, frame())
    raised = luminance(picture) - blur(luminance(picture), 1.2)
    before = luminance(photo) - blur(luminance(photo), 1.2)
    assert float(raised.std() / before.std()) == pytest.approx(gain, rel=0.03)


def test_a_band_with_little_energy_is_raised_towards_the_styles_and_no_noise_is() -> None:
    photo, style = grained(SIDE, 6), grained(SIDE, 12)
    look = replace(Look.neutral(), energy=band_energy(style)[0], weight=1.0)
    picture, _ = redraw_detail(photo, photo, photo, look, frame())
    before, after, wanted = (band_energy(p).mean(dim=(2, 3))[0] for p in (photo, picture, style))
    assert (after > 1.5 * before)[:2].all() and (after[:2] <= 1.1 * wanted[:2]).all()
    wall = torch.full((1, 3, SIDE, SIDE), 127.0)
    assert close(redraw_detail(wall, wall, wall, look, frame())[0], wall, 0.02)


def test_half_of_the_strength_is_half_of_it_in_logarithms() -> None:
    photo = grained(SIDE, 10)
    whole = replace(Look.neutral(), energy=(band_energy(photo)[0] + 1) * 2.25 - 1, weight=1.0)
    gains = []
    for weight in (1.0, 0.5):
        picture, _ = redraw_detail(photo, photo, photo, replace(whole, weight=weight), frame())
        gains.append(float((picture - blur(picture, 1.2)).std() / (photo - blur(photo, 1.2)).std()))
    assert gains[1] == pytest.approx(math.sqrt(gains[0]), rel=0.02)


def test_a_medium_smooths_and_leaves_its_marks_but_not_on_eyes_and_mouth() -> None:
    photo = grained(SIDE, 8)
    marks = replace(Look.neutral(), medium=Medium(strokes=6, length=8))
    added = redraw_detail(photo, photo, photo, marks, frame())[0] - photo
    forehead, corner = added[..., 70:100, 100:156], added[..., 20:60, 20:60]
    assert float(forehead.std()) == pytest.approx(6, rel=0.25)
    assert float(corner.std()) == pytest.approx(6 / 4, rel=0.25)  # behind the person
    assert float(added[..., 120:124, 94:98].abs().max()) < 0.5
    plain = redraw_detail(photo, photo, photo, replace(Look.neutral(), medium=Medium(smoothing=2)), frame())[0]
    cheek, eye = (slice(150, 170), slice(60, 80)), (slice(118, 126), slice(92, 100))
    left = [float((plain[0, 0][place].std()) / photo[0, 0][place].std()) for place in (cheek, eye)]
    assert left[0] < 0.5 < left[1]


def test_a_grey_style_is_grey() -> None:
    picture, _ = redraw_detail(
        soft(SIDE, 1),
        soft(SIDE, 2),
        soft(SIDE, 3),
        replace(Look.neutral(), medium=Medium(colourless=1, own=0.5)),
        frame(),
    )
    assert close(picture, luminance(picture).expand(-1, 3, -1, -1), 0.01)


def test_large_pictures_agree_with_small_ones_after_reduction() -> None:
    photo, base, drawing = (soft(512, seed) for seed in (1, 2, 3))
    look, random = full(), torch.Generator().manual_seed(4)
    shift = 0.015 * torch.randn(4, 2, generator=random)
    large, covered = redraw_detail(photo, base, drawing, look, frame(512, shift))
    halved = [F.avg_pool2d(p, 2) for p in (photo, base, drawing)]
    small, person = redraw_detail(*halved, look, frame(256, shift))
    apart = (F.avg_pool2d(large, 2) - small).abs()
    # Of grey levels; the look moves them by more than 8 on the mean.
    assert float(apart.mean()) < 1.2 and float(apart.quantile(0.99)) < 6
    assert float((small - halved[0]).abs().mean()) > 8
    assert float((F.avg_pool2d(covered, 2) - person).abs().max()) < 0.05


def test_pictures_stay_within_grey_levels() -> None:
    photo = torch.where(soft(SIDE, 5, 200) > 127, 255.0, 0.0)
    picture, person = redraw_detail(photo, 255 - photo, photo, full(), frame())
    assert float(picture.min()) >= 0 and float(picture.max()) <= 255
    assert float(person.min()) >= 0 and float(person.max()) <= 1


@pytest.mark.parametrize("value", [-0.1, 1001, math.nan, math.inf, "2", None, [1]])
@pytest.mark.parametrize("name", ["smoothing", "own"])
def test_values_that_no_medium_has_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} of a look is"):
        Medium(**{name: value})  # type: ignore[arg-type]


def test_the_tensors_of_a_look_have_the_shapes_that_files_are_checked_for() -> None:
    for look in (Look.neutral(), full()):
        assert {name: tuple(value.shape) for name, value in look.tensors().items()} == TENSORS
    assert same(Look.of(full().tensors(), full().medium), full())


def test_one_look_of_weight_1_is_itself() -> None:
    look = full()
    assert Look.mixed([(look, 1)]) is look
    assert same(Look.mixed([(look, 1.0), (full(1), 0.0)]), look)


def test_no_weight_is_neutral() -> None:
    for looks in ([], [(full(), 0.0)], [(full(), 0.0), (full(1), 0)]):
        assert same(Look.mixed(looks), Look.neutral())


def test_half_a_look_is_half_of_what_it_changes() -> None:
    look = full()
    half = Look.mixed([(look, 0.5)])
    for name in ("shape", "shift", "background"):
        assert close(getattr(half, name), getattr(look, name) / 2, 1e-6)
    assert close(half.stretch, (torch.eye(3) + look.stretch) / 2, 1e-6)
    assert close(half.centre, look.centre) and close(half.energy, look.energy, 1e-3)  # half as far, and to the same
    assert half.weight == 0.5
    assert half.medium == Medium(smoothing=1, edges=0.5, strokes=1.5, length=4, colourless=0.125, own=0.2)


def test_two_looks_add_what_they_change_and_average_energies_in_logarithms() -> None:
    a, b = full(0), full(1)
    both = Look.mixed([(a, 0.75), (b, 0.25)])
    assert close(both.shift, 0.75 * a.shift + 0.25 * b.shift, 1e-5)
    assert close(both.stretch, torch.eye(3) + 0.75 * (a.stretch - torch.eye(3)) + 0.25 * (b.stretch - torch.eye(3)))
    assert close(both.energy, a.energy**0.75 * b.energy**0.25, 1e-3)
    assert close(both.centre, 0.75 * a.centre + 0.25 * b.centre, 1e-3)
    assert both.weight == 1.0
    more = Look.mixed([(a, 1.0), (b, 1.0)])
    assert close(more.shift, a.shift + b.shift) and close(more.energy, (a.energy * b.energy).sqrt(), 1e-3)
    assert more.weight == 1.0  # bands are not brought further than to the exemplars'


def test_a_style_of_no_detail_at_all_mixes_with_others() -> None:
    flat = replace(full(0), energy=torch.zeros(BANDS, COARSE, COARSE))
    for weights in ((0.5, 0.5), (0.0, 1.0), (1.0, 0.0)):
        both = Look.mixed(list(zip((flat, full(1)), weights, strict=True)))
        assert torch.isfinite(both.energy).all(), weights
