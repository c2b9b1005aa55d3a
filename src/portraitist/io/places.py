"""Places that a user names to keep files in: a folder, or the address of one on a web server that takes files (PUT).

    place = place_at("my-models")           # or https://models.example/faces
    if (blocks := place.blocks("portraitist.json")) is not None:
        text = b"".join(blocks)

Nothing is contacted but the address that is named and, within http and https, what it redirects to. Headers that the
user gives, such as credentials, go to that server alone; no message shows them.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, responses
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .._version import __version__
from ..errors import StorageError, UsageError
from ..files import atomic_write, open_regular, storage_error, sweep_partial
from ..locks import locked

log = logging.getLogger("portraitist")

SECONDS = 60.0
"""Silence of a server after which it is given up."""
BLOCK = 1 << 20
LOCK = ".portraitist.lock"
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\x21-\x7e][\x20-\x7e]*)")
_ADDRESS = re.compile(r"[\x21-\x7e]+")


class Folder:
    """A folder on this machine, made when something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def blocks(self, name: str) -> Generator[bytes] | None:
        """Return the bytes of a file, in blocks of 1 MiB at most; None where there is none.

        Raises:
            StorageError: It cannot be read, now or while the blocks are taken.
        """
        path = self.path / name
        try:
            return _blocks(open_regular(path), str(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be read ({error.strerror}).", "Check its permissions.") from error

    def write(self, name: str, content: BinaryIO, size: int) -> None:
        """Write a file of ``size`` bytes, whole or not at all, in place of an older one.

        Raises:
            StorageError: It cannot be written.
        """
        with atomic_write(self.path / name, overwrite=True, needed=size) as file:
            shutil.copyfileobj(content, file)

    def remove(self, name: str) -> None:
        """Remove a file that nothing lists any more.

        Raises:
            StorageError: It cannot be removed.
        """
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(self.path / name, error) from error

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other processes from changing what the folder holds, and sweep up after those that were killed.

        Raises:
            UsageError: Another process changes it.
            StorageError: The folder cannot be written.
        """
        with locked(self.path / LOCK, f"Another process changes {self.path}."):
            sweep_partial(self.path)
            yield


class Address:
    """A folder on a web server."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._opener = build_opener(_WithinHttp)
        self._opener.addheaders = [("User-Agent", f"portraitist/{__version__}")]
        self._read: dict[str, str] = {}
        """Of files that were read: the server's mark of that version, by name."""

    def __str__(self) -> str:
        return self._url

    def blocks(self, name: str) -> Generator[bytes] | None:
        """Return the bytes of a file; as of :meth:`Folder.blocks`.

        Raises:
            StorageError: The server cannot be reached, refuses, or breaks off while the blocks are taken.
        """
        if (response := self._answer(name, Request(f"{self._url}/{name}"))) is None:
            return None
        mark = response.headers.get("ETag", "")
        self._read[name] = mark if re.fullmatch(r'"[\x21\x23-\x7e]*"', mark) else ""
        return _blocks(response, f"{self._url}/{name}")

    def write(self, name: str, content: BinaryIO, size: int) -> None:
        """Send a file of ``size`` bytes, in place of an older one.

        One that was read before is replaced only if nobody else has replaced it since, as far as the server can tell.

        Raises:
            StorageError: The server cannot be reached, refuses, or breaks off.
        """
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        if mark := self._read.get(name):
            headers["If-Match"] = mark
        request = Request(f"{self._url}/{name}", data=content, headers=headers, method="PUT")
        if (answer := self._answer(name, request)) is not None:
            answer.close()

    def remove(self, name: str) -> None:
        """Say that a file that nothing lists any more stays: servers that take files need not let go of them."""
        log.info("%s/%s stays on the server, and nothing lists it any more", self._url, name)

    def changing(self) -> AbstractContextManager[None]:
        """Return nothing that holds the place: :meth:`write` refuses what others have changed since."""
        return nullcontext()

    def _answer(self, name: str, request: Request) -> HTTPResponse | None:
        """Return the server's answer; None where it has no file that is asked for."""
        for key, value in self._headers.items():
            request.add_unredirected_header(key, value)
        url = f"{self._url}/{name}"
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=SECONDS)
            return answer
        except HTTPError as error:
            error.close()
            code, method = error.code, request.get_method()
            if method == "GET" and code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return None
            said = f"{code} ({responses.get(code, 'unknown')})"
            raise StorageError(f"{url} answers {method} with {said}.", _cure(code)) from error
        except (OSError, HTTPException, ValueError) as error:
            raise StorageError(
                f"{url} cannot be reached, or broke off ({_reason(error)}).",
                "Check the address and the connection, and try again.",
            ) from error


Place = Folder | Address


class _WithinHttp(HTTPRedirectHandler):
    """Follows redirects to http and https addresses; unredirected headers go along on the same server alone."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Return the request that follows; None, which makes the redirect an error, where it leaves http."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            return None
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and _server(request) == _server(req):
            request.unredirected_hdrs = dict(req.unredirected_hdrs)
        return request


def place_at(text: str, headers: Sequence[str] = ()) -> Place:
    """Return the place that a user names.

    Args:
        text: Path of a folder, or an address that begins with ``http://`` or ``https://``.
        headers: For the server of an address, each ``Name: value``.

    Raises:
        UsageError: It is another kind of address, or one that holds more than the place; or a header is none, or is
            given for a folder.
    """
    given = [_HEADER.fullmatch(header.strip()) for header in headers]
    found = {match["name"]: match["value"] for match in given if match}
    if len(found) < len(headers):
        raise UsageError(
            "A header is not of the form 'Name: value', or is given twice.", "Write it as 'Authorization: Bearer ...'."
        )
    scheme, separator, rest = text.partition("://")
    if not separator:
        if headers:
            raise UsageError(f"{text} is a folder, which takes no headers.", "Leave them out, or give an address.")
        return Folder(Path(text))
    if scheme.lower() not in ("http", "https"):
        raise UsageError(f"{scheme[:20]}:// is neither http:// nor https://.", "Give such an address, or a folder.")
    if "@" in rest.partition("/")[0]:
        raise UsageError("The address holds a user's name or a password.", "Give them as a header (--header).")
    if not _ADDRESS.fullmatch(text) or re.search(r"[?#]", rest) or not _has_host(text):
        raise UsageError(
            f"{text[:200]!r} is not the address of a folder.",
            "Give it as https://host/folder, without ? and #, other characters as %XX.",
        )
    return Address(text, found)


def _blocks(source: BinaryIO | HTTPResponse, name: str) -> Generator[bytes]:
    try:
        with source:
            while block := source.read(BLOCK):
                yield block
            left = getattr(source, "length", 0)
    except (OSError, HTTPException) as error:
        raise StorageError(f"{name} broke off while it was read ({_reason(error)}).", "Try again.") from error
    if left:
        raise StorageError(f"{name} broke off while it was read: {left:,} bytes are missing.", "Try again.")


def _server(request: Request) -> tuple[str, str]:
    return urlsplit(request.full_url)[:2]


def _has_host(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    """Return the system's words for an error; servers' words may hold anything."""
    inner = getattr(error, "reason", error)
    inner = inner if isinstance(inner, BaseException) else error
    return getattr(inner, "strerror", None) or type(inner).__name__


def _cure(code: int) -> str:
    if 300 <= code < 400:
        return "Give the address that it leads to; only http and https are followed, and only for reading."
    return _CURES.get(code, "Ask whoever keeps the server, or try again later.")


_CURES = {
    401: "Give credentials: --header 'Authorization: ...', or --header-from and the name of a variable that holds it.",
    403: "Give credentials that allow it: --header 'Authorization: ...', or --header-from and the name of a variable.",
    404: "Make the folder on the server first.",
    405: "The server takes no files: push to a folder, and copy it to the server.",
    409: "Make the folder on the server first.",
    412: "Somebody else has changed what lies there meanwhile: push again.",
    413: "The server takes no files so large.",
    501: "The server takes no files: push to a folder, and copy it to the server.",
    507: "The server's disk is full.",
}
