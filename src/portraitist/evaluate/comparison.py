"""Several ways of inversion over the same photos: what each draws, how near to the prior its codes are, and its cost.

found = compare_inversions(photos, read, {"portrait": projector}, base.generator, perceptual, identity)
for name, result in found.results.items():
    print(name, result.mean("ms_ssim"), result.frechet, result.seconds)
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..data.images import Pixels, to_array
from ..errors import BadData, BadImage, NonFinite, OutOfMemory, PortraitistError
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator
from ..networks.features import resized
from .distribution import energy_distance, frechet_distance
from .inversion import NEIGHBOURS, Overlap, ms_ssim, overlap, prior_codes, ssim
from .kernel import Interval

if TYPE_CHECKING:
    from ..invert import Inverter, Progress
    from ..networks.identity import Identity

Measure = Literal["ssim", "ms_ssim", "perceptual", "identity", "stranger", "seconds"]
MEAN = "mean face"
"""What the result of one and the same drawing for every photo is called: the zero of all measures of likeness."""
CHANCE_DRAWS = 5
"""Sets of fresh codes of the prior that say what distances and overlaps chance gives."""
log = logging.getLogger("portraitist")


@dataclass(frozen=True, eq=False)
class Result:
    """What one way of inversion achieved; one value a photo, in the order of ``Comparison.photos``."""

    ssim: tuple[float, ...]
    ms_ssim: tuple[float, ...]
    perceptual: tuple[float, ...]
    """Distance of the drawing to the photo; 0 is equal."""
    identity: tuple[float, ...]
    """Cosine of the embeddings of drawing and photo; 1 is equal."""
    stranger: tuple[float, ...]
    """The same of the drawing and the next photo, another person: the zero of ``identity``. Empty of one photo."""
    seconds: tuple[float, ...]
    steps: int
    codes: Tensor
    """W+ [N, rows, w_dim] on the CPU."""
    frechet: float | None
    """Squared Fréchet distance of the codes to the prior's; None of one photo. Of few photos it is mostly bias."""
    energy: float | None
    """Energy distance of the same, unbiased."""
    overlap: Overlap | None
    """Of the codes with the prior's; None of too few photos."""
    drawings: tuple[Pixels, ...]
    """Of the first photos."""

    def mean(self, measure: Measure) -> Interval:
        """Return the mean over photos and its standard error, which is NaN of one photo."""
        values = torch.tensor(getattr(self, measure), dtype=torch.float64)
        spread = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return Interval(float(values.mean()), spread)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of several ways on the same photos."""

    photos: tuple[str, ...]
    """Those that every way could invert."""
    failures: Mapping[str, str]
    """Photo -> why it is left out."""
    results: Mapping[str, Result]
    """By the name of the way; the first is ``MEAN``."""
    chance_frechet: Interval | None
    """Fréchet distance of as many fresh codes of the prior: mean and deviation over ``CHANCE_DRAWS`` sets."""
    chance_energy: Interval | None
    """Energy distance of the same."""
    chance_overlap: Interval | None
    """Overlap of the same."""
    prior: Tensor
    """Codes of the prior, [M, rows, w_dim]."""
    settings: Mapping[str, object]
    """What the numbers were measured with."""
    crops: tuple[Pixels, ...] = field(default=())
    """The first photos."""


def compare_inversions(
    photos: Sequence[str],
    read: Callable[[str], Tensor],
    ways: Mapping[str, Inverter],
    generator: Generator,
    perceptual: PerceptualDistance,
    identity: Identity,
    *,
    prior: Literal["z+", "z"] = "z+",
    prior_count: int = 2000,
    shown: int = 12,
    seed: int = 0,
    progress: Progress | None = None,
    on_photo: Callable[[str, str], None] = lambda name, reason: None,
) -> Comparison:
    """Invert every photo in every way, one by one, and measure.

    Drawings are those of the generator with its stored noise, even where a way fitted noise planes: it is the codes
    that are judged. A photo that one way cannot invert is left out for all, so that all means are over the same.

    Args:
        photos: Names.
        read: Returns the aligned face of a name, [3, H, W] in [-1, 1], or raises.
        ways: What inverts, by name.
        generator: What they invert.
        perceptual: Measures likeness, on the device of the generator.
        identity: Embeds faces, on the same device.
        prior: Of :func:`portraitist.evaluate.prior_codes`.
        prior_count: Codes of the prior, M.
        shown: Pictures kept for a sheet.
        seed: Of the codes of the prior.
        progress: Told of the steps of each inversion.
        on_photo: Told of each photo, and why it is left out; "" if it is not.

    Raises:
        BadData: No photo could be inverted, or there are fewer codes of the prior than of photos.
    """
    if prior_count < max(2, len(photos)):
        raise BadData(f"{prior_count} codes of the prior are too few for {len(photos)} photos.", "Ask for more.")
    mean = _MeanFace(generator)
    # Before the long work: what the prior cannot give it will not give afterwards.
    known = prior_codes(generator, prior_count, prior=prior, seed=seed)
    metrics = _InversionMetrics(generator, perceptual, identity)
    done: dict[str, list[_Measured]] = {}
    failures: dict[str, str] = {}
    for name in photos:
        try:
            photo = resized(read(name)[None].to(generator.w_mean.device), generator.anatomy.resolution)
            measured = [
                metrics.mean_face(photo, mean),
                *(metrics.of_way(photo, way, progress) for way in ways.values()),
            ]
        except Exception as error:
            failures[name] = _reason(name, error)
        else:
            done[name] = measured
        on_photo(name, failures.get(name, ""))
    if not done:
        reason = next(iter(failures.values()), "there is none")
        raise BadData(f"No photo could be inverted: {reason}", "Look at the photos.")
    columns = zip(*done.values(), strict=True)
    results = {name: _result(list(column), known, shown) for name, column in zip((MEAN, *ways), columns, strict=True)}
    chance = [prior_codes(generator, len(done), prior=prior, seed=seed + 1 + k) for k in range(CHANCE_DRAWS)]
    return Comparison(
        tuple(done),
        failures,
        results,
        _spread([_frechet(codes, known) for codes in chance]),
        _spread([_energy(codes, known) for codes in chance]),
        _spread([None if (o := _overlap(codes, known)) is None else o.value for codes in chance]),
        known,
        metrics.settings(len(done), prior, prior_count, seed),
        tuple(to_array(measured[0].photo) for measured in list(done.values())[:shown]),
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """One photo in one way; tensors on the CPU."""

    photo: Tensor
    drawing: Tensor
    """[3, R, R]"""
    code: Tensor
    """[rows, w_dim]"""
    measures: dict[str, float]
    seen: Tensor
    """Embedding of the photo."""
    drawn: Tensor
    """Embedding of the drawing."""
    seconds: float
    steps: int


class _MeanFace:
    """The drawing of the mean code."""

    def __init__(self, generator: Generator) -> None:
        self.code = generator.mean
        with torch.no_grad():
            self.drawing = generator.synthesize(self.code)


class _InversionMetrics:
    def __init__(self, generator: Generator, perceptual: PerceptualDistance, identity: Identity) -> None:
        self.generator, self.perceptual, self.identity = generator, perceptual, identity

    def settings(self, photos: int, prior: str, prior_count: int, seed: int) -> dict[str, object]:
        """Return what the numbers are measured with."""
        return {
            "photos": photos,
            "resolution": self.generator.anatomy.resolution,
            "perceptual": {"name": self.perceptual.name, "digest": self.perceptual.features.digest},
            "identity": {"name": self.identity.name, "digest": self.identity.digest},
            "prior": prior,
            "prior codes": prior_count,
            "neighbours": NEIGHBOURS,
            "seed": seed,
            "device": str(self.generator.w_mean.device),
            "threads": torch.get_num_threads(),
        }

    def mean_face(self, photo: Tensor, mean: _MeanFace) -> _Measured:
        return self._measure(photo, mean.drawing, mean.code.data, 0.0, 0)

    def of_way(self, photo: Tensor, way: Inverter, progress: Progress | None) -> _Measured:
        found = way.invert(photo, progress=progress)
        drawing = found.image
        if found.noise is not None:
            with torch.no_grad():
                drawing = self.generator.synthesize(found.code)
        return self._measure(photo, drawing, found.code.data, found.seconds, found.steps)

    @torch.no_grad()
    def _measure(self, photo: Tensor, drawing: Tensor, code: Tensor, seconds: float, steps: int) -> _Measured:
        drawing = drawing.clamp(-1, 1)
        seen, drawn = self.identity.embed(photo), self.identity.embed(drawing)
        measures = {
            "ssim": float(ssim(drawing, photo)),
            "ms_ssim": float(ms_ssim(drawing, photo)),
            "perceptual": float(self.perceptual(drawing, photo)),
            "identity": float((seen * drawn).sum()),
        }
        if not all(math.isfinite(value) for value in measures.values()):
            raise NonFinite("Its measures are not finite numbers.")
        return _Measured(
            photo[0].cpu(),
            drawing[0].cpu(),
            code[0].cpu(),
            measures=measures,
            seen=seen[0].cpu(),
            drawn=drawn[0].cpu(),
            seconds=seconds,
            steps=steps,
        )


def _result(measured: list[_Measured], prior: Tensor, shown: int) -> Result:
    measures = {key: tuple(one.measures[key] for one in measured) for key in measured[0].measures}
    codes = torch.stack([one.code for one in measured])
    others = [*measured[1:], measured[0]] if len(measured) > 1 else []
    return Result(
        **measures,
        stranger=tuple(float((t.drawn * other.seen).sum()) for t, other in zip(measured, others, strict=False)),
        seconds=tuple(one.seconds for one in measured),
        steps=measured[0].steps,
        codes=codes,
        frechet=_frechet(codes, prior),
        energy=_energy(codes, prior),
        overlap=_overlap(codes, prior),
        drawings=tuple(to_array(one.drawing) for one in measured[:shown]),
    )


def _frechet(codes: Tensor, prior: Tensor) -> float | None:
    return frechet_distance(codes, prior) if len(codes) > 1 else None


def _energy(codes: Tensor, prior: Tensor) -> float | None:
    return energy_distance(codes, prior) if len(codes) > 1 else None


def _overlap(codes: Tensor, prior: Tensor) -> Overlap | None:
    return overlap(codes, prior) if len(codes) > NEIGHBOURS else None


def _spread(values: Sequence[float | None]) -> Interval | None:
    known = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    return Interval(float(known.mean()), float(known.std())) if len(known) else None


def _reason(name: str, error: Exception) -> str:
    """Say why a photo is left out; raise what the next photo would meet too."""
    if isinstance(error, BadImage | NonFinite):
        return str(error)
    if isinstance(error, MemoryError | OutOfMemory | torch.OutOfMemoryError):
        return "There is not enough memory for it. Make the picture smaller."
    if isinstance(error, PortraitistError):
        raise error
    # What nobody thought of in one picture must not end a run of hours.
    log.warning("%s met an error of the program, please report it", name, exc_info=error)
    return f"{type(error).__name__}: {error}"
