"""Models pushed to a place and pulled from it: what arrives, what is refused, and what a broken push leaves."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portraitist.errors import BadModel, NoLicence, PortraitistError, StorageError, UntrustedFile, UsageError
from portraitist.io import catalogue, hub, registry
from portraitist.io.headers import StoredHeader
from portraitist.io.hub import INDEX, Listed
from portraitist.io.licences import requiring
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.io.places import Address, Folder, Place
from tests.conftest import make_model
from tests.io.file_server import FileServer, serving

pytestmark = pytest.mark.xdist_group("machine")


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Path:
    """The folder of the user's models, with a base, ``tiny``, and its style, ``wild``."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    return models_folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as made:
        yield made


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Moves to another user, who has no models."""

    def move() -> Path:
        folder = tmp_path / "another user"
        monkeypatch.setenv("PORTRAITIST_MODELS", str(folder))
        return folder

    return move


def push(place: Place, *names: object, overwrite: bool = False) -> list[Listed]:
    return hub.push([str(name) for name in names], place, card=card, overwrite=overwrite)


def card(header: StoredHeader, name: str) -> str:
    return f"# {name}, {header.licence}"


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def edit(folder: Path, **changes: Any) -> None:
    """Change what the index says of its first model."""
    index = json.loads((folder / INDEX).read_text())
    index["models"][0] |= changes
    (folder / INDEX).write_text(json.dumps(index))


def test_a_style_arrives_with_its_base_and_card(
    known: Path, tmp_path: Path, elsewhere: Callable[[], Path], tiny_model: Model, tiny_style: Model
) -> None:
    shared = tmp_path / "shared"
    base, style = push(Folder(shared), "tiny", "wild")
    index = json.loads((shared / INDEX).read_text())
    assert index["format"] == 1 and [Listed(**entry) for entry in index["models"]] == [base, style]
    assert (style.kind, style.licence, style.base_name) == ("style-pack", "CC-BY-4.0", "tiny")
    assert style.base_digest == base.digest == generator_digest(tiny_model)
    assert (shared / style.card).read_text() == "# wild, CC-BY-4.0"
    assert (shared / style.file).stat().st_size == style.size
    assert len(list(shared.iterdir())) == 5

    mine = elsewhere()
    assert [entry.name for entry in hub.pull(Folder(shared), ["wild"])] == ["tiny", "wild"]
    assert generator_digest(registry.load("wild")) == generator_digest(tiny_style)
    for name in ("tiny", "wild"):
        assert (mine / f"{name}.safetensors").read_bytes() == (known / f"{name}.safetensors").read_bytes()
    assert hub.pull(Folder(shared)) == []  # all of it is here already


def test_a_server_will_do(known: Path, server: FileServer, elsewhere: Callable[[], Path], tiny_style: Model) -> None:
    place = Address(f"{server.url}/faces", {})
    push(place, "wild", "tiny")
    asked = [(method, Path(path).suffix) for method, path, _ in server.asked]
    assert asked == [("GET", ".json"), *[("PUT", ".md"), ("PUT", ".safetensors")] * 2, ("PUT", ".json")]
    elsewhere()
    assert [entry.name for entry in hub.pull(place, ["wild", "wild"])] == ["tiny", "wild"]
    assert generator_digest(registry.load("wild")) == generator_digest(tiny_style)


def test_a_base_that_nobody_has_is_told_on_both_sides(
    known: Path, tmp_path: Path, elsewhere: Callable[[], Path], caplog: pytest.LogCaptureFixture
) -> None:
    place = Folder(tmp_path / "shared")
    push(place, "wild")
    assert "wild needs the base 'tiny'" in caplog.text
    mine = elsewhere()
    with pytest.raises(BadModel, match=r"base 'tiny'.* is not known. .*shared does not list it either"):
        hub.pull(place)
    assert not mine.exists()


def test_a_base_that_comes_along_replaces_nothing(known: Path, tmp_path: Path, elsewhere: Callable[[], Path]) -> None:
    place = Folder(tmp_path / "shared")
    push(place, "tiny", "wild")
    mine = elsewhere()
    other = make_model(seed=7, name="tiny")
    registry.add(save_model(tmp_path / "o.safetensors", other))
    with pytest.raises(UsageError, match="'tiny' is the name of another model here"):
        hub.pull(place, ["wild"], overwrite=True)
    with pytest.raises(UsageError, match="--overwrite"):
        hub.pull(place)
    assert names(mine) == ["tiny"] and registry.load("tiny").digest == other.digest
    assert [entry.name for entry in hub.pull(place, overwrite=True)] == ["tiny", "wild"]


def test_a_push_replaces_only_where_that_is_asked_for(
    known: Path, tmp_path: Path, elsewhere: Callable[[], Path]
) -> None:
    place = Folder(tmp_path / "shared")
    (first,) = push(place, "tiny")
    assert push(place, "tiny") == [first]
    run = save_model(tmp_path / "run" / "model.safetensors", make_model(seed=5, name="tiny")).parent
    with pytest.raises(UsageError, match="has another 'tiny' already"):
        push(place, run)
    with pytest.raises(UsageError, match="Two of them are called 'tiny'"):
        push(place, run, "tiny", overwrite=True)
    (second,) = push(place, run, overwrite=True)
    files = sorted(path.name for path in place.path.iterdir())
    assert files == sorted([INDEX, second.file, second.card]) and second.file != first.file
    with place.changing(), pytest.raises(UsageError, match="Another process changes"):
        push(place, "wild")
    elsewhere()
    hub.pull(place)
    assert registry.load("tiny").digest == make_model(seed=5).digest


def test_what_is_pushed_is_whole_and_has_a_name_and_a_licence(
    known: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, caplog: pytest.LogCaptureFixture
) -> None:
    place = Folder(tmp_path / "shared")
    odd = save_model(tmp_path / "an odd name.safetensors", make_model(seed=2))
    bare = save_model(tmp_path / "bare.safetensors", replace(tiny_model, header=replace(tiny_model.header, licence="")))
    stranger = make_model(seed=6, name="far")
    lonely = save_pack(tmp_path / "lonely.safetensors", replace(stranger, header=tiny_style.header), stranger)
    bent = bytearray((known / "wild.safetensors").read_bytes())
    bent[-3] ^= 1
    (tmp_path / "bent.safetensors").write_bytes(bent)
    told = {odd: "--name", lonely: "'far'.*not known", tmp_path / "bent.safetensors": "damaged|changed"}
    for name, words in told.items():
        with pytest.raises(PortraitistError, match=words):
            push(place, "tiny", name)
    with pytest.raises(UsageError, match="Known names: tiny, wild"):
        push(place, "nobody")
    with requiring(True), pytest.raises(NoLicence, match="names no licence"):
        push(place, bare)
    assert not place.path.exists()
    push(place, bare)
    assert "tiny names no licence" in caplog.text
    with requiring(True), pytest.raises(NoLicence):
        hub.pull(place)


def test_what_is_bundled_goes_with_its_licence(
    known: Path, tmp_path: Path, tiny_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    registry.record_digest(save_model(catalogue.bundled_folder() / "ours.safetensors", tiny_model))
    push(Folder(tmp_path / "shared"), "ours")
    assert "ours comes with Portraitist, under CC0-1.0" in caplog.text


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"sha256": "0" * 64}, UntrustedFile, "not the file that its index lists"),
        ({"size": 100}, UntrustedFile, "not the file that its index lists"),
        ({"size": 10**9}, StorageError, "of 1,000,000,000 bytes came"),
        ({"licence": "MIT"}, UntrustedFile, "says other things of tiny"),
        ({"digest": "0" * 64}, UntrustedFile, "says other things of tiny"),
        ({"kind": "encoder"}, UntrustedFile, "says other things of tiny"),
        ({"file": "gone.safetensors"}, StorageError, "has no gone.safetensors"),
        ({"file": "../../up.safetensors"}, BadModel, "not an index"),
        ({"file": "/etc/hostname"}, BadModel, "not an index"),
        ({"name": "../up"}, BadModel, "not an index"),
        ({"name": "wild"}, BadModel, "lists a name twice"),
        ({"size": 10**13}, BadModel, "not an index"),
        ({"size": -1}, BadModel, "not an index"),
        ({"credit": "\x1b[31m"}, BadModel, "not an index"),
        ({"licence": None}, BadModel, "not an index"),
    ],
)
def test_an_index_that_lies_puts_nothing_into_place(
    known: Path,
    tmp_path: Path,
    elsewhere: Callable[[], Path],
    changes: dict[str, Any],
    error: type[PortraitistError],
    told: str,
) -> None:
    place = Folder(tmp_path / "shared")
    push(place, "tiny", "wild")
    edit(place.path, **changes)
    mine = elsewhere()
    with pytest.raises(error, match=told) as caught:
        hub.pull(place, ["wild"] if changes == {"name": "wild"} else [])
    assert caught.value.cure and str(caught.value).isprintable() and not mine.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not an index"),
        ("<html>", "not an index"),
        ("[]", "names no format"),
        ('{"format": "1", "models": []}', "names no format"),
        ('{"format": 1}', "not an index"),
        ('{"format": 1, "models": {}}', "not an index"),
        ('{"format": 1, "models": [{"name": "a"}]}', "faults"),
        ('{"format": 2, "models": "otherwise"}', "has format 2; this version reads 1"),
        ("[" * 100_000, "nested"),
        (" " * 2000, "too large"),
    ],
)
def test_what_is_no_index_is_refused(
    models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setattr(hub, "LARGEST_INDEX", 1000 if "large" in told else 1 << 20)
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(BadModel, match=told) as caught:
        hub.pull(Folder(tmp_path))
    assert caught.value.cure and len(str(caught.value)) < 600
    with pytest.raises(UsageError, match="There is no index of models"):
        hub.pull(Folder(tmp_path / "nowhere"))


def test_an_unknown_name_lists_what_there_is(known: Path, tmp_path: Path) -> None:
    place = Folder(tmp_path / "shared")
    push(place, "wild", "tiny")
    with pytest.raises(UsageError, match=r"lists no 'wilde'.*It lists: tiny, wild"):
        hub.pull(place, ["tiny", "wilde"])


def test_a_server_without_end_is_not_read_to_it(
    known: Path, server: FileServer, elsewhere: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Address(server.url, {})
    (tiny,) = push(place, "tiny")
    mine = elsewhere()
    server.answer = lambda handler: handler.path.endswith(tiny.file) and handler.give_without_end(b"x" * (1 << 20))
    with pytest.raises(UntrustedFile, match="its size or its SHA-256 is another"):
        hub.pull(place)
    server.answer = lambda handler: (
        handler.path.endswith(tiny.file) and handler.give(server.files[handler.path][:50], length=-1)
    )
    with pytest.raises(StorageError, match=f"50 of {tiny.size:,} bytes came"):
        hub.pull(place)
    monkeypatch.setattr(hub, "LARGEST_INDEX", 1 << 20)
    server.answer = lambda handler: handler.give_without_end(b" " * (1 << 20))
    with pytest.raises(BadModel, match="too large"):
        hub.pull(place)
    assert server.sent < 64 << 20 and not mine.exists()


def test_a_push_that_breaks_leaves_the_old_index_on_the_server(known: Path, server: FileServer) -> None:
    place = Address(server.url, {})
    push(place, "tiny")
    before = server.files[f"/{INDEX}"]
    server.answer = lambda handler: handler.command == "PUT" and ".safetensors" in handler.path and handler.plain(507)
    with pytest.raises(StorageError, match="507"):
        push(place, "wild")
    assert server.files[f"/{INDEX}"] == before


KILLED = """
import os, signal, sys
from pathlib import Path
from portraitist.io import hub
from portraitist.io.places import Folder

class Killed(Folder):
    def write(self, name, content, size):
        if name == hub.INDEX:
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(name, content, size)

hub.push(["tiny"], Killed(Path(sys.argv[1])), card=lambda header, name: name, overwrite=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_push_leaves_the_old_index_and_all_that_it_lists(
    known: Path, tmp_path: Path, elsewhere: Callable[[], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place = Folder(tmp_path / "shared")
    push(place, "tiny", "wild")
    before = (place.path / INDEX).read_bytes()
    later = make_model(seed=3, name="tiny")
    registry.add(save_model(tmp_path / "n.safetensors", later), overwrite=True)
    done = subprocess.run([sys.executable, "-c", KILLED, str(place.path)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert (place.path / INDEX).read_bytes() == before
    assert len(list(place.path.glob("tiny-*.safetensors"))) == 2  # the new one is there already

    (pushed,) = push(place, "tiny", overwrite=True)  # the lock of who is gone is no hindrance
    assert [path.name for path in place.path.glob("tiny-*.safetensors")] == [pushed.file]
    (place.path / INDEX).write_bytes(before)
    elsewhere()
    with pytest.raises(StorageError, match="Pull again"):  # as for who read the old index just before
        hub.pull(place, ["tiny"])
