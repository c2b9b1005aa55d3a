"""Models and encoders by name: those bundled with the package and those a user has added.

Both folders hold the files beside a ``digests.json`` with the SHA-256 of each; a file whose bytes differ is refused.

    model = load("toon3d")          # by name
    model = load("runs/mine")       # a run folder, or any model file
    model = load("runs/both", attribute="men")      # one path of a style pack with a generator per attribute
    stored = load_encoder_of(load("faces"))         # the encoder of a base, None where nobody knows one
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from pydantic import Field, TypeAdapter

from ..errors import BadModel, PortraitistError, StorageError, UntrustedFile, UsageError
from ..files import atomic_write, parse_json, refuse_existing, write_bytes
from ..networks import GeneratorAnatomy
from .described import NAME, AnyHeader, read_described
from .encoder_files import (
    EncoderHeader,
    StoredEncoder,
    check_encoder_header,
    load_encoder,
    read_foreign_encoder,
    save_encoder,
)
from .model_file import Header, Model, check_header, generator_digest, load_model, read_header
from .pickles import read_head

log = logging.getLogger("portraitist")

DIGESTS = "digests.json"
SUFFIX = ".safetensors"
# What `train` leaves in a run folder, the most useful first.
RUN_FILES = ("style.safetensors", "model.safetensors")
ENCODER_FILE = "encoder.safetensors"


ItsHeader = TypeVar("ItsHeader", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[ItsHeader]):
    """One model, or one encoder, that can be loaded by name."""

    name: str
    path: Path
    where: str
    """``bundled`` or ``user``."""
    sha256: str
    header: ItsHeader


ModelEntry = Entry[Header]
EncoderEntry = Entry[EncoderHeader]
AnyEntry = Entry[Header | EncoderHeader]


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


def find(name: Path | str) -> Path:
    """Return the file of a model given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        UntrustedFile: The file has changed since it was added.
    """
    return _file(name, RUN_FILES) or _known_file(name, entries(), "model", "portraitist train")


def find_encoder(name: Path | str) -> Path:
    """Return the file of an encoder given by path, by run folder or by name, tried in this order.

    Raises:
        UsageError: There is none; the message lists the names known.
        BadModel: It is a file of another program.
        UntrustedFile: The file has changed since it was added.
    """
    path = _file(name, (ENCODER_FILE,)) or _known_file(name, encoders(), "encoder", "portraitist encoder train")
    if not is_native(path):
        raise BadModel(
            f"{path.name} is not an encoder file of Portraitist.",
            "Those of pSp, e4e and AgileGAN are read by `portraitist encoder import FILE`.",
        )
    return path


def is_native(path: Path) -> bool:
    """Tell from its first bytes whether a file may be one of ours, a safetensors file."""
    return read_head(path, 9)[8:] == b"{"


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


def load_base(name: Path | str) -> Model:
    """Load a model that is a base, not a style; argument and errors as of :func:`load`.

    Raises:
        UsageError: It is a style.
    """
    model = load(name)
    if model.header.kind != "model":
        raise UsageError(f"'{name}' is a style, not a base.", f"Give its base, '{model.header.base_name}'.")
    return model


def load_encoder_of(base: Model, name: Path | str | None = None) -> StoredEncoder | None:
    """Load the encoder of a base.

    Args:
        base: The model whose codes are wanted.
        name: Name, file or run folder of an encoder. When None, a known one that says it was trained for this very
            generator; of several the user's before the bundled, then the first by name.

    Returns:
        The encoder; None only where none is named and none is known.

    Raises:
        BadModel: It is damaged, or was trained for another base.
        UsageError: There is none of this name.
        UntrustedFile: It has changed since it was added; or all that fit have, where none is named.
    """
    if name is not None:
        return load_encoder(find_encoder(name), base=base)
    if not (known := encoders()):
        return None
    digest = generator_digest(base)
    fitting = [e for e in known if e.header.base_digest == digest]
    changed = None
    for entry in sorted(fitting, key=lambda e: (e.where != "user", e.name)):
        try:
            _verify(entry)
            return load_encoder(entry.path, base=base)
        except UntrustedFile as error:
            log.warning("The encoder '%s' is passed over: %s", entry.name, error)
            changed = changed or error
    if changed is not None:
        raise changed
    return None


def name_of(path: Path) -> str:
    """Return the word by which a model file or an encoder's is called: that of its run folder, or its own."""
    return path.resolve().parent.name if path.name in (*RUN_FILES, ENCODER_FILE) else path.stem


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


