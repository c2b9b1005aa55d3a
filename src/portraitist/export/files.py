"""An exported network as a file for another program, its format told by the ending.

done = export("runs/painter", Path("toon3d.onnx"), int8=True)
print(done)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..data import ImageSet
from ..errors import BadModel, UsageError
from ..files import refuse_existing, write_bytes
from ..io import registry
from ..io.headers import kind_of
from ..io.painter_files import load_painter, save_painter
from ..io.photo2cartoon import write_photo2cartoon
from ..io.translator_files import load_translator, save_translator, without_trainers
from ..networks.features import resized
from ..networks.identity import Identity
from .drawable import Drawable, find_drawable, stored_file
from .graph import OPSET, described, difference, require_packages, to_onnx
from .quantised import Kept, quantised

CLOSE = 1e-4
"""Part of the range [-1, 1] by which an exact file may differ from PyTorch."""
TOGETHER = 3
"""Pictures of the batch that is compared, beside one alone."""
FACES = 16
"""Faces that the ranges of eight bits come from, and that are compared."""
INPUT = "photos: float32 [N, 3, {0}, {0}], RGB in [-1, 1], aligned as FFHQ's faces are"
OUTPUT = "drawings: float32 [N, 3, {0}, {0}], RGB in [-1, 1]"


@dataclass(frozen=True)
class Exported:
    """An ONNX file, and how it compares."""

    path: Path
    kind: str
    bytes: int
    exact_bytes: int
    """Of the file before it was rounded to eight bits."""
    difference: float
    """Largest difference to PyTorch before rounding to eight bits, as a part of the range."""
    kept: Kept | None = None
    """What eight bits keep; None of an exact file."""

    def __str__(self) -> str:
        found = (
            f"{self.kind}, opset {OPSET}, {self.exact_bytes / 1e6:.2f} MB; differs from PyTorch by "
            f"{self.difference:.1e} of the range at most, in batches of 1 and {TOGETHER}"
        )
        return found if self.kept is None else f"{found}\nint8: {self.bytes / 1e6:.2f} MB; {self.kept}"


def export(
    what: Path | str,
    out: Path,
    *,
    int8: bool = False,
    photos: ImageSet | None = None,
    identity: Identity | None = None,
    group: str = "",
    attribute: str | None = None,
    encoder: Path | str | None = None,
    side: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a painter, a translator or a style with its encoder as an ONNX file, and compare it with PyTorch.

    Args:
        what: As :func:`find_drawable`.
        out: File to write.
        int8: Let convolutions compute in eight bits.
        photos: Aligned faces to compare on, and that the ranges of eight bits come from; of any size. When None, faces
            that the first base known draws.
        identity: What tells persons apart, to compare in eight bits.
        group: As :func:`find_drawable`.
        attribute: As :func:`find_drawable`.
        encoder: As :func:`find_drawable`.
        side: As :func:`find_drawable`.
        overwrite: Replace an existing file.

    Raises:
        UsageError: There is no such thing, the file exists, or a package is missing.
        BadModel: The file differs from PyTorch; nothing is written.
    """
    refuse_existing(out, overwrite)
    require_packages()
    drawable = find_drawable(what, group=group, attribute=attribute, encoder=encoder, side=side)
    faces = _faces(drawable.side, photos)
    exact = content = to_onnx(drawable.network, {"photos": faces[:2]}, ["drawings"], fold=drawable.kind == "style")
    apart = difference(exact, drawable.network, {"photos": faces[:TOGETHER]})
    if not apart <= CLOSE:
        raise BadModel(
            f"The exported network differs from PyTorch by {apart:.1e} of the range, not by {CLOSE} at most.",
            "Write to the authors of Portraitist, with the model.",
        )
    done = Exported(out, drawable.kind, len(exact), len(exact), apart)
    if int8:
        content, kept = quantised(exact, faces, identity)
        done = replace(done, bytes=len(content), kept=kept)
    write_bytes(out, described(content, _texts(drawable, done)), overwrite=overwrite)
    return replace(done, bytes=out.stat().st_size)


