"""Translators by name: beside models and never taken for one, passed on as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from portraitist.data import write_image
from portraitist.errors import UntrustedFile, UsageError
from portraitist.export.drawable import find_drawable
from portraitist.io import catalogue, hub, registry
from portraitist.io.model_file import Model, save_model
from portraitist.io.places import Folder
from portraitist.io.translator_files import StoredTranslator, load_translator, save_translator
from portraitist.report.model_card import model_card
from portraitist.stylize.translate import PictureTranslator
from tests.cli.conftest import Run
from tests.fuzz.readers import translator
from tests.io.test_registry import bend


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model) -> StoredTranslator:
    """A translator of the user's, ``ink``, beside the tiny base."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    stored = translator()
    stored = replace(stored, header=replace(stored.header, name="ink", licence="CC-BY-4.0", credit="Somebody"))
    registry.add(save_translator(tmp_path / "runs" / "pair" / "translator.safetensors", stored).parent)
    return stored


def test_it_is_found_by_name_and_never_taken_for_a_model(known: StoredTranslator, tmp_path: Path) -> None:
    (entry,) = registry.translators()
    assert (entry.name, entry.where, entry.header.groups) == ("ink", "user", ("all",))
    assert [e.name for e in registry.entries()] == ["tiny"] and not registry.encoders()
    assert load_translator("ink").digest == known.digest == load_translator(tmp_path / "runs" / "pair").digest
    assert catalogue.find_any("ink") == entry.path
    with pytest.raises(UsageError, match=r"no translator 'tiny'.*Known names: ink"):
        load_translator("tiny")
    with pytest.raises(UsageError, match=r"no model 'ink'"):
        registry.find("ink")
    with pytest.raises(UsageError, match=r"holds no trained translator.*translate train"):
        load_translator(tmp_path)


def test_one_that_has_changed_is_refused(known: StoredTranslator, models_folder: Path) -> None:
    bend(models_folder / "ink.safetensors")
    with pytest.raises(UntrustedFile, match="has changed"):
        load_translator("ink")


def test_a_name_is_of_one_kind(known: StoredTranslator, tmp_path: Path, tiny_model: Model) -> None:
    with pytest.raises(UsageError, match="another kind"):
        registry.add(save_model(tmp_path / "o.safetensors", tiny_model), name="ink", overwrite=True)
    with pytest.raises(UsageError, match="another kind"):
        registry.add(tmp_path / "runs" / "pair", name="tiny", overwrite=True)
    save_model(catalogue.bundled_folder() / "shipped.safetensors", tiny_model)
    with pytest.raises(UsageError, match="another kind"):
        registry.add(tmp_path / "runs" / "pair", name="shipped")
    assert catalogue.remove("ink").name == "ink.safetensors" and not registry.translators()


def test_pictures_are_called_by_its_name_or_that_of_its_run(known: StoredTranslator, tmp_path: Path) -> None:
    assert PictureTranslator.load("ink").name == "ink"
    nameless = replace(known, header=replace(known.header, name=""))
    path = save_translator(tmp_path / "runs" / "other" / "translator.safetensors", nameless)
    assert PictureTranslator.load(path).name == PictureTranslator.load(path.parent).name == "other"


def test_it_is_exported_by_name(
    known: StoredTranslator, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ink").mkdir()
    monkeypatch.chdir(tmp_path)  # where a folder has its name
    assert find_drawable("ink").digest == known.digest
    code, _, told = run("export", "ink", "-o", tmp_path / "alone.safetensors")
    assert code == 0, told
    alone = load_translator(tmp_path / "alone.safetensors")
    assert alone.system.to_photo is None and alone.header.licence == "CC-BY-4.0"


def test_it_goes_to_others_with_its_card(
    known: StoredTranslator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Folder(tmp_path / "shared")
    (pushed,) = hub.push(["ink"], place, card=model_card)
    assert (pushed.kind, pushed.base_name, pushed.licence) == ("translator", "", "CC-BY-4.0")
    card = (tmp_path / "shared" / pushed.card).read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["tags"] == ["portrait", "translator"] and front["pipeline_tag"] == "image-to-image"
    assert "portraitist translate run me.jpg -t ink\n" in card
    assert "faces of 16 x 16 pixels, aligned as the FFHQ set is" in card
    assert "aligned as photo2cartoon cuts" in model_card(replace(known.header, framing="photo2cartoon"), "ink")
    monkeypatch.setenv("PORTRAITIST_MODELS", str(tmp_path / "another user"))
    assert [entry.name for entry in hub.pull(place)] == ["ink"]
    assert load_translator("ink").digest == known.digest


def test_commands_take_its_name(known: StoredTranslator, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("translate", "list", "--json")
    (line,) = out
    listed = json.loads(line)["translators"]
    assert code == 0 and [(t["name"], t["header"]["licence"]) for t in listed] == [("ink", "CC-BY-4.0")]
    code, out, _ = run("translate", "list")
    assert code == 0 and out[0].split()[:2] == ["ink", "all"] and "CC-BY-4.0" in out[0]
    write_image(tmp_path / "me.png", np.full((32, 32, 3), 99, np.uint8))
    code, out, told = run("translate", "run", tmp_path / "me.png", "-t", "ink", "--aligned", "--device", "cpu")
    assert code == 0 and (tmp_path / "me.ink.png").exists(), told
    code, out, _ = run("models", "show", "ink", "--card")
    assert code == 0 and "# ink" in out
