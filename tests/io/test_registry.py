from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.errors import BadModel, PortraitistError, StorageError, UntrustedFile, UsageError
from portraitist.io import catalogue, registry
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.networks.generator import with_low_rows
from tests.conftest import make_model, restyled


@pytest.fixture
def bundled(models_folder: Path, tiny_model: Model, tiny_style: Model) -> Path:
    """A folder of bundled models: the tiny base, and its style."""
    folder = catalogue.bundled_folder()
    for path in (
        save_model(folder / "tiny.safetensors", tiny_model),
        save_pack(folder / "wild.safetensors", tiny_style, tiny_model),
    ):
        registry.record_digest(path)
    return folder


def bend(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def test_models_are_found_by_name_and_verified(bundled: Path, tiny_model: Model, tiny_style: Model) -> None:
    assert [(e.name, e.where, e.header.kind) for e in registry.entries()] == [
        ("tiny", "bundled", "model"),
        ("wild", "bundled", "style-pack"),
    ]
    assert registry.load("tiny").digest == tiny_model.digest
    assert generator_digest(registry.load("wild")) == generator_digest(tiny_style)
    assert all(e.sha256 == registry.file_sha256(e.path) for e in registry.entries())


def test_changed_bytes_are_refused(bundled: Path) -> None:
    bend(bundled / "wild.safetensors")
    with pytest.raises(UntrustedFile, match=r"wild.safetensors has changed") as caught:
        registry.load("wild")
    assert caught.value.exit_code == 7 and registry.load("tiny").header.name == "tiny"


def test_a_changed_base_is_refused_for_its_styles_too(bundled: Path) -> None:
    bend(bundled / "tiny.safetensors")  # the last bytes are the generator's
    with pytest.raises(UntrustedFile, match=r"tiny.safetensors has changed"):
        registry.load("wild")


@pytest.mark.parametrize("text", ["[1]", "{", "\x00", "3"])
def test_a_damaged_list_of_digests_is_refused_but_does_not_break_the_listing(bundled: Path, text: str) -> None:
    (bundled / catalogue.DIGESTS).write_text(text)
    with pytest.raises(UntrustedFile, match=r"digests.json"):
        registry.load("tiny")
    told: list[str] = []
    found = registry.entries(lambda path, error: told.append(path.name))
    assert [e.name for e in found] == ["tiny", "wild"] and told == ["digests.json"]


@pytest.mark.parametrize("text", ["[1]", "{", "\x00"])
def test_damage_in_the_users_folder_does_not_block_what_is_bundled(
    bundled: Path, models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, text: str
) -> None:
    registry.add(save_pack(tmp_path / "mine.safetensors", tiny_style, tiny_model), name="mine")
    (models_folder / catalogue.DIGESTS).write_text(text)
    (models_folder / "broken.safetensors").write_bytes(b"\0" * 20)
    assert registry.load("tiny").digest == tiny_model.digest
    assert generator_digest(registry.load("wild")) == generator_digest(tiny_style)
    with pytest.raises(UntrustedFile, match=r"digests.json cannot be read.*Remove the file"):
        registry.load("mine")


def test_an_unknown_name_lists_the_known_ones(bundled: Path) -> None:
    for name in ("wilde", "no/wild", "x" * 5000):
        with pytest.raises(UsageError, match="tiny, wild"):
            registry.find(name)


def test_where_nothing_is_known_that_is_said(models_folder: Path) -> None:
    assert registry.entries() == []
    with pytest.raises(UsageError, match="Known names: none"):
        registry.find("faces")


def test_adding_gives_a_name(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    base = save_model(tmp_path / "anything.safetensors", tiny_model)
    entry = registry.add(base)
    assert (entry.name, entry.where, entry.path.parent) == ("tiny", "user", models_folder)
    assert registry.load("tiny").digest == tiny_model.digest
    renamed = registry.add(base, name="second")
    assert renamed.name == "second" and [e.name for e in registry.entries()] == ["second", "tiny"]
    pack = save_pack(tmp_path / "p.safetensors", tiny_style, tiny_model)
    assert registry.add(pack).name == "wild"
    assert generator_digest(registry.load("wild")) == generator_digest(tiny_style)


def test_adding_does_not_replace_unasked(models_folder: Path, tmp_path: Path, tiny_model: Model) -> None:
    registry.add(save_model(tmp_path / "a.safetensors", tiny_model))
    other = save_model(tmp_path / "b.safetensors", replace(make_model(seed=3), header=tiny_model.header))
    with pytest.raises(UsageError, match="exists already"):
        registry.add(other)
    assert registry.load("tiny").digest == tiny_model.digest
    registry.add(other, overwrite=True)
    assert registry.load("tiny").digest == make_model(seed=3).digest


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ".hidden", "a b", "a\\b", "C:x", "<b>", "-rf"])
def test_names_that_reach_elsewhere_are_refused(
    models_folder: Path, tmp_path: Path, tiny_model: Model, name: str
) -> None:
    path = save_model(tmp_path / "a.safetensors", tiny_model)
    with pytest.raises(UsageError, match="cannot be a model's name"):
        registry.add(path, name=name)
    assert not models_folder.exists() or list(models_folder.iterdir()) == []