def rewrite(what: Path | str, out: Path, *, group: str = "", half: bool = False, overwrite: bool = False) -> Path:
    """Write a translator as photo2cartoon's checkpoint, or a painter or translator small and able to draw only.

    Args:
        what: File or run folder of a painter, or file, run folder or name of a translator.
        out: File to write: ``.pt`` or ``.pth`` (photo2cartoon, UGATIT-pytorch), or ``.safetensors``.
        group: Of a translator: whose branch; ``.safetensors`` keeps all.
        half: Half precision, of ``.safetensors`` only.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The options do not fit the format, or the format does not hold this kind.
        BadModel: The file is damaged, or the format cannot hold it.
    """
    native = out.suffix.lower() == ".safetensors"
    if half and not native:
        raise UsageError("Only .safetensors can be in half precision.", "Leave out --half.")
    path = stored_file(what)
    kind = "" if path is None else kind_of(path)
    if path is None or kind not in ("painter", "translator") or (kind == "painter" and not native):
        holds = "painters and translators" if native else "translators"
        raise UsageError(
            f"A {out.suffix} file is written of {holds}, and {what} is none.",
            "End the name in .onnx; styles and bases are written in other formats by `portraitist convert`.",
        )
    if native and group:
        raise UsageError("A .safetensors file keeps all groups.", "Leave out --group.")
    if kind == "painter":
        return save_painter(out, load_painter(path), half=half, overwrite=overwrite)
    stored = load_translator(path)
    if native:
        return save_translator(out, without_trainers(stored), half=half, overwrite=overwrite)
    groups = stored.system.groups
    if not group and len(groups) > 1:
        raise UsageError("The file has room for one group.", f"Give --group with one of {', '.join(groups)}.")
    return write_photo2cartoon(out, stored.system, group=group or groups[0], overwrite=overwrite)


def _faces(side: int, photos: ImageSet | None) -> Tensor:
    """Return faces [N, 3, S, S] in [-1, 1]: the photos given, or what a base draws."""
    if photos is not None:
        found = resized(photos.subset(range(min(FACES, len(photos)))).all(), side)
        if len(found) < TOGETHER:
            raise UsageError(f"{len(found)} photos are too few to compare on.", f"Give at least {TOGETHER}.")
        return found
    entry = next((e for e in registry.entries() if e.header.kind == "model"), None)
    if entry is None:
        raise UsageError("No base is known whose faces could be drawn to compare on.", "Give --photos.")
    generator = registry.load(entry.path).generator
    z = torch.randn(FACES, generator.anatomy.z_dim, generator=torch.Generator().manual_seed(0))
    return resized(generator.sample_batches(z).clamp(-1, 1), side)


def _texts(drawable: Drawable, done: Exported) -> dict[str, str]:
    """Return what the file says about itself."""
    about, kept = drawable.about, done.kept
    measured: dict[str, Any] = {"difference": float(f"{done.difference:.3g}"), "batches": [1, TOGETHER]}
    if kept is not None:
        measured |= {"int8_sharpness": round(kept.sharpness, 4), "int8_difference": round(kept.difference, 3)}
        measured |= {} if kept.identity is None else {"int8_identity": round(kept.identity, 4)}
    return {
        "name": about.name,
        "description": about.description,
        "kind": drawable.kind,
        "precision": "float32" if kept is None else "int8",
        "side": str(drawable.side),
        "input": INPUT.format(drawable.side),
        "output": OUTPUT.format(drawable.side),
        "licence": about.licence,
        "credit": about.credit,
        "digest": drawable.digest,
        "lineage": json.dumps(about.lineage, sort_keys=True),
        "opset": str(OPSET),
        "bytes_exact": str(done.exact_bytes),
        "measured": json.dumps(measured),
        "version": __version__,
    }
