"""``portraitist export``: files for other programs, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portraitist.io.model_file import Model, save_model
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.io.translator_files import StoredTranslator, described, load_translator, save_translator
from portraitist.networks.branches import BranchedTranslator, TranslatorSystem
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.networks.translator_anatomy import ugatit
from tests.cli.conftest import Run

TINY = PainterAnatomy((4, 4, 4), 0, 5.0)


@pytest.fixture
def painter(tmp_path: Path) -> Path:
    stored = StoredPainter(new_painter(TINY).eval(), PainterHeader(TINY, side=32, name="mine"))
    return save_painter(tmp_path / "p.safetensors", stored)


@pytest.fixture
def translator(tmp_path: Path) -> Path:
    anatomy = ugatit(16, 4, light=True)
    there, back = (BranchedTranslator(anatomy, ("women", "men")) for _ in range(2))
    system = TranslatorSystem(there, back).eval()
    return save_translator(tmp_path / "t.safetensors", StoredTranslator(system, described(system, None)))


def test_a_file_and_how_it_compares(
    run: Run, painter: Path, tmp_path: Path, models_folder: Path, tiny_model: Model
) -> None:
    pytest.importorskip("onnxruntime", reason="needs portraitist[export]")
    save_model(models_folder / "faces.safetensors", tiny_model)
    out = tmp_path / "p.onnx"
    code, lines, told = run("export", painter, "-o", out)
    assert code == 0 and lines == [str(out)] and out.is_file()
    assert told.startswith("painter, opset 20, ") and "differs from PyTorch by" in told
    code, _, told = run("export", painter, "-o", out)
    assert code == 2 and "exists" in told


def test_files_of_other_programs(run: Run, translator: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "u.pt", tmp_path / "u.safetensors"
    code, _, told = run("export", translator, "-o", theirs)
    assert code == 2 and "women, men" in told
    assert run("export", translator, "-o", theirs, "--group", "men")[1] == [str(theirs)]
    assert run("translate", "import", theirs, "-o", ours, "--size", 16, "--group", "men", "--name", "back")[0] == 0
    mine, again = load_translator(translator), load_translator(ours)
    assert again.header.name == "back" and again.header.lineage == [{"converted": {"format": "ugatit"}}]
    x = torch.zeros(1, 3, 16, 16)
    assert torch.equal(mine.system.to_drawing(x, "men").image, again.system.to_drawing(x, "men").image)
    code, _, told = run("translate", "import", theirs, "-o", ours)
    assert code == 2 and "exists" in told
    slim = tmp_path / "slim.safetensors"
    assert run("export", translator, "-o", slim, "--half")[0] == 0
    assert slim.stat().st_size < ours.stat().st_size / 1.5
    code, _, told = run("export", translator, "-o", tmp_path / "m.onnx", "--group", "kids")
    assert code == 2 and "no group 'kids'" in told


def test_what_is_wrong_is_said(run: Run, painter: Path, translator: Path, tmp_path: Path) -> None:
    for words, part in {
        (painter, "-o", tmp_path / "x.gif"): "x.gif",
        (painter, "-o", tmp_path / "x.onnx", "--half"): "half precision",
        (painter, "-o", tmp_path / "x.onnx", "--identity", painter): "Add --int8",
        (painter, "-o", tmp_path / "x.safetensors", "--int8"): "--int8 is of .onnx files",
        (painter, "-o", tmp_path / "x.safetensors", "--size", "64"): "--size is of .onnx files",
        (painter, "-o", tmp_path / "x.pt"): "written of translators",
        (translator, "-o", tmp_path / "x.safetensors", "--group", "women"): "keeps all groups",
        (tmp_path / "none", "-o", tmp_path / "x.onnx"): "no model",
    }.items():
        code, _, told = run("export", *words)
        assert code == 2 and part in told, words
        assert not Path(words[2]).exists()
