r"""Every way from a photo to a code, measured on photos that nothing was trained on.

Codes are kept in --runs as soon as a way has inverted all photos, so the work can be stopped and started at will.
A way is inverted again when its settings, its encoder, the base or the photos change.

    python -m studies inversion --data DATA --encoders runs/encoders --identity mobilefacenet.pt \
        --features squeezenet1_1_imagenet_mxnet.npz --classifier mobilenetv2_imagenet_mxnet_features_fp16.npz
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import resize, to_array, write_image
from portraitist.data.sheet import tile
from portraitist.evaluate import (
    Comparison,
    Interval,
    energy_distance,
    kernel_distance,
    kernel_interval,
    ms_ssim_scales,
    pooled_features,
    prior_codes,
)
from portraitist.evaluate.comparison import MEAN
from portraitist.evaluate.inversion import SIGMA, WINDOW
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.encoder_files import load_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.model_file import generator_digest
from portraitist.report.inversion import plot_codes
from portraitist.report.markdown import BLANK, interval, mean_std, prose, table
from portraitist.stylize import ByEncoder, Stylizer
from portraitist.stylize.crops import as_aligned_face

from .inversion_codes import (
    COUNTS,
    ENCODERS,
    HVAE,
    HVAE40,
    LIKENESS,
    ONE_Z,
    PLAIN,
    PORTRAIT200,
    PORTRAIT500,
    PRIOR,
    REFINED,
    RISING,
    SAMPLED,
    SEED,
    SHEET,
    STYLES,
    TABLE,
    TUNED,
    TURNS,
    W500,
    WPLUS40,
    WPLUS500,
    Found,
    Inversions,
    drawn_people,
    space_ways,
    table_ways,
)
from .material import drawn_photos
from .verdict import jackknife, judgement, mean_error


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies inversion", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with photos_eval_256.zip, test_unaligned, style_*"
    )
    parser.add_argument("--encoders", type=Path, required=True, help=f"folder of {', '.join(ENCODERS)} (.safetensors)")
    parser.add_argument("--features", type=Path, required=True, help="weights of SqueezeNet 1.1")
    parser.add_argument("--identity", type=Path, required=True, help="weights of MobileFaceNet")
    parser.add_argument("--classifier", type=Path, help="weights of MobileNetV2, for a second distance to a style")
    parser.add_argument("--runs", type=Path, default=Path("runs/inversion"))
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--space-photos", type=int, default=36, help="how many of them for the comparison of spaces")
    parser.add_argument(
        "--perceptual",
        choices=("SqueezeNet", "discriminator"),
        default="SqueezeNet",
        help="what optimisers measure with",
    )
    parser.add_argument("--shorten", type=int, default=1, help="divide all steps from the mean, to try the script")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args(arguments)
    given.runs.mkdir(parents=True, exist_ok=True)
    given.out.mkdir(parents=True, exist_ok=True)
    study = Inversions.of(given.features, given.identity, given.perceptual, given.runs)
    photos = drawn_photos(ImageSet.open(given.data / "photos_eval_256.zip", study.side), given.photos)
    people = drawn_people(given.data / "test_unaligned", study.base)
    ways = table_ways(study, given.encoders, given.shorten)
    found = {
        MEAN: study.mean_face(photos),
        **{name: study.found("photos", photos, name, way) for name, way in ways.items()},
    }
    shown_too = {name: study.found("people", people, name, ways[name]) for name in SHEET[1:]}
    first = photos[: given.space_photos]
    spaces = {name: study.found("spaces", first, name, way) for name, way in space_ways(study, given.shorten).items()}
    seen = {name: study.measured(one, photos) for name, one in found.items()}
    rest = {name: study.measured(one, first) for name, one in spaces.items()}
    comparison = study.compared(found, photos)
    styles = style_rows(study, found, given.data, given.classifier)
    lines = [
        "# From a photo to a code, measured",
        BLANK,
        *head(study, comparison, given.encoders, given.shorten),
        f"![Columns: {'; '.join(SHEET)}. Rows: what the base draws and, below, {STYLES[0]}](inversion.png)",
        BLANK,
        *main_table(study, found, seen, comparison),
        *claims_about_codes(study, found, seen, comparison, styles),
        *space_table(study, spaces["W"].steps, rest, seen),
        *refinement_table(study, found, seen),
        *cost_of_a_portrait(study, given.encoders),
        CREDIT,
    ]
    (given.out / "inversion.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw_sheet(study, people, shown_too, given.out / "inversion.png")
    write_bytes(given.out / "codes.png", plot_codes(comparison), overwrite=True)


CREDIT = """The first face of the sheet is Eileen Collins (NASA, public domain); the others belong to nobody (drawn by
Stable Diffusion 3, CC0)."""


def head(study: Inversions, comparison: Comparison, folder: Path, shorten: int) -> list[str]:
    short = f" All numbers of steps were divided by {shorten}: a trial." if shorten > 1 else ""
    headers = {label: load_encoder(folder / f"{file}.safetensors").header for file, label in ENCODERS.items()}
    images = {label: sum(step.get("images_seen", 0) for step in h.lineage) for label, h in headers.items()}
    trained = "; ".join(f"{label}: {count or 'unknown'}" for label, count in images.items())
    looks = ", ".join(sorted({h.training.get("looks", {}).get("name", "unknown") for h in headers.values()}))
    seen = sum(step["images_seen"] for step in study.base.header.lineage)
    standard = [label for label, h in headers.items() if h.encoder.standardised]
    return prose(
        f"""Written by `python -m studies inversion`: {len(comparison.photos)} photos that nothing was trained on,
        drawn from `photos_eval_256` with seed {SEED}, on the base `{study.base.header.name}` of {study.side} pixels
        after {seen} images (digest {generator_digest(study.base)[:12]}). Means ± standard errors over photos;
        differences are of pairs.{short} Optimisers and refinement measure likeness with the {study.measured_by}
        distance; that of the encoders' training: {looks}. *W* is the preset `stylegan2` without its noise planes, *W+*
        `image2stylegan`, *portrait* the preset of that name, with the steps that stand beside them; *{HVAE} + n steps*
        is `refine(n)` from the encoder's code. Images that trained the encoders, by AgileGAN's names of the
        ablations: {trained}. The means of {" and ".join(standard) or "none"} are standardised (Zhu et al.
        2020), which the paper's are not."""
    )


