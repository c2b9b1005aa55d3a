"""An LMDB of several resolutions, as rosinality's StyleGAN2 and its kin write it; read only.

Keys are ``"{size}-{index:05d}"`` with an encoded picture (JPEG) as value, and ``"length"`` with the number of
pictures as decimal text. LMDB trusts its files, so their pages are checked before.

Example::

    source = LmdbSource(Path("ffhq-lmdb"), resolution=256)
    data = source.read("00000")
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import lmdb

from ..errors import BadData, BadImage
from .lmdb_pages import check_pages

_MAX_LENGTH = 10_000_000
_MAX_DIGITS = 20
_MAX_SIZES = 16


class LmdbSource:
    """The pictures of one size in a database: the asked size, else the next larger, else the largest.

    Raises:
        BadData: The database is damaged or holds something else.
    """

    def __init__(self, path: Path, resolution: int) -> None:
        self.path = path
        try:
            self._environment = _open(path.resolve())
            length, sizes = self._contents()
        except lmdb.Error as error:
            raise BadData(f"{path} cannot be opened: {error}.", "Make the database again.") from None
        if not sizes or not 0 < length <= _MAX_LENGTH:
            raise BadData(
                f"{path} does not hold pictures under keys such as 256-00000 and a `length`.",
                "Name a folder or a zip of images instead.",
            )
        self.size = min((size for size in sizes if size >= resolution), default=max(sizes))
        self.names = [f"{index:05d}" for index in range(length)]
        self.refused: list[tuple[str, str, str]] = []

    def read(self, name: str) -> bytes:
        """Return the encoded picture of the chosen size."""
        with self._environment.begin() as transaction:
            data = transaction.get(f"{self.size}-{name}".encode())
        if data is None:
            raise BadImage(f"{self.path} has no {self.size}-{name}.", "Make the database again.", kind="missing")
        return bytes(data)

    def labels(self) -> dict[str, object]:
        """Return nothing: the format holds no labels."""
        return {}

    def _contents(self) -> tuple[int, list[int]]:
        """Return the number of pictures and the sizes, found by leaping from one prefix to the next."""
        with self._environment.begin() as transaction:
            length = bytes(transaction.get(b"length") or b"0")
            cursor = transaction.cursor()
            sizes: list[int] = []
            more = cursor.first()
            while more and len(sizes) < _MAX_SIZES:
                size, dash, _ = bytes(cursor.key()).partition(b"-")
                if dash and size.isdigit():
                    sizes.append(int(size))
                    more = cursor.set_range(size + b".")  # '.' follows '-'
                else:
                    more = cursor.next()
        return int(length) if length.isdigit() and len(length) <= _MAX_DIGITS else 0, sizes


@lru_cache(maxsize=8)
def _open(path: Path) -> Any:
    file = path / "data.mdb" if path.is_dir() else path
    if file.is_file():
        check_pages(file)
    # LMDB allows one open environment per path in a process, so sets share it.
    return lmdb.open(str(path), readonly=True, lock=False, readahead=False, max_readers=1, create=False)
