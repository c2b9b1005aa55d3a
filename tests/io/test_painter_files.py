"""Files of painters: whole, strict, and small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from portraitist.errors import BadModel, UsageError
from portraitist.io.headers import DIGEST, KEY
from portraitist.io.model_file import load_model
from portraitist.io.painter_files import FILE, PainterHeader, StoredPainter, load_painter, save_painter
from portraitist.io.translator_files import load_translator
from portraitist.networks.painter import PainterAnatomy, new_painter

SMALL = PainterAnatomy((4, 6, 8), 2, 5.0)


@pytest.fixture
def stored() -> StoredPainter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        painter = new_painter(SMALL).eval()
    lineage = [{"images_seen": 7}]
    header = PainterHeader(SMALL, name="mine", licence="CC-BY-4.0", credit="Nobody", lineage=lineage, style_digest="ab")
    return StoredPainter(painter, header)


def test_round_trip(stored: StoredPainter, tmp_path: Path) -> None:
    save_painter(tmp_path / FILE, stored)
    for path in (tmp_path, tmp_path / FILE):
        found = load_painter(path)
        assert found.digest == stored.digest and found.header == stored.header
    photos = torch.rand(1, 3, 16, 24)
    assert torch.equal(found.painter(photos).image, stored.painter(photos).image)
    with pytest.raises(UsageError, match="exists"):
        save_painter(tmp_path / FILE, stored)


def test_a_file_in_half_precision_stays_below_6_megabytes(tmp_path: Path) -> None:
    painter = new_painter(PainterAnatomy()).eval()
    path = save_painter(tmp_path / FILE, StoredPainter(painter, PainterHeader(PainterAnatomy())), half=True)
    assert path.stat().st_size < 6e6
    photos = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(load_painter(path).painter(photos).image, painter(photos).image, atol=2e-2, rtol=0)


def test_files_that_are_not_whole_are_refused(stored: StoredPainter, tmp_path: Path) -> None:
    path = save_painter(tmp_path / "p.safetensors", stored)
    with safe_open(path, "pt") as file:
        whole = file.metadata()
    tensors, bad = load_file(path), tmp_path / "bad.safetensors"
    save_file({**tensors, "P.stem.bias": tensors["P.stem.bias"] + 1e-3}, bad, whole)
    with pytest.raises(BadModel, match="its digest does not fit"):
        load_painter(bad)
    header = json.loads(whole[KEY])
    header.pop(DIGEST)  # as earlier versions wrote files
    metadata = {KEY: json.dumps(header)}
    cases = {
        r"lacks 1 tensors of its anatomy: \['stem.bias'\]": {k: v for k, v in tensors.items() if k != "P.stem.bias"},
        r"does not know: \['P.more'\]": {**tensors, "P.more": torch.zeros(1)},
        "other shapes": {**tensors, "P.stem.bias": torch.zeros(5)},
        "holds NaN": {**tensors, "P.stem.bias": torch.full((4,), float("nan"))},
    }
    for said, content in cases.items():
        save_file(content, bad, metadata)
        with pytest.raises(BadModel, match=said):
            load_painter(bad)
    bad.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadModel, match="not a complete model file"):
        load_painter(bad)
    with pytest.raises(BadModel, match="no model file"):
        load_painter(tmp_path)
    with pytest.raises(BadModel, match="is a painter, not a model"):
        load_model(path)
    with pytest.raises(BadModel, match="is a painter, not a translator"):
        load_translator(path)


def test_headers_that_ask_for_too_much_are_refused(stored: StoredPainter, tmp_path: Path) -> None:
    for header in (replace(stored.header, name="../up"), replace(stored.header, side=0)):
        with pytest.raises(BadModel):
            save_painter(tmp_path / "p.safetensors", StoredPainter(stored.painter, header))
    assert list(tmp_path.iterdir()) == []
    path = save_painter(tmp_path / "p.safetensors", stored)
    content = path.read_bytes()
    for before, after, said in (
        (b'\\"blocks\\": 2,', b'\\"blocks\\":99,', "too large"),
        (b'\\"blocks\\": 2,', b'\\"blocks\\":-1,', "cannot have"),
        (b'\\"reach\\": 5.0', b'\\"reach\\":\\"\\"', "damaged"),
    ):
        changed = content.replace(before, after)
        assert changed != content and len(changed) == len(content)
        (tmp_path / "q.safetensors").write_bytes(changed)
        with pytest.raises(BadModel, match=said):
            load_painter(tmp_path / "q.safetensors")
