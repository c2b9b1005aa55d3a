"""Exported networks draw in onnxruntime what they draw here, alone and in company, and say what they are."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from portraitist.errors import BadModel, UsageError
from portraitist.export import Exported, export, rewrite
from portraitist.export.drawable import of_translator
from portraitist.export.graph import difference, session, to_onnx
from portraitist.export.quantised import quantised
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.io.painter_files import PainterHeader, StoredPainter, load_painter, save_painter
from portraitist.io.translator_files import StoredTranslator, described, load_translator, save_translator
from portraitist.networks.branches import BranchedTranslator, TranslatorSystem
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.networks.translator_anatomy import cyclegan, drit, munit, photo2cartoon, ugatit, unit
from portraitist.stylize import Stylizer
from tests.conftest import smooth_pictures
from tests.stylize.tiny_encoders import make_encoder

onnx = pytest.importorskip("onnx", reason="needs portraitist[export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs portraitist[export]")
SMALL = PainterAnatomy((8, 8, 8), 2, 5.0)
SMALLEST = replace(cyclegan(16, 4), blocks=1)
MUNIT = replace(munit(16, 4), blocks=1)
OTHERS = [
    pytest.param(a, marks=pytest.mark.slow)
    for a in (
        ugatit(16, 4),
        replace(photo2cartoon(64, 4), blocks=1),
        replace(unit(16, 4), blocks=2),
        replace(drit(16, 4), blocks=2),
    )
]


def soft(count: int, side: int) -> Tensor:
    """Return soft pictures [N, 3, S, S] in [-1, 1]."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count)) * 2 - 1
    return nn.functional.interpolate(coarse, size=side, mode="bilinear")


def runs(path: Path, photos: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["drawings"], {"photos": photos.numpy()})[0])


def texts(path: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(path).metadata_props}


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base, a style of it and its encoder, as models with names."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))


def make_painter() -> StoredPainter:
    """Make a painter that moves and paints."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = new_painter(SMALL).eval()
        nn.init.normal_(made.paint.bias, std=0.3)
        nn.init.normal_(made.field.weight, std=0.3)
    about = PainterHeader(SMALL, side=32, style_name="wild", licence="CC0-1.0", credit="Nobody", lineage=[{"x": 1}])
    return StoredPainter(made, about)


@pytest.fixture
def painter(tmp_path: Path) -> Path:
    return save_painter(tmp_path / "run" / "painter.safetensors", make_painter()).parent


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The painter as a file, compared on pictures of ours."""
    folder = tmp_path_factory.mktemp("painter")
    file = save_painter(folder / "painter.safetensors", make_painter())
    return export(file, folder / "p.onnx", side=64, photos=smooth_pictures(folder / "photos"))


def test_a_painter(done: Exported, painter: Path, tmp_path: Path) -> None:
    stored = make_painter()
    for count in (1, 3):
        photos = soft(count, 64)
        with torch.no_grad():
            wanted = stored.painter(photos).image
        torch.testing.assert_close(runs(done.path, photos), wanted.clamp(-1, 1), atol=1e-4, rtol=0)
        assert (wanted - photos).abs().max() > 0.1
    found = texts(done.path)
    assert (found["kind"], found["side"], found["name"], found["opset"]) == ("painter", "64", "wild", "20")
    assert (found["licence"], found["credit"], found["digest"]) == ("CC0-1.0", "Nobody", stored.digest)
    assert json.loads(found["lineage"]) == [{"x": 1}] and int(found["bytes_exact"]) == done.exact_bytes
    assert json.loads(found["measured"])["difference"] == pytest.approx(done.difference, rel=0.01)
    assert "[N, 3, 64, 64]" in found["input"] and onnx.load(done.path).opset_import[0].version == 20
    with pytest.raises(UsageError, match="exists"):
        export(painter, done.path)
    with pytest.raises(UsageError, match="60 pixels"):
        export(painter, tmp_path / "q.onnx", side=60)


