"""The sheets of figures that no other study draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from portraitist.data.images import Pixels, to_array
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.networks import Generator
from portraitist.report.labels import labelled
from portraitist.surgery import FeatureSwap

from ..inverted import drawn_codes
from ..material import samples
from ..study import Run, Study

STYLE = "toon3d"
PEOPLE, SEED, SIDE = 5, 4, 96
EVOLUTION = (400, 1200, 3000, 6000)
"""Images of AgileGAN's Fig. 7; the paper stops after 900 to 2200 batches of 8, which are 7200 to 17,600."""
POSTERIOR = 4
"""Samples of each posterior (AgileGAN's Fig. 11)."""
STRUCTURE = 100.0
SWAPPED = 32
"""Resolution of the fourth style block, up to which Cartoon-StyleGAN's Fig. 1 swaps."""
SWAPS = (8, 16, 32)

Synthesis = Generator | FeatureSwap


def evolution(study: Study) -> Pixels:
    """Draw AgileGAN's style after ever more images."""
    runs = {count: Run(STYLE, "agilegan", 0, part=str(count)) for count in EVOLUTION}
    models: dict[str, Synthesis] = {
        f"{count} images": replace(study, images=count).trained(run) for count, run in runs.items()
    }
    return _sheet(study, models)


@torch.no_grad()
def posterior(study: Study) -> Pixels:
    """Draw the mean and some samples of the posterior that the hVAE finds for each person."""
    stored = registry.load_encoder_of(study.base)
    if stored is None:
        raise UsageError("The base has no encoder of its own, whose posterior could be sampled.")
    style = registry.load(STYLE).generator
    pictures = drawn_codes(study.base.generator, samples(study.base, PEOPLE, SEED).data)
    found = stored.encoder(pictures)
    drawn = found.sample(torch.Generator().manual_seed(SEED), POSTERIOR)
    latents = {"mean": found.mu, **{f"sample {k}": one for k, one in enumerate(drawn, 1)}}
    codes = {name: stored.encoder.styles_of(those, study.base.generator) for name, those in latents.items()}
    return labelled(
        {"base": _pixels(pictures), **{name: _pixels(drawn_codes(style, c)) for name, c in codes.items()}}, SIDE
    )


def ablation(study: Study) -> Pixels:
    """Draw UI2I's transformations: with and without fixed mapping, with and without swapped layers."""
    fine, plain = (study.trained(Run(STYLE, recipe, 0)) for recipe in ("freeze_fc", "baseline"))
    return _sheet(
        study,
        {
            f"FC-FT-LS {SWAPPED}": _swapped(study, fine, SWAPPED),
            "FC-FT": fine,
            f"FT-LS {SWAPPED}": _swapped(study, plain, SWAPPED),
            "FT": plain,
        },
    )


def freezing(study: Study) -> Pixels:
    """Draw what the ways of freezing and the structure loss come to, and with the base's fourth block."""
    ways = {"FreezeD": Run(STYLE, "freeze_d", 0), "FreezeG": Run(STYLE, "freeze_g", 0)}
    ways |= {"FreezeSG": Run(STYLE, "freeze_sg", 0), "structure": Run(STYLE, "structure", 0, STRUCTURE)}
    models: dict[str, Synthesis] = {}
    for name, run in ways.items():
        model = study.trained(run)
        models |= {name: model, f"{name}, LS": _swapped(study, model, SWAPPED)}
    return _sheet(study, models)


def layers(study: Study) -> Pixels:
    """Draw the baseline and the structure loss with the base's layers up to each resolution."""
    models: dict[str, Synthesis] = {}
    for name, run in {"FreezeD": Run(STYLE, "freeze_d", 0), "structure": Run(STYLE, "structure", 0, STRUCTURE)}.items():
        model = study.trained(run)
        models |= {name: model, **{f"{name}, LS {r}": _swapped(study, model, r) for r in SWAPS}}
    return _sheet(study, models)


def _swapped(study: Study, model: Generator, upto: int) -> FeatureSwap:
    """Return a model that takes the features up to a resolution from the base, as the papers swap layers."""
    return FeatureSwap(study.base.generator, model, upto)


def _sheet(study: Study, models: Mapping[str, Synthesis]) -> Pixels:
    codes = samples(study.base, PEOPLE, SEED).data
    drawers: dict[str, Synthesis] = {"base": study.base.generator, **models}
    return labelled({name: _pixels(drawn_codes(model, codes)) for name, model in drawers.items()}, SIDE)


def _pixels(pictures: Tensor) -> list[Pixels]:
    return list(to_array(pictures.cpu()))


SHEETS: Mapping[str, Callable[[Study], Pixels]] = {
    "figures-ablation.png": ablation,
    "figures-evolution.png": evolution,
    "figures-posterior.png": posterior,
    "figures-freezing.png": freezing,
    "figures-layers.png": layers,
}
"""By the names of their files."""
