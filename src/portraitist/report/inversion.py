"""A comparison of inversions as files: a table to read, a sheet to look at, and every number.

for file in write_inversion_report(found, Path("report"), overwrite=True):
    print(file)
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.images import Pixels, write_image
from ..errors import require
from ..evaluate.comparison import CHANCE_DRAWS, MEAN, Comparison, Measure, Result
from ..evaluate.inversion import SIGMA, WINDOW, ms_ssim_scales, tsne
from ..evaluate.kernel import Interval
from ..files import refuse_existing, write_bytes
from .labels import labelled
from .markdown import table

FILES = ("inversion.md", "inversion.json", "inversion.png")
"""Table, numbers and sheet."""
TSNE_FILE = "codes.png"
LIKENESS: tuple[Measure, ...] = ("ssim", "ms_ssim", "perceptual", "identity")


def write_inversion_report(
    found: Comparison,
    folder: Path,
    *,
    about: Mapping[str, object] | None = None,
    with_tsne: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``inversion.md``, ``inversion.json``, ``inversion.png`` and, if asked, the codes' t-SNE ``codes.png``.

    Args:
        found: What to report.
        folder: Where; made if need be.
        about: What else determined the numbers, for the JSON.
        with_tsne: Whether to plot the codes; needs scikit-learn.
        overwrite: Replace files that exist.

    Raises:
        UsageError: A file exists, or scikit-learn is missing.
        StorageError: The disk is full, read-only or gone.
    """
    files = check_inversion_report(folder, with_tsne, overwrite)
    write_bytes(files[0], markdown(found).encode(), overwrite=True)
    write_bytes(files[1], (json.dumps(_as_json(found, about or {}), indent=1) + "\n").encode(), overwrite=True)
    write_image(files[2], sheet(found))
    if with_tsne:
        write_bytes(files[3], plot_codes(found), overwrite=True)
    return files


def check_inversion_report(folder: Path, with_tsne: bool, overwrite: bool) -> list[Path]:
    """Return the files that a report consists of, and refuse what writing it would refuse; ask before long work.

    Raises:
        UsageError: A file exists, or a package is missing.
    """
    if with_tsne:
        require("t-SNE", "evaluate", "sklearn", "matplotlib")
    files = [folder / name for name in (*FILES, *[TSNE_FILE] * with_tsne)]
    for file in files:
        refuse_existing(file, overwrite)
    return files


def markdown(found: Comparison) -> str:
    """Return the table of a comparison, and below it what its numbers mean."""
    head = (
        "way",
        "SSIM ↑",
        "MS-SSIM ↑",
        "perceptual ↓",
        "identity ↑",
        "Fréchet ↓",
        "energy ↓",
        "overlap ↑",
        "s/image ↓",
        "steps",
    )
    rows = [_row(name, result) for name, result in found.results.items()]
    chance = tuple(map(_with_spread, (found.chance_frechet, found.chance_energy, found.chance_overlap)))
    rows.append(("*codes of the prior*", "", "", "", "", *chance, "", ""))
    lines = ["# Inversion", "", *table(head, rows), *_notes(found)]
    if found.failures:
        lines += ["", f"Left out ({len(found.failures)}):", ""]
        lines += [f"- {name}: {reason}" for name, reason in found.failures.items()]
    return "\n".join(lines) + "\n"


def sheet(found: Comparison, side: int = 160) -> Pixels:
    """Return a picture with a row per photo: the photo, then the drawing of every way, under their names."""
    columns = {"photo": found.crops, **{name: result.drawings for name, result in found.results.items()}}
    return labelled(columns, side)


