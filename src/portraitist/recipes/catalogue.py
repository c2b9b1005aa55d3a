"""All recipes by name: what each is good for, what it costs, which paper it is from. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..train.spec import Training

Derive = Callable[["Training", int], "Training"]
Preset = Literal["paper", "released"]
MULTIPATH = "multipath"
ROOTS = ("baseline", "agilegan")


@dataclass(frozen=True)
class Recipe:
    """One technique: a function from a training to a training."""

    name: str
    paper: str
    use: str
    """What it is good for, in a sentence."""
    cost: str
    """Time of a step, relative to the baseline."""
    home: str
    """The module that derives its training."""
    has_released: bool = False
    """Whether the authors' code does something else."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Other recipes that contradict it, and why."""

    @property
    def derive(self) -> Derive:
        """What turns a training into this one, at a resolution."""
        return self._function(self.name)

    @property
    def released(self) -> Derive | None:
        """What the authors' code does, where that is something else."""
        return self._function(f"{self.name}_released") if self.has_released else None

    def _function(self, name: str) -> Derive:
        found: Derive = getattr(import_module(f".{self.home}", __package__), name)
        return found


_LOW = "it keeps the low resolutions of the style, which {0} holds to the base's"

RECIPES: Mapping[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(
            "baseline",
            "Karras et al. 2020 (ADA), arXiv:2006.06676; Mo et al. 2020 (FreezeD), arXiv:2002.10964",
            "Plain fine-tuning that survives 100 exemplars; what the others are compared with.",
            "1",
            "baseline",
            refuses={
                "freeze_d": "baseline is freeze_d with augmentation",
                "agilegan": "agilegan has another adversarial loss, without augmentation",
            },
        ),
        Recipe(
            "agilegan",
            "Song et al. 2021, ACM TOG 40(4)",
            "The person stays recognisable because pictures are held to those of the base.",
            "1.6",
            "agilegan",
            has_released=True,
        ),
        Recipe(
            "freeze_d",
            "Mo et al. 2020, arXiv:2002.10964",
            "FreezeD alone, without augmentation: for several hundred exemplars.",
            "0.9",
            "baseline",
        ),
        Recipe(
            "freeze_g",
            "FreezeG, bryandlee 2020",
            "Only texture and colour change; shapes stay those of photos.",
            "0.9",
            "freeze_g",
            refuses={"freeze_sg": "freeze_g freezes the mapping network, part of which freeze_sg trains"},
        ),
        Recipe(
            "freeze_sg",
            "Back 2021 (Cartoon-StyleGAN), arXiv:2106.12445, Sec. 3.1",
            "Pose and layout of the head stay the photo's; everything finer learns the style.",
            "0.9",
            "cartoon_stylegan",
            has_released=True,
            refuses={
                "freeze_fc": "freeze_fc freezes the mapping network, part of which freeze_sg trains",
                "agilegan": "agilegan freezes the mapping network, part of which freeze_sg trains",
            },
        ),
        Recipe(
            "structure",
            "Back 2021 (Cartoon-StyleGAN), arXiv:2106.12445, Sec. 3.2",
            "As freeze_sg, but softer: the layout may move where the style insists.",
            "1.0",
            "cartoon_stylegan",
            has_released=True,
        ),
        Recipe(
            "correspondence",
            "Ojha et al. 2021, arXiv:2104.06820, Sec. 3.1",
            "Few exemplars: pictures stay as different from each other as the base's are.",
            "1.1",
            "correspondence",
        ),
        Recipe(
            "freeze_fc",
            "Huang et al. 2020 (UI2I), arXiv:2010.05713, Sec. III-A",
            "One code stays one person in base and style; what inversion and swapping between styles want.",
            "1.0",
            "ui2i",
            has_released=True,
        ),
        Recipe(
            "toonify",
            "Pinkney and Adler 2020, arXiv:2010.05334",
            "Shapes of the style with the skin and light of a photo.",
            "1",
            "toonify",
            refuses={name: _LOW.format(name) for name in ("freeze_g", "freeze_sg", "structure")},
        ),
        Recipe(
            MULTIPATH,
            "Song et al. 2021, ACM TOG 40(4), Sec. 3.3",
            "Exemplars with an attribute (women, men, ...) that is drawn differently for each value.",
            "1.2",
            "agilegan",
        ),
    )
}
