"""Translators for other programs, told by the ending of the file that is written.

export_translator("runs/groups", Path("men.onnx"), group="men")
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from .photo2cartoon import write_photo2cartoon
from .translator_files import load_translator, save_translator, without_trainers
from .translator_onnx import export_onnx


def export_translator(
    translator: Path | str, out: Path, *, group: str = "", half: bool = False, overwrite: bool = False
) -> Path:
    """Write a translator for another program, or a small file that only draws.

    Args:
        translator: A translator file or a run folder.
        out: File to write: ``.onnx``, ``.pt`` or ``.pth`` (photo2cartoon, UGATIT-pytorch), or ``.safetensors``.
        group: Whose branch, where there are several; ``.safetensors`` keeps all.
        half: Half precision, of ``.safetensors`` only.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The ending is of no format, or the options do not fit the format.
        BadModel: The translator is damaged, or the format cannot hold it.
    """
    ending = out.suffix.lower()
    if half and ending != ".safetensors":
        raise UsageError("Only .safetensors can be in half precision.", "Leave out --half.")
    stored = load_translator(translator)
    groups = stored.system.groups
    if ending == ".safetensors":
        if group:
            raise UsageError("A .safetensors file keeps all groups.", "Leave out --group.")
        return save_translator(out, without_trainers(stored), half=half, overwrite=overwrite)
    if not group and len(groups) > 1:
        raise UsageError(f"A {ending} file has room for one group.", f"Give --group with one of {', '.join(groups)}.")
    if ending not in (".onnx", ".pt", ".pth"):
        raise UsageError(f"Cannot tell a format from the name {out.name}.", "End it in .onnx, .pt or .safetensors.")
    write = export_onnx if ending == ".onnx" else write_photo2cartoon
    return write(out, stored.system, group=group or groups[0], overwrite=overwrite)
