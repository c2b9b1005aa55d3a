"""Styles by name, and mixtures of them: ``toon3d:0.6+charcoal:0.4``.

Deep network interpolation (Wang et al. 2019, arXiv:1811.10515; for StyleGAN2 first shown by Pinkney and Adler 2020,
arXiv:2010.05334): the weights of a mixture are those of the base and, of each style, a part of what it differs by,

    base + sum_k w_k (style_k - base)

    mixture = Mixture.find("toon3d:0.6+charcoal:0.4")
    mixture.name                                        # "toon3d-0.6+charcoal-0.4", for names of files
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from ..errors import UsageError
from ..io import registry
from ..io.model_file import Header, read_header
from ..networks import Generator
from ..networks.generator import with_low_rows

PART = re.compile(r"(.+?):(\d+(?:\.\d+)?|\.\d+)(?:\+|$)")
LARGEST_WEIGHT = 1.5
"""Beyond it the weights lie so far from any that were trained that the pictures fall apart."""


@dataclass(frozen=True)
class Part:
    """One style of a mixture."""

    path: Path
    header: Header
    weight: float
    attribute: str | None = None
    """Which path of a multi-path style."""


@dataclass(frozen=True)
class Mixture:
    """Styles, the weight of each, and a name that is safe in names of files."""

    name: str
    parts: tuple[Part, ...]
    base_path: Path | None = None
    """The file of the full model that it is, which then must be the base; it has no parts."""

    @classmethod
    def find(
        cls,
        style: str | Path,
        *,
        or_base: bool = False,
        attribute: str | None = None,
        file_of: Callable[[Path | str], Path] = registry.find,
    ) -> Self:
        """Find a style by name, file or run folder, or several as ``STYLE:WEIGHT+STYLE:WEIGHT...``.

        What is a name, a file or a folder as it stands is never taken for a mixture. Weights go from 0 to 1.5 and need
        not add up to 1: one style of weight 1 is that style, weights of 0 alone are the base.

        Args:
            style: What to find.
            or_base: Take a full model too; whether it is the base is checked where it is used.
            attribute: Path of multi-path styles, e.g. ``women``; ignored by the others.
            file_of: Returns the file that a name, file or run folder stands for, or raises UsageError.

        Raises:
            UsageError: There is no such style, one is a full model, a weight is too large, or a feature swap is mixed.
        """
        try:
            path = file_of(style)
            if or_base and read_header(path).kind == "model":
                return cls(registry.name_of(path), (), path)
            return cls(registry.name_of(path), (_part(path, 1.0, attribute),))
        except UsageError:
            if not (texts := _split(str(style))):
                raise
        parts = tuple(_part(file_of(text), float(weight), attribute) for text, weight in texts)
        if len(parts) > 1 and (swapped := next((p for p in parts if p.header.swap_upto), None)):
            raise UsageError(
                f"{swapped.path.name} is a feature swap, which cannot be mixed with other styles.",
                "Make the swap with --by weights.",
            )
        return cls("+".join(f"{registry.name_of(p.path)}-{p.weight:g}" for p in parts), parts)

    @property
    def swap_upto(self) -> int:
        """The resolution through which the base draws, where it is a feature swap; else 0."""
        return self.parts[0].header.swap_upto if len(self.parts) == 1 else 0


def mixed(base: Generator, styles: Sequence[tuple[Generator, float]]) -> Generator:
    """Add to a base what styles differ from it by, each with its weight.

    One style of weight 1 is that style bit for bit, and no style, or weights of 0, is the base. Tensors that equal the
    base's are shared with it, those of one style of weight 1 with that style: nothing of the result may be changed in
    place. Where some of the styles have a mapping network of the base for their first rows (FreezeSG), so has the
    mixture, for the most rows that any has; the mapping network of the others then counts for both.

    Args:
        base: What they were fine-tuned from.
        styles: Each with its weight, all on the device of the base.
    """
    chosen = [(style, weight) for style, weight in styles if weight]
    rows = max((style.anatomy.low_rows for style, _ in chosen), default=0)
    shape = _with_rows(base, rows)
    ends = [(_with_rows(style, rows).state_dict(), weight) for style, weight in chosen]
    kept, found = base.state_dict(), {}
    for name, start in shape.state_dict().items():
        other = [(end[name], weight) for end, weight in ends if not torch.equal(end[name], start)]
        found[name] = _sum(start, other) if other else kept.get(name, start)
    tensors = [*shape.parameters(), *shape.buffers()]
    generator = copy.deepcopy(shape, {id(tensor): tensor for tensor in tensors})  # copies the modules alone
    generator.load_state_dict(found, assign=True)
    return generator.eval()


def no_style(path: Path) -> UsageError:
    """Return the error that a full model is given in a style's place."""
    return UsageError(f"{path} is a full model, not a style.", "Give the style.safetensors of a run.")


def _sum(start: Tensor, ends: Sequence[tuple[Tensor, float]]) -> Tensor:
    (first, weight), *rest = ends
    if weight == 1 and not rest:
        return first
    exact = start.double()  # rounded once, so that the order of the styles does not show
    return (exact + sum(weight * (end.double() - exact) for end, weight in ends)).to(start.dtype)


def _with_rows(generator: Generator, rows: int) -> Generator:
    return generator if generator.anatomy.low_rows or not rows else with_low_rows(generator, rows)


def _part(path: Path, weight: float, attribute: str | None) -> Part:
    header = read_header(path)
    if header.kind != "style-pack":
        raise no_style(path)
    if weight > LARGEST_WEIGHT:
        raise UsageError(f"A style cannot have the weight {weight:g}.", f"Use 0 to {LARGEST_WEIGHT:g}.")
    return Part(path, header, weight, attribute)


def _split(text: str) -> list[tuple[str, str]]:
    """Return the styles and weights that a text lists; none where it lists none."""
    found = list(PART.finditer(text))
    whole = "".join(m[0] for m in found) == text and not text.endswith("+")
    return [(m[1], m[2]) for m in found] if whole else []