def known_base(header: Header | EncoderHeader) -> Model:
    """Return the base that a style pack or an encoder belongs to, from the models that have a name.

    Raises:
        BadModel: It is not among them.
        UntrustedFile: The model that may be it has changed since it was added.
    """
    candidates = [e for e in entries() if e.header.kind == "model" and _may_be_base(header, e.header.generator)]
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
        what = "encoder" if isinstance(header, EncoderHeader) else "style"
        raise changed or BadModel(
            f"The base '{header.base_name}' (digest {header.base_digest[:12]}...) of the {what} '{header.name}' "
            "is not known.",
            "Add it with `portraitist models add FILE`.",
        )
    return found


def add(path: Path | str, *, name: str = "", overwrite: bool = False) -> AnyEntry:
    """Copy a model or an encoder into the user's folder, where it can be loaded by name.

    Args:
        path: A native file, or a run folder.
        name: Name to load it by; that of its header, or of the file, when empty.
        overwrite: Replace a model, or an encoder, of that name.

    Raises:
        UsageError: The name is taken or cannot be one.
        BadModel: The file is damaged, or a style pack or an encoder whose base has no name yet.
    """
    path = _file(path, (*RUN_FILES, ENCODER_FILE)) or find(path)
    header = read_any_header(path)
    target = _target(name or header.name or name_of(path), header, overwrite)
    if isinstance(header, EncoderHeader):
        load_encoder(path)
        _check_base_known(header)
    else:
        attribute = next(iter(header.paths), None)  # checks all paths
        load_model(path, find_base=known_base, attribute=attribute, supports_feature_swap=True)
    _warn_of_licence(path.name, header)
    with path.open("rb") as source, atomic_write(target, overwrite=overwrite) as file:
        shutil.copyfileobj(source, file)
    return _recorded(target, header)


def add_encoder(stored: StoredEncoder, *, name: str = "", overwrite: bool = False) -> EncoderEntry:
    """Write an encoder into the user's folder, where it can be loaded by name.

    Args:
        stored: What to write.
        name: Name to load it by, noted in its header too; that of its header when empty.
        overwrite: Replace an encoder of that name.

    Raises:
        UsageError: The name is taken or cannot be one.
        BadModel: The base has no name yet.
    """
    header = replace(stored.header, name=name or stored.header.name)
    target = _target(header.name, header, overwrite)
    _check_base_known(header)
    _warn_of_licence(header.name, header)
    save_encoder(target, StoredEncoder(stored.encoder, header), overwrite=overwrite)
    return _recorded(target, header)


def import_encoder(
    path: Path,
    *,
    base: Model | None = None,
    name: str = "",
    terms: tuple[str, str] = ("", ""),
    overwrite: bool = False,
) -> AnyEntry:
    """Copy an encoder of our own, or of pSp, e4e or AgileGAN, into the user's folder.

    Args:
        path: File or run folder.
        base: The model it was trained for, noted in its header; where None, what the file says of it stays.
        name: Name to load it by; its own when empty.
        terms: Licence (SPDX) and credit to note; what the file says stays where they are empty.
        overwrite: Replace an encoder of that name.

    Raises:
        UsageError: The name is taken or cannot be one.
        BadModel: The file is damaged, holds something else, or does not fit the base.
        UntrustedFile: The file asks for code to be run.
    """
    native = path.is_dir() or is_native(path)
    if native and base is None and not any(terms):
        return add(find_encoder(path), name=name, overwrite=overwrite)
    stored = load_encoder(find_encoder(path), base=base) if native else read_foreign_encoder(path, base=base)
    header = stored.header
    if base is not None:
        header = replace(header, base_name=base.header.name, base_digest=generator_digest(base))
    header = replace(header, licence=terms[0] or header.licence, credit=terms[1] or header.credit)
    return add_encoder(
        StoredEncoder(stored.encoder, header), name=name or header.name or name_of(path), overwrite=overwrite
    )


def record_digest(path: Path) -> None:
    """Note the SHA-256 of a file in the ``digests.json`` beside it."""
    digests = _read_digests(path.parent) | {path.name: file_sha256(path)}
    write_bytes(path.parent / DIGESTS, json.dumps(digests, indent=1, sort_keys=True).encode() + b"\n", overwrite=True)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_HEADERS: TypeAdapter[Header | EncoderHeader] = TypeAdapter(
    Annotated[Header | EncoderHeader, Field(discriminator="kind")]
)


