"""One door to every layout of checkpoint: find out what a file is, read its networks, write them in another layout.

networks = read_networks(Path("550000.pt"))
write_networks(Path("faces.safetensors"), networks)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BadModel, UsageError
from ..files import parse_json
from .foreign import Networks
from .headers import KEY, LARGEST_HEADER, Header
from .legacy_tf import read_legacy
from .model_file import Model, load_model, save_model
from .nvidia import OF_GENERATOR, read_nvidia, read_nvidia_state, write_nvidia, write_nvidia_state
from .opening import DAMAGED, read_head, refuse_other_files, typed, zip_index
from .rosinality import read_rosinality, write_rosinality

Kind = Literal["native", "rosinality", "nvidia", "nvidia-state", "legacy-tf"]
HEAD = 1 << 20
"""Bytes looked at; the names that distinguish the layouts come before the numbers."""
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
_NVIDIA_NAME = b"synthesis.b4.const"


@dataclass(frozen=True)
class Format:
    """One layout of checkpoint."""

    recognises: Callable[[Path, bytes], bool]
    """From the path of a file and its first bytes."""
    read: Callable[[Path, bool], Networks]
    """From the path, and whether the generator that was averaged over the training is wanted."""
    write: Callable[[Path, Networks, Path | None, bool], object] | None = None
    """To the path, from a template where there is one, replacing a file or not; None where it cannot be written."""
    endings: tuple[str, ...] = ()
    """Endings, in lower case, of files that are written in this layout where none is named."""
    takes_template: bool = False
    keeps_clamp: bool = True
    """Whether files hold the largest value that features may have, which some networks were trained with."""


def _read_native(path: Path, averaged: bool) -> Networks:
    model = load_model(path)
    return Networks(model.generator, model.discriminator, {"format": "native"})


def _write_nvidia(path: Path, networks: Networks, template: Path | None, overwrite: bool) -> None:
    if template is None:
        raise UsageError(
            "A .pkl that NVIDIA's code can open needs its source inside.",
            "Give a template, a .pkl of the same sizes, or write its names into a state dict (nvidia-state).",
        )
    write_nvidia(path, networks, template=template, overwrite=overwrite)


def _holds(word: bytes) -> Callable[[Path, bytes], bool]:
    return lambda path, head: not _is_safetensors(path, head) and not head.startswith(ZIP) and word in head


FORMATS: dict[Kind, Format] = {
    "native": Format(
        lambda path, head: _is_safetensors(path, head) and not _holds_state_dict(path, head),
        _read_native,
        lambda path, networks, template, overwrite: save_model(path, as_model(networks), overwrite=overwrite),
        (".safetensors",),
    ),
    "nvidia": Format(
        _holds(b"torch_utils.persistence"),
        lambda path, averaged: read_nvidia(path, "G_ema" if averaged else "G"),
        _write_nvidia,
        (".pkl",),
        takes_template=True,
    ),
    "legacy-tf": Format(
        _holds(b"dnnlib.tflib"),
        lambda path, averaged: read_legacy(path, "Gs" if averaged else "G"),
    ),
    "nvidia-state": Format(
        lambda path, head: _NVIDIA_NAME in _index(path, head) or _is_safetensors(path, head),
        lambda path, averaged: read_nvidia_state(path, "G_ema" if averaged else "G"),
        lambda path, networks, template, overwrite: write_nvidia_state(path, networks, overwrite=overwrite),
    ),
    "rosinality": Format(
        lambda path, head: head.startswith((ZIP, PICKLE)),
        lambda path, averaged: read_rosinality(path, "g_ema" if averaged else "g"),
        lambda path, networks, template, overwrite: write_rosinality(path, networks, overwrite=overwrite),
        (".pt", ".pth"),
        keeps_clamp=False,
    ),
}
"""All layouts, in the order in which files are asked about them; a new one is a file of its own and an entry here."""


def sniff(path: Path) -> Kind:
    """Recognise the layout of a checkpoint by its first bytes, whatever its name ends in; nothing is unpickled.

    Raises:
        BadModel: It is none of those that can be read.
    """
    head = read_head(path, HEAD)
    refuse_other_files(path, head)
    for kind, layout in FORMATS.items():
        if layout.recognises(path, head):
            return kind
    raise BadModel(f"{path} is not a checkpoint that can be read.", "See `portraitist convert --help` for the layouts.")


@typed
def read_networks(path: Path, *, kind: Kind | None = None, averaged: bool = True) -> Networks:
    """Read generator and discriminator from a checkpoint of any layout.

    Args:
        path: The file.
        kind: Its layout; recognised when None.
        averaged: Take the generator averaged over the training, not the one that was being trained.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    return FORMATS[kind or sniff(path)].read(path, averaged)


