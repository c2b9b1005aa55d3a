"""Networks with a path per attribute: generators that share all but a range of blocks, and a discriminator for each.

Song et al. 2021, "AgileGAN", Sec. 3.3: the blocks in the middle of the generator exist once per attribute, and each
path plays against a discriminator of its own.

    paths = MultiPathGenerator(base, ("women", "men"), split=(8, 64))
    image = paths.path("men")(z)            # a plain generator that shares its parameters with the others
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from ..errors import BadModel
from .anatomy import resolutions
from .discriminator import Discriminator
from .generator import Generator

M = TypeVar("M", bound=nn.Module)


class MultiPathGenerator(nn.Module):
    """One generator per attribute; the blocks of a range of resolutions are each path's own, the rest is shared."""

    def __init__(self, base: Generator, names: Sequence[str], split: tuple[int, int]) -> None:
        """Give each path a copy of the blocks of a base.

        Args:
            base: Becomes the shared part.
            names: The attributes, each once.
            split: First and last resolution of the blocks that each path has for itself.

        Raises:
            BadModel: There is no such range, or no path.
        """
        super().__init__()
        first, last = split
        if not set(split) <= set(base.anatomy.resolutions) or first > last:
            raise BadModel(f"A generator with blocks of {base.anatomy.resolutions} cannot be split from {split}.")
        if not names or len(set(names)) != len(names):
            raise BadModel(f"{list(names)} is no list of attributes.", "Name each once.")
        self.names, self.anatomy = tuple(names), base.anatomy
        self.range = resolutions(last, first)
        taken = {str(r): base.synthesis.blocks[str(r)] for r in self.range}
        self.shared = _shell(base)
        self.shared.synthesis = _shell(base.synthesis)
        self.shared.synthesis.blocks = nn.ModuleDict({r: b for r, b in base.synthesis.blocks.items() if r not in taken})
        self.own = nn.ModuleList([nn.ModuleDict(copy.deepcopy(taken)) for _ in names])

    def path(self, name: str) -> Generator:
        """Return the generator of one attribute: a view, which trains and moves with this network."""
        own = self.own[self.names.index(name)]
        assert isinstance(own, nn.ModuleDict)
        view = _shell(self.shared)
        view.synthesis = _shell(self.shared.synthesis)
        blocks = {**self.shared.synthesis.blocks, **own}
        view.synthesis.blocks = nn.ModuleDict(
            {str(b.resolution): blocks[str(b.resolution)] for b in self.anatomy.blocks}
        )
        return view

    def plain_name(self, parameter: str) -> str:
        """Return the name that a parameter has in the generator of its path."""
        owner, _, rest = parameter.partition(".")
        return rest if owner == "shared" else f"synthesis.blocks.{rest.partition('.')[2]}"


class DiscriminatorPanel(nn.Module):
    """One discriminator per attribute."""

    def __init__(self, base: Discriminator, names: Sequence[str]) -> None:
        super().__init__()
        self.names, self.anatomy = tuple(names), base.anatomy
        self.members = nn.ModuleList([copy.deepcopy(base) for _ in names])

    def path(self, name: str) -> Discriminator:
        """Return the discriminator of one attribute."""
        member = self.members[self.names.index(name)]
        assert isinstance(member, Discriminator)
        return member

    def plain_name(self, parameter: str) -> str:
        """Return the name that a parameter has in its discriminator."""
        return parameter.split(".", 2)[2]


def _shell(module: M) -> M:
    """Return a module with the same parameters, buffers and children, whose children can be exchanged."""
    shell = copy.copy(module)  # parameters and buffers stay in one place: what replaces one there does so for both
    shell.__dict__["_modules"] = dict(module.__dict__["_modules"])
    return shell
