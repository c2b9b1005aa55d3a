"""Discriminators of translators: spectral norm, the attention of the released code, the head for groups."""

from __future__ import annotations

import pytest
import torch

from portraitist.errors import BadModel
from portraitist.networks.patch_discriminator import PatchPanel, Spectral
from portraitist.networks.translator_anatomy import PanelAnatomy, attentive_panel, patch_panel, scaled_panel

TINY = PanelAnatomy((4, 3), 4, groups=3)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_sizes_of_the_published_networks() -> None:
    with torch.device("meta"):
        panel = PatchPanel(attentive_panel(256, 32))
        counts = [sum(p.numel() for p in member.parameters()) for member in panel.members]
        assert counts == [13_294_048, 826_080]
        scores = panel(torch.zeros(1, 3, 256, 256)).scores
        assert [tuple(s.shape) for s in scores] == [(1, 1, 6, 6), (1, 2), (1, 1, 30, 30), (1, 2)]
        plain = PatchPanel(patch_panel())
        assert sum(p.numel() for p in plain.parameters()) == 2_764_737
        (score,) = plain(torch.zeros(1, 3, 256, 256)).scores
        assert score.shape == (1, 1, 30, 30)
        scaled = PatchPanel(scaled_panel())
        assert sum(p.numel() for p in scaled.parameters()) == 8_271_171
        assert [s.shape[-1] for s in scaled(torch.zeros(1, 3, 256, 256)).scores] == [16, 8, 4]


@pytest.mark.parametrize("resolution", [16, 64])
def test_each_scale_sees_the_picture_at_half_the_side(resolution: int) -> None:
    panel, x = PatchPanel(scaled_panel(resolution, 4)), noise(1, 3, resolution, resolution)
    ones = torch.ones(1, 1, resolution, resolution)
    window, small = torch.ones(3, 1, 3, 3), x
    for member, score in zip(panel.members, panel(x).scores, strict=True):
        assert torch.allclose(member(small)[0][0], score)  # by an average of what lies within the picture
        count = torch.nn.functional.conv2d(ones, window[:1], stride=2, padding=1)
        small = torch.nn.functional.conv2d(small, window, stride=2, padding=1, groups=3) / count
        ones = torch.ones_like(count)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
def test_smaller_pictures_have_fewer_layers(resolution: int) -> None:
    found = PatchPanel(attentive_panel(resolution, 4))(noise(2, 3, resolution, resolution))
    assert all(s.shape[0] == 2 and s.shape[-1] >= 2 for s in found.scores) and found.groups is None
    assert PatchPanel(patch_panel(resolution, 4))(noise(1, 3, resolution, resolution)).scores[0].shape[-1] >= 1


def test_power_iteration_finds_the_largest_singular_value() -> None:
    panel = PatchPanel(TINY)
    panel.iterate(2000)
    layers = [m for m in panel.modules() if isinstance(m, Spectral)]
    assert len(layers) == 3 + 2 + 2 * 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.normed().detach().flatten(1), 2) == pytest.approx(1, abs=1e-3)


def test_a_pass_changes_nothing_and_an_iteration_does() -> None:
    panel, pictures = PatchPanel(TINY).train(), noise(2, 3, 32, 32)
    with torch.no_grad():
        for p in panel.parameters():
            p.add_(noise(*p.shape, seed=p.numel()) * 0.1)
    before = {k: v.clone() for k, v in panel.state_dict().items()}
    panel(pictures)
    assert all(torch.equal(v, before[k]) for k, v in panel.state_dict().items())
    panel.iterate()
    changed = {k for k, v in panel.state_dict().items() if not torch.equal(v, before[k])}
    # A single row's own direction is found at once; what it was multiplied with follows the weight.
    assert changed and all(k.endswith(("weight_u", "weight_v")) for k in changed)


def test_logits_have_the_normed_weight_and_features_the_raw_one() -> None:
    panel, pictures = PatchPanel(TINY), noise(2, 3, 32, 32)
    before = panel(pictures).scores
    with torch.no_grad():
        for layer in (panel.members[0].average, panel.members[0].peak):
            layer.weight.mul_(3)
    after = panel(pictures).scores
    torch.testing.assert_close(after[1], before[1])
    assert not torch.allclose(after[0], before[0], rtol=1e-2)


def test_the_head_begins_without_an_opinion_and_an_extension_keeps_the_rest() -> None:
    panel, pictures = PatchPanel(TINY), noise(2, 3, 32, 32)
    assert torch.equal(panel(pictures).groups, torch.zeros(2, 3))
    torch.nn.init.ones_(panel.head.weight)
    wider = panel.extended(5)
    assert all(torch.equal(a, b) for a, b in zip(panel(pictures).scores, wider(pictures).scores, strict=True))
    assert torch.equal(wider(pictures).groups, torch.zeros(2, 5)) and wider.anatomy.groups == 5


def test_the_head_sees_features_at_one_scale() -> None:
    panel, pictures = PatchPanel(TINY), noise(2, 3, 32, 32)
    torch.nn.init.normal_(panel.head.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for conv in panel.members[0].convs:
            conv.bias.zero_()
        logits, fainter = panel(pictures).groups, panel(pictures / 2).groups
    torch.testing.assert_close(fainter, logits, rtol=0.02, atol=0.02)
    assert logits.abs().max() > 0.5


@pytest.mark.parametrize("wrong", [{"layers": ()}, {"layers": (2,)}, {"channels": 0}, {"groups": -1}])
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadModel):
        PanelAnatomy(**wrong)  # type: ignore[arg-type]
