"""Codes of photos by every way of inversion, kept on disk, and what is measured of each photo."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.data.images import to_tensor
from portraitist.evaluate import (
    Comparison,
    compare_inversions,
    ms_ssim,
    prior_codes,
    ssim,
)
from portraitist.evaluate.comparison import MEAN
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
    ui2i,
)
from portraitist.io import registry
from portraitist.io.encoder_files import StoredEncoder, load_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Model, generator_digest
from portraitist.losses.perceptual import PerceptualDistance, default_perceptual
from portraitist.networks.identity import Identity
from portraitist.spaces import WPlus
from portraitist.stylize import Stylizer

from .material import shown_people

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


# Photos and ways.


def drawn_people(folder: Path, base: Model) -> Tensor:
    """Return faces that may be shown, cut out of their photos: a public-domain one, and faces of nobody."""
    finder = Stylizer(base, {})
    side = base.generator.anatomy.resolution
    return torch.stack(
        [to_tensor(finder.crops(photo, "largest", side)[0].image) for photo in shown_people(folder, PEOPLE)]
    )


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


def table_ways(study: Inversions, folder: Path, shorten: int) -> dict[str, Way]:
    """Return all ways but the mean face."""
    steps = max(1, STEPS // shorten)
    settings = {
        # Noise planes would take over what the code should say, and it is the codes that are compared.
        W500: replace(stylegan2(), steps=steps, optimise_noise=False),
        WPLUS500: replace(image2stylegan(), steps=steps),
        PORTRAIT200: replace(portrait(), steps=max(1, 200 // shorten)),
        PORTRAIT500: replace(portrait(), steps=steps),
    }
    ways = {name: optimiser(study, one) for name, one in settings.items()}
    encoders = {name: load_encoder(folder / f"{name}.safetensors", base=study.base) for name in ENCODERS}
    ways |= {name: encoding(study, encoders[file], 0) for file, name in ENCODERS.items()}
    ways[SAMPLED] = sampling(study, encoders["hvae"])
    ways |= {f"{HVAE} + {count} steps": encoding(study, encoders["hvae"], count) for count in COUNTS}
    return ways | {TUNED: tuning(study, encoders["hvae"], max(1, TUNING_STEPS // shorten))}


def space_ways(study: Inversions, shorten: int) -> dict[str, Way]:
    """Return ways that differ in their space alone."""
    common = replace(ui2i(), steps=max(1, SPACE_STEPS // shorten))
    settings = {
        "W": replace(common, basis="none"),
        "W+": replace(common, basis="none", space="w+"),
        "v, all directions": common,
        **{f"v, rank {rank}": replace(common, rank=rank) for rank in RANKS},
    }
    return {name: optimiser(study, one) for name, one in settings.items()}


def optimiser(study: Inversions, settings: Projection) -> Way:
    inverter = Projector(study.base.generator, study.perceptual, settings, together=TOGETHER)
    return Way(lambda photos: parts(inverter.invert(photos)), asdict(settings), settings.steps)


def encoding(study: Inversions, stored: StoredEncoder, steps: int) -> Way:
    settings = refine(steps) if steps else None
    inverter = EncoderInverter(
        stored.encoder, study.base.generator, study.perceptual, refine=settings, together=TOGETHER
    )
    about = {"encoder": stored.digest, "refine": asdict(settings) if settings else None}
    return Way(lambda photos: parts(inverter.invert(photos)), about, steps)


def sampling(study: Inversions, stored: StoredEncoder) -> Way:
    """Return a code of each posterior instead of its mean, drawn apart: what the divergence from the prior is about."""

    @torch.no_grad()
    def invert(photos: Tensor) -> tuple[Tensor, Tensor]:
        latents = stored.encoder(photos).sample(torch.Generator().manual_seed(SEED))[0]
        codes = stored.encoder.styles_of(latents, study.base.generator)
        return codes, study.drawn(codes)

    return Way(invert, {"encoder": stored.digest, "apart": SEED}, 0)


def tuning(study: Inversions, stored: StoredEncoder, steps: int) -> Way:
    """Return the encoder's codes drawn by a copy of the base that is bent to each photo."""
    inverter = EncoderInverter(stored.encoder, study.base.generator, study.perceptual)
    settings = PivotalTuning(steps=steps)

    def invert(photos: Tensor) -> tuple[Tensor, Tensor]:
        codes, drawings = [], []
        for photo in torch.split(photos, 1):
            code = inverter.invert(photo).code
            codes.append(code.data)
            drawings.append(tune(study.base.generator, photo, code, study.perceptual, settings).image)
        return torch.cat(codes), torch.cat(drawings)

    return Way(invert, {"encoder": stored.digest, "tuning": asdict(settings)}, steps)


