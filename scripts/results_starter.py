"""Measure the bundled models on photos that nothing was trained on; writes docs/results/starter.md
and docs/models.png.

    python scripts/results_starter.py --photos DATA/test_unaligned --sheets out/results

Every photo of the folder is redrawn in every bundled style. Only numbers go into the document; sheets of real people
stay in the folder given.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from portraitist.data.images import Pixels, resize, write_image
from portraitist.data.sheet import grid
from portraitist.errors import PortraitistError
from portraitist.faces import MediaPipeFinder
from portraitist.io import registry
from portraitist.ops import keep_heap
from portraitist.spaces import Z, truncate
from portraitist.stylize import FileReport, Portrait, Stylizer, stylize_files
from portraitist.stylize.batch import Options

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--sheets", type=Path, default=ROOT / "out/results", help="folder for pictures to look at")
    options = parser.parse_args()
    keep_heap()
    stylizer = Stylizer.load()
    reports = stylize_files(
        stylizer,
        options.photos,
        options.sheets / "files",
        Options(overwrite=True, sheet=True),
        on_file=lambda line: print(line.source, line.status, line.reason, flush=True),
    )
    likeness = {name: Likeness() for name in ("base", *stylizer.generators)}
    rows: list[Pixels] = []
    for path in sorted(options.photos.rglob("*.jpg"))[:24]:
        try:
            portraits = stylizer.stylize(path, which="largest")
        except PortraitistError:
            continue
        face = portraits.faces[0]
        measure(face, likeness)
        rows.append(portraits.sheet(128))
    half = len(rows) // 2
    sheet = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half : 2 * half])], axis=1)
    write_image(options.sheets / "sheet.png", sheet)
    write_image(ROOT / "docs/models.png", family(stylizer))
    text = document(reports, likeness)
    (ROOT / "docs/results/starter.md").write_text(text, encoding="utf-8")
    print(text)


def family(stylizer: Stylizer, count: int = 12) -> Pixels:
    """Draw the same codes of the prior with the base and with each style, a row each."""
    generators = [stylizer.base.generator, *stylizer.generators.values()]
    z = Z.sample(count, stylizer.base.generator.anatomy.z_dim, torch.Generator().manual_seed(0))
    with torch.no_grad():
        code = truncate(stylizer.base.generator.map(z), stylizer.base.generator.mean, 0.7)
        return grid(torch.cat([generator.synthesize(code) for generator in generators]), columns=count)


class Likeness:
    """Where a finder sees the face of a drawing, against where it sees that of the photo."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self.lost = 0

    def note(self, wanted: npt.NDArray[np.float64] | None, found: npt.NDArray[np.float64] | None) -> None:
        """Compare eyes and mouth corners; the unit is the distance of the eyes in the photo."""
        if wanted is None:
            return
        if found is None:
            self.lost += 1
            return
        unit = float(np.linalg.norm(wanted[1] - wanted[0]))
        self.errors.append(float(np.linalg.norm(found - wanted, axis=1).mean()) / unit)


def measure(face: Portrait, likeness: dict[str, Likeness]) -> None:
    """Note how far eyes and mouth have moved in the base's drawing and in each style's."""
    side = face.reconstruction.shape[0]
    photo = resize(face.aligned.image, side)
    wanted = points(photo)
    likeness["base"].note(wanted, points(face.reconstruction))
    for name, picture in face.pictures.items():
        likeness[name].note(wanted, points(picture))


def points(picture: Pixels) -> npt.NDArray[np.float64] | None:
    """Return eyes and mouth corners of the largest face, [4, 2], or None."""
    found = MediaPipeFinder().find(picture)
    return np.asarray(found[0].landmarks.four) if found else None


def document(reports: list[FileReport], likeness: dict[str, Likeness]) -> str:
    """Write down what was measured."""
    counts = Counter(r.status for r in reports)
    kinds = Counter(r.kind for r in reports if r.status == "failed")
    seconds = [r.seconds / max(r.faces, 1) for r in reports if r.status == "done"]
    lines = [
        "# The bundled starter models on photos they have not seen",
        "",
        "Written by `scripts/results_starter.py`. No model was trained on any of these photos (`test_unaligned`:",
        "pictures as people have them, 512 to 1024 pixels, not aligned).",
        "",
        f"- `stylize` on {len(reports)} photos: {counts['done']} redrawn ({sum(r.faces for r in reports)} faces), "
        f"{counts['failed']} with a typed reason{': ' + str(dict(kinds)) if kinds else ''}, no crash.",
        f"- {statistics.median(seconds):.1f} s a face (median; {max(seconds):.1f} s at most) for finding, aligning, "
        f"inverting and drawing in {len(likeness) - 1} styles, on one core.",
        "",
        "Pose and expression kept: eyes and mouth corners found again in the drawings (enlarged to 256 px), mean",
        "distance to where they are in the aligned photo (64 px, enlarged alike), in units of the eyes' distance.",
        "",
        "| drawing | photos | median | 90 % below | no face found in it |",
        "|---|---|---|---|---|",
    ]
    for name, found in likeness.items():
        total, (median, most) = len(found.errors) + found.lost, np.quantile(found.errors, [0.5, 0.9])
        lines.append(f"| {name} | {total} | {median:.3f} | {most:.3f} | {found.lost} |")
    lines += ["", "| model | licence | images seen | SHA-256 |", "|---|---|---|---|"]
    for entry in registry.entries():
        seen = " + ".join(str(step["images_seen"]) for step in entry.header.lineage)
        lines.append(f"| {entry.name} | {entry.header.licence} | {seen} | `{entry.sha256[:16]}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
