"""What has a name, models, encoders, choosers and translators: those bundled with the package and those users add.

Both folders hold the files beside a ``digests.json`` with the SHA-256 of each; a file whose bytes differ is refused.
Nothing here loads PyTorch; ``registry`` loads the files.

    for entry in entries():
        print(entry.name, entry.header.licence)
    path = find("toon3d")                           # by name; or a file, or a run folder
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import BadModel, PortraitistError, StorageError, UntrustedFile, UsageError
from ..files import open_regular, parse_json, storage_error, write_bytes
from .headers import (
    NAME,
    AnyHeader,
    ChooserHeader,
    EncoderHeader,
    Header,
    StoredHeader,
    TranslatorHeader,
    read_any_header,
)
from .licences import is_permissive

log = logging.getLogger("portraitist")

DIGESTS = "digests.json"
SUFFIX = ".safetensors"
# What `train` leaves in a run folder, the most useful first.
RUN_FILES = ("style.safetensors", "model.safetensors")
ENCODER_FILE = "encoder.safetensors"
TRANSLATOR_FILE = "translator.safetensors"


ItsHeader = TypeVar("ItsHeader", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[ItsHeader]):
    """What can be loaded by name."""

    name: str
    path: Path
    where: str
    """``bundled`` or ``user``."""
    sha256: str
    header: ItsHeader


ModelEntry = Entry[Header]
EncoderEntry = Entry[EncoderHeader]
ChooserEntry = Entry[ChooserHeader]
TranslatorEntry = Entry[TranslatorHeader]
AnyEntry = Entry[StoredHeader]


def bundled_folder() -> Path:
    """Return the folder of models inside the package."""
    return Path(str(files("portraitist"))) / "models"


def user_folder() -> Path:
    """Return the folder of the user's models: ``PORTRAITIST_MODELS``, or the platform's place for data of programs."""
    if chosen := os.environ.get("PORTRAITIST_MODELS"):
        return Path(chosen)
    if sys.platform == "win32":
        variable, usual = "LOCALAPPDATA", "AppData/Local"
    elif sys.platform == "darwin":
        variable, usual = "", "Library/Application Support"
    else:
        variable, usual = "XDG_DATA_HOME", ".local/share"
    try:
        root = Path(os.environ.get(variable) or Path.home() / usual)
    except RuntimeError:
        raise StorageError("This user has no home folder.", "Name a folder for models in PORTRAITIST_MODELS.") from None
    return root / "portraitist" / "models"


def entries(on_bad: Callable[[Path, PortraitistError], None] | None = None) -> list[ModelEntry]:
    """Return all known models, bundled ones first; of two with one name the user's counts.

    Args:
        on_bad: Called with files that cannot be read; they are left out. And with a list of digests that cannot be
            read: what it should vouch for is returned without a digest, and not loaded by name.
    """
    return _entries(on_bad, Header)


def encoders(on_bad: Callable[[Path, PortraitistError], None] | None = None) -> list[EncoderEntry]:
    """Return all known encoders; order and argument as of :func:`entries`."""
    return _entries(on_bad, EncoderHeader)


def choosers(on_bad: Callable[[Path, PortraitistError], None] | None = None) -> list[ChooserEntry]:
    """Return all known choosers of paths; order and argument as of :func:`entries`."""
    return _entries(on_bad, ChooserHeader)


def translators(on_bad: Callable[[Path, PortraitistError], None] | None = None) -> list[TranslatorEntry]:
    """Return all known translators; order and argument as of :func:`entries`."""
    return _entries(on_bad, TranslatorHeader)


def everything() -> list[AnyEntry]:
    """Return all that has a name, of each kind in turn."""
    return [*entries(), *encoders(), *choosers(), *translators()]


def find(name: Path | str) -> Path:
    """Return the file of a model given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        UntrustedFile: The file has changed since it was added.
    """
    return file_of(name, RUN_FILES) or _known_file(name, entries(), "model", "portraitist train")


def find_encoder(name: Path | str) -> Path:
    """Return the file of an encoder given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        BadModel: It is a file of another program.
        UntrustedFile: The file has changed since it was added.
    """
    path = file_of(name, (ENCODER_FILE,)) or _known_file(name, encoders(), "encoder", "portraitist encoder train")
    if not is_native(path):
        raise BadModel(
            f"{path.name} is not an encoder file of Portraitist.",
            "Those of pSp, e4e and AgileGAN are read by `portraitist encoder import FILE`.",
        )
    return path


def find_chooser(name: Path | str) -> Path:
    """Return the file of a chooser given by path or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        UntrustedFile: The file has changed since it was added.
    """
    return file_of(name, ()) or _known_file(name, choosers(), "chooser", "portraitist encoder chooser")


def find_translator(name: Path | str) -> Path:
    """Return the file of a translator given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        UntrustedFile: The file has changed since it was added.
    """
    found = file_of(name, (TRANSLATOR_FILE,))
    return found or _known_file(name, translators(), "translator", "portraitist translate train")


def find_any(name: Path | str) -> Path:
    """Return the file of whatever can have a name, given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names of models.
        UntrustedFile: The file has changed since it was added.
    """
    try:
        return find(name)
    except UsageError as no_model:
        for find_other in (find_encoder, find_chooser, find_translator):
            with contextlib.suppress(UsageError):
                return find_other(name)
        raise no_model


def with_licence(found: Sequence[ModelEntry], licence: str) -> list[ModelEntry]:
    """Return the models whose licence is this one.

    Args:
        found: All that are known.
        licence: SPDX identifier; or ``permissive``, any that allows use in products, of a style and of its base too.
    """
    if licence.lower() != "permissive":
        return [entry for entry in found if entry.header.licence.lower() == licence.lower()]
    free = [entry for entry in found if is_permissive(entry.header.licence)]
    bases = {name for entry in free if entry.header.kind == "model" for name in (entry.name, entry.header.name)}
    return [entry for entry in free if entry.header.kind == "model" or entry.header.base_name in bases]


def is_native(path: Path) -> bool:
    """Tell from its first bytes whether a file may be one of ours, a safetensors file.

    Raises:
        BadModel: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise BadModel(f"{path} cannot be read ({error.strerror}).", "Check its path and permissions.") from error


