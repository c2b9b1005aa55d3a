"""Which path of a multi-path style draws a face, where nobody says it.

AgileGAN (Song et al. 2021, Sec. 3.4) lets a detector choose. Here a chooser does, which the base's encoder feeds; below
the margin that it was stored with, it refuses. Its choice goes into the drawing and nowhere else: no name of a file, no
report, no log and no message tells it.

    rule = path_rule(base, Mixture.find("toon3d-paths"), photos=True)
    style, drawer = SeveralPaths("toon3d-paths", {"female": a, "male": b}, base.generator, rule).of(face)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn

from ..errors import BadImage, UsageError
from ..io import catalogue, registry
from ..io.chooser_files import StoredChooser
from ..io.encoder_files import StoredEncoder
from ..io.headers import AUTO
from ..io.model_file import Model
from ..networks import Generator
from ..spaces import W, WPlus
from .mixture import Mixture

if TYPE_CHECKING:
    from ..faces import AlignedFace
    from .drawings import Style, Synthesizer
    from .pipeline import Stylizer


@dataclass(frozen=True, eq=False)
class PathRule:
    """What chooses among paths."""

    stored: StoredChooser
    attribute: str
    """Whose values the paths are."""
    encoder: StoredEncoder
    paths: tuple[str, ...]

    @property
    def margin(self) -> float:
        """The least share at which a path is chosen."""
        return next(c.margin for c in self.stored.header.choices if c.attribute == self.attribute)

    @torch.no_grad()
    def path(self, face: Tensor) -> str | None:
        """Return the path that draws a face [1, 3, R, R] in [-1, 1]; None where none reaches the margin."""
        latents = self.encoder.encoder(face.cpu()).mu
        shares = self.stored.chooser.shares(self.attribute, latents, self.paths)[0]
        return self.paths[int(shares.argmax())] if float(shares.max()) >= self.margin else None


class SeveralPaths(nn.Module):
    """The generators of a style's paths, in the place of one: it draws nothing until a face has chosen.

    Args:
        name: Of the style.
        styles: Path -> style.
        base: What swapped styles draw the low resolutions by.
        rule: What chooses.
    """

    def __init__(self, name: str, styles: Mapping[str, Style], base: Generator, rule: PathRule) -> None:
        super().__init__()
        self.name, self.rule, self.anatomy = name, rule, base.anatomy
        self._drawers = {path: (style, style.synthesizer(base)) for path, style in styles.items()}
        self.paths = nn.ModuleDict({path: style.plain for path, style in styles.items()})
        self.chooser = rule.stored.chooser

    def of(self, face: Tensor) -> tuple[Style, Synthesizer]:
        """Return the style that draws a face [1, 3, R, R] in [-1, 1], and what draws it.

        Raises:
            BadImage: No path reaches the margin (``path``).
        """
        path = self.rule.path(face)
        if path is None:
            raise BadImage(
                f"Which path of '{self.name}' draws this face is not sure enough.", _cure(self.rule.paths), kind="path"
            )
        return self._drawers[path]

    def synthesize(self, code: WPlus | W, noise: Sequence[Tensor] | None = None) -> NoReturn:
        """Refuse: a code alone does not say which path draws it.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"'{self.name}' has several paths, and codes alone do not choose one.", _cure(self.rule.paths))


def for_face(stylizer: Stylizer, crop: AlignedFace) -> Stylizer:
    """Return a stylizer that draws a face with the paths that it chooses: the same one where nothing is to be chosen.

    Raises:
        BadImage: No path of a style reaches the margin (``path``).
    """
    several = {name: each for name, each in stylizer.generators.items() if isinstance(each, SeveralPaths)}
    if not several:
        return stylizer
    face = stylizer._target(crop)
    chosen = {name: each.of(face) for name, each in several.items()}
    by = copy(stylizer)
    by._styles = {**stylizer._styles, **{name: style for name, (style, _) in chosen.items()}}
    by.generators = {**stylizer.generators, **{name: drawer for name, (_, drawer) in chosen.items()}}
    return by


def drawn_with(stylizer: Stylizer, name: str) -> nn.Module:
    """Return all that a style draws with, in any face."""
    held = stylizer.generators[name]
    return held if isinstance(held, SeveralPaths) else stylizer._styles[name].plain


def path_rule(base: Model, mixture: Mixture, *, photos: bool) -> PathRule | None:
    """Return what chooses among the paths of a style; None where it has none, or one is named.

    Args:
        base: Of the style.
        mixture: The style.
        photos: Whether photos are drawn, which alone a chooser knows.

    Raises:
        UsageError: ``auto`` is asked for and nothing can choose, or the parts of a mixture have different paths.
    """
    if not (paths := mixture.undecided):
        return None
    found = registry.load_chooser_of(base, paths) if photos else None
    if found is None:
        asked = any(part.attribute == AUTO for part in mixture.parts)
        if not asked:
            return None  # the reader says which attributes there are
        what = "knows these paths of this base" if photos else "chooses a path for a picture that is no photo"
        raise UsageError(f"No chooser {what}: {', '.join(paths)}.", _cure(paths))
    return PathRule(*found, paths)


def group_rule(groups: Sequence[str]) -> PathRule | None:
    """Return what chooses among the branches of a translator: a chooser of ``faces``; None where none knows them all.

    It knows photos that are cut out as FFHQ's, with their background.
    """
    if not any(entry.name == "faces" for entry in catalogue.entries()):
        return None
    found = registry.load_chooser_of(registry.load("faces"), groups)
    return found and PathRule(*found, tuple(groups))


def _cure(paths: Sequence[str]) -> str:
    return f"Name one with --attribute: {', '.join(paths)}; or use a style without paths."
