"""One door to every layout of checkpoint: find out what a file is, read its networks, write them in another layout.

networks = read_networks(Path("550000.pt"))
write_networks(Path("faces.safetensors"), networks)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from ..errors import BadModel, UsageError
from .foreign import Networks
from .legacy_tf import read_legacy
from .model_file import KEY, LARGEST_HEADER, Header, Model, load_model, save_model
from .nvidia import read_nvidia, read_nvidia_state, write_nvidia, write_nvidia_state
from .pickles import DAMAGED, read_head, refuse_other_files, zip_index
from .rosinality import read_rosinality, write_rosinality

Kind = Literal["native", "rosinality", "nvidia", "nvidia-state", "legacy-tf"]
HEAD = 1 << 20
"""Bytes looked at; the names that tell the layouts apart come before the numbers."""


def sniff(path: Path) -> Kind:
    """Tell the layout of a checkpoint from its first bytes, whatever its name ends in; nothing is unpickled.

    Raises:
        BadModel: It is none of those that can be read.
    """
    head = read_head(path, HEAD)
    refuse_other_files(path, head)
    if head.startswith(b"PK\x03\x04"):
        return _state_kind(zip_index(path))
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _safetensors_kind(path, head)  # before pickles: its header may quote anything
    if b"torch_utils.persistence" in head:
        return "nvidia"
    if b"dnnlib.tflib" in head:
        return "legacy-tf"
    if head.startswith(b"\x80"):
        return _state_kind(head)
    raise BadModel(f"{path} is not a checkpoint that can be read.", "See `portraitist convert --help` for the layouts.")


def read_networks(path: Path, *, kind: Kind | None = None, averaged: bool = True) -> Networks:
    """Read generator and discriminator from a checkpoint of any layout.

    Args:
        path: The file.
        kind: Its layout; found out when None.
        averaged: Take the generator averaged over the training, not the one that was being trained.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    kind = kind or sniff(path)
    if kind == "native":
        model = load_model(path)
        return Networks(model.generator, model.discriminator, {"format": "native"})
    if kind == "rosinality":
        return read_rosinality(path, "g_ema" if averaged else "g")
    if kind == "legacy-tf":
        return read_legacy(path, "Gs" if averaged else "G")
    read = read_nvidia if kind == "nvidia" else read_nvidia_state
    return read(path, "G_ema" if averaged else "G")


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
    kind = kind or _kind_of_ending(path)
    if template is not None and kind != "nvidia":
        raise UsageError(f"A template serves NVIDIA's pickles only, not {kind}.", "Leave it out or write a .pkl.")
    if kind == "native":
        save_model(path, as_model(networks), overwrite=overwrite)
    elif kind == "rosinality":
        write_rosinality(path, networks, overwrite=overwrite)
    elif kind == "nvidia-state":
        write_nvidia_state(path, networks, overwrite=overwrite)
    elif kind == "nvidia" and template is not None:
        write_nvidia(path, networks, template=template, overwrite=overwrite)
    elif kind == "nvidia":
        raise UsageError(
            "A .pkl that NVIDIA's code can open needs its source inside.",
            "Give a template, a .pkl of the same sizes, or write its names into a state dict (nvidia-state).",
        )
    else:
        raise UsageError(f"The layout {kind} can be read but not written.", "Choose another.")


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


def _kind_of_ending(path: Path) -> Kind:
    kinds: dict[str, Kind] = {
        ".safetensors": "native",
        ".pt": "rosinality",
        ".pth": "rosinality",
        ".pkl": "nvidia",
    }
    try:
        return kinds[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"No layout has files ending in '{path.suffix}'.", f"Use one of {', '.join(kinds)}.") from None


def _state_kind(index: bytes) -> Kind:
    return "nvidia-state" if b"synthesis.b4.const" in index else "rosinality"


def _safetensors_kind(path: Path, head: bytes) -> Kind:
    size = int.from_bytes(head[:8], "little")
    try:
        if size > LARGEST_HEADER:
            raise ValueError("its header is too large")
        header = json.loads(read_head(path, 8 + size)[8:])
        ours = KEY in header.get("__metadata__", {})
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadModel(f"{path} cannot be read as a safetensors file ({error}).", DAMAGED) from error
    return "native" if ours or not any(name.startswith(("G_ema.", "G.", "D.")) for name in header) else "nvidia-state"
