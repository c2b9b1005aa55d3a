"""AgileGAN's Table 1: the same photos in the same style by other methods, and by its generator part taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from portraitist.data.images import write_image
from portraitist.data.sheet import grid
from portraitist.evaluate import metric_name
from portraitist.evaluate.quality import as_files
from portraitist.report.markdown import BLANK, bullets, mean_std, prose, table
from portraitist.surgery import blend, hard

from .. import translated
from ..inverted import digest_of, drawn_codes
from ..material import samples
from ..published import AGILEGAN_TABLE_1
from ..study import Run, Study
from ..verdict import verdict
from .embeddings import HVAE, NO_HVAE, RECIPE, W, all_codes

OURS, NO_SIMILARITY, FINE, TOONIFY = "AgileGAN", "w/o similarity loss", "FC-FT", "Toonify"
TRANSLATORS = ("CycleGAN", "UNIT", "U-GAT-IT")
OF_SETS, OF_PAIRS = ("frechet", "kernel"), ("change", "identity", "strangers")
SHOWN = 8
PICTURE = "reproduction-agilegan-methods.png"

Measured = dict[str, dict[str, float]]
Found = dict[tuple[str, int], dict[str, Measured]]


def section(study: Study, codes: Mapping[str, Tensor]) -> list[str]:
    """Return the lines about Table 1, and write its sheet (Fig. 8)."""
    if HVAE not in codes:
        return ["### Table 1 and Fig. 8, stylized photos by method", BLANK, *prose(NO_HVAE)]
    found: Found = {(style, seed): _measured(study, style, seed, codes) for style in study.sets for seed in study.seeds}
    write_image(study.out / PICTURE, sheet(study))
    lines = []
    for network in study.networks:
        lines += _table_1(study, network.digest, metric_name("Fréchet distance", network), found)
    style, seed = translated.first(study)
    rows = ", ".join(["samples of the base", *_runs(style, seed), *translated.of_run(study, style, seed, TRANSLATORS)])
    return [*lines, f"![Rows: {rows}]({PICTURE})", BLANK, *prose(f"The paper's Fig. 8, in {style}.")]


def sheet(study: Study) -> Any:
    """Return samples of the base, drawn by every method in the first style: a row each."""
    generator = study.base.generator
    shown = as_files(drawn_codes(generator, samples(study.base, SHOWN, 4).data).cpu())
    those = replace(study, photos=shown)
    drawings = _drawings(those, *translated.first(study), all_codes(those, (HVAE, W)))
    return grid(torch.cat([shown, *(pictures.cpu() for pictures in drawings.values())]), columns=SHOWN)


def _runs(style: str, seed: int) -> dict[str, Run]:
    return {
        OURS: Run(style, RECIPE, seed),
        NO_SIMILARITY: Run(style, RECIPE, seed, similarity=0.0),
        FINE: Run(style, "freeze_fc", seed),
        TOONIFY: Run(style, "baseline", seed),
    }


def _drawings(study: Study, style: str, seed: int, codes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what each method draws of the photos."""
    assert study.photos is not None
    models = {name: study.trained(run) for name, run in _runs(style, seed).items()}
    shared = hard(models[TOONIFY].anatomy, min(32, study.side // 2))
    models[TOONIFY] = blend(models[TOONIFY], study.base.generator, shared).to(study.device)
    found = {name: drawn_codes(model, codes[W if name == TOONIFY else HVAE]) for name, model in models.items()}
    for name, preset in translated.of_run(study, style, seed, TRANSLATORS).items():
        found[name] = translated.translated(study, preset, style, seed, study.photos)
    return found


def _measured(study: Study, style: str, seed: int, codes: Mapping[str, Tensor]) -> dict[str, Measured]:
    """Return digest of the features -> method -> measure -> value, of one style and seed."""
    models = {name: study.digest(run) for name, run in _runs(style, seed).items()}
    for name, preset in translated.of_run(study, style, seed, TRANSLATORS).items():
        models[name] = translated.digest(study, preset, style, seed)
    marks = {name: digest_of(codes[name]) for name in (HVAE, W)}

    def measure() -> dict[str, Measured]:
        assert study.photos is not None
        inputs = as_files(study.photos.to(study.device))
        return study.scored(style, seed, _drawings(study, style, seed, codes), inputs, OF_SETS, OF_PAIRS)

    about = {"models": models, "codes": marks, **study.measured_by}
    measured: dict[str, Measured] = study.cached(f"agilegan-methods-{style}-{seed}", about, measure)
    return measured


def _table_1(study: Study, digest: str, title: str, found: Found) -> list[str]:
    assert study.photos is not None
    style, seed = translated.first(study)
    keys = {"frechet": "Fréchet ↓", "kernel": "kernel ↓", "change": "change ↓"}
    if study.identity is not None:
        keys |= {"identity": "identity ↑", "strangers": "of strangers"}
    body = []
    for name_of_style in study.sets:
        for name in found[name_of_style, study.seeds[0]][digest]:
            values = [rows[name] for s in study.seeds if name in (rows := found[name_of_style, s][digest])]
            cells = [mean_std([v[key] for v in values]) for key in keys]
            printed = AGILEGAN_TABLE_1.get(name)
            body.append([name_of_style, name, *cells, len(values), "" if printed is None else f"{printed:.1f}"])
    lines = [
        f"### Table 1 and Fig. 8, stylized photos by method, by {title}",
        BLANK,
        *prose(
            f"""The {len(study.photos)} photos of the other tables, drawn by styles of {study.images} images:
            `{RECIPE}` with its similarity loss and without, and `freeze_fc`, from the hVAE's codes; Toonify, whose high
            resolutions are the base's, from codes of the optimisation in W.
            {translated.told(study, TRANSLATORS)} Columns as below. Printed: FID of 2000 photos."""
        ),
        *table(["", "method", *keys.values(), "seeds", "printed FID"], body),
    ]
    each = [f[digest] for f in found.values()]
    sentences = [
        f"{keys[key].split()[0]}: {verdict(OURS, other, [(e[OURS][key], e[other][key]) for e in each if other in e])}"
        for key in ("frechet", "kernel", "change")
        for other in (
            TOONIFY,
            FINE,
            NO_SIMILARITY,
            *(name for name in TRANSLATORS if name in found[style, seed][digest]),
        )
    ]
    return lines + bullets(sentences)
