"""Huang, Liao and Kwong 2020, arXiv:2010.05713: model distance, transitivity, what swapping trades, direct swap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import combinations, pairwise
from typing import Any

import torch
from torch import Tensor

from portraitist.data.images import write_image
from portraitist.data.sheet import grid
from portraitist.evaluate import distance_matrix, metric_name
from portraitist.evaluate.quality import MEAN_COLOUR, MEMORISER, as_files, baselines
from portraitist.invert import Projection, ui2i
from portraitist.networks import Generator
from portraitist.report.markdown import BLANK, bullets, mean_std, prose, table
from portraitist.surgery import FeatureSwap, swap

from . import translated
from .inverted import codes_of, digest_of, drawn_codes, optimising
from .published import UI2I, UI2I_ROWS, UI2I_TABLE_1, UI2I_TABLE_2, UI2I_TRANSITIVITY
from .study import BATCH, SCRATCH, Drawers, Run, Study, label
from .unrelated import unrelated
from .verdict import verdict

SWAPS = {8: "FC-FT-LS1", 16: "FC-FT-LS3", 32: "FC-FT-LS5"}
"""Resolutions taken from the base, and what the paper calls them."""
APART, FROM_SCRATCH = "w/o FT", "w/o FT, from scratch"
DIRECT = "direct swap"
TRANSLATORS = ("CycleGAN", "MUNIT", "DRIT++")
"""Of Table II; drawn where there are photos."""
OF_SETS, OF_PAIRS = ("frechet", "kernel"), ("diversity", "change")

Measured = dict[str, dict[str, float]]


def reproduce(study: Study) -> list[str]:
    """Measure, and return the lines of the page."""
    runs = [(style, seed) for style in study.sets for seed in study.seeds]
    distances = {run: distances_of(study, *run) for run in runs}
    sets = {run: sets_of(study, *run) for run in runs}
    lines = [f"## UI2I ({UI2I})", BLANK]
    for look in study.distances:
        lines += _table_1(study, label(look), distances)
    lines += _transitivity(study, distances)
    for network in study.networks:
        lines += _table_2(study, network.digest, metric_name("Fréchet distance", network), sets)
    picture = study.out / "reproduction-ui2i.png"
    write_image(picture, sheet(study))
    styles = ", ".join(study.sets)
    rows = f"Rows: the base; then, for {styles}: FC-FT, swapped after fine-tuning, swapped directly"
    caption = """The paper's Fig. 8: layers swapped after fine-tuning, and directly between models that have nothing to
    do with each other."""
    return [*lines, f"![{rows}]({picture.name})", BLANK, *prose(caption)]


def distances_of(study: Study, style: str, seed: int) -> Measured:
    """Return the model distances to the base of one style and seed: look -> row -> distance."""
    found = _cached_distances(study, style, seed, "distances", _RECIPES, _rows)
    if study.scratch:
        apart = _cached_distances(study, style, seed, "scratch", {FROM_SCRATCH: SCRATCH}, _trained)
        found = {look: values | apart[look] for look, values in found.items()}
    return found


def sets_of(study: Study, style: str, seed: int) -> dict[str, Measured]:
    """Return what the outputs of one style and seed are worth: digest of the features -> row -> measure -> value."""
    fine = Run(style, "freeze_fc", seed)
    codes = _photo_codes(study)
    about = {"models": study.digest(fine), **study.measured_by}
    others = {} if codes is None else translated.of_run(study, style, seed, TRANSLATORS)
    if others:
        about["translators"] = [translated.digest(study, preset, style, seed) for preset in others.values()]
    if codes is not None:
        about["codes"] = digest_of(codes)

    def measure() -> dict[str, Measured]:
        generator = study.trained(fine)
        drawers: dict[str, Generator | FeatureSwap] = {"FC-FT": generator}
        # Of the paper's Table II: LS3 for anime, LS5 for portraits.
        for side in (s for s in SWAPS if _middle(study) <= s < study.side):
            drawers[SWAPS[side]] = swap(study.base.generator, generator, upto=side, by="features")
        drawers[DIRECT] = _direct(study, generator, seed)
        if codes is None or study.photos is None:
            outputs, inputs = {name: study.drawn(model, study.codes) for name, model in drawers.items()}, study.faces
        else:
            outputs = {name: drawn_codes(model, codes) for name, model in drawers.items()}
            inputs = as_files(study.photos.to(study.device))
            for name, preset in others.items():
                outputs[name] = translated.translated(study, preset, style, seed, study.photos)
        return study.scored(style, seed, outputs, inputs, OF_SETS, OF_PAIRS)

    measured: dict[str, Measured] = study.cached(f"ui2i-sets-{style}-{seed}", about, measure)
    return measured


def _photo_codes(study: Study) -> Tensor | None:
    """Return the codes of the photos by the preset `ui2i`, [N, rows, w_dim]; None where random latents are drawn."""
    if study.photos is None:
        return None
    settings = inversion(study)
    return codes_of(study, "ui2i", optimising(study, settings), asdict(settings))


def inversion(study: Study) -> Projection:
    """Return how photos are inverted: the preset, with the steps of the study."""
    return replace(ui2i(), steps=study.steps or ui2i().steps)


def sheet(study: Study, count: int = 8) -> Any:
    """Return the paper's Fig. 8 of the first seed."""
    codes = study.latents(count, 5)
    rows = [study.base.generator.sample_batches(codes)]
    for style in study.sets:
        generator = study.trained(Run(style, "freeze_fc", study.seeds[0]))
        after = swap(study.base.generator, generator, upto=_middle(study), by="features")
        rows += [study.drawn(model, codes) for model in (generator, after, _direct(study, generator, study.seeds[0]))]
    return grid(torch.cat(rows), columns=count)


