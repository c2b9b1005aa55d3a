"""Small encoders with random heads, for bases of tests."""

from __future__ import annotations

import torch

from portraitist.io.encoder_files import StoredEncoder
from portraitist.io.headers import EncoderHeader
from portraitist.io.model_file import Model, generator_digest
from portraitist.networks.encoder import new_encoder, split_rows
from portraitist.networks.encoder_anatomy import EncoderAnatomy, EncoderKind


def make_encoder(base: Model, name: str = "hvae", kind: EncoderKind = "hvae", seed: int = 0) -> StoredEncoder:
    """Make an encoder of a base of 16 pixels whose codes, and their spread, depend on the picture."""
    sizes = base.generator.anatomy
    anatomy = EncoderAnatomy(kind, 16, split_rows(sizes.rows), 16, (8, 8, 8, 8, 8), (1, 1, 1, 1), 8)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = new_encoder(anatomy, base.generator).eval()
        for head in ("fc_mu", "fc_var"):
            if hasattr(encoder, head):
                torch.nn.init.normal_(getattr(encoder, head).weight)
                torch.nn.init.normal_(getattr(encoder, head).bias)
    header = EncoderHeader(
        anatomy, name=name, base_name=base.header.name, base_digest=generator_digest(base), licence="CC0-1.0"
    )
    return StoredEncoder(encoder, header)
