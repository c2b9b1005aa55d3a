"""Build the wheel, install it into clean environments of each Python, and draw a portrait with it.

    python scripts/check_wheel.py                                  # every Python that is here
    python scripts/check_wheel.py --torch torch==2.13.0+cpu        # which PyTorch goes in first
    python scripts/check_wheel.py --environments build/clean       # keep the environments, and use them again

Ends with an error where a step fails, or where the package and what it needs beside PyTorch is larger than the budget.
A Python that is not here is named and left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
BUDGET = 150
"""Megabytes that an installation may take beside PyTorch and what PyTorch needs."""
WHEEL_BUDGET = 60
"""Megabytes of the wheel itself: bases, encoders, styles with their painters, and what the offline page runs on."""
# Runs inside the environment; prints the bytes of each distribution that PyTorch does not bring, largest first.
SIZES = r"""
import json, re
from importlib.metadata import distribution, distributions, PackageNotFoundError
norm = lambda name: re.sub(r"[-_.]+", "-", name).lower()
def needs(name, seen):
    if name in seen: return seen
    try: found = distribution(name)
    except PackageNotFoundError: return seen
    seen.add(name)
    for line in found.requires or ():
        if "extra ==" not in line: needs(norm(re.match(r"[\w.-]+", line)[0]), seen)
    return seen
own, torch = needs("portraitist", set()), needs("torch", set())
size = lambda d: sum(f.locate().stat().st_size for f in d.files or () if f.locate().is_file() and f.suffix != ".pyc")
found = {norm(d.metadata["Name"]): size(d) for d in distributions()}
print(json.dumps({"beside": {n: found[n] for n in sorted(own - torch, key=lambda n: -found[n])},
                  "torch": sum(found[n] for n in torch)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help=f"a version (default: {', '.join(PYTHONS)})")
    parser.add_argument("--torch", default="", help="requirement to install first, for instance torch==2.13.0+cpu")
    parser.add_argument("--budget", type=float, default=BUDGET, help="megabytes beside PyTorch (default: %(default)s)")
    parser.add_argument("--environments", type=Path, help="folder to keep the environments in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build(Path(temporary))
        tried = 0
        for version in options.python or PYTHONS:
            python = interpreter(version)
            if python is None:
                print(f"Python {version} is not here: left out.")
                continue
            folder = (options.environments or Path(temporary)) / version
            check(install(python, folder, wheel, options.torch), folder, options.budget)
            tried += 1
    if not tried:
        raise SystemExit("None of these Pythons is here.")


def build(folder: Path) -> Path:
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # what was removed since would still be packed
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.1f} MB")
    if size > WHEEL_BUDGET:
        raise SystemExit(f"The wheel is larger than {WHEEL_BUDGET} MB.")
    return wheel


def interpreter(version: str) -> str | None:
    """A Python of this version: this one, one on the path, or one that pyenv installed."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(places[-1]) if places else shutil.which(f"python{version}")


def install(python: str, folder: Path, wheel: Path, torch: str) -> Path:
    """Make the environment, or bring a kept one up to date, and return its Python."""
    inside = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not inside.exists():
        run(python, "-m", "venv", folder)
    pip = (inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
    if torch:
        run(*pip, torch)
    run(*pip, wheel)
    run(*pip, "--force-reinstall", "--no-deps", wheel)
    return inside


def check(python: Path, folder: Path, budget: float) -> None:
    """Draw a portrait, ask for what is not installed, and weigh."""
    program = python.with_name("portraitist")
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    run(program, "sample", "faces", "--seeds", "3", "-o", "drawn", cwd=work)
    (face,) = (work / "drawn").glob("seed*.png")
    run(program, "stylize", face, "--style", "toon3d", "-o", "out", "--paste-back", cwd=work)
    if not list((work / "out").glob("*.png")):
        raise SystemExit("No portrait was drawn.")
    asked = subprocess.run(
        [str(program), "train", "drawn", "-o", "run", "--images", "1"],
        capture_output=True,
        text=True,
        cwd=work,
        check=False,
    )
    if asked.returncode != 2 or "portraitist[train]" not in asked.stderr:
        raise SystemExit(f"Training without its extra ended with {asked.returncode}: {asked.stderr}")
    sizes = json.loads(run(python, "-c", SIZES))
    beside = sum(sizes["beside"].values()) / 1e6
    version = run(python, "-V").strip()
    largest = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in list(sizes["beside"].items())[:8])
    print(f"{version}: a portrait was drawn; {beside:.0f} MB beside PyTorch's {sizes['torch'] / 1e6:,.0f} ({largest})")
    if beside > budget:
        raise SystemExit(f"{beside:.0f} MB are more than the budget of {budget:.0f}.")


def run(*words: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