def plot_codes(found: Comparison, *, panel: float = 2.6) -> bytes:
    """Return t-SNE plots of every way's codes (red) among those of the prior (grey), as AgileGAN's Fig. 2, as PNG.

    All ways share one plane, so that panels can be compared.

    Args:
        found: What to plot.
        panel: Side of a panel, inches of 150 pixels.

    Raises:
        UsageError: A package is missing.
    """
    require("A plot", "evaluate", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    ways = {name: result for name, result in found.results.items() if name != MEAN}
    seed = found.settings["seed"]
    assert isinstance(seed, int)
    prior, *places = tsne([found.prior, *(result.codes for result in ways.values())], seed=seed)
    width = min(4, len(ways))
    height = -(-len(ways) // width)
    # A user's matplotlibrc must not change the plot.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(panel * width, (panel + 0.25) * height), dpi=150, layout="constrained")
        first: Any = None
        for k, (name, points) in enumerate(zip(ways, places, strict=True)):
            axes = figure.add_subplot(
                height, width, k + 1, aspect="equal", xticks=[], yticks=[], sharex=first, sharey=first
            )
            first = first or axes
            axes.set_title(name, fontsize=9)
            axes.scatter(*_xy(prior), s=3, color="#b4b4b4", linewidths=0)
            axes.scatter(*_xy(points), s=9, color="#c4412a", linewidths=0)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _row(name: str, result: Result) -> tuple[str, ...]:
    likeness = (_with_spread(result.mean(measure)) for measure in LIKENESS)
    frechet = "" if result.frechet is None else _short(result.frechet)
    energy = "" if result.energy is None else _short(result.energy)
    overlap = "" if result.overlap is None else f"{result.overlap.value:.2f}"
    # The mean face costs nothing.
    cost = ("", "") if name == MEAN else (_short(result.mean("seconds").value), str(result.steps))
    return (name, *likeness, frechet, energy, overlap, *cost)


def _notes(found: Comparison) -> Iterator[str]:
    settings, count = found.settings, len(found.photos)
    resolution = settings["resolution"]
    assert isinstance(resolution, int)
    perceptual, identity = settings["perceptual"], settings["identity"]
    assert isinstance(perceptual, dict) and isinstance(identity, dict)
    strangers = [result.mean("stranger").value for name, result in found.results.items() if name != MEAN]
    zero = f"; to the next photo's person it is {sum(strangers) / len(strangers):.3f}" if count > 1 else ""
    yield f"- {count} photos of {resolution} x {resolution} pixels; means ± standard errors over photos."
    yield (
        f"- SSIM and MS-SSIM: Gaussian window of {WINDOW} pixels, deviation {SIGMA}, values in [-1, 1] (range 2), per "
        f"colour channel, averaged; MS-SSIM has {ms_ssim_scales(resolution)} of 5 scales."
    )
    yield f"- Perceptual: {perceptual['name']} ({perceptual['digest'][:12]})."
    yield f"- Identity: cosine, {identity['name']} ({identity['digest'][:12]}){zero}."
    yield (
        f"- Fréchet: squared distance of {count} codes of W+ to {settings['prior codes']} of the prior "
        f"{str(settings['prior']).upper()}, which few codes bias towards narrow sets; energy: the unbiased energy "
        f"distance of the same, in mean distances of the prior's codes; overlap: {settings['neighbours']} nearest "
        "neighbours at equal numbers, 1 cannot be told from the prior."
    )
    yield f"- *Codes of the prior*: what {count} fresh ones get, ± deviation of {CHANCE_DRAWS} draws."
    yield f"- Drawn from the codes with stored noise. Times: {settings['device']}, {settings['threads']} thread(s)."


def _as_json(found: Comparison, about: Mapping[str, object]) -> dict[str, object]:
    return {
        "settings": {**found.settings, **about},
        "photos": list(found.photos),
        "failures": dict(found.failures),
        "results": {name: _numbers(result) for name, result in found.results.items()},
        "chance": {
            "frechet": _interval(found.chance_frechet),
            "energy": _interval(found.chance_energy),
            "overlap": _interval(found.chance_overlap),
        },
    }


def _numbers(result: Result) -> dict[str, object]:
    measures: tuple[Measure, ...] = (*LIKENESS, "stranger", "seconds")
    summary: dict[str, object] = {
        measure: _interval(result.mean(measure)) for measure in measures if getattr(result, measure)
    }
    mixed = None
    if result.overlap is not None:
        mixed = {"value": result.overlap.value, "codes": result.overlap.codes, "prior": result.overlap.prior}
    each = {measure: list(getattr(result, measure)) for measure in measures}
    return {
        **summary,
        "frechet": result.frechet,
        "energy": result.energy,
        "overlap": mixed,
        "steps": result.steps,
        "each": each,
    }


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    # JSON has no NaN.
    return {"value": interval.value, "spread": None if math.isnan(interval.spread) else interval.spread}


def _with_spread(interval: Interval | None) -> str:
    if interval is None:
        return ""
    spread = "" if math.isnan(interval.spread) else f" ± {_short(interval.spread)}"
    return f"{_short(interval.value)}{spread}"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _xy(points: Tensor) -> tuple[list[float], list[float]]:
    return points[:, 0].tolist(), points[:, 1].tolist()
