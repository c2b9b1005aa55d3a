"""Translators: sizes that are known of the programs, closed forms of the norms, and what parts belong to whom."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from portraitist.errors import BadModel
from portraitist.networks.patch_discriminator import FIRST_ITERATIONS, PatchPanel, Spectral
from portraitist.networks.translator import Translator, initialise
from portraitist.networks.translator_anatomy import (
    PanelAnatomy,
    TranslatorAnatomy,
    cyclegan,
    drit,
    munit,
    photo2cartoon,
    ugatit,
    unit,
)
from portraitist.networks.translator_layers import (
    LIN,
    AdaLIN,
    Attention,
    SoftAdaLIN,
    between_norms,
    clamp_shares,
)

SMALL = (
    replace(photo2cartoon(32, 4), blocks=2),
    replace(photo2cartoon(32, 4, light=False), blocks=1),
    replace(ugatit(16, 4), blocks=2),
    replace(ugatit(16, 4, light=True), blocks=1),
    replace(cyclegan(16, 4), blocks=2),
    replace(unit(16, 4), blocks=2),
    replace(munit(16, 4), blocks=1),
    replace(drit(16, 4), blocks=2),
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("anatomy", "count"),
    [
        (photo2cartoon(), 3_773_735),  # the released file has 57,344 more, which its code never uses
        (photo2cartoon(light=False), 70_866_215),
        (ugatit(), 278_959_808),
        (cyclegan(), 11_378_179),
        (unit(), 11_140_483),
        (munit(), 15_026_187),
        (drit(), 15_583_499),
    ],
)
def test_sizes_of_the_published_networks(anatomy: TranslatorAnatomy, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Translator(anatomy).parameters()) == count


@pytest.mark.parametrize("anatomy", SMALL, ids=lambda a: f"{a.kind}-{a.light}")
def test_a_picture_does_not_depend_on_its_batch(anatomy: TranslatorAnatomy) -> None:
    with torch.random.fork_rng():  # of some weights an hourglass norms all but constant maps, and so their rounding
        torch.manual_seed(0)
        translator, side = Translator(anatomy).eval(), anatomy.resolution
    pictures = noise(3, 3, side, side).clamp(-1, 1)
    with torch.no_grad():
        together, alone = translator(pictures), translator(pictures[1:2])
    assert together.image.shape == pictures.shape and together.image.abs().max() <= 1
    torch.testing.assert_close(together.image[1:2], alone.image, atol=2e-4, rtol=0)
    if anatomy.attentive:
        assert together.logits.shape == (3, 2) and together.attention.shape == (3, 1, side // 4, side // 4)
    else:
        assert together.logits is None and together.attention is None


def test_what_a_group_owns() -> None:
    plan = photo2cartoon()
    first, last = ("stem", "hourglass1", "hourglass2", "down1"), ("up2", "hourglass3", "hourglass4", "out")
    assert plan.own == (*first, *last)
    assert plan.shared == ("down2", "encode", "cam", "style", "decode", "up1")
    assert ugatit().own == cyclegan().own == unit().own == munit().own == drit().own == ("stem", "down1", "up2", "out")
    other = replace(plan, own_first=1, own_last=0)
    assert other.own == ("stem",) and set(other.own) | set(other.shared) == set(plan.parts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "pix2pix"},
        {"resolution": 48},
        {"resolution": 16},
        {"channels": 6},
        {"blocks": 0},
        {"own_first": 9, "own_last": 6},
        {"own_first": -1},
    ],
)
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadModel):
        replace(photo2cartoon(), **wrong)  # type: ignore[arg-type]


def test_impossible_codes_are_refused() -> None:
    for anatomy, wrong in (
        (unit(), {"blocks": 1}),
        (unit(), {"own_first": 5}),
        (unit(), {"own_last": 5}),
        (unit(), {"appearance": 8}),
        (munit(), {"appearance": 0}),
        (munit(), {"appearance": -8}),
        (drit(), {"blocks": 1}),
        (drit(), {"own_first": 5}),
        (drit(), {"appearance": 0}),
        (cyclegan(), {"appearance": 8}),
        (unit(), {"resized": True}),
    ):
        with pytest.raises(BadModel):
            replace(anatomy, **wrong)  # type: ignore[arg-type]


def test_resized_maps_leave_no_grid() -> None:
    plan = replace(cyclegan(32, 4), blocks=1)
    seen = {}
    for anatomy in (plan, replace(plan, resized=True)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            translator = Translator(anatomy).eval()
        kinds = {type(m) for m in translator.modules()}
        assert (torch.nn.ConvTranspose2d in kinds) != anatomy.resized
        up = translator.parts["up2"]
        if anatomy.resized:
            x = noise(2, 8, 16, 16)
            twice = torch.nn.functional.pad(x.repeat_interleave(2, 2).repeat_interleave(2, 3), (1,) * 4, mode="reflect")
            torch.testing.assert_close(up(x), torch.nn.functional.instance_norm(up.conv(twice)).relu())
        with torch.no_grad():  # of what is even, before the norm
            even = up.conv(torch.ones(1, 8, 16, 16) if not anatomy.resized else torch.ones(1, 8, 34, 34))
        inside = even[0, :, 2:-2, 2:-2]
        seen[anatomy.resized] = float((inside - inside.mean((1, 2), keepdim=True)).abs().max())
    assert seen[True] < 1e-6 < 1e-2 < seen[False]


def test_cyclegan_draws_at_twice_its_side_up_to_256() -> None:
    assert [cyclegan(side).drawn for side in (16, 128, 256, 512)] == [32, 256, 256, 512]
    assert cyclegan(192).drawn == 256 and ugatit(128).drawn == munit(128).drawn == 128
    translator = Translator(replace(cyclegan(16, 4), blocks=1))
    assert translator(torch.zeros(1, 3, 32, 32)).image.shape == (1, 3, 32, 32)


def test_an_appearance_changes_the_drawing_and_not_the_content() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        translator = Translator(SMALL[-1]).eval()
    pictures, worn = noise(2, 3, 16, 16).clamp(-1, 1), noise(2, 8, seed=1)
    with torch.no_grad():
        code = translator.encoded(pictures)
        assert code.shape == (2, *SMALL[-1].code) and translator.appearance_of(pictures).shape == (2, 8)
        mean, dressed = translator(pictures).image, translator(pictures, worn).image
        torch.testing.assert_close(mean, translator(pictures, torch.zeros(2, 8)).image)
        assert torch.equal(dressed, translator.decoded(code, worn)) and not torch.allclose(mean, dressed)


def test_norms_at_either_end_of_rho() -> None:
    x = noise(2, 3, 5, 4)
    instance = torch.stack([(c - c.mean()) / (c.var() + 1e-5).sqrt() for picture in x for c in picture]).view_as(x)
    layer = torch.stack([(picture - picture.mean()) / (picture.var() + 1e-5).sqrt() for picture in x])
    torch.testing.assert_close(between_norms(x, torch.ones(3)), instance)
    torch.testing.assert_close(between_norms(x, torch.zeros(3)), layer)
    torch.testing.assert_close(between_norms(x, torch.tensor([1.0, 0.0, 0.25]))[:, 2], (instance + 3 * layer)[:, 2] / 4)
    torch.testing.assert_close(LIN(3)(x), layer)


def test_soft_norm_begins_with_the_style_and_can_reach_the_content() -> None:
    x, content, style = noise(2, 4, 3, 3), noise(2, 4, seed=1), noise(2, 4, seed=2)
    soft = SoftAdaLIN(4)
    plain = soft.norm(x, soft.style_gamma(style), soft.style_beta(style))
    torch.testing.assert_close(soft(x, content, style), plain)
    torch.nn.init.ones_(soft.gamma_share)
    torch.nn.init.ones_(soft.beta_share)
    plain = soft.norm(x, soft.content_gamma(content), soft.content_beta(content))
    torch.testing.assert_close(soft(x, content, style), plain)


def test_attention_sums_channels_and_asks_average_and_maximum() -> None:
    attend, x = Attention(4), noise(2, 4, 3, 3)
    found = attend(x)
    torch.testing.assert_close(found.attention, found.features.sum(1, keepdim=True))
    torch.testing.assert_close(found.logits[:, 0], x.mean((2, 3)) @ attend.average.weight[0] + attend.average.bias)
    torch.testing.assert_close(found.logits[:, 1], x.amax((2, 3)) @ attend.peak.weight[0] + attend.peak.bias)


def test_shares_are_clamped_and_nothing_else() -> None:
    translator = Translator(SMALL[0])
    with torch.no_grad():
        for p in translator.parameters():
            p.copy_(noise(*p.shape, seed=p.numel()) * 3)
    before = {k: v.clone() for k, v in translator.state_dict().items()}
    clamp_shares(translator)
    shares = {id(m.rho) for m in translator.modules() if isinstance(m, AdaLIN | LIN)}
    soft = [m for m in translator.modules() if isinstance(m, SoftAdaLIN)]
    shares |= {id(s) for m in soft for s in (m.gamma_share, m.beta_share)}
    assert len(shares) == 2 * 2 * 3 + 2
    for name, p in translator.named_parameters():
        wanted = before[name].clamp(0, 1) if id(p) in shares else before[name]
        assert torch.equal(p, wanted)


def test_weights_of_the_papers() -> None:
    translator = Translator(replace(cyclegan(16, 16), blocks=1))
    before = {k: v.clone() for k, v in translator.state_dict().items()}
    initialise(translator, "torch", torch.Generator())
    assert all(torch.equal(v, before[k]) for k, v in translator.state_dict().items())
    initialise(translator, "kaiming", torch.Generator().manual_seed(3))
    weight = translator.parts["down2"].conv.weight.detach()
    assert float(weight.std()) == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.02)
    initialise(translator, "normal", torch.Generator().manual_seed(3))
    weights = torch.cat([p.detach().flatten() for name, p in translator.named_parameters() if p.ndim > 1])
    assert abs(float(weights.mean())) < 3 * 0.02 / math.sqrt(len(weights))
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    assert all(not p.any() for p in translator.parameters() if p.ndim == 1)
    panel = PatchPanel(PanelAnatomy((5, 3), 8))
    spectral = [m for m in panel.modules() if isinstance(m, Spectral)]
    starts = [m.weight_u.clone() for m in spectral]
    initialise(panel, "normal", torch.Generator().manual_seed(3))
    weights = torch.cat([p.detach().flatten() for p in panel.parameters() if p.ndim > 1])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    assert all(not p.any() for p in panel.parameters() if p.ndim == 1)
    # The estimates of the singular values follow the new weights.
    assert len(spectral) == 12
    for layer, u in zip(spectral, starts, strict=True):
        matrix = layer.weight.detach().flatten(1)
        for _ in range(FIRST_ITERATIONS):
            v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
            u = torch.nn.functional.normalize(matrix @ v, dim=0)
        assert torch.allclose(layer.weight_u, u, atol=1e-5) and torch.allclose(layer.weight_v, v, atol=1e-5)
        assert torch.linalg.matrix_norm(layer.normed().detach().flatten(1), 2) >= 1 - 1e-5  # never over-estimated
