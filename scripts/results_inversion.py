"""Write docs/results/inversion.md: every way from a photo to a code, measured on photos that nothing was trained on.

Codes are kept beside --runs as soon as a way has inverted all photos, so the script can be stopped and started at will.
A way is inverted again when its settings, its encoder, the base or the photos change.

    python scripts/results_inversion.py --data DATA --encoders runs/encoders --identity mobilefacenet.pt \
        --features squeezenet1_1_imagenet_mxnet.npz --classifier mobilenetv2_imagenet_mxnet_features_fp16.npz
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import prose
from safetensors import safe_open
from safetensors.torch import save_file
from skimage.data import astronaut
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import read_image, resize, to_array, to_tensor, write_image
from portraitist.data.sheet import tile
from portraitist.evaluate import (
    Comparison,
    Interval,
    compare_inversions,
    energy_distance,
    kernel_distance,
    kernel_interval,
    ms_ssim,
    ms_ssim_scales,
    pooled,
    prior_codes,
    ssim,
)
from portraitist.evaluate.comparison import MEAN
from portraitist.evaluate.inversion import SIGMA, WINDOW
from portraitist.evaluate.inversion_report import plot_codes
from portraitist.files import write_bytes
from portraitist.invert import (
    EncoderInverter,
    Inverted,
    Inverter,
    PivotalTuning,
    Progress,
    Projection,
    Projector,
    image2stylegan,
    portrait,
    refine,
    stylegan2,
    tune,
    ui2i_paper,
)
from portraitist.io import registry
from portraitist.io.encoder_files import StoredEncoder, load_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Model, generator_digest
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import Identity
from portraitist.ops.memory import keep_heap
from portraitist.recipes.results import all_of
from portraitist.spaces import WPlus
from portraitist.stylize import ByEncoder, Stylizer
from portraitist.stylize.crops import as_aligned_face

SEED = 0
STEPS = 500
"""Of the optimisations that begin at the mean face."""
SPACE_STEPS = 300
TUNING_STEPS = 100
COUNTS = (5, 10, 20, 40)
RANKS = (16, 32, 64)
TOGETHER = 8
PRIOR = 2000
PEOPLE = 6
TURNS = 200
STYLES = ("toon3d", "charcoal")
LIKENESS = ("SSIM", "MS-SSIM", "SqueezeNet", "discriminator", "identity")
RISING = frozenset({"SSIM", "MS-SSIM", "identity"})
"""Measures of which more is better."""
W500, WPLUS500, PORTRAIT = f"W, {STEPS} steps", f"W+, {STEPS} steps", "portrait, {} steps"
PORTRAIT200, PORTRAIT500 = PORTRAIT.format(200), PORTRAIT.format(STEPS)
EQUAL = {
    "wplus-40k": "encoder into W+",
    "vae-40k": "w/o Z+",
    "zplus-40k": "w/o variational",
    "hvae-40k": "hVAE, equal images",
}
HVAE, HVAE40, WPLUS40, ONE_Z, PLAIN = (
    "hVAE",
    EQUAL["hvae-40k"],
    EQUAL["wplus-40k"],
    EQUAL["vae-40k"],
    EQUAL["zplus-40k"],
)
SAMPLED, REFINED, TUNED = "hVAE, a sample", "hVAE + 20 steps", "hVAE + pivotal tuning"
ENCODERS = {**EQUAL, "hvae": HVAE}
TABLE = (
    *(MEAN, W500, WPLUS500, PORTRAIT200, PORTRAIT500),
    *(WPLUS40, ONE_Z, PLAIN, HVAE40, HVAE, SAMPLED, REFINED, TUNED),
)
SHEET = ("photo", W500, WPLUS500, PORTRAIT200, WPLUS40, ONE_Z, PLAIN, HVAE40, HVAE, REFINED, TUNED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
        "--looks", choices=("SqueezeNet", "discriminator"), default="SqueezeNet", help="what optimisers measure with"
    )
    parser.add_argument("--shorten", type=int, default=1, help="divide all steps from the mean, to try the script")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    keep_heap()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    lab = Lab.of(options)
    photos = drawn_photos(options.data / "photos_eval_256.zip", lab.side, options.photos)
    people = drawn_people(options.data / "test_unaligned", lab.base)
    begun = time.perf_counter()
    ways = table_ways(lab, options.encoders, options.shorten)
    found = {
        MEAN: lab.mean_face(photos),
        **{name: lab.found("photos", photos, name, way) for name, way in ways.items()},
    }
    shown = {name: lab.found("people", people, name, ways[name]) for name in SHEET[1:]}
    few = photos[: options.space_photos]
    spaces = {name: lab.found("spaces", few, name, way) for name, way in space_ways(lab, options.shorten).items()}
    seen = {name: lab.measured(one, photos) for name, one in found.items()}
    rest = {name: lab.measured(one, few) for name, one in spaces.items()}
    comparison = lab.compared(found, photos)
    styles = style_rows(lab, found, options)
    page = [
        "# From a photo to a code, measured",
        "",
        head(lab, comparison, options),
        "",
        f"![Columns: {'; '.join(SHEET)}. Rows: what the base draws and, below, {STYLES[0]}](inversion.png)",
        "",
        main_table(lab, found, seen, comparison),
        *claims_about_codes(lab, found, seen, comparison, styles),
        space_table(lab, spaces["W"].steps, rest, seen),
        refinement_table(lab, found, seen),
        cost_of_a_portrait(lab, options.encoders),
        CREDIT,
    ]
    (options.out / "inversion.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    draw_sheet(lab, people, shown, options.out / "inversion.png")
    write_bytes(options.out / "codes.png", plot_codes(comparison), overwrite=True)
    print(f"done in {time.perf_counter() - begun:.0f} s")


CREDIT = """The first face of the sheet is Eileen Collins (NASA, public domain); the others belong to nobody (drawn by
Stable Diffusion 3, CC0)."""


# Photos and ways.


def drawn_photos(path: Path, side: int, count: int) -> Tensor:
    """Draw photos with the seed: [N, 3, R, R] in [-1, 1]; the first do not depend on how many."""
    photos = ImageSet.open(path, side)
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(SEED))[:count]
    return photos.batch(order, torch.zeros(len(order), dtype=torch.bool))


def drawn_people(folder: Path, base: Model) -> Tensor:
    """Return faces that may be shown, cut out of their photos: a public-domain one, and faces of nobody."""
    finder = Stylizer(base, {})
    files = sorted(folder.glob("sd3_*.jpg"))
    chosen = [files[k * len(files) // (PEOPLE - 1)] for k in range(PEOPLE - 1)]
    photos = [np.asarray(astronaut()), *(read_image(file) for file in chosen)]
    side = base.generator.anatomy.resolution
    return torch.stack([to_tensor(finder.crops(photo, "largest", side)[0].image) for photo in photos])


@dataclass(frozen=True)
class Way:
    """One way of inversion, and what its codes depend on."""

    invert: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Photos to codes and drawings."""
    about: Mapping[str, Any]
    steps: int