def main_table(
    study: Inversions, found: Mapping[str, Found], seen: Mapping[str, Mapping[str, Tensor]], comparison: Comparison
) -> list[str]:
    columns = (*LIKENESS, "energy Z+", "energy Z", "Fréchet", "overlap", "s/photo")
    arrows = [f"{c} {'↑' if c in RISING or c == 'overlap' else '↓'}" for c in columns]
    body = []
    for name in TABLE:
        result = comparison.results[HVAE if name == TUNED else name]
        cells = [shown(seen[name][measure]) for measure in LIKENESS]
        cells += [number(result.energy), f"{energy_distance(found[name].codes, study.prior_z):.3f}"]
        cells += [number(result.frechet, 1), number(None if result.overlap is None else result.overlap.value, 2)]
        body.append([name, *cells, f"{found[name].seconds:.3f}" if found[name].seconds else ""])
    fresh = [prior_codes(study.base.generator, len(comparison.photos), prior="z", seed=SEED + 1 + k) for k in range(5)]
    chance = [interval(comparison.chance_energy), mean_std([energy_distance(x, study.prior_z) for x in fresh])]
    chance += [interval(comparison.chance_frechet, 1), interval(comparison.chance_overlap, 2)]
    body.append(["*codes of the prior*", *[""] * len(LIKENESS), *chance, ""])
    strangers = [comparison.results[name].mean("stranger").value for name in TABLE if name not in (MEAN, TUNED)]
    scales = ms_ssim_scales(study.side)
    notes = f"""SSIM and MS-SSIM: Gaussian window of {WINDOW} pixels, deviation {SIGMA}, values in [-1, 1] (range 2),
    per colour channel; MS-SSIM has {scales} of its 5 scales. *SqueezeNet* is the distance of unit feature vectors of
    SqueezeNet 1.1 with weight 1 for every channel, which is not LPIPS; *discriminator* the same on the features of the
    base's own discriminator. *Identity*: cosine of {study.identity.name}; between drawings and the next photo's person
    it is {statistics.fmean(strangers):.3f}. *Energy*: unbiased energy distance of the codes in W+ to {PRIOR} of the
    prior, in mean distances of the prior's codes: of Z+, a latent per row, and of Z, one for all rows, as the base was
    trained. *Fréchet* (squared, to Z+) is mostly bias at {len(comparison.photos)} codes and smallest for narrow sets:
    read it beside what the prior itself gets. *Overlap*: {comparison.settings["neighbours"]} nearest neighbours, 1
    where codes cannot be told from those of Z+. *Codes of the prior*: as many fresh ones, ± standard deviation of 5
    draws. Pivotal tuning ({found[TUNED].steps} steps) keeps the codes and bends the base. Seconds: of one core, one
    photo by itself."""
    return ["## Every way over the same photos", BLANK, *table(["", *arrows], body), *prose(notes)]


