"""Every way of inversion by its settings: what the papers say, what it may reach, and that it gets nearer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portraitist.cli import options
from portraitist.errors import UsageError
from portraitist.invert import (
    METHODS,
    Projection,
    Projector,
    image2stylegan,
    in_domain,
    portrait,
    refine,
    stylegan2,
    ui2i,
    ui2i_paper,
    ui2i_released,
)
from portraitist.losses.perceptual import PerceptualDistance, absolute_error, pixel_error
from portraitist.networks import Generator, modulation_weights
from portraitist.spaces import WPlus, sefa_basis


class LinearEncoder(nn.Module):
    """Codes [N, 6, 16] as a linear function of the images' means over 4x4 places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16, 6 * 16)
        nn.init.normal_(self.layer.weight, std=0.05, generator=torch.Generator().manual_seed(3))
        nn.init.zeros_(self.layer.bias)

    def forward(self, images: Tensor, /) -> Tensor:
        codes: Tensor = self.layer(F.adaptive_avg_pool2d(images, 4).flatten(1)).unflatten(1, (6, 16))
        return codes


@pytest.fixture(scope="module")
def encoder() -> LinearEncoder:
    return LinearEncoder().eval()


def test_presets_say_what_their_papers_say() -> None:
    assert stylegan2() == Projection(
        space="w", steps=1000, learning_rate=0.1, ramp_up=0.05, ramp_down=0.25, code_noise=0.05,
        code_noise_until=0.75, optimise_noise=True, noise_weight=1e5,
    )  # fmt: skip
    assert (image2stylegan().space, image2stylegan().steps, image2stylegan().learning_rate) == ("w+", 5000, 0.01)
    assert (image2stylegan().pixels, image2stylegan().pixel_weight) == ("squared", 1)
    assert (portrait().space, portrait().optimise_noise) == ("w+", False)
    paper, released = ui2i_paper(), ui2i_released()
    assert (paper.basis, paper.rank, paper.start, paper.steps) == ("sefa", None, "mean", 1000)
    assert (paper.pixels, paper.pixel_weight, paper.perceptual_weight) == ("absolute", 1, 1)
    assert (paper.features, paper.optimise_noise) == ("norm", False)  # Eq. 9 prints a norm of raw features
    assert ui2i(4) == replace(ui2i_paper(4), features="unit")
    assert (released.start, released.pixel_weight, released.optimise_noise, released.noise_weight) == (
        "zero", 0, True, 1e5,
    )  # fmt: skip
    assert (in_domain().start, in_domain().steps, in_domain().learning_rate) == ("encoder", 100, 0.01)
    assert (in_domain().pixel_weight, in_domain().domain_weight, in_domain().features) == (1, 2, "raw")
    assert (refine(30).steps, refine().prior_weight) == (30, portrait().prior_weight)


def test_the_command_line_knows_every_preset() -> None:
    method = get_args(get_args(options.Method)[0])[0]
    assert get_args(method) == ("encoder", *METHODS)


# Distance at the start, best distance, and the sum of the code's sizes after 6 steps with one thread.
PINNED = {
    "portrait": (13.7328, 3.31372, 60.7984),
    "stylegan2": (3.92841, 1.70391, 55.6495),
    "image2stylegan": (4.31175, 2.83224, 62.2286),
    "ui2i": (4.08128, 2.32526, 57.7288),
    "ui2i-paper": (1.55459, 0.923604, 56.8586),
    "ui2i-released": (1.15983, 0.252143, 26.5647),
    "in-domain": (0.310871, 0.187205, 27.1566),
}


