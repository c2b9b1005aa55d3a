"""Branches: every group draws with its own outer layers, and few-shot passes leave the shared ones alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from portraitist.errors import BadModel, UsageError
from portraitist.networks.branches import BranchedTranslator, TranslatorSystem
from portraitist.networks.patch_discriminator import PatchPanel
from portraitist.networks.translator import Translator
from portraitist.networks.translator_anatomy import PanelAnatomy, cyclegan, drit, munit, photo2cartoon, ugatit, unit

TINY = replace(ugatit(16, 4, light=True), blocks=1)
UNIT = replace(unit(16, 4), blocks=2)
KINDS = (
    replace(photo2cartoon(32, 4), blocks=1),
    TINY,
    replace(cyclegan(16, 4), blocks=1),
    UNIT,
    replace(munit(16, 4), blocks=1),
    replace(drit(16, 4), blocks=2),
)
PANEL = PanelAnatomy((3,), 4)


def pictures(side: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


def disturbed(translator: BranchedTranslator) -> BranchedTranslator:
    """Move every branch away from where it began, each elsewhere."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in translator.branches.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=random))
    return translator


@pytest.mark.parametrize("anatomy", KINDS, ids=lambda a: a.kind)
def test_new_branches_begin_as_the_common_one_and_are_their_own(anatomy) -> None:  # type: ignore[no-untyped-def]
    basic = BranchedTranslator(anatomy, ("women",))
    more, x = basic.extended(("men", "kids")), pictures(anatomy.resolution)
    assert more.groups == ("women", "men", "kids") and basic.groups == ("women",)
    first = basic(x, "women").image
    assert all(torch.equal(more(x, group).image, first) for group in more.groups)
    disturbed(more)
    drawn = [more(x, group).image for group in more.groups]
    assert not torch.allclose(drawn[0], drawn[1]) and not torch.allclose(drawn[1], drawn[2])
    assert torch.equal(basic(x, "women").image, first)


def test_a_path_is_a_translator_of_the_same_parameters() -> None:
    branched = disturbed(BranchedTranslator(TINY, ("a", "b")))
    path = branched.path("b")
    assert isinstance(path, Translator)
    mine = {id(p) for p in branched.parameters()}
    assert {id(p) for p in path.parameters()} <= mine
    both = [set(map(id, branched.path(g).parameters())) for g in "ab"]
    assert len(both[0] & both[1]) == len(list(branched.shared.parameters()))
    copied = Translator(TINY)
    copied.load_state_dict(path.state_dict())
    assert torch.equal(copied(pictures(16)).image, branched(pictures(16), "b").image)


@pytest.mark.parametrize("anatomy", KINDS, ids=lambda a: a.kind)
def test_detached_clones_draw_the_same_and_pass_gradients_through(anatomy) -> None:  # type: ignore[no-untyped-def]
    branched = disturbed(BranchedTranslator(anatomy, ("common", "few")))
    x = pictures(anatomy.resolution)
    target = pictures(anatomy.resolution) * 0.5
    plain = (branched(x, "few").image - target).square().mean()
    detached = (branched(x, "few", detached=True).image - target).square().mean()
    assert torch.equal(plain, detached)
    names, parameters = zip(*branched.named_parameters(), strict=True)
    wanted = dict(zip(names, torch.autograd.grad(plain, parameters, allow_unused=True), strict=True))
    found = dict(zip(names, torch.autograd.grad(detached, parameters, allow_unused=True), strict=True))
    own = {f"branches.1.{name}" for name, _ in branched.branches[1].named_parameters()}
    assert {name for name, gradient in found.items() if gradient is not None} <= own
    assert all(torch.equal(found[name], wanted[name]) for name in own if found[name] is not None)
    # Through the shared layers in the middle, to the first layer of the group's encoder.
    assert found["branches.1.stem.conv.weight"].abs().max() > 0
    assert all(p.requires_grad for p in parameters)


def test_a_system_is_extended_whole() -> None:
    system = TranslatorSystem.new(TINY, PANEL, ("women",))
    more, x = system.extended(("men",)), pictures(16)
    assert more.groups == ("women", "men") and more.anatomy == TINY
    assert more.of_photos.anatomy.groups == more.of_drawings.anatomy.groups == 2
    assert torch.equal(more.to_photo(x, "men").image, system.to_photo(x, "women").image)
    assert torch.equal(more.of_photos(x).scores[0], system.of_photos(x).scores[0])
    assert len(more.extended(("kids",)).groups) == 3


def test_the_translators_of_unit_share_the_parts_next_to_the_code() -> None:
    system = TranslatorSystem.new(UNIT, PANEL, ("women",))
    for pair in (system, system.extended(("men",)), copy.deepcopy(system)):
        there, back = pair.players()[:2]
        common = {id(p) for p in there.parameters()} & {id(p) for p in back.parameters()}
        shared = [p for part in ("to_code", "from_code") for p in there.shared[part].parameters()]
        assert common == {id(p) for p in shared} and len(shared) == 8
        # One picture, encoded by either, has one code where the rest of the encoders is the same.
        back.shared["encode"].load_state_dict(there.shared["encode"].state_dict())
        for part in ("down2",):
            back.shared[part].load_state_dict(there.shared[part].state_dict())
        for part in ("stem", "down1"):
            back.branches[0][part].load_state_dict(there.branches[0][part].state_dict())  # type: ignore[index]
        codes = [t.path("women").encoded(pictures(16)) for t in (there, back)]
        assert torch.equal(*codes)


def test_what_does_not_fit_is_refused() -> None:
    branched = BranchedTranslator(TINY, ("women",))
    with pytest.raises(UsageError, match="women"):
        branched(pictures(16), "men")
    for groups in (("women",), ("m/n",), ("a", "a"), ("",), ("auto",)):
        with pytest.raises(BadModel):
            branched.extended(groups)
    with pytest.raises(BadModel, match="needs a group"):
        BranchedTranslator(TINY, ())
    with pytest.raises(BadModel, match="differ"):
        TranslatorSystem(branched, BranchedTranslator(TINY, ("men",)))
    with pytest.raises(BadModel, match="other groups"):
        TranslatorSystem(branched, None, PatchPanel(replace(PANEL, groups=2)))
    with pytest.raises(UsageError, match="only be run"):
        TranslatorSystem(branched).players()
