"""All recipes by name, and how they are put together.

training = compose("freeze_fc+structure", resolution=64)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from ..errors import UsageError
from ..train.feature_terms import FeatureLoss
from ..train.spec import Term, Training
from . import agilegan, baseline, cartoon_stylegan, correspondence, freeze_g, toonify, ui2i

Derive = Callable[[Training, int], Training]
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
    derive: Derive
    """The technique, on the training of any preset."""
    paper_derive: Derive | None = None
    """What the paper does beyond it."""
    released: Derive | None = None
    """What the authors' code does."""
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
        chosen = {"default": None, "paper": self.paper_derive, "released": self.released}[preset]
        return (chosen or self.derive)(training, resolution)


_LOW = "it keeps the low resolutions of the style, which {0} holds to the base's"

RECIPES: Mapping[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(
            "baseline",
            "Karras et al. 2020 (ADA), arXiv:2006.06676; Mo et al. 2020 (FreezeD), arXiv:2002.10964",
            "Plain fine-tuning that survives 100 exemplars; what the others are compared with.",
            "1",
            baseline.baseline,
            baseline.baseline_paper,
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
            agilegan.agilegan,
            released=agilegan.agilegan_released,
        ),
        Recipe(
            "freeze_d",
            "Mo et al. 2020, arXiv:2002.10964",
            "FreezeD alone, without augmentation: for several hundred exemplars.",
            "0.9",
            baseline.freeze_d,
            baseline.freeze_d_paper,
            baseline.freeze_d_released,
        ),
        Recipe(
            "freeze_g",
            "FreezeG, bryandlee 2020",
            "Only texture and colour change; shapes stay those of photos.",
            "0.9",
            freeze_g.freeze_g,
            released=freeze_g.freeze_g_released,
            without={"paper": "FreezeG was published as code only"},
            refuses={"freeze_sg": "freeze_g freezes the mapping network, part of which freeze_sg trains"},
        ),
        Recipe(
            "freeze_sg",
            "Back 2021 (Cartoon-StyleGAN), arXiv:2106.12445, Sec. 3.1",
            "Pose and layout of the head stay the photo's; everything finer learns the style.",
            "0.9",
            cartoon_stylegan.freeze_sg,
            released=cartoon_stylegan.freeze_sg_released,
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
            cartoon_stylegan.structure,
            released=cartoon_stylegan.structure_released,
        ),
        Recipe(
            "correspondence",
            "Ojha et al. 2021, arXiv:2104.06820, Sec. 3.1",
            "Few exemplars: pictures stay as different from each other as the base's are.",
            "1.1",
            correspondence.correspondence,
            without={"released": "the code adds the patch discriminator of Sec. 3.2, which is not built here"},
        ),
        Recipe(
            "freeze_fc",
            "Huang et al. 2020 (UI2I), arXiv:2010.05713, Sec. III-A",
            "One code stays one person in base and style; what inversion and swapping between styles want.",
            "1.0",
            ui2i.freeze_fc,
            released=ui2i.freeze_fc_released,
        ),
        Recipe(
            "toonify",
            "Pinkney and Adler 2020, arXiv:2010.05334",
            "Shapes of the style with the skin and light of a photo.",
            "1",
            toonify.toonify,
            without={"released": "the authors published the blending and a model, but no settings of its training"},
            refuses={name: _LOW.format(name) for name in ("freeze_g", "freeze_sg", "structure")},
        ),
        Recipe(
            MULTIPATH,
            "Song et al. 2021, ACM TOG 40(4), Sec. 3.3",
            "Exemplars with an attribute (women, men, ...) that is drawn differently for each value.",
            "1.2",
            agilegan.multipath,
            without={"released": "the released training code has a single path"},
        ),
    )
}


def known_terms(resolution: int) -> Mapping[str, Term]:
    """Return the losses that a training may carry, by name; those that recipes bring have the recipe's settings."""
    brought = {t.name: t for r in RECIPES.values() for t in r.derive(Training(), resolution).terms}
    return {**brought, FeatureLoss.name: FeatureLoss()}


def compose(
    names: str | Sequence[str],
    resolution: int,
    *,
    preset: str = "default",
    paths: Sequence[str] = (),
    start: Training | None = None,
) -> Training:
    """Put recipes together; their order does not matter.

    Args:
        names: Recipes, as a sequence or joined by ``+``. Those that build on the baseline bring it along.
        resolution: Side of the images that the base draws.
        preset: ``default``, what works best here; ``paper``, as the papers' text says, on the losses of StyleGAN2;
            ``released``, as the authors' code does.
        paths: Attributes of a multi-path training, each with a path of its own.
        start: Batch and seed to begin with; its other settings are replaced where a recipe has a say.

    Raises:
        UsageError: There is no such recipe, it has no such preset, or two contradict each other; see also ``check``.
    """
    wanted = names.split("+") if isinstance(names, str) else list(names)
    if unknown := [n for n in wanted if n not in RECIPES]:
        raise UsageError(f"There is no recipe '{unknown[0]}'.", f"Recipes: {', '.join(RECIPES)}.")
    if preset not in get_args(Preset):
        raise UsageError(f"There is no preset '{preset}'.", f"Use {', '.join(get_args(Preset))}.")
    for name in wanted:
        for other, why in RECIPES[name].refuses.items():
            if other in wanted:
                raise UsageError(f"The recipes {name} and {other} contradict each other: {why}.", "Choose one.")
    if bool(paths) != (MULTIPATH in wanted):
        raise UsageError(
            "The recipe multipath and the attributes of the exemplars belong together.",
            "Put the exemplars into a folder per attribute, or name a label file, and use --recipe multipath.",
        )
    start = start or Training()
    if paths:
        each = -(-start.batch // len(paths))
        start = replace(start, batch=each * len(paths), paths=tuple(paths))
    ours = preset == "default"
    training = (baseline.fine_tune if ours else baseline.stylegan2)(resolution, start)
    if ours and not set(wanted) & {*ROOTS, "freeze_d"}:
        wanted = ["baseline", *wanted]
    for name, recipe in RECIPES.items():
        if name in wanted:
            training = recipe.derived(training, resolution, cast(Preset, preset))
    return training
