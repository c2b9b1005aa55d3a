"""Write the pages and build the site.

python -m manual -o out/site
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from portraitist.errors import PortraitistError

from .build import build


def main(arguments: list[str]) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m manual", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/site"), help="folder of the site; it is replaced")
    parser.add_argument("--people", type=int, default=24, help="people in the gallery of each style")
    asked = parser.parse_args(arguments)
    try:
        print(build(asked.out, asked.people))
    except PortraitistError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
