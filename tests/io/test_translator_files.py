"""Files of translators: whole, strict, and as small as wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.errors import BadModel, UsageError
from portraitist.io.encoder_files import load_encoder
from portraitist.io.headers import DIGEST, KEY, TranslatorHeader
from portraitist.io.model_file import load_model
from portraitist.io.translator_files import (
    FILE,
    StoredTranslator,
    load_translator,
    save_translator,
    without_trainers,
)
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.translator_anatomy import PanelAnatomy, cyclegan, drit, munit, photo2cartoon, ugatit, unit

GROUPS = ("women", "men")
KINDS = (
    replace(ugatit(16, 4, light=True), blocks=1),
    replace(photo2cartoon(32, 4), blocks=1),
    replace(cyclegan(16, 4), blocks=1),
    replace(unit(16, 4), blocks=2),
    replace(munit(16, 4), blocks=1),
    replace(drit(16, 4), blocks=2),
)


@pytest.fixture
def stored() -> StoredTranslator:
    torch.manual_seed(0)
    system = TranslatorSystem.new(KINDS[0], PanelAnatomy((4, 3), 4, groups=2), GROUPS).eval()
    return StoredTranslator(system, TranslatorHeader(KINDS[0], GROUPS, name="mine", licence="CC0-1.0"))


@pytest.mark.parametrize("anatomy", KINDS, ids=lambda a: a.kind)
def test_round_trip(anatomy, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    panel = PanelAnatomy((3,), 4, anatomy.attentive, groups=2)
    system = TranslatorSystem.new(anatomy, panel, GROUPS).eval()
    stored = StoredTranslator(system, TranslatorHeader(anatomy, GROUPS, credit="Nobody"))
    save_translator(tmp_path / FILE, stored)
    found = load_translator(tmp_path)
    assert found.digest == stored.digest and found.header == replace(stored.header, panel=panel)
    x = torch.zeros(1, 3, anatomy.resolution, anatomy.resolution)
    assert torch.equal(found.system.to_photo(x, "men").image, system.to_photo(x, "men").image)
    shared = [found.system.to_photo.shared[part] is found.system.to_drawing.shared[part] for part in anatomy.tied]
    assert all(shared) and len(shared) == (2 if anatomy.kind in ("unit", "drit") else 0)
    assert (found.system.of_contents is None) == (anatomy.kind != "drit")
    assert torch.equal(found.system.of_photos(x).groups, system.of_photos(x).groups)
    assert load_translator(tmp_path / FILE).header == found.header


def test_a_file_that_only_draws(stored: StoredTranslator, tmp_path: Path) -> None:
    whole = save_translator(tmp_path / "whole.safetensors", stored)
    slim = save_translator(tmp_path / "slim.safetensors", without_trainers(stored), half=True)
    assert slim.stat().st_size < whole.stat().st_size / 3
    found = load_translator(slim)
    assert found.system.to_photo is None and found.header.panel is None and found.header.name == "mine"
    x = torch.zeros(1, 3, 16, 16)
    mine, theirs = (s.system.to_drawing(x, "men").image for s in (stored, found))
    torch.testing.assert_close(mine, theirs, atol=2e-2, rtol=0)


def test_reading_draws_no_random_numbers(stored: StoredTranslator, tmp_path: Path) -> None:
    path = save_translator(tmp_path / "t.safetensors", stored)
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    load_translator(path)
    assert torch.equal(torch.rand(1), wanted)


def test_files_that_are_not_whole_are_refused(stored: StoredTranslator, tmp_path: Path) -> None:
    from safetensors import safe_open

    path = save_translator(tmp_path / "t.safetensors", stored)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    header.pop(DIGEST)
    metadata = {KEY: json.dumps(header)}
    tensors = load_file(path)
    bad = tmp_path / "bad.safetensors"
    save_file({k: v for k, v in tensors.items() if not k.endswith("head.bias")}, bad, metadata)
    with pytest.raises(BadModel, match="lacks 2 tensors"):
        load_translator(bad)
    save_file({**tensors, "T.more": torch.zeros(1)}, bad, metadata)
    with pytest.raises(BadModel, match=r"does not know: \['T.more'\]"):
        load_translator(bad)
    save_file({**tensors, "T.of_photos.head.bias": torch.zeros(3)}, bad, metadata)
    with pytest.raises(BadModel, match="other shapes"):
        load_translator(bad)
    with pytest.raises(BadModel, match="is a translator, not a model"):
        load_model(path)
    with pytest.raises(BadModel, match="is a translator, not an encoder"):
        load_encoder(path)
    with pytest.raises(UsageError, match="holds no trained translator"):
        load_translator(tmp_path)


def test_headers_that_ask_for_too_much_are_refused(stored: StoredTranslator, tmp_path: Path) -> None:
    system = stored.system
    with pytest.raises(BadModel):
        save_translator(tmp_path / "t.safetensors", StoredTranslator(system, replace(stored.header, name="../up")))
    path = save_translator(tmp_path / "t.safetensors", stored)
    content = path.read_bytes().replace(b'\\"channels\\": 4, \\"kind\\"', b'\\"channels\\":99996,\\"kind\\"'[:24])
    (tmp_path / "u.safetensors").write_bytes(content)
    with pytest.raises(BadModel):
        load_translator(tmp_path / "u.safetensors")
    assert [p.name for p in tmp_path.glob("*.part")] == []