# AgileGAN's claim.


@dataclass(frozen=True)
class StyleScore:
    """How far the pictures of one way's codes are from a style's exemplars."""

    whole: Interval
    left_out: Tensor
    """[N], the distance without each photo."""


Scores = dict[tuple[str, str], dict[str, StyleScore]]


def style_rows(study: Inversions, found: Mapping[str, Found], data: Path, classifier: Path | None) -> Scores:
    """Return (style, features) -> way -> score; the prior's codes are a way too."""
    networks: dict[str, Any] = {"discriminator": study.distances["discriminator"].features}
    if classifier is not None:
        networks["MobileNetV2"] = load_features(classifier)
    count = len(found[MEAN].codes)
    codes = {name: found[name].codes for name in TABLE if name not in (MEAN, TUNED)}
    codes["*codes of the prior Z+*"], codes["*codes of the prior Z*"] = study.prior[:count], study.prior_z[:count]
    scores: Scores = {}
    for style in STYLES:
        model = registry.load(style)
        exemplars = ImageSet.open(data / f"style_{style}", study.side).all()
        pictures = {name: study.drawn(ws, model) for name, ws in codes.items()}
        for look, network in networks.items():
            rows = pooled_features(network, exemplars)
            scores[style, look] = {n: style_score(pooled_features(network, p), rows) for n, p in pictures.items()}
    return scores


def style_score(rows: Tensor, exemplars: Tensor) -> StyleScore:
    keep = ~torch.eye(len(rows), dtype=torch.bool)
    without = torch.tensor([kernel_distance(rows[k], exemplars) for k in keep], dtype=torch.float64)
    return StyleScore(kernel_interval(rows, exemplars), without)


def claims_about_codes(
    study: Inversions,
    found: Mapping[str, Found],
    seen: Mapping[str, Mapping[str, Tensor]],
    comparison: Comparison,
    scores: Scores,
) -> Iterator[str]:
    names = list(next(iter(scores.values())))
    yield "## Nearness to the prior, and what styles draw from the codes (AgileGAN)"
    yield BLANK
    yield "![t-SNE of codes of W+ (red) among those of the prior (grey), as AgileGAN's Fig. 2](codes.png)"
    yield BLANK
    yield from prose(
        """Kernel distance (Binkowski et al. 2018) of the bundled styles' pictures of the photos' codes to the exemplars
        of the style, on pooled features of the base's discriminator and, where it was given, of MobileNetV2 (ImageNet,
        last map, pictures enlarged to 128 pixels); ± jackknife over both sets. The photos are held out; the bundled
        styles were trained on all exemplars, so no exemplar is."""
    )
    yield from table(
        ["", *(f"{style}, {look} ↓" for style, look in scores)],
        ([name, *(interval(by_way[name].whole, 4) for by_way in scores.values())] for name in names),
    )
    yield from prose(
        """What AgileGAN says, as differences left minus right, ± standard error over photos (of distances between sets
        by jackknife over photos). *holds*: the sign is as claimed and the difference beyond two standard errors;
        *unclear*: within them; *fails*: beyond them the other way."""
    )
    verdicts: dict[str, list[str]] = {}

    def claim(left: str, right: str, measure: str, sign: int, difference: Interval) -> list[str]:
        verdict = judgement(difference, sign)
        verdicts.setdefault(f"{left} against {right}", []).append(verdict)
        return [left, right, measure, "lower" if sign < 0 else "higher", interval(difference, 4), verdict]

    body: list[list[str]] = []
    energy = {name: energy_left_out(found[name].codes, study.prior) for name in names if name in found}
    near = (
        *((left, right) for left in (HVAE40, HVAE, SAMPLED) for right in (WPLUS500, WPLUS40)),
        (HVAE40, PLAIN),
    )
    for left, right in near:
        difference = jackknife(energy[left][0] - energy[right][0], energy[left][1] - energy[right][1])
        body.append(claim(left, right, "energy to Z+", -1, difference))
    for left, right in near[:-1]:
        for (style, look), by_way in scores.items():
            a, b = by_way[left], by_way[right]
            difference = jackknife(a.whole.value - b.whole.value, a.left_out - b.left_out)
            body.append(claim(left, right, f"{style}, {look}", -1, difference))
    for measure in LIKENESS:
        sign = -1 if measure in RISING else 1
        difference = mean_error(seen[ONE_Z][measure] - seen[HVAE40][measure])
        body.append(claim(ONE_Z, HVAE40, measure, sign, difference))
    yield from table(["left", "right", "measure", "claimed", "difference", ""], body)
    counts = [
        f"{pair}: {', '.join(f'{v.count(word)} {word}' for word in ('holds', 'unclear', 'fails') if word in v)}"
        for pair, v in verdicts.items()
    ]
    overlaps = [
        f"{name} {result.overlap.value:.2f}"
        for name, result in comparison.results.items()
        if result.overlap is not None and name != MEAN
    ]
    yield from prose(f"In all: {'; '.join(counts)}. Overlap with the prior: {', '.join(overlaps) or 'too few photos'}.")


