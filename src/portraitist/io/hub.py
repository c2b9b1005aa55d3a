"""Models passed on through a place of the user's: a folder, or a web server that takes files (PUT).

A place holds ``portraitist.json``, the index, and for each model its file and a card in Markdown beside it. The names
of files hold their digests, and the index is replaced last: whoever is killed before leaves the old one whole, with
all that it lists.

    push(["toon3d", "faces"], place_at("shared"), card=lambda header, name: f"# {name}")
    pull(place_at("shared"), ["toon3d"])        # and its base, where nobody here knows it
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import BadModel, NoLicence, StorageError, UntrustedFile, UsageError
from ..files import parse_json, storage_error
from . import catalogue, registry
from .catalogue import AnyEntry
from .headers import NAME, ChooserHeader, StoredHeader, TranslatorHeader, check_texts, read_any_header
from .licences import check_licence, warn_of_licence
from .model_file import generator_digest, load_model
from .places import Place

log = logging.getLogger("portraitist")

INDEX = "portraitist.json"
FORMAT = 1
LARGEST_INDEX = 8 << 20
LARGEST = 4 << 30
"""Bytes of a model's file."""
_ANOTHER_PLACE = "Give the folder or the address that `portraitist models push` wrote to."
_PUSH_AGAIN = "Ask whoever keeps it to push it again."
MakeCard = Callable[[StoredHeader, str], str]
"""Header and name -> Markdown."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What an index says of a file."""

    name: Annotated[str, Field(min_length=1)]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}\.safetensors$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0, le=LARGEST)]
    """Bytes."""
    kind: Literal["model", "style-pack", "encoder", "chooser", "translator"]
    licence: str = ""
    credit: str = ""
    description: str = ""
    base_name: str = ""
    base_digest: str = ""
    """Of a style, an encoder or a chooser: the digest of the base that it belongs to."""
    digest: str = ""
    """Of a base: what those that belong to it know it by."""

    @property
    def card(self) -> str:
        """The file of its card."""
        return self.file.replace(catalogue.SUFFIX, ".md")


def push(names: Sequence[str], place: Place, *, card: MakeCard, overwrite: bool = False) -> list[Listed]:
    """Copy models, encoders, choosers and translators to a place, each with a card, and list them in its index.

    Args:
        names: Names, files or run folders.
        place: Where to.
        card: Makes a card.
        overwrite: Replace others of these names.

    Returns:
        What the index now says of each, in order.

    Raises:
        UsageError: There is no such model, a name is taken or cannot be one, or another process changes the folder.
        BadModel: A file is damaged, belongs to an unknown base or names no licence where one is required; or what
            lies at the place is no index.
        UntrustedFile: A file has changed since it was added.
        StorageError: The place cannot be read or written.
    """
    found = [_found(name) for name in names]
    listed = [entry for _, _, entry in found]
    with place.changing():
        before = _read_index(place) or []
        after = _merged(before, listed, place, overwrite)
        for path, header, entry in found:
            log.info("pushing %s (%s bytes)", entry.name, f"{entry.size:,}")
            # The card first: it is short, so that a server that refuses is heard.
            _write(place, entry.card, card(header, entry.name).encode())
            with path.open("rb") as file:
                place.write(entry.file, file, entry.size)
        index = {"format": FORMAT, "models": [asdict(entry) for entry in after]}
        _write(place, INDEX, json.dumps(index, indent=1).encode() + b"\n")
        for file_name in sorted(_files(before) - _files(after)):
            place.remove(file_name)
    for entry in listed:
        if entry.base_digest and all(other.digest != entry.base_digest for other in after):
            log.warning("%s needs the base '%s', which %s does not list", entry.name, entry.base_name, place)
    return listed


