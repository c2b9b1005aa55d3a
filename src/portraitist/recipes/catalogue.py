"""All recipes by name: what each is good for, what it costs, which paper it is from. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UsageError

if TYPE_CHECKING:
    from ..train.spec import Training

Derive = Callable[["Training", int], "Training"]
Preset = Literal["default", "paper", "released"]
"""What works best here from few exemplars; what the paper's text says; what the authors' code does."""
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
    """The module that derives its training: by a function of its name, and of its name and the preset."""
    has_paper: bool = False
    """Whether the paper does something beyond the technique."""
    has_released: bool = False
    """Whether the authors' code does."""
    without: Mapping[Preset, str] = field(default_factory=dict)
    """Presets that it has not, and why."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Other recipes that contradict it, and why."""

    @property
    def presets(self) -> tuple[Preset, ...]:
        """The presets that it has."""
        return tuple(p for p in get_args(Preset) if p not in self.without)

    def derived(self, training: Training, resolution: int, preset: Preset) -> Training:
        """Return what it makes of a training.

        Raises:
            UsageError: It has no such preset.
        """
        if preset in self.without:
            raise UsageError(
                f"The recipe {self.name} has no preset {preset}: {self.without[preset]}.",
                f"Use {' or '.join(self.presets)}.",
            )
        return self.function(preset)(training, resolution)

    def function(self, preset: Preset) -> Derive:
        """Return what derives the training of a preset that it has."""
        own = {"default": False, "paper": self.has_paper, "released": self.has_released}[preset]
        name = f"{self.name}_{preset}" if own else self.name
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
            has_paper=True,
            without={"released": "ADA and FreezeD were released as programs of two generations of StyleGAN"},
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
            has_paper=True,
            has_released=True,
        ),
        Recipe(
            "freeze_g",
            "FreezeG, bryandlee 2020",
            "Only texture and colour change; shapes stay those of photos.",
            "0.9",
            "freeze_g",
            has_released=True,
            without={"paper": "FreezeG was published as code only"},
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
            has_paper=True,
            has_released=True,
        ),
        Recipe(
            "correspondence",
            "Ojha et al. 2021, arXiv:2104.06820, Sec. 3.1",
            "Few exemplars: pictures stay as different from each other as the base's are.",
            "1.1",
            "correspondence",
            without={"released": "the code adds the patch discriminator of Sec. 3.2, which is not built here"},
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
            without={"released": "the authors published the blending and a model, but no settings of its training"},
            refuses={name: _LOW.format(name) for name in ("freeze_g", "freeze_sg", "structure")},
        ),
        Recipe(
            MULTIPATH,
            "Song et al. 2021, ACM TOG 40(4), Sec. 3.3",
            "Exemplars with an attribute (women, men, ...) that is drawn differently for each value.",
            "1.2",
            "agilegan",
            without={"released": "the released training code has a single path"},
        ),
    )
}
