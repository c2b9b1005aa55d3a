"""Inversion by an encoder: one code per picture whatever its company, the medoid by hand, and refinement from there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel, NonFinite, UsageError
from portraitist.invert import Inverter, in_domain, refine
from portraitist.invert.encode import EncoderInverter, medoid
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Generator
from portraitist.networks.encoder import Encoder, new_encoder, split_rows
from portraitist.networks.encoder_anatomy import EncoderAnatomy, EncoderKind
from portraitist.spaces import ZPlus


def trained(kind: EncoderKind, generator: Generator) -> Encoder:
    anatomy = EncoderAnatomy(kind, 16, split_rows(6), 16, (8, 8, 8, 8, 8), (1, 1, 1, 1), 8)
    torch.manual_seed(2)
    encoder = new_encoder(anatomy, generator)
    if kind != "w+":
        torch.nn.init.normal_(encoder.fc_mu.bias)
        torch.nn.init.normal_(encoder.fc_mu.weight)
    return encoder.eval()


def photos(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_the_code_is_the_mean_and_the_image_is_drawn_from_it(
    generator: Generator, perceptual: PerceptualDistance
) -> None:
    encoder = trained("hvae", generator)
    inverter: Inverter = EncoderInverter(encoder, generator, perceptual)
    told: list[tuple[int, int]] = []
    found = inverter.invert(photos(2), progress=lambda done, of: told.append((done, of)))
    with torch.no_grad():
        code = torch.cat([generator.map(ZPlus(encoder(photos(2)[k : k + 1]).mu)).data for k in range(2)])
        assert torch.equal(found.code.data, code)
        assert torch.equal(found.image, torch.cat([generator.synthesis(code[k : k + 1]) for k in range(2)]))
        torch.testing.assert_close(found.distance, perceptual(found.image, photos(2)))
    assert found.steps == 1 and found.seconds > 0 and told == [(1, 2), (2, 2)]
    assert tuple(found.history.shape) == (1, 2)


@pytest.mark.parametrize("best", ["mean", "medoid"])
@pytest.mark.parametrize("refined", [False, True])
def test_a_code_does_not_depend_on_its_company(
    best: str, refined: bool, generator: Generator, perceptual: PerceptualDistance
) -> None:
    inverter = EncoderInverter(
        trained("hvae", generator),
        generator,
        perceptual,
        best=best,  # type: ignore[arg-type]
        samples=3 if best == "medoid" else 0,
        refine=refine(3) if refined else None,
    )
    together, again = inverter.invert(photos(3)), inverter.invert(photos(3))
    alone = inverter.invert(photos(3)[2:])
    assert torch.equal(together.code.data, again.code.data)
    assert torch.equal(together.code.data[2:], alone.code.data) and torch.equal(together.image[2:], alone.image)
    assert together.steps == (4 if best == "medoid" else 0) + (3 if refined else 1)


def test_pictures_may_be_encoded_together(generator: Generator, perceptual: PerceptualDistance) -> None:
    encoder = trained("hvae", generator)
    one, two = (EncoderInverter(encoder, generator, perceptual, together=k) for k in (1, 2))
    torch.testing.assert_close(one.invert(photos(3)).code.data, two.invert(photos(3)).code.data, rtol=1e-3, atol=1e-4)
    a, b = (x.variants(photos(3), 2) for x in (one, two))
    for left, right in zip(a, b, strict=True):
        torch.testing.assert_close(left.data, right.data, rtol=1e-3, atol=1e-4)


def test_variants_are_the_mean_and_seeded_draws(generator: Generator, perceptual: PerceptualDistance) -> None:
    encoder = trained("hvae", generator)
    inverter, same, other = (EncoderInverter(encoder, generator, perceptual, seed=s) for s in (4, 4, 5))
    found = inverter.variants(photos(2), 3)
    assert len(found) == 4 and torch.equal(found[0].data, inverter.invert(photos(2)).code.data)
    assert all(torch.equal(a.data, b.data) for a, b in zip(found[:2], same.variants(photos(2), 1), strict=True))
    assert not torch.equal(found[1].data, other.variants(photos(2), 1)[1].data)
    assert len({float(x.data.sum()) for x in found}) == 4
    torch.nn.init.constant_(encoder.fc_var.bias, -torch.inf)
    certain = EncoderInverter(encoder, generator, perceptual).variants(photos(2), 2)
    assert all(torch.equal(x.data, certain[0].data) for x in certain)


class Brightness:
    """Features that see the mean of the picture alone."""

    name = digest = "brightness"

    def taps(self, images: Tensor) -> list[Tensor]:
        mean = images.mean((1, 2, 3)).reshape(-1, 1, 1, 1)
        return [torch.cat([mean.cos(), mean.sin()], 1)]


def test_the_medoid_differs_least_from_the_others() -> None:
    # Angles: distances are 2 - 2 cos of the difference, so the middle of the crowd wins, not the mean of all.
    angles = torch.tensor([0.0, 0.1, 0.3, 0.2, 2.0])
    images = angles.reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    sums = (2 - 2 * (angles[:, None] - angles).cos()).sum(1)
    assert medoid(images, PerceptualDistance(Brightness())) == int(sums.argmin()) == 2
    assert medoid(images[[1, 1, 1]], PerceptualDistance(Brightness())) == 0


def test_the_kept_code_is_the_medoid_of_the_mean_and_the_samples(
    generator: Generator, perceptual: PerceptualDistance
) -> None:
    encoder = trained("hvae", generator)
    inverter = EncoderInverter(encoder, generator, perceptual, best="medoid", samples=5, seed=3)
    found = inverter.invert(photos(1)).code.data[0]
    codes = torch.cat([x.data for x in inverter.variants(photos(1), 5)])
    with torch.no_grad():
        drawn = generator.synthesis(codes)
        table = torch.stack([perceptual(drawn, drawn[k : k + 1].expand(6, -1, -1, -1)) for k in range(6)])
    assert torch.equal(found, codes[int(table.sum(0).argmin())])


def test_refining_starts_at_the_code_and_never_makes_it_worse(
    generator: Generator, perceptual: PerceptualDistance
) -> None:
    encoder = trained("w+", generator)
    settings = replace(refine(8), prior_weight=0.0, tie_weight=0.0, pixel_weight=0.0)
    plain = EncoderInverter(encoder, generator, perceptual).invert(photos(2))
    found = EncoderInverter(encoder, generator, perceptual, refine=settings).invert(photos(2))
    torch.testing.assert_close(found.history[0], plain.distance)
    assert (found.distance < plain.distance).all() and tuple(found.history.shape) == (8, 2)


def test_an_optimiser_may_ask_it_for_the_domain(generator: Generator, perceptual: PerceptualDistance) -> None:
    settings = replace(in_domain(), steps=2, features="unit")
    found = EncoderInverter(trained("w+", generator), generator, perceptual, refine=settings).invert(photos(1))
    assert found.distance.isfinite().all() and found.steps == 2


def test_neither_network_is_changed_or_shared(generator: Generator, perceptual: PerceptualDistance) -> None:
    encoder = trained("hvae", generator).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    inverter = EncoderInverter(encoder, generator, perceptual)
    first = inverter.invert(photos(1)).code.data
    assert encoder.training and all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    torch.nn.init.zeros_(encoder.fc_mu.weight)
    assert torch.equal(inverter.invert(photos(1)).code.data, first)


def test_what_cannot_be_is_refused(generator: Generator, perceptual: PerceptualDistance) -> None:
    encoder = trained("z+", generator)
    for best, samples in (("median", 3), ("medoid", 3)):
        with pytest.raises(UsageError):
            EncoderInverter(encoder, generator, perceptual, best=best, samples=samples)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 2"):
        EncoderInverter(trained("hvae", generator), generator, perceptual, best="medoid", samples=1)
    inverter = EncoderInverter(encoder, generator, perceptual)
    with pytest.raises(UsageError, match="variational"):
        inverter.variants(photos(1), 1)
    with pytest.raises(UsageError, match="no picture"):
        inverter.invert(photos(0))
    with pytest.raises(NonFinite):
        inverter.invert(torch.full((1, 3, 16, 16), torch.nan))
    with pytest.raises(BadModel, match="does not fit"):
        EncoderInverter(encoder, Generator(replace(generator.anatomy, z_dim=8)), perceptual)