def energy_left_out(codes: Tensor, prior: Tensor) -> tuple[float, Tensor]:
    """Return the energy distance to the prior, and that without each code, [N]."""
    x, y = codes.flatten(1).double(), prior.flatten(1).double()
    n, scale = len(x), float(torch.pdist(y).mean())
    across, within = torch.cdist(x, y).mean(1), torch.cdist(x, x).sum(1)
    whole = 2 * across.mean() - within.sum() / (n * (n - 1))
    rest = 2 * (across.sum() - across) / (n - 1) - (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    return float(whole) / scale - 1, rest / scale - 1


# The space alone, UI2I Table III.


def space_table(
    study: Inversions, steps: int, rest: Mapping[str, Mapping[str, Tensor]], seen: Mapping[str, Mapping[str, Tensor]]
) -> list[str]:
    count = len(rest["W"]["SSIM"])
    body = []
    for name, values in rest.items():
        cells = [shown(values[m]) for m in LIKENESS]
        if name != "W":
            gains = [interval(mean_error(values[m] - rest["W"][m]), sign=True) for m in LIKENESS]
            cells = [f"{cell} ({gain})" for cell, gain in zip(cells, gains, strict=True)]
        body.append([name, *cells])
    return [
        "## The space alone (UI2I Table III)",
        BLANK,
        *prose(
            f"""Equal steps ({steps}), start (mean w), losses ({study.measured_by} distance and mean absolute
            difference of pixels), learning rate and schedule; only the space differs. v are coordinates along the
            directions of SeFa, w = mean + v V; with all directions they are W turned, in which only Adam's axes differ.
            The first {count} of the photos; in brackets the difference to W over pairs."""
        ),
        *table(["", *(f"{m} {'↑' if m in RISING else '↓'}" for m in LIKENESS)], body),
        *prose(
            f"""v with all directions is better than W in, of {count} photos: {turned_against_plain(rest)}; words as
            above.
            MS-SSIM of the best optimiser against plain W projection: {best_gains(rest, seen)}."""
        ),
    ]


def turned_against_plain(rest: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Say in how many photos, by each measure, W turned is better than W."""
    turned, plain = rest["v, all directions"], rest["W"]
    better = {m: int((turned[m] > plain[m]).sum() if m in RISING else (turned[m] < plain[m]).sum()) for m in LIKENESS}
    words = ", ".join(
        f"{m} {k} ({judgement(mean_error(turned[m] - plain[m]), 1 if m in RISING else -1)})" for m, k in better.items()
    )
    return words


def best_gains(rest: Mapping[str, Mapping[str, Tensor]], seen: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Say what the best optimiser gains over plain W projection, with the spaces alone and with the presets."""
    gains = []
    for ways, start in ((rest, "W"), (seen, W500)):
        rivals = [n for n in ways if n not in (start, MEAN) and not n.startswith(tuple(ENCODERS.values()))]
        best = max(rivals, key=lambda name: float(ways[name]["MS-SSIM"].mean()))
        gain = mean_error(ways[best]["MS-SSIM"] - ways[start]["MS-SSIM"])
        verdict = "at least" if gain.value >= 0.01 else "less than"
        gains.append(f"{best} against {start} {interval(gain, 4, sign=True)} ({verdict} 0.01)")
    return "; ".join(gains)


# Refinement.


def refinement_table(
    study: Inversions, found: Mapping[str, Found], seen: Mapping[str, Mapping[str, Tensor]]
) -> list[str]:
    references = (W500, WPLUS500, PORTRAIT500)
    distances = tuple(study.distances)
    head = [f"of {r}: {d}" for r in references for d in distances]
    body = []
    rows = (HVAE, *(f"{HVAE} + {count} steps" for count in COUNTS), PORTRAIT200)
    for name in rows:
        shares = [interval(share(seen, name, r, d), percent=True) for r in references for d in distances]
        times = [f"{found[name].seconds / found[r].seconds:.1%}" for r in references]
        body.append([name, *shares, *times])
    verdicts = []
    for r in references:
        cost = found[REFINED].seconds / found[r].seconds
        values = {d: share(seen, REFINED, r, d).value for d in distances}
        kept = ", ".join(f"{v:.1%} by {d} ({'reached' if v >= 0.95 else 'missed'})" for d, v in values.items())
        verdicts.append(f"{r}: {kept} in {cost:.1%} of its time ({'reached' if cost <= 0.1 else 'missed'})")
    return [
        "## A few steps from the encoder's code",
        BLANK,
        *prose(
            f"""Share of the perceptual quality of an optimisation from the mean face: (d of the mean face - d) / (d of
            the mean face - d of the optimisation), of mean distances; ±
            jackknife over photos; and the share of its time.
            The optimisers and refinement lower the {study.measured_by} distance among other terms; the other distance
            is seen by none."""
        ),
        *table(["", *head, *(f"time of {r}" for r in references)], body),
        *prose(f"Wanted of {REFINED}: 95 % of the quality in a tenth of the time. {'; '.join(verdicts)}."),
    ]


def cost_of_a_portrait(study: Inversions, folder: Path) -> list[str]:
    """Time an aligned face in one style, by the encoder, against what the base needs to draw a picture, in turn."""
    style, anatomy = STYLES[0], study.base.generator.anatomy
    stored = load_encoder(folder / "hvae.safetensors", base=study.base)
    stylizer = Stylizer(study.base, {style: registry.load(style)}, inversion=ByEncoder(stored))
    crop = as_aligned_face(to_array(study.drawn(study.base.generator.mean.data, study.base)[0]), study.side)
    z = torch.randn(1, anatomy.z_dim, generator=torch.Generator().manual_seed(SEED))

    def forward() -> None:
        with torch.no_grad():
            study.base.generator(z)

    runs: dict[str, Callable[[], object]] = {"forward": forward, "portrait": lambda: stylizer.redraw(crop, study.side)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TURNS):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    ratios = [p / f for p, f in zip(times["portrait"], times["forward"], strict=True)][TURNS // 10 :]
    ratio, middle = statistics.median(ratios), {name: 1000 * statistics.median(t) for name, t in times.items()}
    low, high = statistics.quantiles(ratios, n=10)[0], statistics.quantiles(ratios, n=10)[-1]
    text = prose(
        f"""An aligned face in one style at {study.side} pixels (encoder, mapping, style model):
        {middle["portrait"]:.1f} ms; the base's own forward pass: {middle["forward"]:.1f} ms. Ratio {ratio:.2f}
        ({low:.2f} to {high:.2f}, a tenth to nine tenths of {TURNS} turns; one thread); at most 2.5 is wanted:
        {"reached" if ratio <= 2.5 else "missed"}."""
    )
    return ["## What a portrait costs", BLANK, *text]


def share(seen: Mapping[str, Mapping[str, Tensor]], name: str, reference: str, measure: str) -> Interval:
    """Return the share of quality and its jackknife error."""
    start, mine, end = (seen[n][measure] for n in (MEAN, name, reference))

    def of(mean: Callable[[Tensor], Tensor]) -> Tensor:
        return (mean(start) - mean(mine)) / (mean(start) - mean(end))

    left_out = of(lambda x: (x.sum() - x) / (len(x) - 1))
    return jackknife(float(of(torch.mean)), left_out)


def shown(values: Tensor) -> str:
    return interval(mean_error(values))


def number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def draw_sheet(study: Inversions, people: Tensor, shown: Mapping[str, Found], path: Path, side: int = 96) -> None:
    """Draw photos and drawings, and below them what a style draws from the same codes."""
    toon = registry.load(STYLES[0])
    columns = [shown[name] for name in SHEET[1:]]
    styled = [study.drawn(found.codes, toon) for found in columns]
    pictures = []
    for k in range(len(people)):
        pictures += [people[k], *(found.drawings[k] for found in columns)]
        pictures += [torch.ones_like(people[k]), *(drawn[k] for drawn in styled)]
    # Pivotal tuning has the code of the encoder, so the style's picture would be the same.
    for row in range(len(SHEET) * 2 - 1, len(pictures), len(SHEET) * 2):
        pictures[row] = torch.ones_like(people[0])
    enlarged = [resize(picture, side) for picture in to_array(torch.stack(pictures))]
    write_image(path, np.ascontiguousarray(tile(enlarged, len(SHEET))))