@dataclass(frozen=True, eq=False)
class Found:
    """What one way found for photos."""

    codes: Tensor
    """[N, rows, w_dim]"""
    drawings: Tensor
    seconds: float
    """Of one photo by itself."""
    steps: int


def table_ways(lab: Lab, folder: Path, shorten: int) -> dict[str, Way]:
    """Return all ways but the mean face."""
    steps = max(1, STEPS // shorten)
    settings = {
        # Noise planes would take over what the code should say, and it is the codes that are compared.
        W500: replace(stylegan2(), steps=steps, optimise_noise=False),
        WPLUS500: replace(image2stylegan(), steps=steps),
        PORTRAIT200: replace(portrait(), steps=max(1, 200 // shorten)),
        PORTRAIT500: replace(portrait(), steps=steps),
    }
    ways = {name: optimiser(lab, one) for name, one in settings.items()}
    encoders = {name: load_encoder(folder / f"{name}.safetensors", base=lab.base) for name in ENCODERS}
    ways |= {name: encoding(lab, encoders[file], 0) for file, name in ENCODERS.items()}
    ways[SAMPLED] = sampling(lab, encoders["hvae"])
    ways |= {f"{HVAE} + {count} steps": encoding(lab, encoders["hvae"], count) for count in COUNTS}
    return ways | {TUNED: tuning(lab, encoders["hvae"], max(1, TUNING_STEPS // shorten))}


def space_ways(lab: Lab, shorten: int) -> dict[str, Way]:
    """Return ways that differ in their space alone."""
    common = replace(ui2i_paper(), steps=max(1, SPACE_STEPS // shorten))
    settings = {
        "W": replace(common, basis="none"),
        "W+": replace(common, basis="none", space="w+"),
        "v, all directions": common,
        **{f"v, rank {rank}": replace(common, rank=rank) for rank in RANKS},
    }
    return {name: optimiser(lab, one) for name, one in settings.items()}


def optimiser(lab: Lab, settings: Projection) -> Way:
    inverter = Projector(lab.base.generator, lab.looks, settings, together=TOGETHER)
    return Way(lambda photos: parts(inverter.invert(photos)), asdict(settings), settings.steps)


def encoding(lab: Lab, stored: StoredEncoder, steps: int) -> Way:
    settings = refine(steps) if steps else None
    inverter = EncoderInverter(stored.encoder, lab.base.generator, lab.looks, refine=settings, together=TOGETHER)
    about = {"encoder": stored.digest, "refine": asdict(settings) if settings else None}
    return Way(lambda photos: parts(inverter.invert(photos)), about, steps)


def sampling(lab: Lab, stored: StoredEncoder) -> Way:
    """Return a code of each posterior instead of its mean, drawn apart: what the divergence from the prior is about."""

    @torch.no_grad()
    def invert(photos: Tensor) -> tuple[Tensor, Tensor]:
        latents = stored.encoder(photos).sample(torch.Generator().manual_seed(SEED))[0]
        codes = stored.encoder.styles_of(latents, lab.base.generator)
        return codes, lab.drawn(codes)

    return Way(invert, {"encoder": stored.digest, "apart": SEED}, 0)


def tuning(lab: Lab, stored: StoredEncoder, steps: int) -> Way:
    """Return the encoder's codes drawn by a copy of the base that is bent to each photo."""
    inverter = EncoderInverter(stored.encoder, lab.base.generator, lab.looks)
    settings = PivotalTuning(steps=steps)

    def invert(photos: Tensor) -> tuple[Tensor, Tensor]:
        codes, drawings = [], []
        for photo in photos.split(1):
            code = inverter.invert(photo).code
            codes.append(code.data)
            drawings.append(tune(lab.base.generator, photo, code, lab.looks, settings).image)
        return torch.cat(codes), torch.cat(drawings)

    return Way(invert, {"encoder": stored.digest, "tuning": asdict(settings)}, steps)


def parts(found: Inverted) -> tuple[Tensor, Tensor]:
    return found.code.data, found.image


@dataclass(frozen=True, eq=False)
class Lab:
    """What all measurements share."""

    base: Model
    looks: PerceptualDistance
    """What optimisers measure likeness with."""
    looks_name: str
    distances: Mapping[str, PerceptualDistance]
    persons: Identity
    prior: Tensor
    """Codes of the prior Z+."""
    prior_z: Tensor
    """Codes with one z for all rows, which the base was trained with."""
    runs: Path

    @classmethod
    def of(cls, options: argparse.Namespace) -> Lab:
        base = registry.load("faces")
        assert base.discriminator is not None
        distances = {
            "SqueezeNet": PerceptualDistance(load_features(options.features)),
            "discriminator": PerceptualDistance(DiscriminatorFeatures(base.discriminator)),
        }
        persons = load_identity(options.identity)
        priors = (
            prior_codes(base.generator, PRIOR, prior="z+", seed=SEED),
            prior_codes(base.generator, PRIOR, prior="z", seed=SEED),
        )
        return cls(base, distances[options.looks], options.looks, distances, persons, *priors, options.runs)

    @property
    def side(self) -> int:
        return self.base.generator.anatomy.resolution

    def mean_face(self, photos: Tensor) -> Found:
        code = self.base.generator.mean.data
        return Found(code.repeat(len(photos), 1, 1), self.drawn(code).repeat(len(photos), 1, 1, 1), 0.0, 0)

    @torch.no_grad()
    def drawn(self, codes: Tensor, model: Model | None = None) -> Tensor:
        generator = (model or self.base).generator
        return torch.cat([generator.synthesize(WPlus(part)) for part in codes.split(TOGETHER)])

    def found(self, group: str, photos: Tensor, name: str, way: Way) -> Found:
        """Invert photos, or read what was found before."""
        wanted = {
            "way": json.loads(json.dumps(way.about)),
            "looks": self.looks.features.digest,
            "base": generator_digest(self.base),
            "photos": hashlib.sha256(photos.numpy().tobytes()).hexdigest(),
        }
        path = self.runs / f"{group}-{name.replace(' ', '_').replace('/', '')}-{self.looks_name}.safetensors"
        if path.exists():
            with safe_open(path, framework="pt") as file:
                told = file.metadata()
                if json.loads(told["wanted"]) == wanted:
                    tensors = file.get_tensor("codes"), file.get_tensor("drawings")
                    return Found(*tensors, float(told["seconds"]), way.steps)
        begun = time.perf_counter()
        seconds = timed(way, photos[:1]) if group == "photos" else math.nan
        codes, drawings = way.invert(photos)
        told = {"wanted": json.dumps(wanted), "seconds": repr(seconds)}
        pending = path.with_suffix(".pending")
        save_file({"codes": codes.contiguous(), "drawings": drawings.contiguous()}, pending, told)
        pending.replace(path)
        print(f"{group}: {name}: {time.perf_counter() - begun:.1f} s", flush=True)
        return Found(codes, drawings, seconds, way.steps)

    @torch.no_grad()
    def measured(self, found: Found, photos: Tensor) -> dict[str, Tensor]:
        """Return each measure of likeness, [N]."""
        drawings = found.drawings.clamp(-1, 1)
        values = {"SSIM": ssim(drawings, photos), "MS-SSIM": ms_ssim(drawings, photos)}
        values |= {name: distance(drawings, photos) for name, distance in self.distances.items()}
        values["identity"] = (self.persons.embed(drawings) * self.persons.embed(photos)).sum(1)
        return {name: value.double() for name, value in values.items()}

    def compared(self, found: Mapping[str, Found], photos: Tensor) -> Comparison:
        """Return what the package's own comparison says of the codes."""
        known = {str(k): photo for k, photo in enumerate(photos)}
        # Pivotal tuning keeps the codes; the mean face it knows.
        ways: dict[str, Inverter] = {n: Replay(found[n], photos) for n in TABLE if n not in (MEAN, TUNED)}
        comparison = compare_inversions(
            list(known), known.__getitem__, ways, self.base.generator, self.looks, self.persons, prior_count=PRIOR
        )
        if comparison.failures:
            raise SystemExit(f"Photos could not be measured: {comparison.failures}")
        return comparison


class Replay:
    """Codes that were found before, as an inverter."""

    def __init__(self, found: Found, photos: Tensor) -> None:
        self.found, self.photos = found, photos

    def invert(self, images: Tensor, *, progress: Progress | None = None) -> Inverted:
        """Return the code of a photo that is known."""
        k = next(k for k, photo in enumerate(self.photos) if torch.equal(photo, images[0]))
        none = torch.zeros(1)
        found = self.found
        code, drawing = WPlus(found.codes[k : k + 1]), found.drawings[k : k + 1]
        return Inverted(code, drawing, none, none[None], found.steps, found.seconds)


def timed(way: Way, photo: Tensor) -> float:
    """Return the seconds of one core that one photo by itself takes; the median where that is quick."""
    spent: list[float] = []
    if way.steps <= max(COUNTS):
        way.invert(photo)
    while not spent or (sum(spent) < 1 and len(spent) < 5):
        # Not the clock on the wall: other programs would be counted too.
        begun = time.process_time()
        way.invert(photo)
        spent.append(time.process_time() - begun)
    return statistics.median(spent)


# The first table.


def head(lab: Lab, comparison: Comparison, options: argparse.Namespace) -> str:
    short = f" All numbers of steps were divided by {options.shorten}: a trial." if options.shorten > 1 else ""
    headers = {label: load_encoder(options.encoders / f"{file}.safetensors").header for file, label in ENCODERS.items()}
    images = {label: sum(step.get("images_seen", 0) for step in h.lineage) for label, h in headers.items()}
    trained = "; ".join(f"{label}: {count or 'unknown'}" for label, count in images.items())
    looks = ", ".join(sorted({h.training.get("looks", {}).get("name", "unknown") for h in headers.values()}))
    seen = sum(step["images_seen"] for step in lab.base.header.lineage)
    standard = [label for label, h in headers.items() if h.encoder.standardised]
    return prose(
        f"""Written by `scripts/results_inversion.py`: {len(comparison.photos)} photos that nothing was trained on,
        drawn from `photos_eval_256` with seed {SEED}, on the base `{lab.base.header.name}` of {lab.side} pixels after
        {seen} images (digest {generator_digest(lab.base)[:12]}). Means ± standard errors over photos; differences are
        of pairs.{short} Optimisers and refinement measure likeness with the {lab.looks_name} distance; that of the
        encoders' training: {looks}. *W* is the preset `stylegan2` without its noise planes, *W+* `image2stylegan`,
        *portrait* the preset of that name, with the steps that stand beside them; *{HVAE} + n steps* is `refine(n)`
        from the encoder's code. Images that trained the encoders, by AgileGAN's names of the ablations: {trained}. The
        means of {" and ".join(standard) or "none"} are standardised (Zhu et al. 2020), which the paper's are not."""
    )


def main_table(
    lab: Lab, found: Mapping[str, Found], seen: Mapping[str, Mapping[str, Tensor]], comparison: Comparison
) -> str:
    columns = (*LIKENESS, "energy Z+", "energy Z", "Fréchet", "overlap", "s/photo")
    arrows = [f"{c} {'↑' if c in RISING or c == 'overlap' else '↓'}" for c in columns]
    lines = ["## Every way over the same photos", "", table_row(("", *arrows)), "|---|" + "---|" * len(columns)]
    for name in TABLE:
        result = comparison.results[HVAE if name == TUNED else name]
        cells = [interval(seen[name][measure]) for measure in LIKENESS]
        cells += [number(result.energy), f"{energy_distance(found[name].codes, lab.prior_z):.3f}"]
        cells += [number(result.frechet, 1), number(result.overlap and result.overlap.value, 2)]
        lines.append(table_row((name, *cells, f"{found[name].seconds:.3f}" if found[name].seconds else "")))
    fresh = [prior_codes(lab.base.generator, len(comparison.photos), prior="z", seed=SEED + 1 + k) for k in range(5)]
    chance = [with_spread(comparison.chance_energy), spread([energy_distance(x, lab.prior_z) for x in fresh])]
    chance += [with_spread(comparison.chance_frechet, 1), with_spread(comparison.chance_overlap, 2)]
    lines.append(table_row(("*codes of the prior*", *[""] * len(LIKENESS), *chance, "")))
    strangers = [comparison.results[name].mean("stranger").value for name in TABLE if name not in (MEAN, TUNED)]
    scales = ms_ssim_scales(lab.side)
    notes = f"""SSIM and MS-SSIM: Gaussian window of {WINDOW} pixels, deviation {SIGMA}, values in [-1, 1] (range 2),
    per colour channel; MS-SSIM has {scales} of its 5 scales. *SqueezeNet* is the distance of unit feature vectors of
    SqueezeNet 1.1 with weight 1 for every channel, which is not LPIPS; *discriminator* the same on the features of the
    base's own discriminator. *Identity*: cosine of {lab.persons.name}; between drawings and the next photo's person it
    is {statistics.fmean(strangers):.3f}. *Energy*: unbiased energy distance of the codes in W+ to {PRIOR} of the prior,
    in mean distances of the prior's codes: of Z+, a latent per row, and of Z, one for all rows, as the base was
    trained. *Fréchet* (squared, to Z+) is mostly bias at {len(comparison.photos)} codes and smallest for narrow sets:
    read it beside what the prior itself gets. *Overlap*: {comparison.settings["neighbours"]} nearest neighbours, 1
    where codes cannot be told from those of Z+. *Codes of the prior*: as many fresh ones, ± standard deviation of 5
    draws. Pivotal tuning ({found[TUNED].steps} steps) keeps the codes and bends the base. Seconds: of one core, one
    photo by itself."""
    return "\n".join([*lines, "", prose(notes), ""])


# AgileGAN's claim.


@dataclass(frozen=True)
class StyleScore:
    """How far the pictures of one way's codes are from a style's exemplars."""

    whole: Interval
    left_out: Tensor
    """[N], the distance without each photo."""


Scores = dict[tuple[str, str], dict[str, StyleScore]]


def style_rows(lab: Lab, found: Mapping[str, Found], options: argparse.Namespace) -> Scores:
    """Return (style, features) -> way -> score; the prior's codes are a way too."""
    networks: dict[str, Any] = {"discriminator": lab.distances["discriminator"].features}
    if options.classifier is not None:
        networks["MobileNetV2"] = load_features(options.classifier)
    count = len(found[MEAN].codes)
    codes = {name: found[name].codes for name in TABLE if name not in (MEAN, TUNED)}
    codes["*codes of the prior Z+*"], codes["*codes of the prior Z*"] = lab.prior[:count], lab.prior_z[:count]
    scores: Scores = {}
    for style in STYLES:
        model = registry.load(style)
        exemplars = all_of(ImageSet.open(options.data / f"style_{style}", lab.side))
        pictures = {name: lab.drawn(ws, model) for name, ws in codes.items()}
        for look, network in networks.items():
            rows = pooled(network, exemplars)
            scores[style, look] = {n: style_score(pooled(network, p), rows) for n, p in pictures.items()}
    return scores


def style_score(rows: Tensor, exemplars: Tensor) -> StyleScore:
    keep = ~torch.eye(len(rows), dtype=torch.bool)
    without = torch.tensor([kernel_distance(rows[k], exemplars) for k in keep], dtype=torch.float64)
    return StyleScore(kernel_interval(rows, exemplars), without)


def claims_about_codes(
    lab: Lab,
    found: Mapping[str, Found],
    seen: Mapping[str, Mapping[str, Tensor]],
    comparison: Comparison,
    scores: Scores,
) -> Iterator[str]:
    names = list(next(iter(scores.values())))
    yield "## Nearness to the prior, and what styles draw from the codes (AgileGAN)"
    yield ""
    yield "![t-SNE of codes of W+ (red) among those of the prior (grey), as AgileGAN's Fig. 2](codes.png)"
    yield ""
    yield prose(
        """Kernel distance (Binkowski et al. 2018) of the bundled styles' pictures of the photos' codes to the exemplars
        of the style, on pooled features of the base's discriminator and, where it was given, of MobileNetV2 (ImageNet,
        last map, pictures enlarged to 128 pixels); ± jackknife over both sets. The photos are held out; the bundled
        styles were trained on all exemplars, so no exemplar is."""
    )
    yield ""
    yield table_row(("", *(f"{style}, {look} ↓" for style, look in scores)))
    yield "|---|" + "---|" * len(scores)
    for name in names:
        yield table_row((name, *(with_spread(by_way[name].whole, 4) for by_way in scores.values())))
    yield ""
    yield prose(
        """What AgileGAN says, as differences left minus right, ± standard error over photos (of distances between sets
        by jackknife over photos). *holds*: the sign is as claimed and the difference beyond two standard errors;
        *unclear*: within them; *fails*: beyond them the other way."""
    )
    yield ""
    yield table_row(("left", "right", "measure", "claimed", "difference", ""))
    yield "|---|---|---|---|---|---|"
    verdicts: dict[str, list[str]] = {}

    def line(left: str, right: str, measure: str, sign: int, difference: Interval) -> str:
        verdict = judged(difference, sign)
        verdicts.setdefault(f"{left} against {right}", []).append(verdict)
        cells = (left, right, measure, "lower" if sign < 0 else "higher", with_spread(difference, 4), verdict)
        return table_row(cells)

    energy = {name: energy_left_out(found[name].codes, lab.prior) for name in names if name in found}
    near = (
        *((left, right) for left in (HVAE40, HVAE, SAMPLED) for right in (WPLUS500, WPLUS40)),
        (HVAE40, PLAIN),
    )
    for left, right in near:
        difference = jackknife(energy[left][0] - energy[right][0], energy[left][1] - energy[right][1])
        yield line(left, right, "energy to Z+", -1, difference)
    for left, right in near[:-1]:
        for (style, look), by_way in scores.items():
            a, b = by_way[left], by_way[right]
            difference = jackknife(a.whole.value - b.whole.value, a.left_out - b.left_out)
            yield line(left, right, f"{style}, {look}", -1, difference)
    for measure in LIKENESS:
        sign = -1 if measure in RISING else 1
        yield line(ONE_Z, HVAE40, measure, sign, paired(seen[ONE_Z][measure], seen[HVAE40][measure]))
    yield ""
    counts = [
        f"{pair}: {', '.join(f'{v.count(word)} {word}' for word in ('holds', 'unclear', 'fails') if word in v)}"
        for pair, v in verdicts.items()
    ]
    overlaps = [
        f"{name} {result.overlap.value:.2f}"
        for name, result in comparison.results.items()
        if result.overlap is not None and name != MEAN
    ]
    yield prose(f"In all: {'; '.join(counts)}. Overlap with the prior: {', '.join(overlaps) or 'too few photos'}.")
    yield ""


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
    lab: Lab, steps: int, rest: Mapping[str, Mapping[str, Tensor]], seen: Mapping[str, Mapping[str, Tensor]]
) -> str:
    count = len(rest["W"]["SSIM"])
    lines = [
        "## The space alone (UI2I Table III)",
        "",
        prose(
            f"""Equal steps ({steps}), start (mean w), losses ({lab.looks_name} distance and mean absolute
            difference of pixels), learning rate and schedule; only the space differs. v are coordinates along the
            directions of SeFa, w = mean + v V; with all directions they are W turned, in which only Adam's axes differ.
            The first {count} of the photos; in brackets the difference to W over pairs."""
        ),
        "",
        table_row(("", *(f"{m} {'↑' if m in RISING else '↓'}" for m in LIKENESS))),
        "|---|" + "---|" * len(LIKENESS),
    ]
    for name, values in rest.items():
        cells = [interval(values[m]) for m in LIKENESS]
        if name != "W":
            cells = [
                f"{c} ({with_spread(paired(values[m], rest['W'][m]), sign=True)})"
                for c, m in zip(cells, LIKENESS, strict=True)
            ]
        lines.append(table_row((name, *cells)))
    lines.append("")
    turned, plain = rest["v, all directions"], rest["W"]
    better = {m: int((turned[m] > plain[m]).sum() if m in RISING else (turned[m] < plain[m]).sum()) for m in LIKENESS}
    said = ", ".join(
        f"{m} {k} ({judged(paired(turned[m], plain[m]), 1 if m in RISING else -1)})" for m, k in better.items()
    )
    gains = []
    for values, start in ((rest, "W"), (seen, W500)):
        rivals = [
            name for name in values if name not in (start, MEAN) and not name.startswith(tuple(ENCODERS.values()))
        ]
        best = max(rivals, key=lambda name: float(values[name]["MS-SSIM"].mean()))
        gain = paired(values[best]["MS-SSIM"], values[start]["MS-SSIM"])
        verdict = "at least" if gain.value >= 0.01 else "less than"
        gains.append(f"{best} against {start} {with_spread(gain, 4, sign=True)} ({verdict} 0.01)")
    text = f"""v with all directions is better than W in, of {count} photos: {said}; words as
    above.
    MS-SSIM of the best optimiser against plain W projection: {"; ".join(gains)}."""
    return "\n".join([*lines, prose(text), ""])


# Refinement.


def refinement_table(lab: Lab, found: Mapping[str, Found], seen: Mapping[str, Mapping[str, Tensor]]) -> str:
    references = (W500, WPLUS500, PORTRAIT500)
    distances = tuple(lab.distances)
    lines = [
        "## A few steps from the encoder's code",
        "",
        prose(
            f"""Share of the perceptual quality of an optimisation from the mean face: (d of the mean face - d) / (d of
            the mean face - d of the optimisation), of mean distances; ±
            jackknife over photos; and the share of its time.
            The optimisers and refinement lower the {lab.looks_name} distance among other terms; the other distance is
            seen by none."""
        ),
        "",
    ]
    head = [f"of {r}: {d}" for r in references for d in distances]
    lines += [table_row(("", *head, *(f"time of {r}" for r in references)))]
    lines += ["|---|" + "---|" * (len(head) + len(references))]
    rows = (HVAE, *(f"{HVAE} + {count} steps" for count in COUNTS), PORTRAIT200)
    for name in rows:
        shares = [with_spread(share(seen, name, r, d), percent=True) for r in references for d in distances]
        times = [f"{found[name].seconds / found[r].seconds:.1%}" for r in references]
        lines.append(table_row((name, *shares, *times)))
    verdicts = []
    for r in references:
        cost = found[REFINED].seconds / found[r].seconds
        values = {d: share(seen, REFINED, r, d).value for d in distances}
        kept = ", ".join(f"{v:.1%} by {d} ({'reached' if v >= 0.95 else 'missed'})" for d, v in values.items())
        verdicts.append(f"{r}: {kept} in {cost:.1%} of its time ({'reached' if cost <= 0.1 else 'missed'})")
    text = f"Wanted of {REFINED}: 95 % of the quality in a tenth of the time. {'; '.join(verdicts)}."
    return "\n".join([*lines, "", prose(text), ""])


def cost_of_a_portrait(lab: Lab, folder: Path) -> str:
    """Time an aligned face in one style, by the encoder, against what the base needs to draw a picture, in turn."""
    style, anatomy = STYLES[0], lab.base.generator.anatomy
    stored = load_encoder(folder / "hvae.safetensors", base=lab.base)
    stylizer = Stylizer(lab.base, {style: registry.load(style)}, inversion=ByEncoder(stored))
    crop = as_aligned_face(to_array(lab.drawn(lab.base.generator.mean.data, lab.base)[0]), lab.side)
    z = torch.randn(1, anatomy.z_dim, generator=torch.Generator().manual_seed(SEED))

    def forward() -> None:
        with torch.no_grad():
            lab.base.generator(z)

    runs = {"forward": forward, "portrait": lambda: stylizer.redraw(crop, lab.side)}
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
        f"""An aligned face in one style at {lab.side} pixels (encoder, mapping, style model):
        {middle["portrait"]:.1f} ms; the base's own forward pass: {middle["forward"]:.1f} ms. Ratio {ratio:.2f}
        ({low:.2f} to {high:.2f}, a tenth to nine tenths of {TURNS} turns; one thread); at most 2.5 is wanted:
        {"reached" if ratio <= 2.5 else "missed"}."""
    )
    return "\n".join(["## What a portrait costs", "", text, ""])


def share(seen: Mapping[str, Mapping[str, Tensor]], name: str, reference: str, measure: str) -> Interval:
    """Return the share of quality and its jackknife error."""
    start, mine, end = (seen[n][measure] for n in (MEAN, name, reference))

    def of(mean: Callable[[Tensor], Tensor]) -> Tensor:
        return (mean(start) - mean(mine)) / (mean(start) - mean(end))

    left_out = of(lambda x: (x.sum() - x) / (len(x) - 1))
    return jackknife(float(of(torch.mean)), left_out)


# Numbers and pictures.


def paired(left: Tensor, right: Tensor) -> Interval:
    """Return the mean difference over photos and its standard error."""
    difference = left - right
    return Interval(float(difference.mean()), float(difference.std()) / math.sqrt(len(difference)))


def jackknife(value: float, left_out: Tensor) -> Interval:
    return Interval(value, float((len(left_out) - 1) * left_out.var(unbiased=False)) ** 0.5)


def judged(difference: Interval, sign: int) -> str:
    """Say whether a difference has the sign that is claimed."""
    if abs(difference.value) <= 2 * difference.spread:
        return "unclear"
    return "holds" if difference.value * sign > 0 else "fails"


def interval(values: Tensor) -> str:
    return with_spread(Interval(float(values.mean()), float(values.std()) / math.sqrt(len(values))))


def with_spread(found: Interval | None, digits: int = 3, *, sign: bool = False, percent: bool = False) -> str:
    if found is None:
        return ""
    if percent:
        return f"{found.value:.1%} ± {100 * found.spread:.1f}"
    return f"{found.value:{'+' if sign else ''}.{digits}f} ± {found.spread:.{digits}f}"


def spread(values: Sequence[float]) -> str:
    return with_spread(Interval(statistics.fmean(values), statistics.stdev(values)))


def number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw_sheet(lab: Lab, people: Tensor, shown: Mapping[str, Found], path: Path, side: int = 96) -> None:
    """Draw photos and drawings, and below them what a style draws from the same codes."""
    toon = registry.load(STYLES[0])
    columns = [shown[name] for name in SHEET[1:]]
    styled = [lab.drawn(found.codes, toon) for found in columns]
    pictures = []
    for k in range(len(people)):
        pictures += [people[k], *(found.drawings[k] for found in columns)]
        pictures += [torch.ones_like(people[k]), *(drawn[k] for drawn in styled)]
    # Pivotal tuning has the code of the encoder, so the style's picture would be the same.
    for row in range(len(SHEET) * 2 - 1, len(pictures), len(SHEET) * 2):
        pictures[row] = torch.ones_like(people[0])
    enlarged = [resize(picture, side) for picture in to_array(torch.stack(pictures))]
    write_image(path, np.ascontiguousarray(tile(enlarged, len(SHEET))))


if __name__ == "__main__":
    main()
