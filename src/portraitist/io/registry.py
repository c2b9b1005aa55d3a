"""Models by name: those bundled with the package and those a user has added.

Both folders hold model files beside a ``digests.json`` with the SHA-256 of each; a file whose bytes differ is refused.

    model = load("toon3d")          # by name
    model = load("runs/mine")       # a run folder, or any model file
    model = load("runs/both", attribute="men")      # one path of a style pack with a generator per attribute
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..errors import BadModel, PortraitistError, UntrustedFile, UsageError
from ..files import atomic_write, refuse_existing, write_bytes
from .model_file import NAME, Header, Model, generator_digest, load_model, read_header

log = logging.getLogger("portraitist")

DIGESTS = "digests.json"
SUFFIX = ".safetensors"
# What `train` leaves in a run folder, the most useful first.
RUN_FILES = ("style.safetensors", "model.safetensors")


@dataclass(frozen=True)
class Entry:
    """One model that can be loaded by name."""

    name: str
    path: Path
    where: str
    """``bundled`` or ``user``."""
    sha256: str
    header: Header


def bundled_folder() -> Path:
    """Return the folder of models inside the package."""
    return Path(str(files("portraitist"))) / "models"


def user_folder() -> Path:
    """Return the folder of the user's models: ``PORTRAITIST_MODELS``, or the platform's place for data of programs."""
    if chosen := os.environ.get("PORTRAITIST_MODELS"):
        return Path(chosen)
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData/Local")))
    elif sys.platform == "darwin":
        root = Path.home() / "Library/Application Support"
    else:
        root = Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local/share")))
    return root / "portraitist" / "models"


def entries(on_bad: Callable[[Path, PortraitistError], None] | None = None) -> list[Entry]:
    """Return all known models, bundled ones first; of two with one name the user's counts.

    Args:
        on_bad: Told of files that cannot be read; they are left out.

    Raises:
        UntrustedFile: A list of digests is damaged, and nobody is told of bad files.
    """
    found: dict[str, Entry] = {}
    for where, folder in (("bundled", bundled_folder()), ("user", user_folder())):
        try:
            digests = _read_digests(folder)
        except UntrustedFile as error:
            if on_bad is None:
                raise
            on_bad(folder / DIGESTS, error)
            digests = {}
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
            try:
                header = read_header(path)
            except PortraitistError as error:
                if on_bad is not None:
                    on_bad(path, error)
                continue
            found[path.stem] = Entry(path.stem, path, where, digests.get(path.name, ""), header)
    return list(found.values())


def find(name: Path | str) -> Path:
    """Return the file of a model given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        UntrustedFile: The file has changed since it was added.
    """
    path = Path(name)
    # Those of os.path, unlike Path's, are false for names too long.
    if os.path.isfile(path):
        return path
    for candidate in RUN_FILES:
        if os.path.isfile(path / candidate):
            return path / candidate
    known = entries()
    for entry in known:
        if entry.name == str(name):
            _verify(entry)
            return entry.path
    if os.path.isdir(path):
        raise UsageError(f"The folder {path} holds no trained model.", "Give a run folder of `portraitist train`.")
    names = ", ".join(e.name for e in known) or "none"
    raise UsageError(f"There is no model '{name}', neither as a file nor by name.", f"Known names: {names}.")


def load(name: Path | str, *, attribute: str | None = None) -> Model:
    """Load a model by name, path or run folder; the base of a style pack is found by its digest.

    Args:
        name: Name, file or run folder.
        attribute: Which path of a style pack that has one per attribute; of no meaning for other models.

    Raises:
        PortraitistError: There is no such model, it is damaged, or its base is not known.
    """
    path = find(name)
    return load_model(path, find_base=lambda header: base_of(header, path), attribute=attribute)


def name_of(path: Path) -> str:
    """Return the word by which a model file is called: that of its run folder, or its own."""
    return path.resolve().parent.name if path.name in RUN_FILES else path.stem


def base_of(header: Header, path: Path) -> Model:
    """Return the base that a style pack belongs to: one of the known models, or a file beside the pack.

    Raises:
        BadModel: It is not known.
        UntrustedFile: The model that may be it has changed since it was added.
    """
    try:
        return known_base(header)
    except BadModel:
        beside = [p for p in sorted(path.parent.glob(f"*{SUFFIX}")) if p != path]
        found = _first_base(header, beside)
        if found is None:
            raise
        return found


def known_base(header: Header) -> Model:
    """Return the base that a style pack belongs to, from the models that have a name.

    Raises:
        BadModel: It is not among them.
        UntrustedFile: The model that may be it has changed since it was added.
    """
    wanted = header.generator.of_base
    candidates = [e for e in entries() if e.header.kind == "model" and e.header.generator == wanted]
    candidates.sort(key=lambda e: e.name != header.base_name)
    trusted, changed = [], None
    for entry in candidates:
        try:
            _verify(entry)
            trusted.append(entry.path)
        except UntrustedFile as error:
            changed = error
    found = _first_base(header, trusted)
    if found is None:
        raise changed or BadModel(
            f"The base '{header.base_name}' (digest {header.base_digest[:12]}...) of the style '{header.name}' "
            "is not known.",
            "Add it with `portraitist models add FILE`.",
        )
    return found


def add(path: Path | str, *, name: str = "", overwrite: bool = False) -> Entry:
    """Copy a model file into the user's folder, where it can be loaded by name.

    Args:
        path: A native model file.
        name: Name to load it by; that of its header, or of the file, when empty.
        overwrite: Replace a model of that name.

    Raises:
        UsageError: The name is taken or cannot be one.
        BadModel: The file is damaged, or a style pack whose base has no name yet.
    """
    path = find(path)
    header = read_header(path)
    name = name or header.name or name_of(path)
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} cannot be a model's name.", "Give a --name of letters, digits, - and _.")
    target = user_folder() / f"{name}{SUFFIX}"
    refuse_existing(target, overwrite)
    load_model(path, find_base=known_base, attribute=next(iter(header.paths), None))  # checks all paths
    if not header.licence:
        log.warning("%s names no licence: ask its author before you pass on its pictures", path.name)
    with path.open("rb") as source, atomic_write(target, overwrite=overwrite) as file:
        shutil.copyfileobj(source, file)
    record_digest(target)
    return Entry(name, target, "user", file_sha256(target), header)


def record_digest(path: Path) -> None:
    """Note the SHA-256 of a model file in the ``digests.json`` beside it."""
    digests = _read_digests(path.parent) | {path.name: file_sha256(path)}
    write_bytes(path.parent / DIGESTS, json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n", overwrite=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_base(header: Header, paths: Iterable[Path]) -> Model | None:
    for path in paths:
        try:
            if read_header(path).generator != header.generator.of_base:
                continue
            base = load_model(path)
        except PortraitistError:
            continue
        if generator_digest(base) == header.base_digest:
            return base
    return None


def _read_digests(folder: Path) -> dict[str, str]:
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UntrustedFile(
            f"The digests in {path} cannot be read ({error}).", "Remove the file and add the models again."
        ) from error


def _verify(entry: Entry) -> None:
    if entry.sha256 and file_sha256(entry.path) != entry.sha256:
        raise UntrustedFile(
            f"{entry.path} has changed since it was added (its SHA-256 is not {entry.sha256[:12]}...).",
            "Remove it and add or install it again.",
        )
