"""Files of other programs as bytes, with a clear refusal of what is often mistaken for a model."""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

from ..errors import BadModel, PortraitistError
from ..files import open_regular

LARGEST_FILE = 8 << 30
"""Bytes; several times the largest StyleGAN2 checkpoint with its optimiser."""

DAMAGED = "The file is damaged or its download was interrupted; fetch it again and compare sizes."

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")
AnyPath = TypeVar("AnyPath")


def typed(
    read: Callable[Concatenate[AnyPath, Arguments], Found],
) -> Callable[Concatenate[AnyPath, Arguments], Found]:
    """Wrap a reader of foreign files, so that whatever a malformed one makes it raise becomes BadModel."""

    @functools.wraps(read)
    def door(path: AnyPath, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Found:
        try:
            return read(path, *args, **kwargs)
        except (PortraitistError, MemoryError):
            raise
        except Exception as error:
            raise BadModel(f"{path} is malformed ({type(error).__name__}).", DAMAGED) from error

    return door


def read_head(path: Path, count: int) -> bytes:
    """Read the first ``count`` bytes of a file, or all if it is shorter."""
    with open_sized(path) as file:
        return file.read(count)


def read_bytes(path: Path) -> bytes:
    """Read a whole file of sensible size."""
    with open_sized(path) as file:
        return file.read()


def zip_index(path: Path, count: int = 1 << 20) -> bytes:
    """Return the start of the pickle that names the tensors in a file of ``torch.save``, which is a zip archive.

    Raises:
        BadModel: The archive is damaged, not of ``torch.save``, or compressed: it could unpack to any size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if stored and len(names) == 1:
                with archive.open(names[0]) as file:
                    return file.read(count)
    except Exception as error:  # as above
        raise BadModel(f"{path} cannot be read as a PyTorch file ({error}).", DAMAGED) from error
    raise BadModel(f"{path} is a zip archive, but not of torch.save.", "Unpack it and give the model inside.")


def refuse_other_files(path: Path, head: bytes) -> None:
    """Raise BadModel with the cure if the first bytes show something often mistaken for a model."""
    text = head.lstrip().lower()
    if not head:
        raise BadModel(f"{path} is empty.", DAMAGED)
    if head.startswith(b"version https://git-lfs"):
        raise BadModel(f"{path} is a Git LFS pointer, not the model itself.", "Run `git lfs pull` where it came from.")
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise BadModel(f"{path} is a web page, not a model.", "Download the file itself instead of its page.")
    if head.startswith((b"7z\xbc\xaf", b"\x1f\x8b", b"Rar!", b"BZh", b"\xfd7zXZ")):
        raise BadModel(f"{path} is a compressed archive.", "Unpack it and give the model inside.")


def open_sized(path: Path) -> BinaryIO:
    """Open a file of sensible size.

    Raises:
        BadModel: It cannot be read, or it is larger than any checkpoint.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        raise BadModel(f"Cannot read {path}: {error.strerror}.", "Check the name and the permissions.") from error
    if os.fstat(file.fileno()).st_size > LARGEST_FILE:
        file.close()
        raise BadModel(f"{path} is larger than any StyleGAN2 checkpoint.", "Is it the file you meant?")
    return file
