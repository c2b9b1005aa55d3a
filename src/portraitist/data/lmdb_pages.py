"""Whether the pages of an LMDB hold together: LMDB trusts its files, and a page that is not there ends the process.

The format is that of LMDB 0.9 (``mdb.c`` of OpenLDAP: MDB_meta, MDB_page, MDB_node). Of the main database all branches
and leaves are looked at, and where its values lie; the values themselves are not.

    check_pages(Path("ffhq-lmdb/data.mdb"))
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..errors import BadData

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEAD = 16
"""Bytes of a page before its table of nodes: page number, padding, kind, end of the table, begin of the nodes."""
_BRANCH, _LEAF, _KINDS = 1, 2, 0x6F
_BIG = 1
"""A node whose value lies on pages of its own."""
_NO_PAGE = (1 << 64) - 1
_DEEPEST = 32


def check_pages(path: Path) -> None:
    """Refuse an LMDB that would lead its reader outside of the file or of a page.

    Raises:
        BadData: It would, or is none.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check(data)
        except (ValueError, struct.error) as error:
            raise BadData(
                f"The database {path} is damaged: {error or 'it is empty'}.", "Copy it again, or make it again."
            ) from None


def _check(data: mmap.mmap) -> None:
    size, root, depth, last = _newest(data)
    if (last + 1) * size > len(data):
        raise ValueError(f"its file is shorter than the {(last + 1) * size:,} bytes that it speaks of")
    pages = [] if root == _NO_PAGE else [root]
    seen = 0
    for level in range(depth):
        below: list[int] = []
        for page in pages:
            seen += 1
            if not 2 <= page <= last or seen > last:
                raise ValueError("it names a page that it does not have")
            below += _children(data[page * size : (page + 1) * size], page, level + 1 == depth, last, len(data))
        pages = below
    if pages or (depth == 0) != (root == _NO_PAGE):
        raise ValueError("its tree has another depth than it says")


def _newest(data: mmap.mmap) -> tuple[int, int, int, int]:
    """Return the size of a page, and of the newer of two states: root and depth of the main database, the last page."""
    size = struct.unpack_from("<I", data, 40)[0]
    if size not in (1 << bits for bits in range(8, 17)):
        raise ValueError("it has no size of pages")
    states = []
    for at in (0, size):
        kind, magic, version = *struct.unpack_from("<H", data, at + 10), *struct.unpack_from("<II", data, at + 16)
        if not kind & 8 or (magic, version) != (_MAGIC, _VERSION) or struct.unpack_from("<I", data, at + 40)[0] != size:
            raise ValueError("it does not begin as one of LMDB 0.9 does")
        flags, depth = struct.unpack_from("<HH", data, at + 92)
        root, last, number = struct.unpack_from("<QQQ", data, at + 128)
        states.append((number, flags, depth, root, last))
    _, flags, depth, root, last = max(states, key=lambda state: state[0])
    if flags or depth > _DEEPEST:
        raise ValueError("it is of a kind that holds no pictures")
    return size, root, depth, last


def _children(page: bytes, number: int, is_leaf: bool, last: int, length: int) -> list[int]:
    """Check one page of the tree; return the pages that it points to."""
    own, kind, end = *struct.unpack_from("<Q", page), *struct.unpack_from("<HH", page, 10)
    count = (end - _HEAD) // 2
    if own != number or kind & _KINDS != (_LEAF if is_leaf else _BRANCH) or not (1 if is_leaf else 2) <= count:
        raise ValueError(f"page {number} is not what it should be")
    below = []
    for at in struct.unpack_from(f"<{count}H", page, _HEAD):
        low, high, flags, key = struct.unpack_from("<HHHH", page, at)
        if is_leaf:
            value = low | high << 16
            held = 8 if flags == _BIG else value
            if flags not in (0, _BIG) or at + 8 + key + held > len(page):
                raise ValueError(f"page {number} holds more than a page")
            if flags == _BIG:
                there = struct.unpack_from("<Q", page, at + 8 + key)[0]
                if not 2 <= there <= last or there * len(page) + _HEAD + value > length:
                    raise ValueError("it names a page that it does not have")
        else:
            if at + 8 + key > len(page):
                raise ValueError(f"page {number} holds more than a page")
            below.append(low | high << 16 | flags << 32)
    return below
