"""Loading models and encoders by name, and adding one's own; ``catalogue`` says what has a name.

model = load("toon3d")          # by name
model = load("runs/mine")       # a run folder, or any model file
model = load("runs/both", attribute="men")      # one path of a style pack with a generator per attribute
stored = load_encoder_of(load("faces"))         # the encoder of a base, None where nobody knows one
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import BadModel, NoLicence, PortraitistError, UntrustedFile, UsageError
from ..files import atomic_write, refuse_existing
from ..networks import GeneratorAnatomy
from .catalogue import (
    ENCODER_FILE,
    RUN_FILES,
    SUFFIX,
    TRANSLATOR_FILE,
    AnyEntry,
    EncoderEntry,
    Entry,
    ModelEntry,
    choosers,
    encoders,
    entries,
    everything,
    file_of,
    file_sha256,
    find,
    find_encoder,
    is_native,
    name_of,
    record_digest,
    translators,
    user_folder,
    verify,
)
from .chooser_files import StoredChooser, load_chooser
from .encoder_files import StoredEncoder, load_encoder, save_encoder
from .headers import (
    AUTO,
    NAME,
    AnyHeader,
    ChooserHeader,
    EncoderHeader,
    Header,
    StoredHeader,
    TranslatorHeader,
    read_any_header,
    read_header,
)
from .licences import warn_of_licence
from .model_file import Model, generator_digest, load_model

log = logging.getLogger("portraitist")

__all__ = [
    "RUN_FILES",
    "ModelEntry",
    "add",
    "add_encoder",
    "base_of",
    "choosers",
    "encoders",
    "entries",
    "find",
    "find_encoder",
    "import_encoder",
    "is_native",
    "known_base",
    "load",
    "load_base",
    "load_chooser_of",
    "load_encoder_of",
    "name_of",
    "record_digest",
    "translators",
    "user_folder",
]


def load(name: Path | str, *, attribute: str | None = None) -> Model:
    """Load a model by name, path or run folder; the base of a style pack is found by its digest.

    Args:
        name: Name, file or run folder.
        attribute: Which path of a style pack that has one per attribute.

    Raises:
        PortraitistError: There is no such model or path, it is damaged, or its base is not known.
    """
    (model,) = load_together([name], attribute=attribute)
    return model


def load_together(names: Sequence[Path | str], *, attribute: str | None = None) -> list[Model]:
    """Load models as :func:`load` does, of which one at least has paths where an attribute is given."""
    paths = [find(name) for name in names]
    refuse_idle_attribute(attribute, paths)
    return [load_model(path, find_base=partial(base_of, path=path), attribute=attribute) for path in paths]


def refuse_idle_attribute(attribute: str | None, paths: Sequence[Path]) -> None:
    """Refuse the name of a path where no file has paths; ``auto`` lets each face choose, where there is a choice.

    Raises:
        UsageError: It is given, and none has.
    """
    if attribute not in (None, AUTO) and not any(read_header(path).paths for path in paths):
        named = ", ".join(path.name for path in paths)
        raise UsageError(f"There is no path '{attribute[:80]}' in {named}.", "Leave out the attribute (--attribute).")


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
            verify(entry)
            return load_encoder(entry.path, base=base)
        except UntrustedFile as error:
            log.warning("The encoder '%s' is passed over: %s", entry.name, error)
            changed = changed or error
    if changed is not None:
        raise changed
    return None


def load_chooser_of(base: Model, paths: Sequence[str]) -> tuple[StoredChooser, str, StoredEncoder] | None:
    """Load what chooses among the paths of a style: one of the user's before a bundled one, then the first by name.

    Args:
        base: The model of the style.
        paths: The attributes that the style has paths for.

    Returns:
        The chooser, the attribute that the paths are values of, and the encoder whose latents it takes; None where none
        is known that knows all paths.

    Raises:
        BadModel: It is damaged.
        UntrustedFile: It, or its encoder, has changed since it was added.
    """
    digest = generator_digest(base)
    for entry in sorted(choosers(), key=lambda e: (e.where != "user", e.name)):
        header = entry.header
        fitting = [choice.attribute for choice in header.choices if set(paths) <= set(choice.values)]
        if not fitting or header.base_digest != digest:
            continue
        verify(entry)
        names = [e.name for e in encoders() if e.name == header.encoder_name]
        encoder = load_encoder_of(base, next(iter(names), None))
        if encoder is not None and encoder.digest == header.encoder_digest:
            return load_chooser(entry.path), fitting[0], encoder
    return None


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
            verify(entry)
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
    """Copy a model, an encoder, a chooser or a translator into the user's folder, where it can be loaded by name.

    Args:
        path: A native file, or a run folder.
        name: Name to load it by; that of its header, or of the file, when empty.
        overwrite: Replace what has that name.

    Raises:
        UsageError: The name is taken or cannot be one.
        BadModel: The file is damaged, or a style pack or an encoder whose base has no name yet.
    """
    path = file_of(path, (*RUN_FILES, ENCODER_FILE, TRANSLATOR_FILE)) or find(path)
    header = read_any_header(path)
    target = _target(name or header.name or name_of(path), header, overwrite)
    check_loads(path, header)
    warn_of_licence(path.name, header.licence)
    with path.open("rb") as source, atomic_write(target, overwrite=overwrite) as file:
        shutil.copyfileobj(source, file)
    return _recorded(target, header)


def check_loads(path: Path, header: StoredHeader) -> None:
    """Refuse a file that cannot be used.

    Args:
        path: A native file.
        header: What it says of itself.

    Raises:
        BadModel: It is damaged, or a style pack or an encoder whose base has no name yet.
    """
    if isinstance(header, EncoderHeader):
        load_encoder(path)
        _check_base_known(header)
    elif isinstance(header, ChooserHeader):
        load_chooser(path)
    elif isinstance(header, TranslatorHeader):
        from .translator_files import load_translator  # whoever draws by codes needs none of it

        load_translator(path)
    else:
        attribute = next(iter(header.paths), None)  # checks all paths
        load_model(path, find_base=known_base, attribute=attribute, supports_feature_swap=True)


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
    warn_of_licence(header.name, header.licence)
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
    if native:
        stored = load_encoder(find_encoder(path), base=base)
    else:
        from .foreign_encoders import read_foreign_encoder  # whoever draws needs no reader of other programs' files

        stored = read_foreign_encoder(path, base=base)
    header = stored.header
    if base is not None:
        header = replace(header, base_name=base.header.name, base_digest=generator_digest(base))
    header = replace(header, licence=terms[0] or header.licence, credit=terms[1] or header.credit)
    return add_encoder(
        StoredEncoder(stored.encoder, header), name=name or header.name or name_of(path), overwrite=overwrite
    )


def _target(name: str, header: StoredHeader, overwrite: bool) -> Path:
    """Return the file in the user's folder for a name that may be taken."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} cannot be a model's name.", "Give a --name of letters, digits, - and _.")
    target = user_folder() / f"{name}{SUFFIX}"
    refuse_existing(target, overwrite)
    if any(e.name == name and type(e.header) is not type(header) for e in everything()):
        raise UsageError(f"{name} is the name of something of another kind already.", "Give another --name.")
    return target


def _check_base_known(header: EncoderHeader) -> None:
    if header.base_digest:
        known_base(header)
    else:
        log.warning(
            "The encoder '%s' names no base: it is used only where it is asked for by name (--encoder)", header.name
        )


def _recorded(target: Path, header: AnyHeader) -> Entry[AnyHeader]:
    try:
        record_digest(target)
    except PortraitistError:
        target.unlink(missing_ok=True)  # nobody could tell whether it changes
        raise
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
    refused: NoLicence | None = None
    for path in paths:
        try:
            if not _may_be_base(header, read_header(path).generator):
                continue
            base = load_model(path)
        except NoLicence as error:
            refused = refused or error
            continue
        except PortraitistError:
            continue
        if generator_digest(base) == header.base_digest:
            return base
    if refused is not None:
        raise refused
    return None