def lost_in(kind: Kind, networks: Networks) -> str:
    """Return what a layout has no place for, for people to read; nothing of most networks."""
    generator = networks.generator
    if FORMATS[kind].keeps_clamp or generator is None or generator.anatomy.clamp is None:
        return ""
    return (
        f"The clamp of {generator.anatomy.clamp:g} is left out: the layout {kind} has no place for it, and pictures in "
        "which a feature reaches it will differ."
    )


def write_networks(
    path: Path,
    networks: Networks,
    *,
    kind: Kind | None = None,
    template: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write networks in the layout asked for.

    Args:
        path: The file.
        networks: What to write.
        kind: The layout; when None ``.safetensors`` is our own, ``.pt`` and ``.pth`` rosinality's, ``.pkl`` NVIDIA's.
        template: For NVIDIA's pickle: one of the same sizes whose source and settings are kept.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The file exists, the template is missing, or the layout cannot be written.
        BadModel: The layout cannot hold these networks.
        StorageError: The disk is full, read-only or gone.
    """
    kind = kind or kind_of_ending(path)
    layout = FORMATS[kind]
    if layout.write is None:
        raise UsageError(f"The layout {kind} can be read but not written.", "Choose another.")
    if template is not None and not layout.takes_template:
        raise UsageError(f"A template serves NVIDIA's pickles only, not {kind}.", "Leave it out or write a .pkl.")
    layout.write(path, networks, template, overwrite)


def as_model(networks: Networks) -> Model:
    """Give networks the header of a model file; the lineage says which layout they came from."""
    generator, discriminator = networks.generator, networks.discriminator
    if generator is None:
        raise BadModel("A model file needs a generator.", "Convert from a file that holds one.")
    header = Header(
        generator=generator.anatomy,
        discriminator=None if discriminator is None else discriminator.anatomy,
        lineage=[{"converted": networks.notes}] if networks.notes else [],
    )
    return Model(generator, discriminator, header)


def kind_of_ending(path: Path) -> Kind:
    """Return the layout that files of this ending are written in; capitals do not count.

    Raises:
        UsageError: No layout has such files.
    """
    endings = {ending: kind for kind, layout in FORMATS.items() for ending in layout.endings}
    try:
        return endings[path.suffix.lower()]
    except KeyError:
        known = ", ".join(endings)
        raise UsageError(f"No layout has files ending in '{path.suffix}'.", f"Use one of {known}.") from None


def _index(path: Path, head: bytes) -> bytes:
    """Return where the names of a state dict stand: in the directory of a zip, or at the start of a pickle."""
    if head.startswith(ZIP):
        return zip_index(path)
    return head if head.startswith(PICKLE) and not _is_safetensors(path, head) else b""


def _is_safetensors(path: Path, head: bytes) -> bool:
    # Asked before all others: its header may quote anything.
    size = int.from_bytes(head[:8], "little")
    return not head.startswith(ZIP) and head[8:9] == b"{" and size < path.stat().st_size


def _holds_state_dict(path: Path, head: bytes) -> bool:
    """Tell a state dict under NVIDIA's names from a file of our own, which describes itself."""
    size = int.from_bytes(head[:8], "little")
    try:
        if size > LARGEST_HEADER:
            raise ValueError("its header is too large")
        header = parse_json(read_head(path, 8 + size)[8:])
        ours = KEY in header.get("__metadata__", {})
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadModel(f"{path} cannot be read as a safetensors file ({error}).", DAMAGED) from error
    return not ours and any(name.startswith(("G_ema.", "G.", "D.", *OF_GENERATOR)) for name in header)
