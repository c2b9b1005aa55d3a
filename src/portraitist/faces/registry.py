"""Face finders by name, for ``--detector``: a new one is a class in a file of its own and an entry here.

finder = finder_named("blazeface")
"""

from __future__ import annotations

from collections.abc import Callable

from portraitist.errors import UsageError
from portraitist.faces.detect import BlazeFinder, FaceFinder

FINDERS: dict[str, Callable[[], FaceFinder]] = {"blazeface": BlazeFinder}
"""Name -> what makes the finder; the first is the default."""


def finder_named(name: str = "") -> FaceFinder:
    """Return a finder by name; the default one when empty.

    Raises:
        UsageError: There is no finder of this name.
    """
    name = name or next(iter(FINDERS))
    if name not in FINDERS:
        raise UsageError(f"There is no face detector '{name}'.", f"Use {' or '.join(FINDERS)}.")
    return FINDERS[name]()
