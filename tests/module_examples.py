"""What the examples of module docstrings stand on: files in a folder, and values by name.

An example may use the names of its module, those that any module of the program defines, and the values that
:data:`VALUES` makes, such as ``photos``. :data:`SETUP` is run before the example of a single module.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.data import astronaut

import portraitist
from portraitist.data import ImageSet, write_image
from portraitist.faces import Landmarks, align
from portraitist.io import registry
from portraitist.io.model_file import save_model, save_pack
from portraitist.io.translator_files import save_translator
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.encoder import new_encoder, small
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from tests.conftest import make_model, restyled, smooth_pictures
from tests.io import encoder_makers, foreign_files
from tests.stylize.test_translate import stored

MODULES = [m.name for m in pkgutil.walk_packages(portraitist.__path__, "portraitist.") if "__main__" not in m.name]


def blocks(docstring: str) -> list[str]:
    """Return the paragraphs of a docstring that are Python and call something."""
    found: list[str] = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        text = textwrap.dedent(paragraph)
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        if any(isinstance(node, ast.Call) for node in ast.walk(tree)):
            found.append(text)
    return found


EXAMPLES = {
    name: found for name in MODULES if (doc := importlib.import_module(name).__doc__) and (found := blocks(doc))
}
NOT_RUN: dict[str, str] = {"portraitist.edit.measure": "slow", "portraitist.web": "serves until it is interrupted"}
SETUP: dict[str, str] = {}


def prepare(folder: Path) -> None:
    """Write the files that examples name."""
    photo = np.asarray(astronaut())
    for name in ("me.jpg", "sunset.png", "photos/one.jpg"):
        write_image(folder / name, photo)
    for name in ("drawings", "my-drawings"):
        smooth_pictures(folder / name)
    save_model(folder / "faces.safetensors", base())
    save_pack(folder / "toon.safetensors", {"women": style(), "men": restyled(base(), "men", 2)}, base())
    save_translator(folder / "translator.safetensors", stored(("women", "men")))
    save_translator(folder / "runs/groups/translator.safetensors", stored(("women", "men")))


@cache
def base() -> Any:
    return make_model(name="tiny")


@cache
def style() -> Any:
    return restyled(base(), "wild")


def tensors(seed: int = 0, count: int = 6, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def arrays(seed: int = 0, count: int = 4, side: int = 256) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def aligned() -> Any:
    points = Landmarks.from_points([(195.0, 108.0), (248.0, 106.0), (223.0, 135.0), (200.0, 160.0), (246.0, 159.0)])
    return align(np.asarray(astronaut()), points, 256)


VALUES: dict[str, Callable[[], Any]] = {
    "aligned": aligned,
    "anatomy": lambda: base().generator.anatomy,
    "base": base,
    "code": lambda: base().generator.map(portraitist.Z(torch.randn(1, 16))),
    "codes": lambda: base().generator.map(portraitist.Z(torch.randn(40, 16))),
    "drawings": lambda: tensors(1),
    "encoder": lambda: new_encoder(small(base().generator.anatomy, "hvae"), base().generator).eval(),
    "exemplars": lambda: tensors(2),
    "faces": lambda: base().generator,
    "features": lambda: DiscriminatorFeatures(base().discriminator),
    "flips": lambda: torch.zeros(2, dtype=torch.bool),
    "generator": lambda: base().generator,
    "held_out": lambda: tensors(3),
    "identity": lambda: DiscriminatorIdentity.of_base(base().generator, base().discriminator),
    "images": lambda: tensors(),
    "indices": lambda: torch.arange(2),
    "mean": lambda: base().generator.mean,
    "model": base,
    "on_step": lambda: lambda *told: None,
    "outputs": lambda: tensors(5),
    "perceptual": lambda: PerceptualDistance(DiscriminatorFeatures(base().discriminator)),
    "photo": lambda: np.asarray(astronaut()),
    "photos": lambda: tensors(6, 2),
    "pictures": lambda: tensors(7),
    "redrawn": lambda: arrays(1, 1)[0],
    "registry": lambda: registry,
    "samples": lambda: tensors(4),
    "stored": lambda: stored(("women", "men")),
    "style": style,
    "toon": lambda: style().generator,
    "torch": lambda: torch,
    "train": lambda: tensors(8),
    "x": lambda: tensors(9),
    "z": lambda: torch.randn(2, 16),
}
_ = (ImageSet, encoder_makers, foreign_files)


@cache
def defined() -> dict[str, Any]:
    """Return the names that modules of the program define; of two with one name the first in the alphabet."""
    found: dict[str, Any] = {}
    for name in MODULES:
        for key, value in vars(importlib.import_module(name)).items():
            if getattr(value, "__module__", None) == name and not key.startswith("_"):
                found.setdefault(key, value)
    return found


def execute(name: str) -> None:
    """Run the examples of a module in the present folder."""
    names: dict[str, Any] = {"__name__": name, "Path": Path, "tests": importlib.import_module("tests")}
    if name in SETUP:
        run(SETUP[name], names, vars(importlib.import_module(name)))
    for block in EXAMPLES[name]:
        run(block, names, vars(importlib.import_module(name)))


def run(block: str, names: dict[str, Any], module: dict[str, Any]) -> None:
    """Run a block after its free names were looked up."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in names:
            if (
                node.id in VALUES
                and not inspect.isroutine(module.get(node.id))
                and not inspect.isclass(module.get(node.id))
            ):
                names[node.id] = VALUES[node.id]()
            elif node.id in module or node.id in defined():
                names[node.id] = module.get(node.id, defined().get(node.id))
            elif not hasattr(builtins, node.id):
                continue  # assigned in the block, or an error when it runs
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(block, names["__name__"], "exec"), names)
