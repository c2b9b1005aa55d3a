"""AgileGAN's Table 2 and the ablations of its Fig. 12: which embedding of a photo a style draws best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from portraitist.evaluate import metric_name
from portraitist.evaluate.quality import as_files
from portraitist.invert import Inverter, image2stylegan, in_domain, stylegan2
from portraitist.io.encoder_files import StoredEncoder
from portraitist.report.markdown import BLANK, bullets, mean_std, prose, table

from ..inverted import codes_of, digest_of, drawn_codes, encoding, optimising
from ..published import AGILEGAN_TABLE_2
from ..study import Run, Study
from ..verdict import verdict

PSP, HVAE, W = "pSp", "hVAE", "optimisation, W"
ABLATIONS = ("w/o Z+", "w/o variational")
"""Of Fig. 12: one latent for all rows, and no posterior."""
EQUAL = "hVAE, equal images"
"""What the ablations are compared with, where there is such an encoder: one that saw as many images as they."""
NO_HVAE = "Not measured: no encoder is named hVAE (`--encoder hVAE=FILE`), and the base has none of its own."
RECIPE = "agilegan"
"""Of the styles, as in the paper."""
OF_SETS, OF_PAIRS = ("frechet", "kernel"), ("change", "identity", "strangers")
STEPS = 500
"""Of an optimisation from the mean face, unless the study says something else."""

Measured = dict[str, dict[str, float]]


def all_codes(study: Study, names: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the codes [N, rows, w_dim] of the photos by every embedding, or by those named, by the paper's names."""
    ways = _ways(study)
    return {name: codes_of(study, name, *ways[name]) for name in names or ways}


def section(study: Study, codes: Mapping[str, Tensor]) -> list[str]:
    """Return the lines about Table 2 and Fig. 12."""
    found = {(s, seed): _measured(study, s, seed, codes) for s in study.sets for seed in study.seeds}
    lines: list[str] = []
    for network in study.networks:
        lines += _table_2(study, network.digest, metric_name("Fréchet distance", network), found)
    missing = [name for name in (*AGILEGAN_TABLE_2, *ABLATIONS) if name not in codes]
    if missing:
        lines += prose(f"Not measured, for want of an encoder: {', '.join(missing)}.")
    return lines


def _ways(study: Study) -> dict[str, tuple[Callable[[], Inverter], Mapping[str, Any]]]:
    """Return what inverts, made when it is needed, and what its codes depend on, by the paper's names."""
    steps = study.steps or STEPS
    settings = {
        # Noise planes would take over what the code should say, and styles are drawn from codes.
        W: replace(stylegan2(), steps=steps, optimise_noise=False),
        "optimisation, W+": replace(image2stylegan(), steps=steps),
    }
    ways: dict[str, tuple[Callable[[], Inverter], Mapping[str, Any]]] = {}
    for name, stored in study.encoders.items():
        ways[name] = (encoding(study, stored), {"encoder": stored.digest})
    for name, projection in settings.items():
        ways[name] = (optimising(study, projection), asdict(projection))
    domain = study.encoders.get(PSP) or next(iter(study.encoders.values()), None)
    if domain is not None:
        projection = replace(in_domain(), steps=study.steps or in_domain().steps)
        about = {**asdict(projection), "encoder": domain.digest}
        ways["in-domain"] = (optimising(study, projection, domain), about)
    return ways


def _images_of(stored: StoredEncoder) -> str:
    """Return how many images an encoder has seen, as its file says."""
    return str(sum(step.get("images_seen", 0) for step in stored.header.lineage) or "(not told)")


def _measured(study: Study, style: str, seed: int, codes: Mapping[str, Tensor]) -> dict[str, Measured]:
    """Return digest of the features -> embedding -> measure -> value, of one style and seed."""
    run = Run(style, RECIPE, seed)
    marks = {n: digest_of(c) for n, c in codes.items()}
    about = {"model": study.digest(run), "codes": marks, **study.measured_by}

    def measure() -> dict[str, Measured]:
        assert study.photos is not None
        generator, inputs = study.trained(run), as_files(study.photos.to(study.device))
        outputs = {name: drawn_codes(generator, ws) for name, ws in codes.items()}
        return study.scored(style, seed, outputs, inputs, OF_SETS, OF_PAIRS)

    measured: dict[str, Measured] = study.cached(f"agilegan-{style}-{seed}", about, measure)
    return measured


def _table_2(
    study: Study, digest: str, title: str, found: Mapping[tuple[str, int], Mapping[str, Measured]]
) -> list[str]:
    assert study.photos is not None
    each = [f[digest] for f in found.values()]
    keys = {"frechet": "Fréchet ↓", "kernel": "kernel ↓", "change": "change ↓"}
    if "identity" in next(iter(each[0].values())):
        keys |= {"identity": "identity ↑", "strangers": "of strangers"}
    trained = ", ".join(f"{name} {_images_of(stored)}" for name, stored in study.encoders.items()) or "none"
    identity = "" if study.identity is None else f"Identity: cosine of {study.identity.name} to the photo. "
    lines = [f"### Table 2 and Fig. 12, stylized photos by embedding, by {title}", BLANK]
    lines += prose(
        f"""{len(study.photos)} photos that nothing was trained on, their codes drawn by `{RECIPE}` styles of
        {study.images} images; sets are compared with the exemplars that nobody saw (Fréchet squared, biased by their
        small number; kernel unbiased). Optimisations have {study.steps or STEPS} steps; in-domain has
        {study.steps or in_domain().steps} from the code of
        {PSP if PSP in study.encoders else next(iter(study.encoders), "no encoder")}. *Change*: distance to the
        photo by {study.distances[0].name}. {identity}Images that trained the encoders: {trained}. ± deviation over
        {len(study.seeds)} seeds. Printed: FID of 2000 photos at 1024 pixels."""
    )
    order = [name for name in sorted(AGILEGAN_TABLE_2, key=AGILEGAN_TABLE_2.__getitem__) if name in each[0]]
    body = []
    for style in study.sets:
        for name in (*order, *(name for name in each[0] if name not in order)):
            values = [found[style, s][digest][name] for s in study.seeds]
            printed = AGILEGAN_TABLE_2.get(name)
            cells = [mean_std([v[k] for v in values]) for k in keys]
            body.append([style, name, *cells, "" if printed is None else f"{printed:.1f}"])
    lines += table(["", "embedding", *keys.values(), "printed FID"], body)
    whole = EQUAL if EQUAL in each[0] else HVAE
    ablations = [name for name in ABLATIONS if name in each[0]] if whole in each[0] else []
    pairs = [*pairwise(order), *((order[0], name) for name in order[2:]), *((whole, name) for name in ablations)]
    return lines + bullets(
        [
            f"{keys[key].split()[0]}: {verdict(a, b, [(e[a][key], e[b][key]) for e in each])}"
            for key in ("frechet", "kernel")
            for a, b in pairs
        ]
    )
