"""Encoders for what their base has grown to."""

from __future__ import annotations

from dataclasses import replace

from ..errors import BadModel
from ..io.encoder_files import StoredEncoder, check_encoder_base
from ..io.model_file import Model, generator_digest
from ..networks.growth import grow_encoder


def grown_encoder(stored: StoredEncoder, before: Model, base: Model) -> StoredEncoder:
    """Return the encoder of a base for what the base has grown to, held to it as ``train --codes`` does.

    Args:
        stored: The encoder; its codes stay what they are, the rows of new layers repeat the last.
        before: The base that it was trained for.
        base: The larger one.

    Raises:
        BadModel: The larger base has another mapping network, so that codes mean something else in it, or other sizes.
    """
    check_encoder_base(stored.header, before)
    if not base.generator.maps_like(before.generator):
        raise BadModel(
            f"'{base.header.name}' has another mapping network than '{before.header.name}': codes of the encoder mean "
            "something else there.",
            "Train an encoder for it, or the base on with --codes.",
        )
    header = replace(
        stored.header,
        name="",
        description=f"photos to codes of {base.header.name}: {stored.header.name or 'an encoder'}, grown with the base",
        base_name=base.header.name,
        base_digest=generator_digest(base),
        lineage=[*stored.header.lineage, {"grown_from": {"encoder": stored.digest, "base": generator_digest(before)}}],
        metrics={},
    )
    return StoredEncoder(grow_encoder(stored.encoder, base.generator.anatomy), header)