def name_of(path: Path) -> str:
    """Return the word by which a file is called: that of its run folder, or its own."""
    return path.resolve().parent.name if path.name in (*RUN_FILES, ENCODER_FILE, TRANSLATOR_FILE) else path.stem


def remove(name: str) -> Path:
    """Remove a file from the user's folder, and its entry in ``digests.json``.

    Returns:
        The file that was removed.

    Raises:
        UsageError: There is none of this name, or it is bundled with the package.
        StorageError: It cannot be removed.
        UntrustedFile: The list of digests cannot be read.
    """
    folder = user_folder()
    path = folder / f"{name}{SUFFIX}"
    if not NAME.fullmatch(name) or not path.is_file():
        every = everything()
        known = [entry.name for entry in every if entry.where == "user"]
        if any(entry.name == name for entry in every):
            raise UsageError(f"'{name}' is bundled with the package.", "Only your own models can be removed.")
        raise UsageError(f"You have no model '{name}'.", f"Your models: {', '.join(known) or 'none'}.")
    digests = read_digests(folder)
    try:
        path.unlink()
    except OSError as error:
        raise storage_error(path, error) from error
    if digests.pop(path.name, None) is not None:
        _write_digests(folder, digests)
    left = [entry.name for entry in entries() if entry.header.base_name == name]
    left += [entry.name for entry in encoders() if entry.header.base_name == name]
    left += [entry.name for entry in choosers() if entry.header.base_name == name]
    if left and all(entry.name != name for entry in entries()):
        log.warning("%s names '%s' as the base, which is no longer known", ", ".join(left), name)
    return path


def record_digest(path: Path) -> None:
    """Note the SHA-256 of a file in the ``digests.json`` beside it."""
    _write_digests(path.parent, read_digests(path.parent) | {path.name: file_sha256(path)})


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    write_bytes(folder / DIGESTS, json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n", overwrite=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(on_bad: Callable[[Path, PortraitistError], None] | None, kind: type[AnyHeader]) -> list[Entry[AnyHeader]]:
    """Return what has a header of this kind; of two with one name the user's counts."""
    found: dict[str, Entry[AnyHeader]] = {}
    for entry in _scan(on_bad):
        if isinstance(entry.header, kind):
            found[entry.name] = Entry[AnyHeader](entry.name, entry.path, entry.where, entry.sha256, entry.header)
    return list(found.values())


def _scan(on_bad: Callable[[Path, PortraitistError], None] | None) -> Iterator[AnyEntry]:
    """Go through both folders; argument as of :func:`entries`."""
    for where, folder in (("bundled", bundled_folder()), ("user", user_folder())):
        try:
            digests = read_digests(folder)
        except UntrustedFile as error:
            digests = {}  # whoever wants a file of this folder is told by verify; those of the other can be had
            if on_bad is not None:
                on_bad(folder / DIGESTS, error)
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
            try:
                header = read_any_header(path)
            except PortraitistError as error:
                if on_bad is not None:
                    on_bad(path, error)
                continue
            yield Entry(path.stem, path, where, digests.get(path.name, ""), header)


def file_of(name: Path | str, run_files: Iterable[str]) -> Path | None:
    """Return the file that a path is, or the first of those in the run folder that it is."""
    path = Path(name)
    # Those of os.path, unlike Path's, are false for names too long.
    if os.path.isfile(path):
        return path
    return next((path / run_file for run_file in run_files if os.path.isfile(path / run_file)), None)


def _known_file(
    name: Path | str,
    known: Sequence[AnyEntry],
    what: str,
    trainer: str,
) -> Path:
    """Return the file of a name, verified."""
    for entry in known:
        if entry.name == str(name):
            verify(entry)
            return entry.path
    if os.path.isdir(name):
        raise UsageError(f"The folder {name} holds no trained {what}.", f"Give a run folder of `{trainer}`.")
    names = ", ".join(e.name for e in known) or "none"
    raise UsageError(f"There is no {what} '{name}', neither as a file nor by name.", f"Known names: {names}.")


def read_digests(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 of what a folder's ``digests.json`` lists.

    Raises:
        UntrustedFile: It cannot be read.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UntrustedFile(
            f"The digests in {path} cannot be read ({error}).", "Remove the file and add the models again."
        ) from error


def verify(entry: AnyEntry) -> None:
    """Refuse a file that is not the one that was added or installed.

    Raises:
        UntrustedFile: It has changed, or the list of digests cannot be read.
    """
    if not entry.sha256:
        read_digests(entry.path.parent)  # raises where it may have one that cannot be read
    if entry.sha256 and file_sha256(entry.path) != entry.sha256:
        raise UntrustedFile(
            f"{entry.path} has changed since it was added (its SHA-256 is not {entry.sha256[:12]}...).",
            "Remove it and add or install it again.",
        )
