"""A painter into the pack of its style: which of both draws better, and the file that holds them.

found = compared(photos, exemplars, Path("runs/painter"), teacher, training, painter, identity, features)
save_with_painter(Path("toon3d.safetensors"), stored, found, Path("with-painter.safetensors"))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..data.folder import ImageSet
from ..data.images import resize, to_array
from ..data.teacher import Teacher, TeacherPictures
from ..errors import UsageError
from ..evaluate import PictureMeasures, PictureScorer
from ..evaluate.picture_signals import SIDE, Batch
from ..io.headers import Header, PackPainter, read_header
from ..io.licences import under_both
from ..io.measured import rewritten, without_people
from ..io.model_file import Model
from ..io.painter_files import StoredPainter
from ..networks.features import Features
from ..networks.identity import Identity
from ..networks.painter import Painter
from ..ops.colour import are_grey
from ..train.painter import PainterTraining
from .painter import TEACHER, all_of, painted_by, parts_of_photos, photos_of


@dataclass(frozen=True)
class Compared:
    """What `evaluate pictures` measures, on photos and exemplars that neither was trained on."""

    painter: PictureMeasures
    code: PictureMeasures
    """Of the teacher: the style's codes with detail."""
    is_grey: bool
    """Whether the exemplars are."""

    @property
    def is_better(self) -> bool:
        """Whether the painter keeps people, is as sharp as the exemplars, and is no farther from them than the code."""
        mine, code = self.painter, self.code
        assert mine.style is not None and code.style is not None
        return mine.is_fit(self.is_grey) and mine.style.value <= code.style.value

    def as_json(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the measures by what drew."""
        return {"painter": self.painter.as_json(), "code": self.code.as_json()}


def compared(
    photos: ImageSet,
    exemplars: ImageSet,
    out: Path,
    teacher: Teacher,
    training: PainterTraining,
    painter: Painter,
    identity: Identity,
    features: Features,
) -> Compared:
    """Measure a painter beside its teacher, on what its training held out.

    Args:
        photos: As the training was given them.
        exemplars: Those that neither was trained on.
        out: The run folder, which holds the teacher's pictures.
        teacher: What drew them.
        training: Its settings.
        painter: The painter.
        identity: Embeds faces.
        features: What sets of pictures are compared with.

    Raises:
        UsageError: Nothing was held out.
    """
    refuse_nothing_held_out(training)
    _, held = parts_of_photos(photos_of(photos, training), training)
    given, drawn = all_of(TeacherPictures(out / TEACHER, training.side, teacher).pairs(held))
    painted = painted_by(painter, given)
    scorer = PictureScorer(_levels(given), identity, features)
    shown = exemplars.all()
    reference = scorer.exemplars(_levels(shown))
    mine, code = (scorer.measure(_levels(pictures), reference) for pictures in (painted, drawn))
    return Compared(mine, code, are_grey(shown))


def refuse_nothing_held_out(training: PainterTraining) -> None:
    """Refuse a training after which nothing is left to measure its painter on.

    Raises:
        UsageError: It holds nothing out.
    """
    if not training.held_out:
        raise UsageError("Nothing is held out to measure the painter on.", "Leave held_out above 0.")


def check_carries(style: Path) -> Header:
    """Return the header of a pack that can carry a painter.

    Raises:
        UsageError: The file is a base, or has a path per attribute.
    """
    header = read_header(style)
    if header.kind != "style-pack" or header.paths:
        what = "has a path per attribute" if header.paths else "is a base"
        raise UsageError(f"{style.name} {what}, and cannot carry a painter.", "Give the pack of one style.")
    return header


def save_with_painter(
    style: Path, stored: StoredPainter, found: Compared, out: Path, *, overwrite: bool = False
) -> Path:
    """Write the pack of a style with a painter in it, which is its default where it measured better.

    Args:
        style: The pack; its generator, its look and its header stay, but for the terms of the painter.
        stored: The painter.
        found: What was measured of both.
        out: The file to write.
        overwrite: Replace a file of that name.

    Raises:
        UsageError: As :func:`check_carries`.
    """
    check_carries(style)
    mine = stored.header
    about = PackPainter(mine.painter, mine.side, found.is_better, mine.teacher_digest, mine.training, found.as_json())

    def carrying(model: Model) -> Model:
        metrics = without_people(model.header.metrics)
        header = under_both(replace(model.header, painter=about, metrics=metrics), mine)
        return replace(model, painter=stored.painter, header=header)

    return rewritten(style, out, carrying, overwrite=overwrite)


def _levels(pictures: torch.Tensor) -> Batch:
    """Return pictures [N, 3, R, R] in [-1, 1] as ``uint8 [N, 256, 256, 3]``."""
    return np.stack([resize(to_array(picture), SIDE) for picture in pictures])
