"""Encoders: rows, levels and spaces as documented, and codes that do not depend on their company."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from portraitist.errors import BadModel, UsageError
from portraitist.networks import Generator, GeneratorAnatomy, channels_for
from portraitist.networks.encoder import Encoded, Encoder, ir_se50, new_encoder, small, split_rows
from portraitist.networks.encoder_anatomy import EncoderAnatomy, EncoderKind
from portraitist.spaces import WPlus, ZPlus

BASE = GeneratorAnatomy(32, (8, 8, 8, 8), z_dim=12, w_dim=16, mapping_layers=2)


@pytest.fixture(scope="module")
def base() -> Generator:
    torch.manual_seed(0)
    made = Generator(BASE).eval()
    torch.nn.init.normal_(made.w_mean)
    return made


def trained(kind: EncoderKind, base: Generator) -> Encoder:
    """Return an encoder in which every tensor is random, as a training leaves it."""
    encoder = new_encoder(small(base.anatomy, kind), base)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in encoder.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=random)
            elif name.startswith("fc_") or name.endswith("running_mean"):
                value.normal_(0, 0.2, generator=random)
    return encoder.eval()


def photos(count: int, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize(
    ("rows", "coded", "equal"),
    [(18, (3, 4, 11), (6, 6, 6)), (14, (3, 4, 7), (4, 5, 5)), (10, (3, 4, 3), (3, 3, 4)), (6, (3, 3, 0), (2, 2, 2))],
)
def test_rows_are_split_by_level(rows: int, coded: tuple[int, int, int], equal: tuple[int, int, int]) -> None:
    assert split_rows(rows) == coded and split_rows(rows, equal=True) == equal


def test_the_full_encoder_is_that_of_the_papers() -> None:
    ffhq = GeneratorAnatomy(1024, channels_for(1024, base=32768))
    anatomy = ir_se50(ffhq, "hvae")
    assert (anatomy.resolution, anatomy.levels, anatomy.dim) == (256, (3, 4, 11), 512)
    assert anatomy.level_sides == (16, 32, 64)
    with torch.device("meta"):
        state = Encoder(anatomy).state_dict()
    convs = [sum(k.startswith(f"styles.{row}.convs.") for k in state) // 2 for row in range(18)]
    assert convs == [4] * 3 + [5] * 4 + [6] * 11  # 16, 32 and 64 pixels down to one
    assert tuple(state["body.3.shortcut_layer.0.weight"].shape) == (128, 64, 1, 1)
    assert tuple(state["body.23.res_layer.5.fc1.weight"].shape) == (32, 512, 1, 1)
    assert tuple(state["latlayer1.weight"].shape) == (512, 256, 1, 1)
    assert tuple(state["latlayer2.weight"].shape) == (512, 128, 1, 1)
    assert tuple(state["styles.17.linear.weight"].shape) == tuple(state["fc_var.weight"].shape) == (512, 512)
    assert ir_se50(ffhq, "hvae", equal=True).levels == (6, 6, 6)


def test_the_small_encoder_is_a_few_megabytes() -> None:
    base = GeneratorAnatomy(64, (128, 128, 96, 48, 24), z_dim=128, w_dim=128)
    with torch.device("meta"):
        encoder = Encoder(small(base, "hvae"))
    assert encoder.anatomy.level_sides == (4, 8, 16)
    assert 1_500_000 < sum(p.numel() for p in encoder.parameters()) < 3_000_000


@pytest.mark.parametrize("row", [0, 2, 3, 6, 7])
def test_a_row_sees_the_map_of_its_level_alone(row: int, base: Generator) -> None:
    encoder = trained("w+", base)
    seen: list[int] = []
    encoder.styles[row].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[-1]))
    encoder(photos(1))
    assert seen == [2 if row < 3 else 4 if row < 7 else 8]


@pytest.mark.parametrize("kind", get_args(EncoderKind))
def test_every_kind_speaks_of_its_own_space(kind: EncoderKind, base: Generator) -> None:
    encoder = trained(kind, base)
    with torch.no_grad():
        found = encoder(photos(3))
        ws = encoder.styles_of(found.mu, base)
    assert tuple(found.mu.shape) == (3, 1 if kind == "vae" else 8, 16 if kind == "w+" else 12)
    assert (found.logvar is not None) == (kind in ("hvae", "vae"))
    code = encoder.codes(found.mu)
    assert isinstance(code, WPlus if kind == "w+" else ZPlus) and tuple(ws.shape) == (3, 8, 16)
    expected = code.data if isinstance(code, WPlus) else base.map(code).data
    assert torch.equal(ws, expected)
    if kind == "vae":
        assert torch.equal(ws, ws[:, :1].expand_as(ws))


def test_a_new_encoder_starts_at_the_prior_or_around_the_mean(base: Generator) -> None:
    for kind in ("hvae", "vae"):
        found = new_encoder(small(BASE, kind), base)(photos(2))
        assert not found.mu.any() and not found.logvar.any()
    encoder = new_encoder(small(BASE, "w+"), base).eval()
    with torch.no_grad():
        around = encoder(photos(2)).mu
        for head in encoder.styles:
            head.linear.weight.zero_()
        assert torch.equal(encoder(photos(2)).mu, base.mean.data.expand(2, -1, -1))
    assert not torch.equal(around, base.mean.data.expand(2, -1, -1))


@pytest.mark.parametrize("kind", ("hvae", "vae", "z+"))
def test_standardised_means_have_the_moments_of_the_prior(base: Generator, kind: EncoderKind) -> None:
    torch.manual_seed(0)
    sizes = replace(small(BASE, kind), widths=(8,) * 5, units=(1,) * 4, head_width=8, standardised=True)
    encoder = new_encoder(sizes, base)
    torch.nn.init.normal_(encoder.fc_mu.weight, std=100.0)  # far above the floor of the variance
    images = torch.randn(16, 3, 32, 32)
    mu = encoder(images).mu
    torch.testing.assert_close(mu.mean(0), torch.zeros_like(mu[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(mu.std(0, unbiased=False), torch.ones_like(mu[0]), atol=1e-2, rtol=0)
    with torch.no_grad():
        for _ in range(300):
            encoder(images)  # the statistics come to rest
    encoder.eval()
    alone = torch.cat([encoder(image[None]).mu for image in images[:4]])
    torch.testing.assert_close(alone, encoder(images).mu[:4], atol=1e-4, rtol=1e-4)
    assert encoder(images).mu.mean(0).abs().max() < 0.1  # one by one as together, and centred still


def test_codes_of_w_plus_are_not_standardised() -> None:
    with pytest.raises(BadModel, match="not standardised"):
        replace(small(BASE, "w+"), standardised=True)


def test_the_rows_of_e4e_are_offsets_from_the_first(base: Generator) -> None:
    encoder = trained("w+", base)
    free = encoder(photos(2)).mu - encoder.latent_avg
    offsets = Encoder(EncoderAnatomy(**{**vars(encoder.anatomy), "residual_rows": True}))
    offsets.load_state_dict(encoder.state_dict())
    found = offsets.eval()(photos(2)).mu - encoder.latent_avg
    torch.testing.assert_close(found[:, 0], free[:, 0])
    torch.testing.assert_close(found[:, 1:], free[:, :1] + free[:, 1:])


@pytest.mark.parametrize("kind", get_args(EncoderKind))
def test_a_batch_is_its_pictures_one_by_one(kind: EncoderKind, base: Generator) -> None:
    encoder, images = trained(kind, base), photos(3)
    with torch.no_grad():
        together, again = encoder(images), encoder(images)
        alone = [encoder(images[k : k + 1]) for k in range(3)]
    assert torch.equal(together.mu, again.mu)
    torch.testing.assert_close(together.mu, torch.cat([x.mu for x in alone]), rtol=1e-4, atol=1e-5)
    if together.logvar is not None:
        torch.testing.assert_close(together.logvar, torch.cat([x.logvar for x in alone]), rtol=1e-4, atol=1e-5)


def test_pictures_of_another_size_are_resized(base: Generator) -> None:
    encoder = trained("hvae", base)
    smooth = torch.linspace(-1, 1, 64)[None, None, None].expand(1, 3, 64, 64)
    with torch.no_grad():
        large = encoder(smooth).mu
        same = encoder(torch.nn.functional.avg_pool2d(smooth, 2)).mu
    torch.testing.assert_close(large, same, rtol=0.05, atol=0.05)


def test_gradients_reach_every_parameter(base: Generator) -> None:
    encoder = trained("hvae", base).train()
    found = encoder(photos(2))
    latents = found.sample(torch.Generator().manual_seed(0))[0]
    base.synthesis(encoder.styles_of(latents, base)).square().mean().backward()
    idle = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not idle
    assert encoder.get_parameter("fc_var.weight").grad.abs().sum() > 0
    base.zero_grad()


def test_sampling_is_seeded_and_shrinks_to_the_mean() -> None:
    mu, logvar = torch.randn(2, 4, 3, 20, generator=torch.Generator().manual_seed(0))
    found = Encoded(mu, logvar)
    first, more = (found.sample(torch.Generator().manual_seed(7), count) for count in (2, 5))
    assert tuple(more.shape) == (5, 4, 3, 20) and torch.equal(first, more[:2])
    assert not torch.equal(first, found.sample(torch.Generator().manual_seed(8), 2))
    assert torch.equal(
        Encoded(mu, torch.full_like(mu, -torch.inf)).sample(torch.Generator(), 3), mu.expand(3, -1, -1, -1)
    )
    many = Encoded(mu[:1], logvar[:1]).sample(torch.Generator().manual_seed(0), 4000)
    torch.testing.assert_close(many.mean(0), mu[:1], atol=0.3, rtol=0)
    torch.testing.assert_close(many.var(0).log(), logvar[:1], atol=0.15, rtol=0)


def test_a_deterministic_encoder_has_nothing_to_sample(base: Generator) -> None:
    with pytest.raises(UsageError, match="variational"):
        trained("z+", base)(photos(1)).sample(torch.Generator())


def test_impossible_sizes_are_refused(base: Generator) -> None:
    for change in (
        {"kind": "ae"},
        {"resolution": 48},
        {"resolution": 512},
        {"levels": (3, 4)},
        {"levels": (0, 0, 0)},
        {"units": (1, 1, 1)},
        {"widths": (8, 8, 0, 8, 8)},
    ):
        with pytest.raises(BadModel):
            EncoderAnatomy(**{**vars(small(BASE, "hvae")), **change})
    with pytest.raises(BadModel, match="8 rows of 16 does not fit a generator of 8 rows of 12"):
        EncoderAnatomy(**{**vars(small(BASE, "hvae")), "dim": 16}).check_base(BASE)
    with pytest.raises(BadModel, match="10 rows"):
        new_encoder(EncoderAnatomy("hvae", 32, (3, 4, 3), 12), base)