def _entries(on_bad: Callable[[Path, PortraitistError], None] | None, kind: type[AnyHeader]) -> list[Entry[AnyHeader]]:
    """Return what has a header of this kind; of two with one name the user's counts."""
    found: dict[str, Entry[AnyHeader]] = {}
    for entry in _scan(on_bad):
        if isinstance(entry.header, kind):
            found[entry.name] = Entry[AnyHeader](entry.name, entry.path, entry.where, entry.sha256, entry.header)
    return list(found.values())


def _scan(on_bad: Callable[[Path, PortraitistError], None] | None) -> Iterator[Entry[Header | EncoderHeader]]:
    """Go through both folders; argument as of :func:`entries`."""
    for where, folder in (("bundled", bundled_folder()), ("user", user_folder())):
        try:
            digests = _read_digests(folder)
        except UntrustedFile as error:
            digests = {}  # whoever wants a file of this folder is told by _verify; those of the other can be had
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


def read_any_header(path: Path) -> Header | EncoderHeader:
    """Read what a file of a model or of an encoder says about itself."""
    return read_described(path, _parse_any_header, ("model", "style-pack", "encoder"), contents=False)[0]


def _parse_any_header(found: object) -> Header | EncoderHeader:
    header = _HEADERS.validate_python(found)
    if isinstance(header, EncoderHeader):
        check_encoder_header(header)
    else:
        check_header(header)
    return header


def _file(name: Path | str, run_files: Iterable[str]) -> Path | None:
    """Return the file that a path is, or the first of those in the run folder that it is."""
    path = Path(name)
    # Those of os.path, unlike Path's, are false for names too long.
    if os.path.isfile(path):
        return path
    return next((path / run_file for run_file in run_files if os.path.isfile(path / run_file)), None)


def _known_file(
    name: Path | str, known: Sequence[ModelEntry] | Sequence[EncoderEntry], what: str, trainer: str
) -> Path:
    """Return the file of a name, verified."""
    for entry in known:
        if entry.name == str(name):
            _verify(entry)
            return entry.path
    if os.path.isdir(name):
        raise UsageError(f"The folder {name} holds no trained {what}.", f"Give a run folder of `{trainer}`.")
    names = ", ".join(e.name for e in known) or "none"
    raise UsageError(f"There is no {what} '{name}', neither as a file nor by name.", f"Known names: {names}.")


def _target(name: str, header: Header | EncoderHeader, overwrite: bool) -> Path:
    """Return the file in the user's folder for a name that may be taken."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} cannot be a model's name.", "Give a --name of letters, digits, - and _.")
    target = user_folder() / f"{name}{SUFFIX}"
    refuse_existing(target, overwrite)
    taken = entries() if isinstance(header, EncoderHeader) else encoders()
    if any(e.path == target for e in taken):
        raise UsageError(f"{name} is the name of something of another kind already.", "Give another --name.")
    return target


def _check_base_known(header: EncoderHeader) -> None:
    if header.base_digest:
        known_base(header)
    else:
        log.warning(
            "The encoder '%s' names no base: it is used only where it is asked for by name (--encoder)", header.name
        )


def _warn_of_licence(what: str, header: Header | EncoderHeader) -> None:
    if not header.licence:
        log.warning("%s names no licence: ask its author before you pass on its pictures", what)


def _recorded(target: Path, header: AnyHeader) -> Entry[AnyHeader]:
    record_digest(target)
    return Entry(target.stem, target, "user", file_sha256(target), header)


def _may_be_base(header: Header | EncoderHeader, anatomy: GeneratorAnatomy) -> bool:
    if isinstance(header, Header):
        return header.generator.of_base == anatomy
    try:
        header.encoder.check_base(anatomy)
    except BadModel:
        return False
    return True


def _first_base(header: Header | EncoderHeader, paths: Iterable[Path]) -> Model | None:
    for path in paths:
        try:
            if not _may_be_base(header, read_header(path).generator):
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
        found = parse_json(path.read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UntrustedFile(
            f"The digests in {path} cannot be read ({error}).", "Remove the file and add the models again."
        ) from error


def _verify(entry: AnyEntry) -> None:
    if not entry.sha256:
        _read_digests(entry.path.parent)  # raises where it may have one that cannot be read
    if entry.sha256 and file_sha256(entry.path) != entry.sha256:
        raise UntrustedFile(
            f"{entry.path} has changed since it was added (its SHA-256 is not {entry.sha256[:12]}...).",
            "Remove it and add or install it again.",
        )
