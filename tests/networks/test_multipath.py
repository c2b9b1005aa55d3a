"""Paths: they begin as the base, share what they say they share, and keep the rest to themselves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel
from portraitist.io.model_file import Model
from portraitist.networks import Discriminator, DiscriminatorPanel, Generator, MultiPathGenerator
from portraitist.networks.generator import with_low_rows
from tests.conftest import make_model

NAMES = ("women", "men", "cats")
SPLIT = (8, 16)


@pytest.fixture(scope="module")
def base() -> Model:
    return make_model(seed=1, resolution=32)


@pytest.fixture
def paths(base: Model) -> MultiPathGenerator:
    return MultiPathGenerator(copy.deepcopy(base.generator), NAMES, SPLIT)


@pytest.fixture
def z(base: Model) -> Tensor:
    return torch.randn(3, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(0))


def own_names(generator: Generator, split: tuple[int, int] = SPLIT) -> set[str]:
    """Name the parameters of the blocks of a range; the constant that the first block begins with is in none."""
    blocks = [b.name for b in generator.anatomy.blocks if split[0] <= b.resolution <= split[1]]
    return {n for n, _ in generator.named_parameters() if n.startswith(tuple(f"{b}." for b in blocks))}


def test_every_path_begins_as_the_base(base: Model, paths: MultiPathGenerator, z: Tensor) -> None:
    for name in NAMES:
        path = paths.path(name)
        assert list(path.state_dict()) == list(base.generator.state_dict())
        assert all(torch.equal(v, base.generator.state_dict()[k]) for k, v in path.state_dict().items())
        assert torch.equal(path(z), base.generator(z))


def test_low_rows_go_along(base: Model, z: Tensor) -> None:
    low = with_low_rows(base.generator, 4)
    path = MultiPathGenerator(low, NAMES, SPLIT).path("men")
    assert list(path.state_dict()) == list(low.state_dict()) and torch.equal(path(z), base.generator(z))


@pytest.mark.parametrize("split", [SPLIT, (4, 32), (32, 32), (4, 4)])
def test_blocks_of_the_range_are_each_paths_own_and_the_rest_is_shared(base: Model, split: tuple[int, int]) -> None:
    paths = MultiPathGenerator(base.generator, NAMES, split)
    own = own_names(base.generator, split)
    first, *others = [dict(paths.path(name).named_parameters()) for name in NAMES]
    for other in others:
        assert {n for n, p in other.items() if p.data_ptr() != first[n].data_ptr()} == own
        assert all(other[n] is first[n] for n in first if n not in own)
    total = sum(p.numel() for p in base.generator.parameters())
    each = sum(p.numel() for n, p in base.generator.named_parameters() if n in own)
    assert sum(p.numel() for p in paths.parameters()) == total + (len(NAMES) - 1) * each


def test_training_one_path_leaves_the_others_own_blocks(paths: MultiPathGenerator, z: Tensor) -> None:
    before = {name: copy.deepcopy(paths.path(name)) for name in NAMES}
    own = own_names(before["men"])
    optimiser = torch.optim.SGD(paths.parameters(), lr=0.1)
    paths.path("men")(z).square().mean().backward()
    optimiser.step()
    for name in NAMES:
        old = dict(before[name].named_parameters())
        moved = {n for n, p in paths.path(name).named_parameters() if not torch.equal(p, old[n])}
        assert moved == (set(old) if name == "men" else set(old) - own) - still(paths)


def still(paths: MultiPathGenerator) -> set[str]:
    """The stored noise has weight 0 at first; everything else has a gradient."""
    return {n for n, p in paths.path("men").named_parameters() if p.grad is None or not p.grad.any()}


def test_plain_names_are_those_of_a_generator(base: Model, paths: MultiPathGenerator) -> None:
    named = dict(paths.named_parameters())
    plain = dict(base.generator.named_parameters())
    assert {paths.plain_name(n) for n in named} == set(plain)
    views = [dict(paths.path(name).named_parameters()) for name in NAMES]
    for name, p in named.items():
        assert any(view[paths.plain_name(name)] is p for view in views), name
    counts = [sum(paths.plain_name(n) == name for n in named) for name in plain]
    own = own_names(base.generator)
    assert counts == [len(NAMES) if name in own else 1 for name in plain]


def test_a_panel_has_a_discriminator_for_each(base: Model) -> None:
    assert base.discriminator is not None
    panel = DiscriminatorPanel(base.discriminator, NAMES)
    plain = dict(base.discriminator.named_parameters())
    for name, p in panel.named_parameters():
        member = panel.path(NAMES[int(name.split(".")[1])])
        assert dict(member.named_parameters())[panel.plain_name(name)] is p
    assert {panel.plain_name(n) for n, _ in panel.named_parameters()} == set(plain)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = base.discriminator(images)
    assert all(torch.equal(panel.path(name)(images), expected) for name in NAMES)
    with torch.no_grad():
        panel.path("men").final.out.bias.add_(1)
    assert torch.equal(panel.path("women")(images), expected) and torch.equal(panel.path("men")(images), expected + 1)
    assert isinstance(copy.deepcopy(panel).path("men"), Discriminator)


def test_a_deep_copy_shares_within_itself_and_not_with_the_original(paths: MultiPathGenerator) -> None:
    copied = copy.deepcopy(paths)
    a, b, original = (dict(g.named_parameters()) for g in (copied.path("women"), copied.path("men"), paths.path("men")))
    own = own_names(paths.path("men"))
    assert all((a[n] is b[n]) == (n not in own) for n in a)
    assert not {p.data_ptr() for p in copied.parameters()} & {p.data_ptr() for p in paths.parameters()}
    assert all(torch.equal(b[n], original[n]) for n in b)


def test_a_state_goes_there_and_back(base: Model, paths: MultiPathGenerator, z: Tensor) -> None:
    other = MultiPathGenerator(copy.deepcopy(make_model(seed=8, resolution=32).generator), NAMES, SPLIT)
    with torch.no_grad():
        for k, p in enumerate(paths.own.parameters()):
            p += 0.01 * k
    view = other.path("cats")
    other.load_state_dict(paths.state_dict())
    for name in NAMES:
        assert torch.equal(other.path(name)(z), paths.path(name)(z))
    assert torch.equal(view(z), paths.path("cats")(z))  # one taken before is of the same tensors
    assert not torch.equal(paths.path("women")(z), paths.path("cats")(z))


def test_a_view_moves_with_the_network(paths: MultiPathGenerator, z: Tensor) -> None:
    view = paths.path("men")
    expected = view(z)
    paths.to(torch.float64)
    assert {t.dtype for t in view.state_dict().values()} == {torch.float64} == {b.dtype for b in view.buffers()}
    assert torch.allclose(view(z.double()), expected.double(), atol=1e-4)
    paths.requires_grad_(False)
    assert not any(p.requires_grad for p in view.parameters())


@pytest.mark.parametrize(
    ("names", "split", "message"),
    [
        (NAMES, (16, 8), "cannot be split"),
        (NAMES, (8, 64), "cannot be split"),
        (NAMES, (6, 16), "cannot be split"),
        ((), SPLIT, "no list of attributes"),
        (("men", "men"), SPLIT, "no list of attributes"),
    ],
)
def test_no_such_split_and_no_such_names(
    base: Model, names: tuple[str, ...], split: tuple[int, int], message: str
) -> None:
    with pytest.raises(BadModel, match=message):
        MultiPathGenerator(base.generator, names, split)
