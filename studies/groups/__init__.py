r"""Groups from few drawings: the few-shot paper's comparisons as numbers, on the shared photos and drawings.

    python -m studies groups --data ../shared/data --runs runs/groups --features squeezenet.npz \
        --preset ugatit --size 64 --images 4500 --few 600 --rate 5e-4 --group-weight 1

Seven ways to draw three groups of people, each trained from each seed. Every training is a run folder below --runs that
goes on where it was when the command is called again, and what was measured of it is kept beside it; so the work can
be stopped at any time, and --page writes the page from what is there. --device cuda takes a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .page import write_page
from .study import METHODS, GroupStudy, add_options


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies groups", description=__doc__)
    add_options(parser)
    parser.add_argument("--group-weight", type=float, default=100.0, help="of the group classification")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    study = GroupStudy(options, options.group_weight)
    if not options.page:
        for seed in range(options.seeds):
            for method in METHODS:
                study.measured(method, seed)
    write_page(study, options.out)
