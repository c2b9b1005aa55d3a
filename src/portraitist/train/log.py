"""What a run reports while it runs: a progress bar, ``stats.jsonl``, TensorBoard and sample grids.

None of this can end a training: a full disk costs log lines, not the run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor
from tqdm import tqdm

from ..data.images import write_image
from ..data.sheet import grid
from ..errors import StorageError
from ..files import parse_json, read_regular, write_bytes
from .symptoms import Symptoms
from .tally import Tally

STATS = "stats.jsonl"
log = logging.getLogger("portraitist")


class RunLog:
    """Statistics of a run, averaged over ticks."""

    def __init__(
        self,
        folder: Path,
        images: int,
        start: int,
        tally: Tally,
        symptoms: Symptoms | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Go on with a log.

        Args:
            folder: The run folder.
            images: Images that the run shows in all.
            start: Images seen.
            tally: What was reported since the last line; kept up.
            symptoms: What the lines have shown; kept up.
            quiet: Show no progress bar.
        """
        self.folder, self.tally, self.symptoms = folder, tally, symptoms or Symptoms()
        self.bar = tqdm(total=images, initial=start, unit=" images", disable=quiet, smoothing=0.05, dynamic_ncols=True)
        self.since = (time.monotonic(), time.process_time(), start)
        self.board: Any = None

    def __enter__(self) -> Self:
        # TensorBoard takes a second to import; only training needs it.
        from torch.utils.tensorboard import SummaryWriter

        start = self.since[-1]
        try:
            # Lines after the snapshot that the run continues from will be written again.
            _trim(self.folder / STATS, start)
            self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=start + 1 if start else None)
        except (OSError, StorageError) as error:
            log.warning("the log of an earlier run cannot be continued: %s", error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if self.board is not None:
            with contextlib.suppress(OSError):
                self.board.close()

    def add(self, batch: int, report: Mapping[str, Tensor]) -> None:
        """Count one step."""
        self.bar.update(batch)
        self.tally.add(report)

    def tick(self, images: int, extra: Mapping[str, float]) -> dict[str, float]:
        """Write the averages since the last tick and return them."""
        now = (time.monotonic(), time.process_time(), images)
        seconds, cpu_seconds, seen = (new - old for new, old in zip(now, self.since, strict=True))
        line = {"images": float(images), **self.tally.take(), **extra}
        line |= self.symptoms.look(line)
        line |= {"images_per_second": seen / max(seconds, 1e-9), "cpu_seconds": cpu_seconds}
        self.since = now
        self.bar.set_postfix(
            {k: f"{line[k]:.2f}" for k in ("loss_d", "loss_g", "ada_p", "loss") if k in line}, refresh=False
        )
        try:
            with (self.folder / STATS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({k: round(v, 6) for k, v in line.items()}) + "\n")
            for name, value in line.items():
                if name != "images" and self.board is not None:
                    self.board.add_scalar(name, value, images)
        except OSError as error:
            log.warning("the statistics of %d images could not be written: %s", images, error)
        return line

    def samples(self, images: int, drawn: Tensor, columns: int | None = None) -> None:
        """Write a grid of drawn images [N, 3, R, R], ``columns`` in a row or about square; warn where all are alike."""
        if len(drawn) > 1 and float(drawn.float().std(0).max()) < _ALIKE:
            log.warning("ALL SAMPLES OF %d IMAGES ARE ONE PICTURE: the generator has collapsed.", images)
        try:
            write_image(self.folder / "samples" / f"images-{images:09d}.png", grid(drawn, columns))
        except StorageError as error:
            log.warning("the samples of %d images could not be written: %s", images, error)


_ALIKE = 2 / 255
"""Deviation of any pixel over samples, of the range -1 to 1, below which they are one picture."""


def _trim(path: Path, images: int) -> None:
    """Drop the lines of ``stats.jsonl`` beyond a number of images, and a last one that was cut off."""
    if not path.exists():
        return
    text = read_regular(path)
    kept = b"".join(line for line in text.splitlines(keepends=True) if _images_of(line) <= images)
    if kept != text:
        write_bytes(path, kept, overwrite=True)


def _images_of(line: bytes) -> float:
    try:
        return float(parse_json(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
