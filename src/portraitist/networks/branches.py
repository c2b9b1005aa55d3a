"""One translator for several groups of people, each with outer layers of its own, and shared ones that do not forget.

"Few-shot Fine-grained Cartoon Face Generation", Sec. 3.3: T^i(x) = G^i(G^S(E^S(E^i(x)))). The first group is the
common one, with many samples. Samples of the others see the shared parts as detached clones: their gradients pass
through these to the encoder of their group, but none arrives at the shared parameters themselves.

    translator = BranchedTranslator(anatomy, ("women",))
    more = translator.extended(("men", "kids"))     # new branches begin as the common one
    drawn = more(photos, "kids").image
    drawn = more(photos, "kids", detached=True).image
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor, nn
from torch.func import functional_call

from ..errors import BadModel, UsageError
from .drit_layers import ContentDiscriminator
from .patch_discriminator import PatchPanel
from .translator import Translated, Translator
from .translator_anatomy import PanelAnatomy, TranslatorAnatomy, check_groups


class Resting(nn.Module):
    """A part whose parameters get no gradient, though gradients pass through it."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: Any) -> Any:
        """Return what the part makes of what it is given."""
        return functional_call(self.part, {name: p.detach() for name, p in self.part.named_parameters()}, given)


class BranchedTranslator(nn.Module):
    """A translator per group; what the anatomy calls shared exists once."""

    def __init__(self, anatomy: TranslatorAnatomy, groups: Sequence[str]) -> None:
        """Make new parts; all branches begin alike.

        Args:
            anatomy: Sizes, and which parts each group has for itself.
            groups: Names, the common group first.

        Raises:
            BadModel: There is no group, or a name is none.
        """
        super().__init__()
        check_groups(groups)
        self.anatomy, self.groups = anatomy, tuple(groups)
        parts = dict(Translator(anatomy).parts)
        self.shared = nn.ModuleDict({name: parts[name] for name in anatomy.shared})
        own = nn.ModuleDict({name: parts[name] for name in anatomy.own})
        self.branches = nn.ModuleList([own, *(copy.deepcopy(own) for _ in groups[1:])])

    def path(self, group: str, *, detached: bool = False) -> Translator:
        """Return the translator of one group: a view, which trains and moves with this network.

        Args:
            group: Whose branch.
            detached: Use detached clones of the shared parameters.

        Raises:
            UsageError: There is no such group.
        """
        if group not in self.groups:
            raise UsageError(f"There is no group '{group}'.", f"Known are {', '.join(self.groups)}.")
        branch = self.branches[self.groups.index(group)]
        assert isinstance(branch, nn.ModuleDict)
        shared = {name: Resting(part) if detached else part for name, part in self.shared.items()}
        return Translator.of_parts(self.anatomy, {**shared, **branch})

    def forward(
        self, images: Tensor, group: str, appearance: Tensor | None = None, *, detached: bool = False
    ) -> Translated:
        """Translate pictures [N, 3, R, R] of one group.

        Args:
            images: Pictures in [-1, 1].
            group: Whose branch.
            appearance: As of :class:`Translator`.
            detached: Use detached clones of the shared parameters.
        """
        translated: Translated = self.path(group, detached=detached)(images, appearance)
        return translated

    def extended(self, groups: Sequence[str]) -> BranchedTranslator:
        """Return a copy with a branch more for each of these groups, which begins as that of the common group.

        Raises:
            BadModel: A group is there already, or its name is none.
        """
        check_groups([*self.groups, *groups])
        wider = copy.deepcopy(self)
        wider.groups = (*self.groups, *groups)
        wider.branches.extend([copy.deepcopy(self.branches[0]) for _ in groups])
        return wider


class TranslatorSystem(nn.Module):
    """The players of an unpaired translation: a translator each way, and the discriminators of each domain."""

    def __init__(
        self,
        to_drawing: BranchedTranslator,
        to_photo: BranchedTranslator | None = None,
        of_drawings: PatchPanel | None = None,
        of_photos: PatchPanel | None = None,
        of_contents: ContentDiscriminator | None = None,
    ) -> None:
        """Join players; only the first is needed to draw, all are needed to train.

        Raises:
            BadModel: The translators have other sizes or groups than each other, or a head other groups than these.
        """
        super().__init__()
        if to_photo is not None:  # weight sharing: the parts are the same, not alike
            to_photo.shared.update({name: to_drawing.shared[name] for name in to_drawing.anatomy.tied})
        self.to_drawing, self.to_photo = to_drawing, to_photo
        self.of_drawings, self.of_photos, self.of_contents = of_drawings, of_photos, of_contents
        if to_photo is not None and (to_photo.anatomy, to_photo.groups) != (to_drawing.anatomy, to_drawing.groups):
            raise BadModel("The two translators differ in sizes or groups.")
        for panel in (of_drawings, of_photos):
            if panel is not None and panel.anatomy.groups not in (0, len(to_drawing.groups)):
                raise BadModel("The discriminators tell other groups apart than the translators know.")

    @classmethod
    def new(cls, anatomy: TranslatorAnatomy, panel: PanelAnatomy, groups: Sequence[str]) -> Self:
        """Make all players with new weights."""
        there, back = BranchedTranslator(anatomy, groups), BranchedTranslator(anatomy, groups)
        contents = ContentDiscriminator(anatomy.code) if anatomy.adversarial else None
        return cls(there, back, PatchPanel(panel), PatchPanel(panel), contents)

    @property
    def anatomy(self) -> TranslatorAnatomy:
        """Sizes of either translator."""
        return self.to_drawing.anatomy

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups, the common one first."""
        return self.to_drawing.groups

    def players(self) -> tuple[BranchedTranslator, BranchedTranslator, PatchPanel, PatchPanel]:
        """Return both translators and both panels.

        Raises:
            UsageError: One is missing.
        """
        blind = self.anatomy.adversarial and self.of_contents is None
        if self.to_photo is None or self.of_drawings is None or self.of_photos is None or blind:
            raise UsageError(
                "This translator comes without those that trained it, so it can only be run.",
                "Begin with a file that holds both translators and all discriminators.",
            )
        return self.to_drawing, self.to_photo, self.of_drawings, self.of_photos

    def extended(self, groups: Sequence[str]) -> TranslatorSystem:
        """Return copies of all players with further groups, and new heads that tell all groups apart."""
        to_drawing, to_photo, of_drawings, of_photos = self.players()
        count = len(self.groups) + len(groups)
        return TranslatorSystem(
            to_drawing.extended(groups),
            to_photo.extended(groups),
            of_drawings.extended(count),
            of_photos.extended(count),
            copy.deepcopy(self.of_contents),
        )