def pull(place: Place, names: Sequence[str] = (), *, overwrite: bool = False) -> list[AnyEntry]:
    """Copy what a place lists into the user's folder, each file checked as ``registry.add`` does.

    All are fetched and compared with the index before the first is put into place. The base of a style or of an
    encoder comes too, where it is not known here. What is here already, byte for byte, is left as it is.

    Args:
        place: Where from.
        names: What to fetch; all that is listed when empty.
        overwrite: Replace those of these names; a base that comes along replaces none.

    Returns:
        What was added, bases first.

    Raises:
        UsageError: There is no index or no such name, or a name is taken.
        BadModel: The index, or a file, is damaged, newer than this version, or names no licence where one is required;
            or a base is neither known here nor listed there.
        UntrustedFile: A file is not the one that the index lists.
        StorageError: The place cannot be read, or the user's folder not written.
    """
    index = _read_index(place)
    if index is None:
        raise UsageError(
            f"There is no index of models at {place} ({INDEX}).",
            _ANOTHER_PLACE,
        )
    known = {entry.name: entry for entry in index}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{place} lists no '{unknown[0][:80]}'.", f"It lists: {', '.join(known) or 'nothing'}.")
    here = catalogue.everything()
    wanted = [entry for name in dict.fromkeys(names or known) if not _is_here(entry := known[name], here, overwrite)]
    with TemporaryDirectory(prefix="portraitist-") as folder:
        fetched: dict[str, Path] = {}
        for entry in wanted:  # to which bases are added
            log.info("pulling %s (%s bytes)", entry.name, f"{entry.size:,}")
            fetched[entry.name], header = _fetch(place, entry, Path(folder))
            base = _missing_base(header, index, place)
            if base is not None and base not in wanted:
                _is_here(base, here, overwrite=False)
                wanted.append(base)
        wanted.sort(key=lambda entry: entry.kind != "model")
        return [registry.add(fetched[entry.name], name=entry.name, overwrite=overwrite) for entry in wanted]


def _found(name: str) -> tuple[Path, StoredHeader, Listed]:
    """Return file, header and description of what is to be pushed."""
    path = catalogue.find_any(name)
    header = read_any_header(path)
    registry.check_loads(path, header)
    is_bundled = path.parent == catalogue.bundled_folder()
    has_name = is_bundled or path.parent == catalogue.user_folder()
    entry = _described(path, header, path.stem if has_name else header.name or catalogue.name_of(path))
    if not NAME.fullmatch(entry.name):
        raise UsageError(
            f"{entry.name[:80]!r} cannot be a model's name.", "Give it one: `portraitist models add --name`."
        )
    warn_of_licence(entry.name, entry.licence)
    if is_bundled:
        log.warning("%s comes with Portraitist, under %s: that goes with it, and its credit", entry.name, entry.licence)
    return path, header, entry


def _described(path: Path, header: StoredHeader, name: str) -> Listed:
    sha256 = catalogue.file_sha256(path)
    return Listed(
        name=name,
        file=f"{name}-{sha256[:12]}{catalogue.SUFFIX}",
        sha256=sha256,
        size=path.stat().st_size,
        kind=header.kind,
        licence=header.licence,
        credit=header.credit,
        description=header.description,
        base_name=getattr(header, "base_name", ""),  # a translator has no base
        base_digest=getattr(header, "base_digest", ""),
        digest=generator_digest(load_model(path)) if header.kind == "model" else "",
    )


def _merged(before: Sequence[Listed], new: Sequence[Listed], place: Place, overwrite: bool) -> list[Listed]:
    """Return what the index lists with the new ones, by name."""
    after = {entry.name: entry for entry in before}
    pushed: set[str] = set()
    for entry in new:
        if entry.name in pushed:
            raise UsageError(f"Two of them are called '{entry.name}'.", "Push one of them.")
        pushed.add(entry.name)
        old = after.get(entry.name, entry)
        if old.sha256 != entry.sha256 and not overwrite:
            raise UsageError(f"{place} has another '{entry.name}' already.", "Give --overwrite to replace it.")
        after[entry.name] = entry
    return [after[name] for name in sorted(after)]


def _files(entries: Sequence[Listed]) -> set[str]:
    return {name for entry in entries for name in (entry.file, entry.card)}


def _write(place: Place, name: str, content: bytes) -> None:
    place.write(name, io.BytesIO(content), len(content))


