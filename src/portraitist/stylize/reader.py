"""Styles, mixtures and models as generators of one base."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..detail import Look
from ..errors import UsageError
from ..io import registry
from ..io.headers import Header
from ..io.model_file import Model, generator_digest, load_model
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator, GeneratorAnatomy
from ..networks.digest import tensors_digest
from ..surgery import compatibility
from .interpolation import mixed
from .mixture import Mixture, Part, default_styles, no_style
from .packed import PackedPainter

log = logging.getLogger("portraitist")


class Mixed(NamedTuple):
    """What draws a style."""

    generator: Generator
    look: Look | None
    painter: PackedPainter | None = None


def of_one_base(
    styles: Sequence[str | Path], attribute: str | None, source: str | Path | None
) -> tuple[Model, list[Mixture], Mixture | None]:
    """Find styles, and the style that pictures come in: their base, what was found of the one, and of the other.

    Args:
        styles: Names, files or run folders, or mixtures of them; the bundled ones of one base when there is none.
        attribute: Path of multi-path styles.
        source: As one of the styles; None for photos.

    Raises:
        UsageError: There is no such style, the styles have different bases, or one has paths and none of this
            attribute.
    """
    if isinstance(styles, str):
        raise UsageError(f"Styles are a list, not the text '{styles}'.", f"Write ['{styles}'].")
    if not isinstance(styles, Sequence) or not all(isinstance(style, str | Path) for style in styles):
        raise UsageError(f"{styles!r} is no list of styles.", "Give names, files or run folders.")
    chosen = list(styles) or default_styles(attribute)
    if not chosen:
        raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
    mixtures = [Mixture.find(style, or_base=True, attribute=attribute) for style in chosen]
    origin = None if source is None else Mixture.find(source, or_base=True, attribute=attribute)
    every = mixtures if origin is None else [*mixtures, origin]
    parts = [part for mixture in every for part in mixture.parts]
    registry.refuse_idle_attribute(attribute, [part.path for part in parts])
    if not parts:
        assert mixtures[0].base_path is not None
        raise no_style(mixtures[0].base_path)
    if len({part.header.base_digest for part in parts}) > 1:
        named = chosen if source is None else [*chosen, source]
        raise UsageError(f"The styles {named} belong to different bases.", "Stylize them one after the other.")
    return registry.base_of(parts[0].header, parts[0].path), mixtures, origin


class StyleReader:
    """Reads the styles of a base.

    Args:
        base: The model that they belong to.
        device: Where their generators go.
        perceptual: What compares drawings; the discriminator of the base when None.
    """

    def __init__(self, base: Model, device: str, perceptual: PerceptualDistance | None) -> None:
        self.base, self._device, self._perceptual = base, device, perceptual

    @cached_property
    def base_digest(self) -> str:
        """Digest of the generator of the base, by which styles, codes and directions know it."""
        return generator_digest(self.base)

    def source(self, source: Mixture | Model) -> Generator | None:
        """Return what inverts pictures of a style; None where the style is the base."""
        name = source.header.name if isinstance(source, Model) else source.name
        if source.header.swap_upto if isinstance(source, Model) else source.swap_upto:
            raise UsageError(
                f"'{name}' is a feature swap, which cannot invert pictures.", "Make the swap with --by weights."
            )
        generator = self.mixed(source, name, 1.0).generator
        ends = [tensors_digest(g.state_dict()) for g in (generator, self.base.generator)]
        return None if ends[0] == ends[1] else generator

    def mixed(self, style: Mixture | Model, name: str, strength: float) -> Mixed:
        """Return what draws a style, a mixture of styles, or the base, which has no look.

        A mixture has a look where all its styles have, and no painter.
        """
        if isinstance(style, Model):
            self._check(name, style.header.base_digest, style.generator.anatomy)
            models = [(style, 1.0)]
        elif style.base_path is not None:
            if generator_digest(load_model(style.base_path)) != self.base_digest:
                raise no_style(style.base_path)
            models = []
        else:
            models = [(self._read(name, part), part.weight) for part in style.parts]
        generator = mixed(
            self.base.generator, [(m.generator.to(self._device), weight * strength) for m, weight in models]
        )
        parts = [(m, weight) for m, weight in models if weight]
        looks = [(m.look, weight * strength) for m, weight in parts if m.look is not None]
        look = Look.mixed(looks) if looks and len(looks) == len(parts) else None
        only, weight = models[0] if len(models) == 1 else (None, 0.0)
        if only is None or only.painter is None or only.header.painter is None:
            return Mixed(generator, look)
        return Mixed(
            generator, look, PackedPainter(only.painter.to(self._device), only.header.painter, weight * strength)
        )

    def warn(self, name: str, plain: Generator) -> None:
        """Warn of a swap with a style that has moved far from the base."""
        style = Model(plain, None, Header(plain.anatomy, name=name, base_digest=self.base_digest))
        if warning := compatibility(self.base, style, self._perceptual).warning:
            log.warning(warning)

    def _read(self, name: str, part: Part) -> Model:
        self._check(name, part.header.base_digest, part.header.generator)
        return load_model(
            part.path, find_base=lambda header: self.base, attribute=part.attribute, supports_feature_swap=True
        )

    def _check(self, name: str, base_digest: str, anatomy: GeneratorAnatomy) -> None:
        if anatomy.of_base != self.base.generator.anatomy or base_digest not in ("", self.base_digest):
            raise UsageError(
                f"The style '{name}' belongs to another base than '{self.base.header.name}'.",
                "Use the base that its header names.",
            )
