"""Two models with what their files say, made into one that is stored: with whose base, licence and lineage.

    joined = swap_models(registry.load("faces"), registry.load("toon3d"), upto=32, by="features", find_base=base_of)
    joined.save("soft-toon.safetensors")        # a style pack of faces, which `stylize --style` takes

Where both sides are fine-tuned from one base, or one of them is that base, the result is a style pack of it; else it is
a full model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .._version import __version__
from ..errors import UsageError
from ..io.headers import Header
from ..io.licences import joint_terms
from ..io.model_file import Model, generator_digest, save_model, save_pack
from ..networks import Generator
from .blend import Side, blend, check_sizes, check_upto, hard
from .swap import By

FindBase = Callable[[Header], Model]
"""Finds the base of a style pack; raises BadModel where it is not known."""


@dataclass(frozen=True)
class Joined:
    """A model made of two."""

    model: Model
    base: Model | None
    """What the result is a style of; None where the sides have no base in common that is known."""

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write a style pack of the base, or a full model where there is none."""
        if self.base is None:
            return save_model(path, self.model, overwrite=overwrite)
        return save_pack(path, self.model, self.base, overwrite=overwrite)


def swap_models(
    low: Model, high: Model, upto: int, by: By, *, find_base: FindBase, mapping: Side = "low", name: str = ""
) -> Joined:
    """Swap the layers of two models as :func:`swap` does, to be stored.

    A feature swap takes two generators to draw. Stored, it is the style pack of ``high`` with the resolution in its
    header, ``swap_upto``, and ``low`` is the base that the pack belongs to; it maps latents as ``high`` does.

    Args:
        low: Gives the low resolutions.
        high: Gives the high resolutions.
        upto: A resolution in pixels, or 0.
        by: What is swapped.
        find_base: Finds the base of two styles.
        mapping: Of a swap by weights: the side whose mapping networks the result has.
        name: The word that the result is called by.

    Raises:
        BadModel: The models have different sizes.
        UsageError: There is no such resolution or side, or a feature swap has another low side than the base of both.
    """
    check_sizes(low.generator, high.generator)
    about: dict[str, object] = {"surgery": "swap", "by": by, "upto": upto}
    if by == "weights":
        generator = blend(low.generator, high.generator, hard(low.generator.anatomy, upto), mapping)
        return _joined(low, high, generator, {**about, "mapping": mapping}, find_base, mapping, name)
    check_upto(low.generator.anatomy, upto)
    joined = _joined(low, high, high.generator, about, find_base, "high", name)
    if joined.base is None or generator_digest(joined.base) != generator_digest(low):
        raise UsageError(
            f"A feature swap is stored as a style of its low side, and '{high.header.name}' is no style of "
            f"'{low.header.name}'.",
            "Swap them --by weights, or take the base of the style as the low side.",
        )
    return Joined(replace(joined.model, header=replace(joined.model.header, swap_upto=upto)), joined.base)


def blend_models(
    low: Model,
    high: Model,
    alpha: Mapping[int, float],
    *,
    find_base: FindBase,
    mapping: Side = "low",
    name: str = "",
) -> Joined:
    """Blend the weights of two models as :func:`blend` does, to be stored; other arguments as of :func:`swap_models`.

    Args:
        low: Where ``alpha`` is 0.
        high: Where ``alpha`` is 1.
        alpha: Share of ``high`` for each resolution.
        find_base: Finds the base of two styles.
        mapping: The side whose mapping networks the result has.
        name: The word that the result is called by.

    Raises:
        BadModel: The models have different sizes.
        UsageError: The shares are not possible, or there is no such side.
    """
    generator = blend(low.generator, high.generator, alpha, mapping)
    shares = {str(r): share for r, share in alpha.items()}
    return _joined(
        low, high, generator, {"surgery": "blend", "alpha": shares, "mapping": mapping}, find_base, mapping, name
    )


def _joined(
    low: Model,
    high: Model,
    generator: Generator,
    about: Mapping[str, object],
    find_base: FindBase,
    owner: Side,
    name: str,
) -> Joined:
    sides = {"low": low, "high": high}
    digests = {side: {"name": m.header.name, "digest": generator_digest(m)} for side, m in sides.items()}
    first, second = low.header, high.header
    licence, credit = joint_terms((first, second))
    base = _common_base(low, high, find_base)
    # No judge of the result; its features are what likeness is measured with.
    discriminator = sides[owner].discriminator
    header = Header(
        generator.anatomy,
        None if discriminator is None else discriminator.anatomy,
        name=name,
        description=f"low resolutions of {first.name or 'a model'}, high ones of {second.name or 'a model'}",
        licence=licence,
        credit=credit,
        recipe={**about, **digests, "version": __version__},
        lineage=[*first.lineage, *(step for step in second.lineage if step not in first.lineage)],
    )
    # Lines and colours are those of the high side, and so is what the detail stage does; a base has no look.
    return Joined(Model(generator.eval(), discriminator, header, high.look or low.look), base)


def _common_base(low: Model, high: Model, find_base: FindBase) -> Model | None:
    """Return the model that both sides are styles of, or are themselves; None where it is not at hand."""
    common = _bases(low) & _bases(high)
    for side in (low, high):
        if generator_digest(side) in common and not side.generator.anatomy.low_rows:
            return side
    return next((find_base(m.header) for m in (low, high) if m.header.base_digest in common), None)


def _bases(model: Model) -> frozenset[str]:
    """Return the digests of what a model may be stored as a style of: itself, and what it was fine-tuned from last."""
    header = model.header
    if header.base_digest:
        return frozenset({header.base_digest})
    last = header.lineage[-1].get("base", "") if header.lineage else ""
    return frozenset({generator_digest(model), str(last)} - {""})
