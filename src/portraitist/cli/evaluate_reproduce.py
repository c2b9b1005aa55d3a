"""``portraitist evaluate reproduce``: a way to the studies, which are beside the package and not in it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from ..errors import UsageError


def reproduce(
    context: typer.Context, paper: Annotated[str, typer.Argument(help="ui2i, cartoon-stylegan or agilegan.")]
) -> None:
    """Re-run a paper's comparison, as `python -m studies PAPER` does in a checkout of the source."""
    if find_spec("studies") is None:
        raise UsageError("The studies are not part of the package.", f"Call `python -m studies {paper}` in its source.")

    from studies import reproduction

    reproduction.main(paper, context.args)