_RECIPES = {"FT": "baseline", "FC-FT": "freeze_fc"}


def _cached_distances(
    study: Study,
    style: str,
    seed: int,
    what: str,
    recipes: Mapping[str, str],
    made: Callable[[Study, Mapping[str, Run], int], Drawers],
) -> Measured:
    """Return the distances to the base of models made from trainings, by look and row, with those of baselines."""
    runs = {name: Run(style, recipe, seed) for name, recipe in recipes.items()}
    about = {"models": {name: study.digest(run) for name, run in runs.items()}, **study.measured_by}

    def measure() -> Measured:
        others = baselines(as_files(study.faces), study.reference(style, seed))
        tinted_and_copied = {name: others[name] for name in (MEAN_COLOUR, MEMORISER)}
        return study.model_distances(made(study, runs, seed), tinted_and_copied, BATCH)

    found: Measured = study.cached(f"ui2i-{what}-{style}-{seed}", about, measure)
    return found


def _trained(study: Study, runs: Mapping[str, Run], seed: int) -> Drawers:
    return {name: study.trained(run) for name, run in runs.items()}


def _rows(study: Study, runs: Mapping[str, Run], seed: int) -> Drawers:
    """Return the models of Table I."""
    found = _trained(study, runs, seed)
    fine = found["FC-FT"]
    assert isinstance(fine, Generator)
    found[APART] = unrelated(fine, seed)[0]
    for side, name in SWAPS.items():
        if side <= study.side:
            found[name] = swap(study.base.generator, fine, upto=side, by="features")
    return found