@pytest.mark.parametrize("name", METHODS)
def test_short_runs_are_pinned(
    name: str, generator: Generator, perceptual: PerceptualDistance, images: Tensor, encoder: LinearEncoder
) -> None:
    found = Projector(generator, perceptual, replace(METHODS[name](), steps=6), encoder=encoder).invert(images[:1])
    measured = [float(found.history[0]), float(found.distance), float(found.code.data.abs().sum())]
    assert measured == pytest.approx(PINNED[name], rel=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_every_way_gets_nearer_to_what_the_generator_drew(
    name: str, generator: Generator, perceptual: PerceptualDistance, images: Tensor, encoder: LinearEncoder
) -> None:
    settings = replace(METHODS[name](), steps=40)
    found = Projector(generator, perceptual, settings, encoder=encoder).invert(images)
    assert (found.distance < 0.9 * found.history[0]).all()


@pytest.mark.parametrize("preset", [ui2i_paper, ui2i_released])
@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_code_of_rank_k_lies_in_its_span(
    preset: Callable[[int], Projection],
    space: str,
    generator: Generator,
    perceptual: PerceptualDistance,
    images: Tensor,
) -> None:
    projector = Projector(generator, perceptual, replace(preset(3), steps=10, learning_rate=0.5, space=space))
    code = projector.invert(images).code.data
    outside = sefa_basis(modulation_weights(generator.synthesis)).vectors[3:]
    origin = projector.prior.mean if preset is ui2i_paper else torch.zeros(16)
    step = code - origin
    assert (step @ outside.t()).abs().max() < 1e-6 * step.abs().max() * 16
    assert torch.linalg.matrix_rank(step.flatten(0, 1), rtol=1e-4) <= 3
    assert not torch.equal(code[0], code[1])  # one v per picture
    assert torch.equal(code, code[:, :1].expand_as(code)) == (space == "w")


def test_all_directions_forbid_nothing(generator: Generator, perceptual: PerceptualDistance, images: Tensor) -> None:
    """Without Adam's dependence on the axes a full basis would be W itself: the first drawing is W's first drawing."""
    plain = replace(ui2i_paper(), basis="none", steps=60)
    w = Projector(generator, perceptual, plain).invert(images)
    v = Projector(generator, perceptual, replace(plain, basis="sefa")).invert(images)
    few = Projector(generator, perceptual, replace(plain, basis="sefa", rank=2)).invert(images)
    torch.testing.assert_close(w.history[0], v.history[0])
    assert (v.distance < 0.8 * few.distance).all()


def test_another_basis_can_be_given(generator: Generator, perceptual: PerceptualDistance, images: Tensor) -> None:
    fine = sefa_basis(modulation_weights(generator.synthesis, [16], to_rgb="all"), normalise=True)
    projector = Projector(generator, perceptual, replace(ui2i_paper(2), steps=8), basis=fine)
    step = projector.invert(images).code.data - projector.prior.mean
    assert (step @ fine.vectors[2:].t()).abs().max() < 1e-5


def test_released_ui2i_begins_at_w_zero(generator: Generator, perceptual: PerceptualDistance, images: Tensor) -> None:
    found = Projector(generator, perceptual, replace(ui2i_released(), steps=1)).invert(images)
    assert torch.equal(found.code.data, torch.zeros(2, 6, 16))


def test_pixels_are_compared_as_asked(generator: Generator, perceptual: PerceptualDistance, images: Tensor) -> None:
    def first(pixels: str) -> tuple[Tensor, Tensor]:
        only = Projection(steps=1, perceptual_weight=0, pixel_weight=2, pixels=pixels, code_noise=0)  # type: ignore[arg-type]
        found = Projector(generator, perceptual, only).invert(images)
        return found.distance, found.image

    distance, image = first("absolute")
    torch.testing.assert_close(distance, 2 * absolute_error(image, images))
    torch.testing.assert_close(distance, 2 * F.l1_loss(image, images, reduction="none").mean((1, 2, 3)))
    torch.testing.assert_close(first("squared")[0], 2 * pixel_error(image, images))


def test_raw_features_are_compared_as_they_are(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor
) -> None:
    only = Projection(steps=1, features="raw", code_noise=0)
    found = Projector(generator, perceptual, only).invert(images)
    with torch.no_grad():
        mine, theirs = (perceptual.features.taps(x)[-2] for x in (found.image, images))
    torch.testing.assert_close(found.distance, (mine - theirs).square().mean((1, 2, 3)))


def test_in_domain_inversion_begins_at_the_encoder_and_stays_near_it(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, encoder: LinearEncoder
) -> None:
    def code(**wanted: object) -> WPlus:
        settings = replace(in_domain(), **wanted)  # type: ignore[arg-type]
        return Projector(generator, perceptual, settings, encoder=encoder).invert(images).code

    def drift(of: WPlus) -> Tensor:
        with torch.no_grad():
            return (of.data - encoder(generator.synthesize(of))).square().mean()

    with torch.no_grad():
        begun = WPlus(encoder(images))
    torch.testing.assert_close(code(steps=1).data, begun.data)
    kept, free = drift(code(domain_weight=2)), drift(code(domain_weight=0))
    assert kept < 0.8 * free and kept < drift(begun)
    assert all(p.grad is None for p in encoder.parameters())


def test_a_picture_does_not_see_its_company_with_an_encoder_either(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, encoder: LinearEncoder
) -> None:
    settings = replace(in_domain(), steps=5)
    both = Projector(generator, perceptual, settings, encoder=encoder).invert(images).code.data
    alone = Projector(generator, perceptual, settings, encoder=encoder).invert(images[1:]).code.data
    assert torch.equal(both[1:], alone)
    at_once = Projector(generator, perceptual, settings, encoder=encoder, together=2).invert(images).code.data
    torch.testing.assert_close(at_once, both, rtol=0, atol=1e-5)


def test_refinement_never_makes_a_code_worse(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor
) -> None:
    rough = Projector(generator, perceptual, replace(portrait(), steps=20)).invert(images)
    better = Projector(generator, perceptual, refine(15)).invert(images, start=rough.code)
    torch.testing.assert_close(better.history[0], rough.distance)
    assert (better.distance < rough.distance).all() and better.steps == 15
    # At an optimum every step leads away, and the code given is the code that comes back.
    only = replace(refine(5), prior_weight=0.0, tie_weight=0.0)
    found = Projector(generator, perceptual, only).invert(better.image, start=better.code)
    assert torch.equal(found.code.data, better.code.data)


def test_codes_given_are_dropped_onto_the_basis(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor
) -> None:
    settings = replace(ui2i_paper(4), space="w+", steps=1)
    projector = Projector(generator, perceptual, settings)
    given = WPlus(torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(4)))
    found = projector.invert(images, start=given).code.data
    basis = sefa_basis(modulation_weights(generator.synthesis)).first(4)
    step = given.data - projector.prior.mean
    torch.testing.assert_close(found - projector.prior.mean, basis.compose(basis.coordinates(step)), rtol=0, atol=1e-5)


def test_settings_that_contradict_each_other_are_refused(generator: Generator, perceptual: PerceptualDistance) -> None:
    with pytest.raises(UsageError, match="rank counts the directions"):
        Projection(rank=3)
    with pytest.raises(UsageError, match="rank counts"):
        ui2i_paper(0)
    with pytest.raises(UsageError, match="'w\\+'"):
        Projection(start="encoder")
    with pytest.raises(UsageError, match="16 directions, not 17"):
        Projector(generator, perceptual, ui2i_paper(17))
    for settings in (in_domain(), replace(portrait(), domain_weight=1.0)):
        with pytest.raises(UsageError, match="no encoder"):
            Projector(generator, perceptual, settings)
