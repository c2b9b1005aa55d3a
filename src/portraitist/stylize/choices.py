"""What a run over photos may choose: which faces, how they are drawn and written. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..data.suffixes import WRITABLE
from ..errors import UsageError
from .names import Naming

Which = Literal["all", "largest"]


@dataclass(frozen=True)
class Options:
    """How photos are redrawn and written.

    Raises:
        UsageError: The suffix is of no format that can be written.
    """

    which: Which | int = "all"
    aligned: bool = False
    paste_back: bool = False
    sheet: bool = False
    size: int | None = None
    suffix: str = ".png"
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffix", self.suffix.lower())
        if self.suffix not in WRITABLE:
            raise UsageError(f"Pictures cannot end in '{self.suffix}'.", f"Use one of {', '.join(sorted(WRITABLE))}.")

    @property
    def naming(self) -> Naming:
        """What of them shows in the names of files."""
        return {"which": self.which, "pasted": self.paste_back, "sheet": self.sheet, "suffix": self.suffix}
