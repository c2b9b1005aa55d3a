"""Drawing a portrait loads what draws: neither trainings nor statistics nor reports."""

from __future__ import annotations

import subprocess
import sys

DRAWING = {
    "_version",
    "data",
    "detail",
    "edit",
    "errors",
    "faces",
    "files",
    "invert",
    "io",
    "lazy",
    "losses",
    "networks",
    "ops",
    "spaces",
}
DRAWING |= {"stylize", "surgery"}


def test_a_stylizer_loads_only_what_draws() -> None:
    program = (
        "import sys; from portraitist import Stylizer; print(*sys.modules)\n"
        "Stylizer.load(['toon3d']); print(*[name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    imported, compiler = done.stdout.splitlines()
    assert compiler == ""  # to load a style needs no compiler
    loaded = [name for name in imported.split() if name.startswith("portraitist.")]
    assert {name.split(".")[1] for name in loaded} <= DRAWING
    assert len(loaded) < 102  # three of them choose paths
    assert not {"matplotlib", "sklearn", "tensorboard"} & set(imported.split())
