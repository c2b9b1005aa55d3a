"""What readers and writers of foreign checkpoints share: networks, and tables of names used both ways.

A table is a list of :class:`Name`, one per tensor, made from an anatomy. Reading walks it from their names to ours,
writing from ours to theirs, so the two directions cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..errors import BadModel
from ..networks import Discriminator, Generator

AnyModule = TypeVar("AnyModule", bound=nn.Module)
AnyAnatomy = TypeVar("AnyAnatomy")
AnyNetwork = TypeVar("AnyNetwork")
OTHER_KIND = "Only plain StyleGAN2 networks can be read (skip generator, residual discriminator, no labels)."


@dataclass(frozen=True)
class Networks:
    """What a checkpoint holds for this package."""

    generator: Generator | None
    discriminator: Discriminator | None = None
    notes: dict[str, str] = field(default_factory=dict)
    """What the reader had to choose or leave out, by keyword; for people."""


@dataclass(frozen=True)
class Name:
    """One tensor under both names; theirs may have further axes of size 1 around ours."""

    ours: str
    theirs: str
    before: int = 0
    after: int = 0

    def give(self, tensor: Tensor) -> Tensor:
        """Return a copy of our tensor in their shape."""
        wide = tensor.detach().reshape((1,) * self.before + tuple(tensor.shape) + (1,) * self.after)
        return wide.to("cpu", torch.float32).contiguous().clone()


def named(tree: object, keys: Sequence[str], kind: type[AnyNetwork]) -> dict[str, AnyNetwork]:
    """Return the networks of a pickle by name: all in a dictionary, all in a row, or the last of them alone.

    Args:
        tree: What the pickle holds.
        keys: Their names, in the order of the row.
        kind: The class of a network; an entry that is None is absent, and with one of another class nothing is found.
    """
    if isinstance(tree, kind):
        tree = {keys[-1]: tree}
    elif isinstance(tree, tuple | list) and len(tree) == len(keys):
        tree = dict(zip(keys, tree, strict=True))
    entries = tree if isinstance(tree, Mapping) else {}
    found = {key: entries[key] for key in keys if entries.get(key) is not None}
    return found if all(isinstance(entry, kind) for entry in found.values()) else {}


def leave_out(notes: dict[str, str], found: Iterable[object], taken: Collection[str]) -> None:
    """Note which entries of a file are not read."""
    if rest := sorted({str(key) for key in found} - set(taken)):
        notes["left_out"] = f"Not read: {', '.join(rest[:20])}{', ...' if len(rest) > 20 else ''}."


def build(
    kind: Callable[[AnyAnatomy], AnyModule],
    anatomy: AnyAnatomy,
    theirs: Mapping[str, Tensor],
    names: Sequence[Name],
    what: str,
    cure: str = OTHER_KIND,
) -> AnyModule:
    """Build a network from their tensors; every one must be there, fit, be finite, and none may be left over.

    Args:
        kind: The network's class.
        anatomy: Its sizes.
        theirs: Tensors under their names, filters left out.
        names: The table.
        what: Which network of which file, for messages.
        cure: What could be read, for messages.

    Raises:
        BadModel: Naming the tensors that are missing, unknown, of another shape or not finite.
    """
    with torch.device("meta"):  # sizes first: a wrong file must not make us ask for memory
        sizes = {name: tuple(value.shape) for name, value in kind(anatomy).state_dict().items()}
    wanted = {n.theirs: (1,) * n.before + sizes[n.ours] + (1,) * n.after for n in names}
    _refuse(what, "lacks", [name for name in wanted if name not in theirs], cure)
    _refuse(what, "holds unknown tensors:", [name for name in theirs if name not in wanted], cure)
    wrong = [f"{n} {tuple(theirs[n].shape)} instead of {s}" for n, s in wanted.items() if theirs[n].shape != s]
    _refuse(what, "has tensors of other shapes:", wrong, cure)
    _refuse(what, "holds NaN or infinity in", [name for name in wanted if not theirs[name].isfinite().all()], cure)
    with torch.random.fork_rng(devices=[]):  # reading must not advance the random numbers of a seeded program
        module = kind(anatomy)
    module.load_state_dict({n.ours: theirs[n.theirs].reshape(sizes[n.ours]).float() for n in names})
    return module.eval()


def under_their_names(module: nn.Module, names: Sequence[Name]) -> dict[str, Tensor]:
    """Return copies of all tensors of our module under their names and in their shapes.

    Raises:
        BadModel: The module has a second mapping network, which no other layout knows.
    """
    if isinstance(module, Generator) and module.low_mapping is not None:
        raise BadModel(
            f"The first {module.anatomy.low_rows} rows of this generator have a mapping network of their own "
            "(FreezeSG), which only a native file can hold.",
            "Write a .safetensors.",
        )
    ours = module.state_dict()
    assert {name.ours for name in names} == set(ours), "the table must cover the module"
    return {name.theirs: name.give(ours[name.ours]) for name in names}


def tensors_of(state: object, what: str) -> dict[str, Tensor]:
    """Check that a value read from a file is a state dict, and drop the prefix that data-parallel training leaves."""
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BadModel(f"{what} is not a dictionary of tensors.", "Is this a StyleGAN2 checkpoint?")
    prefix = "module."
    wrapped = bool(state) and all(str(name).startswith(prefix) for name in state)
    return {str(name)[len(prefix) * wrapped :]: value for name, value in state.items()}


def size_of(state: Mapping[str, Tensor], name: str, axis: int, what: str, cure: str = OTHER_KIND) -> int:
    """Return the length of one axis of a tensor that the anatomy is read from; ``cure`` says what could be read."""
    if name not in state or state[name].ndim <= axis:
        raise BadModel(f"{what} lacks {name}.", cure)
    return int(state[name].shape[axis])


def group_channels(inputs: int, outputs: int, what: str) -> int:
    """Return how many channels of the discriminator's last convolution hold the minibatch deviation."""
    extra = inputs - outputs
    if extra < 0 or (extra and outputs % extra):
        raise BadModel(f"{what} has a last convolution of {inputs} by {outputs} channels.", OTHER_KIND)
    return extra


def without_filters(
    state: Mapping[str, Tensor], filters: Mapping[str, float], what: str, endings: Collection[str]
) -> dict[str, Tensor]:
    """Drop the stored resampling filters after checking that they are the ones this package computes with.

    Args:
        state: Tensors under their names.
        filters: Names of filters and their sums.
        what: For messages.
        endings: Last parts of names that mark a filter.
    """
    rest = {}
    for name, value in state.items():
        if not name.endswith(tuple(endings)):
            rest[name] = value
        elif not _is_filter(value, filters.get(name, 1.0)):
            raise BadModel(f"{what} resamples with another filter than 1,3,3,1 ({name}).", OTHER_KIND)
    return rest


def filter_plane(total: float = 1.0) -> Tensor:
    """Return the filter 1,3,3,1 as other programs store it, [4, 4], with the sum ``total``."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    plane = torch.outer(row, row)
    return plane / plane.sum() * total


def _is_filter(value: Tensor, total: float) -> bool:
    return tuple(value.shape) == (4, 4) and torch.allclose(value.float(), filter_plane(total), atol=1e-5)


def _refuse(what: str, how: str, names: Sequence[str], cure: str) -> None:
    if names:
        shown = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise BadModel(f"{what} {how} {shown}.", cure)
