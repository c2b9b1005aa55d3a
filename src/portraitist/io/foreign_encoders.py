"""Encoders of pSp, e4e and AgileGAN, read into ours.

Their ``encoder.pt`` is a file of ``torch.save`` with ``state_dict`` (``encoder.*``, and a decoder that is left out),
``opts`` and ``latent_avg``; widths, units and rows are read from the shapes. Tensors have the same names as in our own
files; nothing in a file is ever executed.

    stored = read_foreign_encoder(Path("psp_ffhq_encode.pt"))
    stored.encoder(photos).mu
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadModel
from ..networks.encoder import Encoder
from ..networks.encoder_anatomy import STAGES, EncoderAnatomy, EncoderKind
from ..networks.identity import COUNTER
from .described import assembled, check_fit
from .encoder_files import StoredEncoder
from .foreign import size_of, tensors_of
from .headers import DEEPEST, EncoderHeader, check_encoder_sizes
from .model_file import Model, generator_digest
from .opening import typed
from .pickles import open_torch


@typed
def read_foreign_encoder(path: Path, *, base: Model | None = None) -> StoredEncoder:
    """Read ``encoder.pt`` of pSp, e4e or AgileGAN.

    Args:
        path: File of ``torch.save``.
        base: The model that its decoder is, where it is at hand: noted in the header, and its mean w stands in
            for a ``latent_avg`` that the file lacks.

    Raises:
        BadModel: The file is damaged, or holds an encoder of another kind; tensors that are missing or unknown are
            named.
        UntrustedFile: The file asks for code to be run.
    """
    tree, what = open_torch(path), path.name
    if not isinstance(tree, Mapping) or not isinstance(tree.get("state_dict"), Mapping):
        raise BadModel(f"{what} holds no state_dict.", "Is this an encoder of pSp, e4e or AgileGAN?")
    state = tensors_of(tree["state_dict"], f"{what}: state_dict")
    parts = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    theirs = {k: v.float() for k, v in parts.items() if not k.endswith(COUNTER)}
    options = _options(tree.get("opts"))
    anatomy = _anatomy(theirs, options, what)
    if base is not None:
        anatomy.check_base(base.generator.anatomy)
    if anatomy.kind == "w+":
        theirs["latent_avg"] = _mean(tree.get("latent_avg"), options, anatomy, base, what)
    check_fit(lambda: Encoder(anatomy), theirs, "", what)
    bad = [k for k, v in theirs.items() if not torch.isfinite(v).all()]
    if bad:
        raise BadModel(f"{what} holds NaN or infinity in {bad[:5]}.", "Get the file again.")
    encoder = assembled(lambda: Encoder(anatomy), theirs, "", what)
    if theirs:
        raise BadModel(f"{what} holds tensors of another encoder: {sorted(theirs)[:5]}.", OTHER)
    header = EncoderHeader(
        anatomy,
        base_name="" if base is None else base.header.name,
        base_digest="" if base is None else generator_digest(base),
        lineage=[{"converted": {"format": _program(anatomy), "tensors": len(parts)}}],
    )
    return StoredEncoder(encoder, header)


OTHER = "Only the pyramid encoders of pSp, e4e and AgileGAN over an IR-SE backbone can be read."
# By `encoder_type` in the options of a file; e4e's tensors have the names of pSp's.
_RESIDUAL = {"GradualStyleEncoder": False, "VAEStyleEncoder": False, "Encoder4Editing": True}


def _options(found: object) -> Mapping[str, Any]:
    if isinstance(found, argparse.Namespace):
        return vars(found)
    return found if isinstance(found, Mapping) else {}


def _anatomy(theirs: Mapping[str, Tensor], options: Mapping[str, Any], what: str) -> EncoderAnatomy:
    """Read the sizes from the shapes; only the options show what e4e does differently."""
    made = str(options.get("encoder_type", "GradualStyleEncoder"))
    if made not in _RESIDUAL:
        raise BadModel(f"{what} holds an encoder of the kind {made[:80]}.", OTHER)
    stem = size_of(theirs, "input_layer.0.weight", 0, what, OTHER)
    names = [f"body.{k}.res_layer.1.weight" for k in range(_count(theirs, "body"))]
    depths = [size_of(theirs, name, 0, what, OTHER) for name in names]
    stages = [(width, len(list(run))) for width, run in groupby(depths)]
    if len(stages) != STAGES:
        raise BadModel(f"{what} has a backbone of {len(stages)} stages, {stages[:9]}, not {STAGES}.", OTHER)
    size_of(theirs, "styles.0.convs.0.weight", 0, what, OTHER)
    # Between two convolutions stands a rectifier, which has a number too.
    halvings = [(_count(theirs, f"styles.{row}.convs") + 1) // 2 for row in range(_count(theirs, "styles"))]
    first = halvings[0]
    if halvings != sorted(halvings) or not 1 <= first <= 4 or halvings[-1] > first + 2:
        raise BadModel(f"{what} has rows that halve their maps {halvings[:DEEPEST]} times.", OTHER)
    levels = (halvings.count(first), halvings.count(first + 1), halvings.count(first + 2))
    kind: EncoderKind = "w+"
    if any(k.startswith("fc_mu.") for k in theirs):
        kind = "hvae" if any(k.startswith("fc_var.") for k in theirs) else "z+"
    anatomy = EncoderAnatomy(
        kind,
        16 << first,
        levels,
        dim=size_of(theirs, "styles.0.linear.weight", 0, what, OTHER),
        widths=(stem, *(width for width, _ in stages)),
        units=tuple(count for _, count in stages),
        head_width=size_of(theirs, "styles.0.linear.weight", 1, what, OTHER),
        residual_rows=_RESIDUAL[made],
    )
    check_encoder_sizes(anatomy)
    return anatomy


def _count(theirs: Mapping[str, Tensor], owner: str) -> int:
    """Return one more than the largest number that follows ``owner`` in a name; numbers of four digits are unknown."""
    pattern = re.compile(re.escape(owner) + r"\.(\d{1,3})\.")
    return max((int(found[1]) + 1 for name in theirs if (found := pattern.match(name))), default=0)


def _mean(found: object, options: Mapping[str, Any], anatomy: EncoderAnatomy, base: Model | None, what: str) -> Tensor:
    """Return what is added to the codes: the mean w in every row, or 0 where the options say so."""
    if not options.get("start_from_latent_avg", True):
        return torch.zeros(anatomy.rows, anatomy.dim)
    if found is None and base is not None:
        return base.generator.mean.data[0].cpu()
    if not isinstance(found, Tensor) or tuple(found.shape) not in (
        (anatomy.dim,),
        (1, anatomy.dim),
        (anatomy.rows, anatomy.dim),
    ):
        raise BadModel(f"{what} lacks latent_avg, the mean w that its codes are offsets from.", "Name its base too.")
    return found.float().expand(anatomy.rows, anatomy.dim).clone()


def _program(anatomy: EncoderAnatomy) -> str:
    if anatomy.kind != "w+":
        return "agilegan"
    return "e4e" if anatomy.residual_rows else "psp"
