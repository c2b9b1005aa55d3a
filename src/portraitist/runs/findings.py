"""What a fine-tuning leaves when it ends: figures for its header, a sheet of samples, cards."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import ImageSet, to_tensor
from ..data.images import read_image, write_image
from ..data.sheet import grid, ungrid
from ..errors import PortraitistError
from ..evaluate import CopyReport, copy_test, pooled_features
from ..files import parse_json
from ..io.headers import Header
from ..io.model_file import Model
from ..networks import Generator
from ..report.card import Card, Moment, Neighbours, write_card
from ..report.model_card import write_model_card
from ..report.sections import HEROES
from ..train.folder import SAMPLES
from ..train.log import STATS
from ..train.spec import Training
from ..train.state import TrainState
from ..train.symptoms import SYMPTOMS
from . import early_stopping

log = logging.getLogger("portraitist")

SHEET = "style.png"
COPIES = 500
SHOWN = 8


@dataclass(frozen=True)
class Findings:
    """What was found of the generators that are kept."""

    generators: Sequence[Generator]
    kept: Sequence[Tensor]
    """What each draws from the fixed codes of the run, [N, 3, R, R]."""
    pictures: Tensor
    """Of :data:`SHOWN` other codes and all paths, [N, 3, R, R]."""
    score: Mapping[str, float]
    """Of the tick that was kept; empty without held-out exemplars."""
    copies: CopyReport | None
    """Of the first path's samples; None without held-out exemplars."""
    nearest: Tensor
    """The exemplars nearest to the pictures, [N, 3, R, R]."""
    features: str

    @classmethod
    def of(
        cls,
        state: TrainState,
        base: Model,
        generators: Sequence[Generator],
        train: Sequence[ImageSet],
        held_out: Sequence[ImageSet],
        monitor: early_stopping.HeldOutMonitor | None,
        fixed: Tensor,
    ) -> Findings:
        """Look at what each path draws, from the codes ``fixed`` too, and for copies of the exemplars."""
        random = torch.Generator().manual_seed(1)
        codes = torch.randn(COPIES // len(generators), base.generator.anatomy.z_dim, generator=random)
        drawn = [g.sample_batches(codes) for g in generators]
        kept = [g.sample_batches(fixed[:SHOWN]) for g in generators]
        shown = torch.cat([d[:SHOWN] for d in drawn])
        if monitor is None:
            return cls(generators, kept, shown, {}, None, shown[:0], "")
        exemplars = torch.cat([part.all() for part in train])
        features = monitor.features
        device = monitor.codes.device
        rows, mirrored = (pooled_features(features, x.to(device)) for x in (exemplars, exemplars.flip(3)))
        kept_out = torch.cat([part.all() for part in held_out]).to(device)
        outputs = pooled_features(features, torch.cat(drawn).to(device))
        copies = copy_test(outputs, rows, pooled_features(features, kept_out), mirrored)
        score = state.history[early_stopping.best(state.history)]
        per = len(codes)
        first = torch.cat([copies.nearest[k * per : k * per + SHOWN] for k in range(len(generators))])
        return cls(generators, kept, shown, score, copies, exemplars[first], f"{features.name} {features.digest[:12]}")

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures for the model's header."""
        if self.copies is None:
            return {}
        return {
            **self.score,
            "features": self.features,
            "copies": {"below": self.copies.count, "threshold": self.copies.threshold, "alarm": self.copies.alarm},
        }


def report(
    out: Path, found: Findings, state: TrainState, training: Training, settings: Mapping[str, Any], header: Header
) -> None:
    """Write the sheet of samples, the report card and the model card into a run folder.

    Sheet and cards show what the kept model draws from the fixed codes, which no sample grid of the run need hold.
    """
    write_image(out / SHEET, grid(torch.cat(list(found.kept)), columns=SHOWN))
    stats = _stats(out)
    images = int(found.score["images"]) if found.score else state.images
    card = Card(
        name=header.name or out.name,
        recipe=str(settings["recipe"]),
        kept=torch.cat([drawn[: max(HEROES // len(found.kept), 1)] for drawn in found.kept]),
        moments=_moments(out / SAMPLES, Moment(images, found.kept[0])),
        stats=[*state.history[:1], *stats],
        chosen=images if found.score else None,
        why=early_stopping.reason(state.history, training.patience) if state.history else "",
        neighbours=_neighbours(found),
        cost=_cost(stats, state, settings),
        settings=_changed(training),
        warnings=_warnings(found, state),
        licence=header.licence,
        credit=header.credit,
    )
    write_card(out, card)
    write_model_card(out, header, SHEET)


def _neighbours(found: Findings) -> Neighbours | None:
    copies = found.copies
    if copies is None:
        return None
    per = len(copies.distance) // len(found.generators)
    shown = [k * per + i for k in range(len(found.generators)) for i in range(min(SHOWN, per))]
    distances = tuple(float(copies.distance[k]) for k in shown)
    return Neighbours(found.pictures, found.nearest, distances, copies.threshold, copies.alarm, _sentence(copies))


def _sentence(copies: CopyReport) -> str:
    return (
        f"{copies.count} of {len(copies.distance)} samples lie nearer to a training exemplar than "
        f"{copies.threshold:.3f}; by chance {copies.expected:.1f} may (p = {copies.p_value:.2g})."
    )


def _warnings(found: Findings, state: TrainState) -> tuple[str, ...]:
    warnings = []
    if found.copies is not None and found.copies.alarm:
        warnings.append(f"Copies of exemplars: {_sentence(found.copies)}")
    warnings += [str(SYMPTOMS[name]) for name in state.symptoms.told]
    if state.history and early_stopping.best(state.history) == 0:
        warnings.append("No tick came nearer to the held-out exemplars than the base itself: nothing was learned.")
    return tuple(warnings)


def _cost(stats: Sequence[Mapping[str, float]], state: TrainState, settings: Mapping[str, Any]) -> dict[str, str]:
    before, seconds = 0.0, 0.0
    for line in stats:
        seconds += (line["images"] - before) / max(line["images_per_second"], 1e-9)
        before = line["images"]
    trained = sum(p.numel() for p in state.generator.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in state.generator.parameters()) - trained
    return {
        "wall time": f"{seconds / 60:.1f} minutes",
        "images seen": f"{state.images}",
        "speed": f"{before / seconds:.1f} images/s" if seconds else "",
        "device": str(settings["device"]),
        "generator": f"{trained / 1e6:.2f} M parameters trained, {frozen / 1e6:.2f} M frozen",
    }


def _changed(training: Training) -> dict[str, object]:
    mine, plain = training.record(), Training().record()
    changed = {k: v for k, v in mine.items() if k in plain and v != plain[k] and k not in ("frozen", "terms")}
    changed |= {f"frozen.{k}": v for k, v in mine["frozen"].items() if v != plain["frozen"][k]}
    return changed | {f"{term}.{k}": v for term in mine["terms"] for k, v in mine[term].items()}


def _stats(out: Path) -> list[dict[str, float]]:
    """Return the lines of the log that are whole; none where it cannot be read, as logs never end a training."""
    try:
        lines = [_parsed(line) for line in (out / STATS).read_bytes().splitlines()]
    except OSError:
        return []
    return [line for line in lines if line.keys() >= {"images", "images_per_second"}]


def _parsed(line: bytes) -> dict[str, float]:
    try:
        found = parse_json(line)
    except ValueError:
        return {}
    numbers = found if isinstance(found, dict) else {}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}


def _moments(folder: Path, kept: Moment) -> tuple[Moment, ...]:
    """Return the moments that sample grids show, and that of the model that was kept."""
    found = {}
    for path in folder.glob("images-*.png"):
        if not (images := re.fullmatch(r"images-(\d+)", path.stem)):
            continue
        try:
            tiles = ungrid(read_image(path), kept.pictures.shape[-1])[:SHOWN]
            moment = Moment(int(images[1]), torch.stack([to_tensor(t) for t in tiles]))
        except (PortraitistError, RuntimeError) as error:
            log.warning("left the sheet %s out of the report: %s", path, error)
        else:
            found[moment.images] = moment
    found[kept.images] = kept
    return tuple(found[images] for images in sorted(found))
