"""The examples hold: the Python of README and docs runs, and module docstrings call what there is, as it is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from portraitist.data import write_image
from portraitist.io import registry
from portraitist.io.model_file import save_model
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.io.translator_files import FILE, save_translator
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.networks.painter import PainterAnatomy, new_painter
from tests.conftest import REPOSITORY, make_model
from tests.module_examples import EXAMPLES, NOT_RUN, SETUP, execute, prepare
from tests.stylize.test_translate import stored

INDENTED = re.compile(r"^( {4}from portraitist.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEXTS = {
    p.relative_to(REPOSITORY).as_posix(): p.read_text("utf-8")
    for p in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"))
}
BLOCKS = {name: [*FENCED.findall(text), *map(textwrap.dedent, INDENTED.findall(text))] for name, text in TEXTS.items()}


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """What looks at pictures in documents; the base draws many faces for its face embedder."""
    base = registry.load("faces")
    discriminator = base.require_discriminator("to look with")
    return {
        "features": DiscriminatorFeatures(discriminator),
        "identity": DiscriminatorIdentity.of_base(base.generator, discriminator),
    }


@pytest.mark.recipe
@pytest.mark.parametrize("name", sorted(name for name, found in BLOCKS.items() if found))
def test_the_python_of_a_document_runs(
    name: str, networks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for picture in ("me.jpg", "sunset.png"):
        write_image(tmp_path / picture, np.asarray(astronaut()))
    save_translator(tmp_path / "runs" / "all" / FILE, stored(("women", "men")))
    painter = StoredPainter(new_painter(PainterAnatomy()), PainterHeader(PainterAnatomy()))
    save_painter(tmp_path / "runs" / "painter" / "painter.safetensors", painter)
    for checkpoint in ("ffhq256", "toonify"):
        save_model(tmp_path / f"{checkpoint}.safetensors", make_model(len(checkpoint), checkpoint))
    pictures = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    names = networks | {"pictures": pictures, "exemplars": pictures.flip(0) * 0.5}
    random = np.random.default_rng(0)
    for name_of_set in ("photos", "drawings", "unseen", "mirrored"):
        names[name_of_set] = random.integers(0, 256, (4, 256, 256, 3), dtype=np.uint8)
    for block in BLOCKS[name]:
        exec(compile(block, name, "exec"), names)


@pytest.mark.recipe
@pytest.mark.parametrize("name", sorted(p.name for p in (REPOSITORY / "examples").glob("*.py")))
def test_an_example_runs_cell_by_cell(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are scripts with cells: a notebook would need a kernel and its sixty packages to be tried."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "examples" / name).read_text("utf-8")
    cells = text.split("# %%")
    names: dict[str, Any] = {}
    assert len(cells) > 3
    for cell in cells[1:]:
        exec(compile(f"#{cell}", name, "exec"), names)
    assert list(tmp_path.glob("*.png"))


def calls(blocks: list[str]) -> Iterator[ast.Call]:
    """Yield the calls of blocks of Python."""
    for block in blocks:
        yield from (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call))


def called(call: ast.Call, module: Any) -> Any:
    """Return the function or class of a call, where it belongs to a module or to what that imports; else None."""
    found = module
    for part in ast.unparse(call.func).split("."):
        found = getattr(found, part, None)
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_module_calls_functions_as_they_are(name: str) -> None:
    module = importlib.import_module(name)
    for call in calls(EXAMPLES[name]):
        function = called(call, module)
        ours = (getattr(function, "__module__", None) or "").startswith("portraitist")
        if not ours or any(isinstance(x, ast.Starred) for x in call.args) or any(k.arg is None for k in call.keywords):
            continue
        inspect.signature(function).bind(*call.args, **{k.arg: k.value for k in call.keywords if k.arg})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    prepare(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in NOT_RUN])
def test_the_example_of_a_module_runs(name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    execute(name)


def test_examples_are_found() -> None:
    assert len(BLOCKS["README.md"]) >= 1 and len(EXAMPLES) > 120
    # One that is left out, or prepared for, without an example was forgotten here.
    assert NOT_RUN.keys() | SETUP.keys() <= EXAMPLES.keys() and not NOT_RUN.keys() & SETUP.keys()
    assert len(NOT_RUN) < len(EXAMPLES) * 0.55
    checked = [c for name, text in EXAMPLES.items() for c in calls(text) if called(c, importlib.import_module(name))]
    assert len(checked) > 60
