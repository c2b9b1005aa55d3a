"""Encoders by name: beside models and never taken for one, found by the base they were trained for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.errors import BadModel, UntrustedFile, UsageError
from portraitist.io import catalogue, registry
from portraitist.io.encoder_files import StoredEncoder, save_encoder
from portraitist.io.model_file import Model, save_model, save_pack
from tests.conftest import make_model
from tests.io.encoder_makers import write_encoder
from tests.io.test_registry import bend
from tests.stylize.tiny_encoders import make_encoder


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base, its style and its encoder as the user's."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add(save_encoder(tmp_path / "e.safetensors", make_encoder(tiny_model)))


def without_base(stored: StoredEncoder) -> StoredEncoder:
    return replace(stored, header=replace(stored.header, base_name="", base_digest=""))


def test_encoders_and_models_are_listed_apart(known: None, models_folder: Path) -> None:
    told: list[Path] = []
    assert [e.name for e in registry.entries(lambda path, error: told.append(path))] == ["tiny", "wild"]
    (entry,) = registry.encoders(lambda path, error: told.append(path))
    assert (entry.name, entry.where, entry.path) == ("hvae", "user", models_folder / "hvae.safetensors")
    assert entry.sha256 == registry.file_sha256(entry.path) and entry.header.encoder.kind == "hvae"
    assert told == []
    (models_folder / "broken.safetensors").write_bytes(b"x")
    registry.encoders(lambda path, error: told.append(path))
    assert [p.name for p in told] == ["broken.safetensors"]


def test_neither_is_found_where_the_other_is_meant(known: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model 'hvae'.*Known names: tiny, wild"):
        registry.find("hvae")
    with pytest.raises(UsageError, match=r"no encoder 'tiny'.*Known names: hvae"):
        registry.find_encoder("tiny")
    with pytest.raises(UsageError, match=r"holds no trained encoder.*encoder train"):
        registry.find_encoder(tmp_path)
    with pytest.raises(BadModel, match="is a model, not an encoder"):
        registry.load_encoder_of(make_model(), tmp_path / "b.safetensors")


def test_the_encoder_of_a_base_is_found_by_digest(known: None, tmp_path: Path, tiny_model: Model) -> None:
    found = registry.load_encoder_of(tiny_model)
    assert found is not None and found.digest == make_encoder(tiny_model).digest
    assert registry.load_encoder_of(make_model(seed=7, name="tiny")) is None
    stray = without_base(make_encoder(tiny_model, "a-stray"))
    registry.add(save_encoder(tmp_path / "s.safetensors", stray))
    again = registry.load_encoder_of(tiny_model)
    assert again is not None and again.header.name == "hvae"


def test_the_users_goes_before_the_bundled_and_then_the_name_counts(known: None, tiny_model: Model) -> None:
    save_encoder(catalogue.bundled_folder() / "a.safetensors", make_encoder(tiny_model, "a", seed=1))
    found = registry.load_encoder_of(tiny_model)
    assert found is not None and found.header.name == "hvae"
    registry.add_encoder(make_encoder(tiny_model, "b", seed=2))
    found = registry.load_encoder_of(tiny_model)
    assert found is not None and found.header.name == "b"
    named = registry.load_encoder_of(tiny_model, "a")
    assert named is not None and named.digest == make_encoder(tiny_model, seed=1).digest


def test_an_encoder_is_named_by_file_or_run_folder_too(
    known: None, tmp_path: Path, tiny_model: Model, models_folder: Path
) -> None:
    path = save_encoder(tmp_path / "runs" / "mine" / "encoder.safetensors", make_encoder(tiny_model, seed=3))
    assert registry.find_encoder(tmp_path / "runs" / "mine") == registry.find_encoder(path) == path
    assert registry.name_of(path) == "mine"
    nameless = replace(make_encoder(tiny_model), header=replace(make_encoder(tiny_model).header, name=""))
    save_encoder(path, nameless, overwrite=True)
    assert registry.add(path.parent).path == models_folder / "mine.safetensors"


def test_an_encoder_of_another_base_is_refused_with_a_cure(known: None, tiny_model: Model) -> None:
    with pytest.raises(BadModel, match=r"'hvae' was trained for 'tiny'.*an encoder of this base"):
        registry.load_encoder_of(make_model(seed=7, name="other"), "hvae")


def test_changed_bytes_are_refused_by_name_and_by_default(known: None, models_folder: Path, tiny_model: Model) -> None:
    bend(models_folder / "hvae.safetensors")
    for name in (None, "hvae"):
        with pytest.raises(UntrustedFile, match=r"hvae.safetensors has changed"):
            registry.load_encoder_of(tiny_model, name)


def test_a_file_of_another_program_asks_to_be_imported(known: None, tmp_path: Path, tiny_model: Model) -> None:
    write_encoder(tmp_path / "encoder.pt", "psp")
    with pytest.raises(BadModel, match=r"encoder.pt is not an encoder file.*portraitist encoder import"):
        registry.load_encoder_of(tiny_model, tmp_path / "encoder.pt")


def test_only_an_encoder_whose_base_is_known_gets_a_name(
    models_folder: Path, tmp_path: Path, tiny_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_encoder(tmp_path / "e.safetensors", make_encoder(tiny_model))
    with pytest.raises(BadModel, match=r"base 'tiny' .* of the encoder 'hvae' is not known.*models add"):
        registry.add(path)
    with pytest.raises(BadModel, match="is not known"):
        registry.add_encoder(make_encoder(tiny_model))
    assert registry.encoders() == [] and caplog.text == ""
    with caplog.at_level(logging.WARNING):
        registry.add_encoder(without_base(make_encoder(tiny_model)))
    assert "'hvae' names no base" in caplog.text and registry.load_encoder_of(tiny_model) is None
    assert registry.load_encoder_of(tiny_model, "hvae") is not None


def test_an_encoder_never_replaces_a_model(known: None, tiny_model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        registry.add_encoder(make_encoder(tiny_model))
    registry.add_encoder(make_encoder(tiny_model, seed=5), overwrite=True)
    with pytest.raises(UsageError, match="of another kind already"):
        registry.add_encoder(make_encoder(tiny_model), name="tiny", overwrite=True)
    with pytest.raises(UsageError, match="of another kind already"):
        registry.add(tmp_path / "b.safetensors", name="hvae", overwrite=True)
    assert registry.load("tiny").digest == tiny_model.digest


def test_only_whole_encoders_are_added(known: None, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadModel, match="not a complete model file"):
        registry.add(path, name="second")
