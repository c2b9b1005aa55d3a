"""What is installed is what the code uses: base packages and extras, and the errors that name them."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from portraitist.data.sources import open_source
from portraitist.errors import UsageError, require

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Those of the program; `docs` builds the site of the documents, in a checkout.
EXTRAS = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in ("dev", "docs")}
IMPORTED_AS = {
    "pillow": "PIL",
    "lightning-fabric": "lightning_fabric",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "python-multipart": "python_multipart",
    "pillow-heif": "pillow_heif",
    "tensorboard": "torch.utils.tensorboard",
}
USED_BY_OTHERS = {
    "python-multipart": "starlette reads forms with it",
    "onnxscript": "torch.onnx writes with it",
    "onnxruntime": "runs what was written",
}
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))


def package(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def imported(name: str) -> bool:
    module = IMPORTED_AS.get(name, name)
    return re.search(rf"^\s*(?:import|from) {re.escape(module)}\b", SOURCE, re.MULTILINE) is not None


@pytest.mark.parametrize("name", sorted(map(package, PROJECT["dependencies"])))
def test_the_code_imports_every_base_package(name: str) -> None:
    assert imported(name)


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_the_code_imports_every_package_of_an_extra(extra: str) -> None:
    names = set(map(package, EXTRAS[extra]))
    assert {name for name in names if not imported(name)} <= set(USED_BY_OTHERS)
    assert any(imported(name) for name in names)


def test_every_extra_that_an_error_names_exists_and_is_for_development_too() -> None:
    named = set(re.findall(r"portraitist\[([a-z]+)\]", SOURCE)) | set(re.findall(r'require\("[^"]+", "(\w+)"', SOURCE))
    assert "train" in named and named <= set(EXTRAS)
    development = set(PROJECT["optional-dependencies"]["dev"])
    assert {line for lines in EXTRAS.values() for line in lines} <= development


def test_what_is_missing_is_refused_with_the_command_that_brings_it() -> None:
    require("Thinking", "train", "json", "re")
    with pytest.raises(
        UsageError, match=r'Thinking needs the package nowhere\. Run pip install "portraitist\[train\]"'
    ):
        require("Thinking", "train", "json", "nowhere")


def test_an_lmdb_asks_for_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UsageError, match=r"needs the package lmdb.*portraitist\[train\]"):
        open_source(tmp_path, 64)
