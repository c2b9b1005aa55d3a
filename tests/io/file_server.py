"""A web server in this process that keeps files in memory, takes them with PUT, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Answer = Callable[["Handler"], bool]
"""Answers a request in another way than a good server; False leaves it to the good one."""


class FileServer(http.server.ThreadingHTTPServer):
    """Files by path, and what was asked: method, path and ``Authorization``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.answer: Answer = lambda handler: False
        self.sent = 0
        """Bytes of answers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # who asks may hang up


class Handler(http.server.BaseHTTPRequestHandler):
    """Good manners: lengths, ETags, If-Match."""

    server: FileServer

    def do_GET(self) -> None:
        if self._begun():
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.plain(404)
        else:
            self.give(content, ETag=_tag(content))

    def do_PUT(self) -> None:
        if self._begun():
            return
        content = self.rfile.read(int(self.headers["Content-Length"]))
        wanted = self.headers["If-Match"]
        if wanted and wanted != _tag(self.server.files.get(self.path, b"")):
            self.plain(412)
        else:
            self.server.files[self.path] = content
            self.plain(201)

    def _begun(self) -> bool:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        return self.server.answer(self)

    def plain(self, status: int, **headers: str) -> bool:
        """Answer without content."""
        self.send_response(status, "\x1b[31mthe server's words")
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()
        return True

    def give(self, content: bytes, length: int | None = None, **headers: str) -> bool:
        """Answer with content; ``length`` may lie, and is left out when negative."""
        self.send_response(200)
        length = len(content) if length is None else length
        for name, value in {**headers, **({"Content-Length": str(length)} if length >= 0 else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.server.sent += len(content)
        return True

    def give_without_end(self, block: bytes) -> bool:
        """Answer until nobody listens, 256 MiB at most."""
        self.give(b"", length=-1)
        with suppress(OSError):
            while self.server.sent < 256 << 20:
                self.wfile.write(block)
                self.server.sent += len(block)
        return True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


@contextmanager
def serving() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(20)
