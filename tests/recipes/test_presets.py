"""The presets of every recipe, beside what its paper and its code say, and beside the table of docs/recipes.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portraitist.errors import UsageError
from portraitist.recipes import RECIPES, compose
from portraitist.train.source_losses import Similarity, Structure
from portraitist.train.spec import Freeze, Training
from tests.recipes.tiny_runs import attributes

# At 256 pixels: augmentation, first resting resolution of the discriminator, gamma, steps between path-length steps.
STYLEGAN2 = ("none", 0, 10.0, 4)
PAPER = {
    "baseline": ("ada", 32, 1.6384, 4),
    "agilegan": STYLEGAN2,
    "freeze_d": ("none", 32, 10.0, 0),
    "freeze_sg": STYLEGAN2,
    "structure": STYLEGAN2,
    "correspondence": STYLEGAN2,
    "freeze_fc": STYLEGAN2,
    "toonify": STYLEGAN2,
    "multipath": STYLEGAN2,
}
RELEASED = {
    "agilegan": ("ada", 64, 10.0, 4),
    "freeze_d": ("none", 32, 10.0, 0),
    "freeze_g": ("ada", 0, 10.0, 0),
    "freeze_sg": ("ada", 64, 10.0, 0),
    "structure": ("ada", 64, 10.0, 4),
    "freeze_fc": STYLEGAN2,
}
DEFAULT = {
    **dict.fromkeys(RECIPES, ("ada", 32, 1.6384, 0)),
    "agilegan": ("none", 0, 1.6384, 4),
    "freeze_d": ("none", 32, 1.6384, 0),
}
Told = tuple[str, int, float, int]
WANTED: dict[str, dict[str, Told]] = {"default": DEFAULT, "paper": PAPER, "released": RELEASED}
ROSINALITY = ("freeze_g", "freeze_sg", "structure", "freeze_fc")


def of(name: str, preset: str, side: int = 256) -> Training:
    return compose(name, side, preset=preset, paths=attributes(name))


def told(training: Training) -> Told:
    return training.augment, training.frozen.discriminator_from, round(training.r1_gamma, 4), training.path_every


@pytest.mark.parametrize(("preset", "wanted"), WANTED.items())
def test_regularisers_are_what_the_preset_is_called(preset: str, wanted: dict[str, Told]) -> None:
    assert {name: told(of(name, preset)) for name, recipe in RECIPES.items() if preset in recipe.presets} == wanted


def test_each_technique_is_in_each_of_its_presets() -> None:
    for name, recipe in RECIPES.items():
        for preset in recipe.presets:
            training = of(name, preset)
            frozen, terms = training.frozen, {term.name: term for term in training.terms}
            match name:
                case "agilegan":
                    taps = 99 if preset == "released" else 3
                    assert terms["similarity"] == Similarity(0.5, taps, "mean")
                    assert (training.gan_loss, training.latents, training.path_weight) == ("hinge", "z+", 2)
                    assert frozen.mapping
                case "freeze_sg":
                    blocks = (True, 16, 0) if preset == "released" else (False, 8, 8)
                    assert (frozen.mapping, frozen.generator_upto, frozen.styles_upto) == blocks
                case "structure":
                    first, tap = (8, "feature") if preset == "released" else (4, "rgb")
                    weight = 10_000.0 if preset == "default" else 1.0
                    assert terms["structure"] == Structure(weight, first, 16, tap)  # type: ignore[arg-type]
                case "freeze_fc":  # the released code froze the wrong copy
                    assert frozen.mapping == (preset != "released")
                case "freeze_g":
                    assert frozen.mapping and frozen.generator_upto == 64
                case "toonify":
                    assert training.blend_upto == 32 and frozen == Freeze(discriminator_from=frozen.discriminator_from)
                case "correspondence":
                    assert terms["correspondence"]
                case "multipath":
                    assert training.paths and (training.split_from, training.split_upto) == (8, 64)


@pytest.mark.parametrize("name", ROSINALITY)
def test_released_averages_as_the_script_that_they_are_forks_of(name: str) -> None:
    training = of(name, "released")
    assert 0.5 ** (training.batch / training.ema_images) == pytest.approx(0.5 ** (32 / 10_000))  # an iteration
    assert (training.ema_ramp, training.ada_images, training.ada_every) == (0.0, 500_000, 8)


def test_a_preset_that_a_recipe_has_not_is_refused_with_the_reason() -> None:
    assert {name: tuple(r.without) for name, r in RECIPES.items() if r.without} == {
        "baseline": ("released",),
        "freeze_g": ("paper",),
        "correspondence": ("released",),
        "toonify": ("released",),
        "multipath": ("released",),
    }
    with pytest.raises(UsageError, match="freeze_g has no preset paper: FreezeG was published as code only") as refused:
        compose("freeze_g", 64, preset="paper")
    assert refused.value.cure == "Use default or released."
    with pytest.raises(UsageError, match="multipath has no preset released"):
        compose("agilegan+multipath", 64, preset="released", paths=("a", "b"))


def test_the_table_of_the_docs_is_what_the_recipes_do() -> None:
    text = Path("docs/recipes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (default|paper|released) \| (\w+) \| (\S+) \| (\S+) \| (\S+) \|", text, re.M)
    found = {
        (name, preset): (augment, int(rest.replace("-", "0")), float(gamma), int(path.replace("-", "0")))
        for name, preset, augment, rest, gamma, path in rows
    }
    mine = {(name, preset): told(of(name, preset)) for name, recipe in RECIPES.items() for preset in recipe.presets}
    assert {key: (a, d, round(g, 1), p) for key, (a, d, g, p) in mine.items()} == found


def test_correspondence_needs_pictures_in_each_process() -> None:
    training = compose("correspondence", 16)
    (term,) = [term for term in training.terms if term.name == "correspondence"]
    term.check_parts(training, training.batch // 4)
    with pytest.raises(UsageError, match="Correspondence needs 3 pictures at once, not 2"):
        term.check_parts(training, training.batch // 2)
