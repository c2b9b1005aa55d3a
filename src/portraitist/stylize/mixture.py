"""Styles by name, and mixtures of them: ``toon3d:0.6+charcoal:0.4``. Finding them needs no PyTorch.

``interpolation`` makes the networks of a mixture.

    mixture = Mixture.find("toon3d:0.6+charcoal:0.4")
    mixture.name                                        # "toon3d-0.6+charcoal-0.4", for names of files
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ..errors import UsageError
from ..io import catalogue
from ..io.headers import AUTO, Header, read_header

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
    """Which path of a multi-path style; None or ``auto`` where each face chooses."""


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
        file_of: Callable[[Path | str], Path] = catalogue.find,
    ) -> Self:
        """Find a style by name, file or run folder, or several as ``STYLE:WEIGHT+STYLE:WEIGHT...``.

        What is a name, a file or a folder as it stands is never taken for a mixture. Weights go from 0 to 1.5 and need
        not add up to 1: one style of weight 1 is that style, weights of 0 alone are the base.

        Args:
            style: What to find.
            or_base: Take a full model too; whether it is the base is checked where it is used.
            attribute: Path of multi-path styles, e.g. ``women``; each face chooses where it is None or ``auto``. The
                others ignore it.
            file_of: Returns the file that a name, file or run folder stands for, or raises UsageError.

        Raises:
            UsageError: There is no such style, one is a full model, a weight is too large, or a feature swap is mixed.
        """
        try:
            path = file_of(style)
            if or_base and read_header(path).kind == "model":
                return cls(catalogue.name_of(path), (), path)
            return cls(catalogue.name_of(path), (_part(path, 1.0, attribute),))
        except UsageError:
            if not (texts := _split(str(style))):
                raise
        parts = tuple(_part(file_of(text), float(weight), attribute) for text, weight in texts)
        if len(parts) > 1 and (swapped := next((p for p in parts if p.header.swap_upto), None)):
            raise UsageError(
                f"{swapped.path.name} is a feature swap, which cannot be mixed with other styles.",
                "Make the swap with --by weights.",
            )
        return cls("+".join(f"{catalogue.name_of(p.path)}-{p.weight:g}" for p in parts), parts)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The paths among which each face chooses; none where there are none, or one is named.

        Raises:
            UsageError: Two styles of a mixture have different paths.
        """
        found = {part.header.paths for part in self.parts if part.header.paths and part.attribute in (None, AUTO)}
        if len(found) > 1:
            raise UsageError(f"The styles of '{self.name}' have different paths.", "Name one with --attribute.")
        return found.pop() if found else ()

    def along(self, path: str) -> Self:
        """Return it with this path of the styles whose path is undecided."""
        return replace(
            self, parts=tuple(replace(p, attribute=path) if p.attribute in (None, AUTO) else p for p in self.parts)
        )

    @property
    def swap_upto(self) -> int:
        """The resolution through which the base draws, where it is a feature swap; else 0."""
        return self.parts[0].header.swap_upto if len(self.parts) == 1 else 0


def default_styles(attribute: str | None) -> list[str]:
    """Return the names of the styles inside the package that can draw; of the user's where it holds none.

    Of several bases, those of the base with most styles: styles are drawn together from one base's codes. A style with
    a path per attribute takes part where it has a path of the one that is asked for, or where each face is to choose
    (``auto``).
    """
    styles = [e for e in catalogue.entries() if e.header.kind == "style-pack"]
    known = [e for e in styles if not e.header.paths or attribute in (*e.header.paths, AUTO)]
    offered = [e for e in known if e.where == "bundled"] or known
    return of_commonest_base({e.name: e.header for e in offered})


def of_commonest_base(headers: Mapping[str, Header]) -> list[str]:
    """Return the names of the styles of the base that most of them have, which can be drawn together."""
    commonest = Counter(header.base_digest for header in headers.values()).most_common(1)
    return [name for name, header in headers.items() if header.base_digest == commonest[0][0]]


def no_style(path: Path) -> UsageError:
    """Return the error that a full model is given in a style's place."""
    return UsageError(f"{path} is a full model, not a style.", "Give the style.safetensors of a run.")


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
