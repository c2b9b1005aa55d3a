"""``python -m studies NAME``: measure, and write a page of docs/results.

ui2i, cartoon-stylegan and agilegan re-run a paper's tables; the others each write the page of their name.
"""

from __future__ import annotations

import sys
from importlib import import_module

import torch

from portraitist.cli.main import main as command_line
from portraitist.errors import PortraitistError
from portraitist.ops import keep_heap

from . import reproduction

PAGES = (
    "recipes",
    "inversion",
    "editing",
    "surgery",
    "models",
    "groups",
    "group_weights",
    "figures",
    "growth",
    "permissive",
    "pictures",
    "painter",
    "trainings",
    "mirror",
    "video",
    "words",
    "animate",
    "gallery",
    "translators",
)


def main(arguments: list[str]) -> int:
    """Run a study; return the exit code."""
    name = arguments[0] if arguments else ""
    try:
        if name in reproduction.PAPERS:
            sys.argv[1:] = ["evaluate", "reproduce", name, *arguments[1:]]
            command_line()
        elif name in PAGES:
            keep_heap()
            torch.set_num_threads(1)
            import_module(f".{name}", __package__).main(arguments[1:])
        else:
            print(f"usage: python -m studies {{{','.join((*reproduction.PAPERS, *PAGES))}}} ...", file=sys.stderr)
            return 0 if name in ("-h", "--help") else 2
    except PortraitistError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