def parts(found: Inverted) -> tuple[Tensor, Tensor]:
    return found.code.data, found.image


@dataclass(frozen=True, eq=False)
class Inversions:
    """The base, what measures, and what was found before."""

    base: Model
    perceptual: PerceptualDistance
    """What optimisers measure likeness with."""
    measured_by: str
    distances: Mapping[str, PerceptualDistance]
    identity: Identity
    prior: Tensor
    """Codes of the prior Z+."""
    prior_z: Tensor
    """Codes with one z for all rows, which the base was trained with."""
    runs: Path

    @classmethod
    def of(cls, features: Path, identity: Path, measured_by: str, runs: Path) -> Inversions:
        base = registry.load("faces")
        distances = {
            "SqueezeNet": PerceptualDistance(load_features(features)),
            "discriminator": default_perceptual(base.require_discriminator("to measure with")),
        }
        priors = (
            prior_codes(base.generator, PRIOR, prior="z+", seed=SEED),
            prior_codes(base.generator, PRIOR, prior="z", seed=SEED),
        )
        return cls(base, distances[measured_by], measured_by, distances, load_identity(identity), *priors, runs)

    @property
    def side(self) -> int:
        return self.base.generator.anatomy.resolution

    def mean_face(self, photos: Tensor) -> Found:
        code = self.base.generator.mean.data
        return Found(code.repeat(len(photos), 1, 1), self.drawn(code).repeat(len(photos), 1, 1, 1), 0.0, 0)

    @torch.no_grad()
    def drawn(self, codes: Tensor, model: Model | None = None) -> Tensor:
        generator = (model or self.base).generator
        return torch.cat([generator.synthesize(WPlus(part)) for part in torch.split(codes, TOGETHER)])

    def found(self, group: str, photos: Tensor, name: str, way: Way) -> Found:
        """Invert photos, or read what was found before."""
        wanted = {
            "way": json.loads(json.dumps(way.about)),
            "looks": self.perceptual.features.digest,
            "base": generator_digest(self.base),
            "photos": hashlib.sha256(photos.numpy().tobytes()).hexdigest(),
        }
        path = self.runs / f"{group}-{name.replace(' ', '_').replace('/', '')}-{self.measured_by}.safetensors"
        if path.exists():
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                if json.loads(metadata["wanted"]) == wanted:
                    tensors = file.get_tensor("codes"), file.get_tensor("drawings")
                    return Found(*tensors, float(metadata["seconds"]), way.steps)
        begun = time.perf_counter()
        seconds = timed(way, photos[:1]) if group == "photos" else math.nan
        codes, drawings = way.invert(photos)
        metadata = {"wanted": json.dumps(wanted), "seconds": repr(seconds)}
        pending = path.with_suffix(".pending")
        save_file({"codes": codes.contiguous(), "drawings": drawings.contiguous()}, pending, metadata)
        pending.replace(path)
        print(f"{group}: {name}: {time.perf_counter() - begun:.1f} s", flush=True)
        return Found(codes, drawings, seconds, way.steps)

    @torch.no_grad()
    def measured(self, found: Found, photos: Tensor) -> dict[str, Tensor]:
        """Return each measure of likeness, [N]."""
        drawings = found.drawings.clamp(-1, 1)
        values = {"SSIM": ssim(drawings, photos), "MS-SSIM": ms_ssim(drawings, photos)}
        values |= {name: distance(drawings, photos) for name, distance in self.distances.items()}
        values["identity"] = (self.identity.embed(drawings) * self.identity.embed(photos)).sum(1)
        return {name: value.double() for name, value in values.items()}

    def compared(self, found: Mapping[str, Found], photos: Tensor) -> Comparison:
        """Return what the package's own comparison says of the codes."""
        known = {str(k): photo for k, photo in enumerate(photos)}
        # Pivotal tuning keeps the codes; the mean face it knows.
        ways: dict[str, Inverter] = {n: Replay(found[n], photos) for n in TABLE if n not in (MEAN, TUNED)}
        comparison = compare_inversions(
            list(known), known.__getitem__, ways, self.base.generator, self.perceptual, self.identity, prior_count=PRIOR
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