def test_a_file_whose_own_name_will_not_do_asks_for_one(models_folder: Path, tmp_path: Path) -> None:
    path = save_model(tmp_path / "my model.safetensors", make_model())
    with pytest.raises(UsageError, match="--name"):
        registry.add(path)
    assert registry.add(path, name="mine").name == "mine"


def test_only_whole_models_are_added(models_folder: Path, tmp_path: Path, tiny_model: Model) -> None:
    path = save_model(tmp_path / "a.safetensors", tiny_model)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadModel, match="not a complete model file"):
        registry.add(path)
    assert registry.entries() == []


def test_a_pack_is_added_only_when_its_base_has_a_name(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    save_model(tmp_path / "base.safetensors", tiny_model)
    pack = save_pack(tmp_path / "style.safetensors", tiny_style, tiny_model)
    assert generator_digest(registry.load(pack)) == generator_digest(tiny_style)  # the base lies beside it
    with pytest.raises(BadModel, match=r"'tiny'.*portraitist models add"):
        registry.add(pack)
    registry.add(tmp_path / "base.safetensors")
    assert registry.add(pack).name == "wild"


def test_a_pack_with_paths_is_added_and_its_attribute_asked_for(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    registry.add(save_model(tmp_path / "base.safetensors", tiny_model))
    other = restyled(tiny_model, "wild", seed=8)
    pack = save_pack(tmp_path / "p.safetensors", {"women": tiny_style, "men": other}, tiny_model)
    assert registry.add(pack).header.paths == ("women", "men")
    assert generator_digest(registry.load("wild", attribute="men")) == generator_digest(other)
    with pytest.raises(UsageError, match="women, men"):
        registry.load("wild")
    with pytest.raises(UsageError, match="no path 'men' in tiny"):
        registry.load("tiny", attribute="men")
    tiny, men = registry.load_together(["tiny", "wild"], attribute="men")
    assert tiny.digest == tiny_model.digest and generator_digest(men) == generator_digest(other)
    with pytest.raises(UsageError, match=r"no path 'men' in tiny\.safetensors, tiny\.safetensors"):
        registry.load_together(["tiny", "tiny"], attribute="men")


def test_the_base_of_a_freeze_sg_pack_is_found_by_name_and_beside_it(
    models_folder: Path, tmp_path: Path, tiny_model: Model
) -> None:
    style = replace(tiny_model, generator=with_low_rows(tiny_model.generator, 2))
    base = save_model(tmp_path / "base.safetensors", tiny_model)
    pack = save_pack(tmp_path / "p.safetensors", style, tiny_model)
    assert generator_digest(registry.load(pack)) == generator_digest(style)  # beside it
    registry.add(base)
    base.unlink()
    assert generator_digest(registry.load(pack)) == generator_digest(style)


def test_a_model_without_a_licence_is_added_with_a_warning(
    models_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, tiny_model: Model
) -> None:
    registry.add(save_model(tmp_path / "a.safetensors", tiny_model))
    assert caplog.text == ""
    bare = replace(tiny_model, header=replace(tiny_model.header, licence="", name="bare"))
    with caplog.at_level(logging.WARNING):
        registry.add(save_model(tmp_path / "b.safetensors", bare))
    assert "names no licence" in caplog.text


def test_the_base_is_found_by_digest_whatever_its_name(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    # A stranger of the same sizes that carries the base's name comes first and is passed over.
    stranger = make_model(seed=9)
    registry.add(save_model(tmp_path / "s.safetensors", stranger), name="tiny")
    pack = save_pack(tmp_path / "elsewhere" / "wild.safetensors", tiny_style, tiny_model)
    with pytest.raises(BadModel, match="is not known"):
        registry.load(pack)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model), name="renamed")
    assert generator_digest(registry.load(pack)) == generator_digest(tiny_style)


def test_a_run_folder_stands_for_its_style_else_its_model(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    run = tmp_path / "runs" / "mine.v2"
    model = save_model(run / "model.safetensors", tiny_model)
    assert registry.find(run) == model and registry.name_of(model) == "mine.v2"
    style = save_pack(run / "style.safetensors", tiny_style, tiny_model)
    assert registry.find(str(run)) == style
    with pytest.raises(UsageError, match="holds no trained model"):
        registry.find(tmp_path)


def test_a_folder_of_pictures_does_not_hide_a_name(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wild").mkdir()
    monkeypatch.chdir(tmp_path)
    assert registry.find("wild") == bundled / "wild.safetensors"


def test_a_users_model_goes_before_a_bundled_one(bundled: Path, tmp_path: Path) -> None:
    mine = make_model(seed=4, name="tiny")
    registry.add(save_model(tmp_path / "m.safetensors", mine))
    assert [(e.name, e.where) for e in registry.entries()] == [("tiny", "user"), ("wild", "bundled")]
    assert registry.load("tiny").digest == mine.digest
    assert registry.load(bundled / "tiny.safetensors").digest != mine.digest


def test_bad_files_in_the_folder_are_told_and_left_out(bundled: Path, models_folder: Path) -> None:
    models_folder.mkdir()
    (models_folder / "broken.safetensors").write_bytes(b"{")
    (models_folder / "folder.safetensors").mkdir()
    (models_folder / "notes.txt").write_text("x")
    told: dict[str, PortraitistError] = {}
    found = registry.entries(lambda path, error: told.update({path.name: error}))
    assert [e.name for e in found] == ["tiny", "wild"]
    assert sorted(told) == ["broken.safetensors", "folder.safetensors"]
    assert registry.load("wild").header.name == "wild"


def test_a_file_put_in_the_folder_by_hand_has_no_digest(models_folder: Path, tiny_model: Model) -> None:
    save_model(models_folder / "hand.safetensors", tiny_model)
    (entry,) = registry.entries()
    assert entry.sha256 == "" and registry.load("hand").digest == tiny_model.digest


def test_the_digests_are_sha256_of_the_files(bundled: Path) -> None:
    digests = json.loads((bundled / catalogue.DIGESTS).read_text())
    assert digests == {p.name: registry.file_sha256(p) for p in bundled.glob("*.safetensors")}


def test_the_users_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PORTRAITIST_MODELS", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert catalogue.user_folder() == tmp_path / "portraitist" / "models"
    monkeypatch.setattr("sys.platform", "darwin")
    assert catalogue.user_folder().parts[-4:] == ("Library", "Application Support", "portraitist", "models")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "L"))
    assert catalogue.user_folder() == tmp_path / "L" / "portraitist" / "models"


def test_a_model_is_removed_with_its_digest(
    bundled: Path,
    models_folder: Path,
    tmp_path: Path,
    tiny_style: Model,
    tiny_model: Model,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model), name="mine")
    registry.add(save_model(tmp_path / "b.safetensors", make_model(seed=5, name="other")))
    path = catalogue.remove("mine")
    assert not path.exists() and list(catalogue.read_digests(models_folder)) == ["other.safetensors"]
    with pytest.raises(UsageError, match=r"no model 'mine'.*Your models: other"):
        catalogue.remove("mine")
    with pytest.raises(UsageError, match="bundled with the package"):
        catalogue.remove("wild")
    with pytest.raises(UsageError, match=r"no model '\.\./bundled/wild'"):
        catalogue.remove("../bundled/wild")
    assert (bundled / "wild.safetensors").is_file()
    (models_folder / "other.safetensors").write_bytes(b"damaged")
    catalogue.remove("other")  # whatever the file holds
    assert catalogue.read_digests(models_folder) == {} and not caplog.records


def test_who_loses_a_base_is_told(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, caplog: pytest.LogCaptureFixture
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    catalogue.remove("tiny")
    assert "wild names 'tiny' as the base" in caplog.text


def test_what_cannot_be_vouched_for_is_not_left_behind(bundled: Path, models_folder: Path) -> None:
    (models_folder / catalogue.DIGESTS).mkdir(parents=True)
    with pytest.raises(StorageError, match="digests"):
        registry.add("wild", name="mine")
    assert [path.name for path in models_folder.iterdir()] == [catalogue.DIGESTS]
