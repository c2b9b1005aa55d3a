"""Folders and addresses: what is asked of a server, what is told of its answers, and where credentials go."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portraitist.errors import StorageError, UsageError
from portraitist.io import places
from portraitist.io.places import Address, Folder, Place, place_at
from tests.io.file_server import FileServer, Handler, serving

pytestmark = pytest.mark.xdist_group("machine")
SECRET = "Bearer open-sesame"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as made:
        yield made


def read(place: Place, name: str) -> bytes | None:
    blocks = place.blocks(name)
    return None if blocks is None else b"".join(blocks)


def write(place: Place, name: str, content: bytes) -> None:
    place.write(name, io.BytesIO(content), len(content))


def test_what_is_written_is_read_back(server: FileServer, tmp_path: Path) -> None:
    big = bytes(range(256)) * 5000
    for place in (place_at(str(tmp_path / "new" / "folder")), place_at(f"{server.url}/new/folder/")):
        assert read(place, "a.bin") is None
        write(place, "a.bin", b"first")
        write(place, "a.bin", big)
        assert read(place, "a.bin") == big and read(place, "b.bin") is None
        place.remove("b.bin")
        with place.changing():
            pass
    assert server.files == {"/new/folder/a.bin": big}
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.bin"]


def test_a_folder_is_changed_by_one_process_at_a_time(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    with place.changing(), pytest.raises(UsageError, match="Another process changes"), Folder(tmp_path).changing():
        pass
    (tmp_path / "file").touch()
    assert read(Folder(tmp_path / "file"), "a") is None
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        read(place, "a")


@pytest.mark.parametrize(
    ("method", "status", "cure"),
    [
        ("GET", 401, "--header 'Authorization"),
        ("GET", 403, "--header-from"),
        ("GET", 500, "try again later"),
        ("GET", 799, "try again later"),
        ("PUT", 401, "--header 'Authorization"),
        ("PUT", 404, "Make the folder"),
        ("PUT", 405, "push to a folder"),
        ("PUT", 409, "Make the folder"),
        ("PUT", 413, "so large"),
        ("PUT", 501, "push to a folder"),
        ("PUT", 507, "disk is full"),
        ("PUT", 307, "Give the address that it leads to"),
    ],
)
def test_refusals_are_told_with_the_cure(server: FileServer, method: str, status: int, cure: str) -> None:
    server.answer = lambda handler: handler.plain(status, Location=f"{server.url}/there")
    place = place_at(server.url, [f"Authorization: {SECRET}"])
    with pytest.raises(StorageError, match=f"answers {method} with {status}") as caught:
        read(place, "a") if method == "GET" else write(place, "a", b"content")
    assert cure in caught.value.cure and str(caught.value).isprintable() and SECRET not in str(caught.value)
    assert server.files == {}


def test_what_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    for url in (closed, f"https://{'x' * 70}.invalid"):
        with pytest.raises(StorageError, match="cannot be reached") as caught:
            read(place_at(url), "a")
        assert "Check the address" in caught.value.cure


def test_a_connection_that_breaks_is_told(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(handler: Handler) -> bool:
        time.sleep(0.6)
        return True

    monkeypatch.setattr(places, "SECONDS", 0.2)
    place = place_at(server.url)
    server.answer = lambda handler: handler.give(b"half", length=8)
    with pytest.raises(StorageError, match="broke off while it was read: 4 bytes are missing"):
        read(place, "a")
    server.answer = hang
    with pytest.raises(StorageError, match="broke off"):
        read(place, "a")
    server.answer = lambda handler: bool(handler.wfile.write(b"no answer of a web server"))
    with pytest.raises(StorageError, match=r"broke off \(BadStatusLine\)"):
        read(place, "a")

    def hang_up(handler: Handler) -> bool:
        handler.connection.close()
        return True

    server.answer = hang_up
    with pytest.raises(StorageError, match="broke off"):
        write(place, "a", b"x" * (4 << 20))


def test_credentials_go_to_the_server_that_they_are_for(server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = place_at(server.url, [f"Authorization:  {SECRET} ", "X-More: 1"])
    with serving() as other:
        server.files["/here"] = other.files["/there"] = b"content"
        for aim, host in ((f"{server.url}/here", server), (f"{other.url}/there", other)):
            server.answer = lambda handler, aim=aim: handler.path == "/a" and handler.plain(302, Location=aim)  # type: ignore[misc]
            assert read(place, "a") == b"content"
            assert server.asked[0] == ("GET", "/a", SECRET)
            assert host.asked[-1] == ("GET", aim.removeprefix(host.url), SECRET if host is server else None)
    assert SECRET not in caplog.text and not caplog.records


@pytest.mark.parametrize("aim", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,content", "//\x7f:x/", "{url}/a"])
def test_redirects_stay_within_http_and_end(server: FileServer, aim: str) -> None:
    server.answer = lambda handler: handler.plain(302, Location=aim.format(url=server.url))
    with pytest.raises(StorageError):
        read(place_at(server.url), "a")
    assert 1 <= len(server.asked) < 20


def test_what_others_changed_meanwhile_is_not_replaced(server: FileServer) -> None:
    server.files["/a"] = b"old"
    one, other = place_at(server.url), place_at(server.url)
    assert read(one, "a") == read(other, "a") == b"old"
    write(other, "a", b"theirs")
    with pytest.raises(StorageError, match="412") as caught:
        write(one, "a", b"ours")
    assert "push again" in caught.value.cure and server.files["/a"] == b"theirs"
    server.answer = lambda handler: handler.command == "GET" and handler.give(b"theirs", ETag='W/"weak"')
    assert read(one, "a") == b"theirs"
    write(one, "a", b"ours")  # nothing to tell by
    assert server.files["/a"] == b"ours"


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://host/a", "file:///a", "http://", "http:///a", "https://me:sesame@host/a", "http://host/a?key=1"),
        *("http://host/#a", "http://host/a b", "http://hö.st/", "http://host:port/", "http://[::1", "http://host\n/"),
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        place_at(text)
    told = str(caught.value)
    assert caught.value.cure and "sesame" not in told and told.isprintable()


def test_headers_are_checked_and_not_shown() -> None:
    for headers in (
        ["open-sesame"],
        ["A b: open-sesame"],
        ["A: open-sesame\r\nB: 1"],
        ["A: 1", "A: open-sesame"],
        [""],
    ):
        with pytest.raises(UsageError, match="form 'Name: value'") as caught:
            place_at("http://host/", headers)
        assert "sesame" not in str(caught.value)
    with pytest.raises(UsageError, match="takes no headers"):
        place_at("folder", ["A: 1"])
    assert isinstance(place_at("HTTPS://host/a"), Address) and str(place_at("http://host/a//")) == "http://host/a"