def _read_index(place: Place) -> list[Listed] | None:
    """Return what the index of a place lists; None where there is none."""
    if (blocks := place.blocks(INDEX)) is None:
        return None
    text = b"".join(_at_most(blocks, LARGEST_INDEX))
    try:
        if len(text) > LARGEST_INDEX:
            raise ValueError("it is too large")
        found = parse_json(text)
        version = found.get("format") if isinstance(found, dict) else None
        if not isinstance(version, int):
            raise ValueError("it names no format")
        entries = _listed().validate_python(found.get("models")) if version == FORMAT else []
        for entry in entries:
            check_texts((entry.name, entry.base_name), (entry.licence, entry.credit, entry.description))
        if len({entry.name for entry in entries}) < len(entries):
            raise ValueError("it lists a name twice")
    except (ValueError, BadModel) as error:
        why = f"{error.error_count()} faults" if isinstance(error, ValidationError) else str(error)[:200]
        raise BadModel(
            f"{INDEX} at {place} is not an index of models ({why}).",
            _ANOTHER_PLACE,
        ) from error
    if version != FORMAT:
        raise BadModel(
            f"The index at {place} has format {version}; this version reads {FORMAT}.", "Update Portraitist."
        )
    return entries


@cache
def _listed() -> TypeAdapter[list[Listed]]:
    return TypeAdapter(list[Listed])


def _at_most(blocks: Generator[bytes], most: int) -> Iterator[bytes]:
    """Yield blocks until they are more bytes than ``most``, which ends them."""
    size = 0
    with closing(blocks):
        for block in blocks:
            yield block
            if (size := size + len(block)) > most:
                return


def _is_here(entry: Listed, here: Sequence[AnyEntry], overwrite: bool) -> bool:
    """Tell whether the very file is among those here; another of its name is refused unless it may be replaced."""
    check_licence(entry.name, entry.licence)
    of_name = [known for known in here if known.name == entry.name]
    if any(known.sha256 == entry.sha256 for known in of_name):
        log.info("%s is here already", entry.name)
        return True
    if of_name and not overwrite:
        raise UsageError(
            f"'{entry.name}' is the name of another model here ({of_name[0].where}).",
            "Name it with --overwrite to replace it; a bundled one is hidden by it until you remove it.",
        )
    return False


def _fetch(place: Place, entry: Listed, folder: Path) -> tuple[Path, StoredHeader]:
    """Copy a file of a place into a folder; return it and its header once it is the one that the index describes."""
    path = folder / f"{entry.name}{catalogue.SUFFIX}"
    if (blocks := place.blocks(entry.file)) is None:
        raise StorageError(f"{place} has no {entry.file}, which its index lists.", "Pull again, or push it again.")
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("xb") as file:
            for block in _at_most(blocks, entry.size):
                digest.update(block)
                size += file.write(block)
    except OSError as error:
        raise storage_error(path, error, entry.size) from error
    if size < entry.size:
        raise StorageError(f"Of {entry.name}, {size:,} of {entry.size:,} bytes came from {place}.", "Pull it again.")
    if size > entry.size or digest.hexdigest() != entry.sha256:
        raise UntrustedFile(
            f"{entry.file} at {place} is not the file that its index lists: its size or its SHA-256 is another.",
            _PUSH_AGAIN,
        )
    header = read_any_header(path)
    if replace(_described(path, header, entry.name), file=entry.file) != entry:
        raise UntrustedFile(
            f"The index at {place} says other things of {entry.name} than its file does.",
            _PUSH_AGAIN,
        )
    return path, header


def _missing_base(header: StoredHeader, index: Sequence[Listed], place: Place) -> Listed | None:
    """Return the base that something needs and nobody knows here, from an index; None where none is needed."""
    if isinstance(header, ChooserHeader | TranslatorHeader) or header.kind == "model" or not header.base_digest:
        return None
    try:
        registry.known_base(header)
    except NoLicence:
        raise
    except BadModel as error:
        for entry in index:
            if entry.digest == header.base_digest:
                return entry
        raise BadModel(
            f"{error.message} {place} does not list it either.", "Pull it from elsewhere, or add it, before."
        ) from error
    return None