def test_a_style_with_its_encoder_draws_as_the_papers_do(known: None, tmp_path: Path) -> None:
    done = export("wild", tmp_path / "w.onnx")
    stylizer = Stylizer.load(["wild"], detail=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    photos = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    together = runs(done.path, photos)
    for k, photo in enumerate(pixels):
        code = stylizer.stylize(photo, aligned=True).faces[0].code
        with torch.no_grad():
            wanted = stylizer.generators["wild"].synthesize(code).clamp(-1, 1)
        torch.testing.assert_close(together[k : k + 1], wanted, atol=2e-4, rtol=0)
        torch.testing.assert_close(runs(done.path, photos[k : k + 1]), wanted, atol=2e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01
    found = texts(done.path)
    assert found["kind"] == "style" and found["licence"] == "CC-BY-4.0 AND CC0-1.0" and len(found["digest"]) == 64


@pytest.mark.parametrize("anatomy", [SMALLEST, MUNIT, *OTHERS], ids=lambda a: a.kind)
def test_translators(anatomy: Any) -> None:
    torch.manual_seed(0)
    system = TranslatorSystem(BranchedTranslator(anatomy, ("women", "men"))).eval()
    with torch.no_grad():
        for p in system.to_drawing.branches[1].parameters():
            p.add_(0.05 * torch.randn(p.shape))
    stored = StoredTranslator(system, described(system, None))
    men, women = (of_translator(stored, group) for group in ("men", "women"))
    photos = soft(3, anatomy.resolution)
    content = to_onnx(men.network, {"photos": photos[:2]}, ["drawings"])
    assert difference(content, men.network, {"photos": photos}) < 5e-5
    assert difference(content, women.network, {"photos": photos}) > 5e-3
    assert men.side == anatomy.drawn
    grey = of_translator(replace(stored, header=replace(stored.header, grey=True)), "men")
    drawn, shown = (found.network(photos) for found in (men, grey))
    wanted = (drawn * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(shown, wanted.expand_as(drawn))
    assert (
        difference(to_onnx(grey.network, {"photos": photos[:2]}, ["drawings"]), grey.network, {"photos": photos}) < 5e-5
    )
    with pytest.raises(UsageError, match="women, men"):
        of_translator(stored)
    with pytest.raises(UsageError, match="no group"):
        of_translator(stored, "kids")


def test_eight_bits_keep_sharpness_and_are_smaller(done: Exported) -> None:
    photos, content = soft(8, 64), done.path.read_bytes()
    small, kept = quantised(content, photos)
    assert abs(kept.sharpness - 1) <= 0.05 and 0 < kept.difference < 5 and kept.is_enough
    assert "QuantizeLinear" in {node.op_type for node in onnx.load_from_string(small).graph.node}
    drawings = [session(x).run(None, {"photos": photos[:1].numpy()})[0] for x in (content, small)]
    assert 0 < np.abs(drawings[0] - drawings[1]).mean() < 0.05
    assert not replace(kept, sharpness=1.06).is_enough and not replace(kept, identity=0.94).is_enough


class _Fixed(nn.Module):
    """Reads a length with Python, which fixes it."""

    def forward(self, photos: Tensor) -> Tensor:
        return photos * torch.ones(len(photos), 1, 1, 1)


def test_a_file_for_batches_of_one_size_is_not_written() -> None:
    with pytest.raises(BadModel, match="fixes the batch"):
        to_onnx(_Fixed(), {"photos": soft(2, 8)}, ["drawings"])


def test_a_file_that_differs_is_not_written(done: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_painter()
    with torch.no_grad():
        other.painter.paint.bias += 0.01
    file = save_painter(tmp_path / "other.safetensors", other)
    monkeypatch.setattr("portraitist.export.files.to_onnx", lambda *given, **settings: done.path.read_bytes())
    with pytest.raises(BadModel, match="differs from PyTorch"):
        export(file, tmp_path / "p.onnx", side=64, photos=smooth_pictures(tmp_path / "photos"))
    assert not (tmp_path / "p.onnx").exists()


def test_what_is_wrong_is_said(
    known: None, painter: Path, tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.onnx"
    for options, part in (
        ({"group": "men"}, "--group belongs to a translator"),
        ({"attribute": "men"}, "--attribute belongs to a style"),
        ({"encoder": "e"}, "--encoder belongs to a style"),
    ):
        with pytest.raises(UsageError, match=part):
            export(painter, out, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--size belongs to a painter"):
        export("wild", out, side=64)
    with pytest.raises(UsageError, match="no model 'none'"):
        export("none", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no trained model"):
        export(tmp_path / "empty", out)
    with pytest.raises(UsageError, match="painters and translators"):
        rewrite("wild", tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="written of translators"):
        rewrite(painter, tmp_path / "x.pt")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=r"onnxscript.*portraitist\[export\]"):
        export(painter, out)
    assert not out.exists()


def test_a_style_without_an_encoder_says_what_helps(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    with pytest.raises(UsageError, match="No encoder of 'tiny'"):
        export("wild", tmp_path / "x.onnx")


def test_small_files_draw_alone(painter: Path, tmp_path: Path) -> None:
    out = rewrite(painter, tmp_path / "half.safetensors", half=True)
    assert out.stat().st_size < 0.75 * (painter / "painter.safetensors").stat().st_size
    photos = soft(1, 32)
    with torch.no_grad():
        before, after = (load_painter(p).painter(photos).image for p in (painter, out))
    torch.testing.assert_close(before, after, atol=1e-2, rtol=0)
    anatomy = SMALLEST
    system = TranslatorSystem(BranchedTranslator(anatomy, ("all",)), BranchedTranslator(anatomy, ("all",))).eval()
    whole = save_translator(tmp_path / "t.safetensors", StoredTranslator(system, described(system, None)))
    slim = load_translator(rewrite(whole, tmp_path / "slim.safetensors"))
    assert slim.system.to_photo is None and slim.header.groups == ("all",)
