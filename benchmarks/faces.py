"""Find the faces of photos whose points are known, of turned photos, noise, grey and drawings; prints a row of a table.

    python -m benchmarks.faces ../shared/data

The photos and their points are those of DATA/test_unaligned (docs/models.md names where the sets come from). With
another version's ``src`` on PYTHONPATH it measures that one's finder, so that two can be compared in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from portraitist.faces import FaceFinder, Landmarks, finder_named

Photo = npt.NDArray[np.uint8]
DRAWINGS = ("style_toon3d", "style_oil", "style_charcoal", "style_anime")
TURNED = 20


@dataclass(frozen=True)
class Row:
    """What one finder does; errors are means over eyes and corners of the mouth, in eye distances."""

    photos: int
    found: int
    error: float
    error_p95: float
    error_max: float
    turned_found: tuple[int, int, int]
    """By 90, 180 and 270 degrees, of ``TURNED`` each."""
    turned_error: tuple[float, float, float]
    false_in_noise: int
    false_in_grey: int
    drawings: int
    drawings_found: int
    milliseconds: float
    """CPU time of a photo."""
    first: float
    """Seconds of CPU time of the first use."""
    megabytes: float
    """Resident memory that finding adds at its peak."""


def known_photos(folder: Path) -> Iterator[tuple[Photo, Landmarks]]:
    """Give the photos of a folder whose five points are known."""
    points = json.loads((folder / "points.json").read_text(encoding="utf-8"))
    for name, entry in sorted(points.items()):
        if entry["points5"] is not None:
            yield read(folder / name), Landmarks.from_points(entry["points5"])


def read(path: Path) -> Photo:
    """Read a picture as uint8 [H, W, 3]."""
    return np.asarray(Image.open(path).convert("RGB"))


def error(finder: FaceFinder, photo: Photo, truth: Landmarks) -> float:
    """Return how far the nearest face that is found lies from the true one, in eye distances; infinity if none."""
    apart = [np.linalg.norm(face.landmarks.four - truth.four, axis=1).mean() for face in finder.find(photo)]
    return float(min(apart, default=np.inf)) / truth.eye_distance


def turned(photo: Photo, truth: Landmarks, quarters: int) -> tuple[Photo, Landmarks]:
    """Turn a photo and its points anticlockwise by quarters."""
    for _ in range(quarters):
        matrix = [[0, 1, 0], [-1, 0, photo.shape[1]], [0, 0, 1]]
        photo, truth = np.rot90(photo), truth.transformed(matrix)
    return np.ascontiguousarray(photo), truth


def resident(which: str) -> float:
    """Return the resident memory of this process, now (``VmRSS``) or at its peak (``VmHWM``), in megabytes; Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) * 1024 / 1e6


def measure(data: Path) -> Row:
    """Measure the default finder."""
    photos = list(known_photos(data / "test_unaligned"))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from now on
    before = resident("VmRSS")
    start = time.process_time()
    finder = finder_named()
    finder.find(np.zeros((64, 64, 3), np.uint8))
    first = time.process_time() - start
    start = time.process_time()
    errors = np.array([error(finder, photo, truth) for photo, truth in photos])
    each = (time.process_time() - start) / len(photos)
    seen = errors[errors < 0.1]
    memory = resident("VmHWM") - before
    others = [
        np.array([error(finder, *turned(photo, truth, quarters)) for photo, truth in photos[:TURNED]])
        for quarters in (1, 2, 3)
    ]
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (512, 512, 3), np.uint8) for _ in range(3)]
    grey = [np.full((512, 512, 3), level, np.uint8) for level in (0, 128, 255)]
    drawings = [path for style in DRAWINGS for path in some(data / style, 12)]
    return Row(
        len(photos),
        len(seen),
        float(seen.mean()),
        float(np.percentile(seen, 95)),
        float(seen.max()),
        tuple(int((row < 0.1).sum()) for row in others),  # type: ignore[arg-type]
        tuple(float(row[row < 0.1].mean()) for row in others),  # type: ignore[arg-type]
        sum(len(finder.find(picture)) for picture in noise),
        sum(len(finder.find(picture)) for picture in grey),
        len(drawings),
        sum(bool(finder.find(read(path))) for path in drawings),
        1000 * each,
        first,
        memory,
    )


def some(folder: Path, count: int) -> list[Path]:
    """Return pictures of a folder, evenly chosen by name."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    return found[:: max(1, len(found) // count)][:count]


def shown(row: Row) -> str:
    """Return the table of one row."""
    columns = {
        "found": f"{row.found} of {row.photos}",
        "error mean / p95 / max": f"{row.error:.4f} / {row.error_p95:.4f} / {row.error_max:.4f}",
        "turned 90, 180, 270": ", ".join(map(str, row.turned_found)) + f" of {TURNED}",
        "their error": ", ".join(f"{mean:.3f}" for mean in row.turned_error),
        "in noise, grey": f"{row.false_in_noise}, {row.false_in_grey}",
        "drawings": f"{row.drawings_found} of {row.drawings}",
        "ms of CPU a photo": f"{row.milliseconds:.0f}",
        "first use, s": f"{row.first:.2f}",
        "memory, MB": f"{row.megabytes:.0f}",
    }
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), columns.values()))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces", description=__doc__)
    parser.add_argument("data", type=Path)
    torch.set_num_threads(1)
    print(shown(measure(parser.parse_args().data)))


if __name__ == "__main__":
    main()
