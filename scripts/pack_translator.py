"""Put the translator that a study of groups has trained into the package: what draws alone, in half precision.

python -m studies group_weights --preset default --transposed --size 128 --images 8000 --few 300 --rate 5e-4 ...
python -m scripts.pack_translator RUNS/toon3d-default-128-.../0/300-1-0.0001/ours --name toon3d-groups

Or one that `translate train` has trained for everybody:

portraitist translate train faces/ --group women --group men --group elderly --identity mobilefacenet.pt -o RUN ...
python -m scripts.pack_translator RUN --name charcoal-portrait --description "charcoal, ink and graphite portraits ..."
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from portraitist.io import registry
from portraitist.io.catalogue import bundled_folder
from portraitist.io.translator_files import load_translator, save_translator, without_trainers
from scripts.make_models import ARTFLOW, PHOTOS


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a translator, or its file")
    parser.add_argument("--name", required=True)
    parser.add_argument("--description", default="3-D cartoon heads in one pass, a branch for women, men and children")
    parser.add_argument("--out", type=Path, default=bundled_folder())
    options = parser.parse_args(arguments)
    stored = without_trainers(load_translator(options.run))
    header = replace(
        stored.header,
        name=options.name,
        description=options.description,
        licence="CC-BY-NC-SA-4.0",
        credit=f"{ARTFLOW}. Photos: {PHOTOS}",
    )
    path = options.out / f"{options.name}.safetensors"
    save_translator(path, replace(stored, header=header), half=True, overwrite=True)
    registry.record_digest(path.resolve())
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
