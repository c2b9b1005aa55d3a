"""A folder on many machines, on the command line: which scheduler, and what cannot be read through one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import UsageError, require
from .options import opt

if TYPE_CHECKING:
    from ..stylize.cluster import Cluster
    from ..stylize.redraw import Redrawer

Address = Annotated[
    str | None, opt("Draw on the workers of this Dask scheduler, e.g. tcp://10.0.0.1:8786.", panel="Output")
]


def connected(address: str | None, load: Callable[[], Redrawer]) -> Cluster | None:
    """Return the cluster at an address; None where none is named.

    Args:
        address: Of a Dask scheduler.
        load: Loads what redraws, in a worker.

    Raises:
        UsageError: The extra is not installed.
    """
    if address is None:
        return None
    require("--cluster", "cluster", "distributed")
    from ..stylize.cluster import Cluster

    return Cluster(address, load)


def refuse_addresses(*paths: Path | str | None) -> None:
    """Refuse addresses such as ``s3://bucket/photos`` in place of folders.

    Raises:
        UsageError: One is an address.
    """
    for path in paths:
        # A path has one slash where the address that it was made of had two.
        if path is not None and (found := re.match(r"([A-Za-z][A-Za-z0-9+.]+):/", str(path))):
            raise UsageError(
                f"{path} is an address ({found[1]}), and photos are read from folders.",
                "Mount or copy it as a folder. Of a cluster, only this machine needs to see it.",
            )
