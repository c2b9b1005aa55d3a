"""How far a base has come that grows: its snapshots beside the old base enlarged, and beside the photos it learns from.

python -m studies growth runs/faces-256 --from faces --photos P --held-out Q --features squeezenet.npz
(and, to compare ways of training: --trial plain=runs/plain --trial features=runs/features)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from safetensors import safe_open
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import to_array, write_image
from portraitist.evaluate import kernel_interval, neighbourhoods, pooled_features
from portraitist.evaluate.quality import as_files
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.networks import Generator, GeneratorAnatomy
from portraitist.networks.features import Features
from portraitist.report.markdown import table
from portraitist.train.folder import SNAPSHOTS
from portraitist.train.log import STATS
from portraitist.train.snapshot import counters_of, snapshots

from .material import drawn_photos
from .surgery import labelled

SHOWN = 8
BATCH = 16


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies growth", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of the base that grows")
    parser.add_argument("--from", dest="base", required=True, help="the base it is compared with")
    parser.add_argument("--photos", type=Path, required=True, help="what it learns from")
    parser.add_argument("--held-out", type=Path, required=True, help="photos that it has not seen")
    parser.add_argument("--features", type=Path, action="append", required=True, help="feature networks that measure")
    parser.add_argument("--images", type=int, action="append", help="snapshots to measure (default: all)")
    parser.add_argument(
        "--trial",
        type=Trial.of,
        action="append",
        default=[],
        metavar="NAME=RUN",
        help="ways of training from the same base, which are compared; first the plain way",
    )
    parser.add_argument("--page", default="growth", help="name of the page and of its sheets")
    parser.add_argument("--samples", type=int, default=500, help="pictures of each set")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    given = parser.parse_args(arguments)
    features = [load_features(path) for path in given.features]
    base = registry.load(given.base).generator
    latents = torch.randn(given.samples, base.anatomy.z_dim, generator=torch.Generator().manual_seed(11))
    generators = list(trained(given.run, given.images or []))
    side = generators[-1][1].anatomy.resolution
    photos, held_out = (ImageSet.open(path, side) for path in (given.photos, given.held_out))
    wanted = [pooled_features(f, drawn_photos(held_out, len(held_out))) for f in features]
    old = enlarged(drawn(base, latents), side)
    before = "the base before" if base.anatomy.resolution == side else f"{given.base}, enlarged"
    sets = [("photos it learns from", drawn_photos(photos, given.samples)), (before, old)]
    rows = [(name, *measured(pictures, features, wanted)) for name, pictures in sets]
    shown = [[to_array(p) for p in old[:SHOWN]]]
    for images, generator in generators:
        pictures = drawn(generator, latents)
        rows.append((f"{images:,} images", *measured(pictures, features, wanted)))
        shown.append([to_array(p) for p in pictures[:SHOWN]])
    names = [sets[-1][0], *(f"{images:,}" for images, _ in generators)]
    write_image(given.out / f"{given.page}.png", labelled(shown, ["" for _ in range(SHOWN)], names, side // 2))
    lines = page(given.page, rows, features, given.samples, len(held_out), side)
    if given.trial:
        budget = given.trial[0].cpu_minutes()
        rows, shown, names = [], [], []
        for trial in given.trial:
            for images, generator in trial.compared(budget):
                pictures = enlarged(drawn(generator, latents), side)
                minutes = f"{trial.cpu_minutes(images):.0f}"
                rows.append((trial.name, f"{images:,}", minutes, *measured(pictures, features, wanted)))
                shown.append([to_array(p) for p in pictures[:SHOWN]])
                names.append(f"{trial.name}, {images:,}")
        write_image(
            given.out / f"{given.page}_trials.png", labelled(shown, ["" for _ in range(SHOWN)], names, side // 2)
        )
        lines += trial_section(given.page, rows, features, budget)
    write_bytes(given.out / f"{given.page}.md", "\n".join(lines).encode(), overwrite=True)


@dataclass(frozen=True)
class Trial:
    """A way of training, and the folder in which it was tried."""

    name: str
    run: Path

    @classmethod
    def of(cls, given: str) -> Trial:
        """Read NAME=RUN.

        Raises:
            ValueError: There is no name, or no folder of a run.
        """
        name, _, run = given.partition("=")
        if not name or not (Path(run) / STATS).is_file():
            raise ValueError(f"{given} is not NAME=RUN with the folder of a run")
        return cls(name, Path(run))

    @cached_property
    def stats(self) -> list[dict[str, float]]:
        """The log of the training, a line a tick."""
        return [json.loads(line) for line in (self.run / STATS).read_text(encoding="utf-8").splitlines()]

    def cpu_minutes(self, images: int | None = None) -> float:
        """Return the CPU time that training took, of all images or of the first ones."""
        return sum(line["cpu_seconds"] for line in self.stats if images is None or line["images"] <= images) / 60

    def compared(self, minutes: float) -> Iterator[tuple[int, Generator]]:
        """Yield the last snapshot within a CPU time, and the last one where that is another."""
        every = [counters_of(path)["images"] for path in snapshots(self.run / SNAPSHOTS)]
        within = [images for images in every if self.cpu_minutes(images) <= minutes]
        return trained(self.run, [*within[-1:], every[-1]])


def trained(run: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Generator]]:
    """Yield images seen and the averaged generator of each snapshot that is wanted; of all, if none is named."""
    networks = json.loads((run / "settings.json").read_text())["networks"]["generator"]
    anatomy = TypeAdapter(GeneratorAnatomy).validate_python(networks)
    for path in snapshots(run / SNAPSHOTS):
        images = counters_of(path)["images"]
        if wanted and images not in wanted:
            continue
        generator = Generator(anatomy)
        with safe_open(path, "pt") as file:
            generator.load_state_dict({name: file.get_tensor(f"average.{name}") for name in generator.state_dict()})
        yield images, generator.eval()


@torch.no_grad()
def drawn(generator: Generator, latents: Tensor) -> Tensor:
    """Draw pictures [N, 3, R, R] in [-1, 1] as an 8-bit file would hold them."""
    return as_files(generator.sample_batches(latents, BATCH))


def enlarged(images: Tensor, side: int) -> Tensor:
    """Enlarge pictures as viewers do (bicubic): [N, 3, side, side]."""
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def measured(images: Tensor, features: Sequence[Features], wanted: Sequence[Tensor]) -> tuple[str, ...]:
    """Return kernel distance and recall to the held-out photos by each network."""
    cells: list[str] = []
    for network, rows in zip(features, wanted, strict=True):
        mine = pooled_features(network, images)
        distance = kernel_interval(mine, rows)
        cells += [f"{distance.value:.3f} ± {distance.spread:.3f}", f"{neighbourhoods(rows, mine).recall.value:.2f}"]
    return tuple(cells)


def page(
    name: str, rows: Sequence[Sequence[str]], features: Sequence[Features], samples: int, held_out: int, side: int
) -> list[str]:
    """Return the lines of the page."""
    return [
        "# A base that grows",
        "",
        "`python -m studies growth` measures the snapshots of a run folder (`--images` chooses some).",
        f"{samples} samples (seed 11) against {held_out} held-out photos, at {side} pixels, by pooled features. Lower",
        "distances and higher recall are better; ± is one standard error.",
        "",
        *table(["", *measure_heads(features)], rows),
        f"![The same codes, image by image of the training]({name}.png)",
        "",
        f"Each row draws the same {SHOWN} codes.",
        "",
    ]


def trial_section(name: str, rows: Sequence[Sequence[str]], features: Sequence[Features], minutes: float) -> list[str]:
    """Return the lines that compare ways of training."""
    return [
        "## Ways of growing, tried",
        "",
        "From the same base, at equal images and at about equal CPU time: of each way the last snapshot, and the last",
        f"one within the {minutes:.0f} CPU minutes of `{rows[0][0]}`. Pictures are enlarged to the side above.",
        "",
        *table(["", "images", "CPU minutes", *measure_heads(features)], rows),
        f"![The same codes by each way]({name}_trials.png)",
        "",
    ]


def measure_heads(features: Sequence[Features]) -> list[str]:
    """Return the heads of the columns that ``measured`` fills."""
    return [cell for f in features for cell in (f"kernel distance, {f.name}", f"recall, {f.name}")]
