"""Painters: any side, nearly the identity at first, as small as promised, and every output can learn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from portraitist.errors import BadModel, UsageError
from portraitist.networks.painter import Painter, PainterAnatomy, displaced, new_painter

SMALL = PainterAnatomy((4, 6, 8), 2, 5.0)


def small() -> Painter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_painter(SMALL)


def pictures(*sides: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, *sides, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("sides", [(8, 8), (40, 24), (96, 96)])
def test_it_draws_any_side_that_is_a_multiple_of_8(sides: tuple[int, int]) -> None:
    found = small()(pictures(*sides, count=2))
    shapes = [tuple(x.shape[1:]) for x in found]
    assert shapes == [(3, *sides), (2, *sides), (3, *sides), (3, *sides), (1, *sides)]
    assert 0 < found.mask.min() and found.mask.max() < 1 and found.field.abs().max() <= SMALL.reach
    assert torch.equal(found.image, found.warped + found.paint)


@pytest.mark.parametrize("sides", [(20, 16), (16, 20)])
def test_other_sides_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"{sides[1]}x{sides[0]} pixels.*multiples of 8"):
        small()(pictures(*sides))


def test_no_grid_lies_over_what_is_painted() -> None:
    painter = small()
    with torch.no_grad():
        painter.paint.weight.zero_()
        painter.paint.bias.copy_(torch.tensor((1.0, -1.0, -1.0, 1.0)).repeat(4))  # a chessboard
        found = painter(pictures(32, 32))
        inside = (..., slice(1, -1), slice(1, -1))
        assert found.paint[inside].abs().max() < 1e-6 and (found.mask - 0.5)[inside].abs().max() < 1e-6
        painter.paint.bias.fill_(0.3)  # what is smooth stays
        found = painter(pictures(32, 32))
        assert torch.allclose(found.paint / found.mask, torch.tensor(0.3))


def test_a_grey_painter_draws_the_luminance_of_what_one_with_colour_draws() -> None:
    coloured, photos = small(), pictures(24, 32)
    grey = Painter(dataclasses.replace(SMALL, grey=True))
    grey.load_state_dict(coloured.state_dict())
    found = grey(photos)
    red, green, blue = coloured(photos).image.unbind(1)
    assert torch.allclose(found.image[:, 0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-6)
    assert torch.equal(found.image, found.image[:, :1].expand(-1, 3, -1, -1))
    assert torch.allclose(found.at(photos, 1.0), found.image, atol=1e-5)
    assert torch.allclose(found.at(photos, 0.0), photos, atol=1e-6)
    half = found.at(photos, 0.5)  # half of the colour is left
    assert 0.3 < (half.amax(1) - half.amin(1)).mean() / (photos.amax(1) - photos.amin(1)).mean() < 0.7


def test_a_new_painter_draws_nearly_the_photo() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        painter = new_painter(PainterAnatomy())
    photos = pictures(128, 128)
    found = painter(photos)
    assert (found.image - photos).abs().mean() < 0.03 and found.field.abs().max() < 0.2
    assert abs(found.mask.mean() - 0.5) < 0.02
    assert not torch.equal(found.image, photos)  # a head of zeros would keep the layers before it from learning


def test_it_is_as_small_as_promised() -> None:
    anatomy = PainterAnatomy()
    painter = Painter(anatomy)
    half = 2 * sum(p.numel() for p in painter.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        painter(torch.zeros(1, 3, 256, 256))
    assert half < 6e6
    assert counter.get_total_flops() == 2 * anatomy.macs(256) and 0.5e9 < anatomy.macs(256) < 2e9
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        small()(torch.zeros(1, 3, 64, 64))
    assert counter.get_total_flops() == 2 * SMALL.macs(64)


@pytest.mark.parametrize("output", ["image", "field", "warped", "paint", "mask"])
def test_every_output_teaches_the_layers_before_it(output: str) -> None:
    painter = small()
    photos = torch.nn.functional.interpolate(pictures(6, 6), 48, mode="bicubic")
    getattr(painter(photos), output).square().sum().backward()
    learned = {name for name, p in painter.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    every = {name for name, _ in painter.named_parameters()}
    late = {n for n in every if n.startswith(("up2.", "look.", "detail.", "paint."))}
    assert learned == (every if output in ("image", "paint", "mask") else every - late)


def test_pictures_do_not_see_each_other() -> None:
    painter, photos = small(), pictures(32, 32, count=3)
    torch.testing.assert_close(painter(photos).image[1:2], painter(photos[1:2]).image)


def test_a_field_moves_pixels() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    right = torch.zeros(1, 2, 3, 4)
    right[:, 0] = 1.0  # looks up one pixel to the right
    torch.testing.assert_close(displaced(image, right)[0, 0, 0], torch.tensor([1.0, 2.0, 3.0, 3.0]))
    torch.testing.assert_close(displaced(image, torch.zeros_like(right)), image)
    down = torch.zeros(1, 2, 3, 4)
    down[:, 1] = 0.5
    torch.testing.assert_close(displaced(image, down)[0, 0, :, 0], torch.tensor([2.0, 6.0, 8.0]))


@pytest.mark.parametrize("sizes", [{"widths": (0, 4, 4)}, {"blocks": -1}, {"reach": 0.0}, {"reach": float("nan")}])
def test_sizes_that_cannot_be_are_refused(sizes: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(BadModel, match="A painter cannot have"):
        PainterAnatomy(**sizes)
