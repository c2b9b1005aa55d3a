"""A folder on many machines, on the command line: which scheduler, and what cannot be read through one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from ..errors import require
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