def _middle(study: Study) -> int:
    return min(16, study.side // 2)


def _direct(study: Study, generator: Generator, seed: int) -> FeatureSwap:
    """Return the base's low layers below a style's that was never made from it."""
    return FeatureSwap(study.base.generator, unrelated(generator, seed)[0], _middle(study))


def _table_1(study: Study, look: str, found: Mapping[tuple[str, int], Measured]) -> list[str]:
    rows = [name for name in UI2I_ROWS if all(name in f[look] for f in found.values())]
    printed = list(UI2I_TABLE_1)[:3]
    lines = [f"### Table I, model distance to the base, by {look}", BLANK]
    scratch = (
        " *From scratch* is trained on the same exemplars for as many images, and knows little of faces."
        if study.scratch
        else ""
    )
    lines += prose(
        f"""Mean over {study.samples} shared latents, own mapping each, stored noise, no truncation; ± deviation over
        {len(study.seeds)} seeds. FT is `baseline`, FC-FT `freeze_fc`, {study.images} images each; LS1, LS3, LS5
        take the features up to 8, 16 and 32 pixels from the base, of {study.side}. *{APART}* is the FC-FT style as
        it would be on another base: latents turned, channels shuffled, the same pictures.{scratch} Printed: LPIPS
        at 256 pixels, other numbers of images; compare orders, not values. A model that does nothing has distance
        0."""
    )
    body = []
    for name in (*rows, *[FROM_SCRATCH] * study.scratch, MEAN_COLOUR, MEMORISER):
        ours = [mean_std([found[style, s][look][name] for s in study.seeds]) for style in study.sets]
        theirs = [f"{UI2I_TABLE_1[p][UI2I_ROWS.index(name)]:.3f}" if name in UI2I_ROWS else "" for p in printed]
        body.append([name if name in UI2I_ROWS else f"*{name}*", *ours, *theirs])
    lines += table(["", *study.sets, *(f"printed: {p}" for p in printed)], body)
    pairs = [(low, high) for high, low in pairwise(rows)] + [("FT", FROM_SCRATCH)] * study.scratch
    each = list(found.values())
    return lines + bullets([verdict(a, b, [(f[look][a], f[look][b]) for f in each]) for a, b in pairs])


def _transitivity(study: Study, found: Mapping[tuple[str, int], Measured]) -> list[str]:
    """Two styles of one base against two that were trained apart."""
    look = study.distances[0]
    lines = [f"### Transitivity (Sec. IV-C), by {label(look)}", BLANK]
    if len(study.sets) < 2:
        return lines + prose("It takes two styles; only one was given.")
    rows: list[list[str]] = []
    pairs: list[tuple[float, float]] = []
    direct: list[tuple[float, float]] = []
    for first, second in combinations(study.sets, 2):
        each = [_between(study, first, second, seed) for seed in study.seeds]
        apart = [e["apart"] for e in each]
        both = [
            (found[first, s][label(look)]["FC-FT"] + found[second, s][label(look)]["FC-FT"]) / 2 for s in study.seeds
        ]
        rows.append([f"{first}, {second}", mean_std([e["one base"] for e in each]), mean_std(both), mean_std(apart)])
        pairs += [(e["one base"], e["apart"]) for e in each]
        direct += [(b, e["one base"]) for b, e in zip(both, each, strict=True)]
    printed = UI2I_TRANSITIVITY
    rows.append(["*printed: cartoon, portrait*", *(f"{value:.3f}" for value in printed.values())])
    share = mean_std([a / b for a, b in pairs], 2)
    return [
        *lines,
        *table(["", "two styles of one base", "each to the base (mean of both)", "trained independently"], rows),
        *bullets(
            [
                verdict("two styles of one base", "trained independently", pairs),
                verdict("a style to its base", "two styles of one base", direct),
                f"Two styles of one base are {share} of the distance of independent ones; printed: 0.63.",
                "The printed 0.398 is not quite of a style to its base, but of one style fine-tuned from the other, "
                "with LS5.",
            ]
        ),
    ]


def _between(study: Study, first: str, second: str, seed: int) -> dict[str, float]:
    look = study.distances[0]
    runs = [Run(style, "freeze_fc", seed) for style in (first, second)]
    about = {"models": [study.digest(run) for run in runs], **study.measured_by}

    def measure() -> dict[str, float]:
        a, b = (study.trained(run) for run in runs)
        models = {"a": a, "b": b, "c": unrelated(b, seed)[0]}
        z_dim = study.base.generator.anatomy.z_dim
        found = distance_matrix(models, look, z_dim=z_dim, count=study.samples, batch=BATCH, device=study.device)
        return {"one base": found["a", "b"].value, "apart": found["a", "c"].value}

    measured: dict[str, float] = study.cached(f"ui2i-between-{first}-{second}-{seed}", about, measure)
    return measured


def _table_2(
    study: Study, digest: str, title: str, found: Mapping[tuple[str, int], Mapping[str, Measured]]
) -> list[str]:
    rows = list(next(iter(found.values()))[digest])
    lines = [f"### Table II, what swapping costs and gains, by {title}", BLANK]
    what = f"{study.samples} outputs of random latents, their inputs being what the base draws of them"
    if study.photos is not None:
        what = f"""Outputs of {len(study.photos)} photos that nothing was trained on, as the paper's of test images, by
        the codes that `ui2i` finds in {inversion(study).steps} steps"""
    lines += prose(
        f"""{what}; sets are compared with the exemplars that nobody saw (Fréchet squared, biased by their small number;
        kernel unbiased). Diversity, over 2000 random pairs of outputs, and change, of outputs and their inputs, are
        LPIPS_d and LPIPS_s by {label(study.distances[0])}. *{DIRECT}* is {SWAPS[_middle(study)]} between the base and a
        style of an unrelated base (Fig. 8). {translated.told(study, TRANSLATORS)} ± deviation over seeds. Printed: FID,
        LPIPS."""
    )
    keys = {"frechet": "Fréchet ↓", "kernel": "kernel ↓", "diversity": "diversity ↑", "change": "change ↓"}
    body = []
    for style in study.sets:
        for name in found[style, study.seeds[0]][digest]:
            values = [those[name] for s in study.seeds if name in (those := found[style, s][digest])]
            alarms = sum(bool(v["alarm"]) for v in values)
            body.append([style, name, *(mean_std([v[k] for v in values]) for k in keys), f"{alarms}/{len(values)}"])
    for name, columns in UI2I_TABLE_2.items():
        for column, (fid, varied, changed) in columns.items():
            body.append([f"*printed: {column}*", name, f"{fid:.1f}", "", f"{varied:.3f}", f"{changed:.3f}", ""])
    lines += table(["", "", *keys.values(), "copy alarms"], body)
    each = [f[digest] for f in found.values()]

    def verdict_of(low: str, high: str, key: str) -> str:
        name = keys[key].split()[0]
        return f"{name}: {verdict(low, high, [(e[low][key], e[high][key]) for e in each if high in e])}"

    swapped = [name for name in rows if name in SWAPS.values()]
    sentences = [verdict_of(name, "FC-FT", "change") for name in swapped]
    sentences += [verdict_of("FC-FT", name, "frechet") for name in swapped]
    sentences += [verdict_of("FC-FT", name, "kernel") for name in swapped]
    for name in swapped:
        gaps = [abs(e[name]["diversity"] / e["FC-FT"]["diversity"] - 1) for e in each]
        sentences.append(f"diversity: {name} moves it by {max(gaps):.1%} at most; printed: 0.1 %.")
    learned = [name for name in TRANSLATORS if name in each[0]]
    sentences += [verdict_of("FC-FT", name, key) for key in ("frechet", "kernel", "change") for name in learned]
    if swapped:
        sentences.append(f"Fig. 8: {verdict_of(swapped[0], DIRECT, 'kernel')}")
    return lines + bullets(sentences)
