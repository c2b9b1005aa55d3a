"""How good drawings of people are: whether the person stays, the style comes, and the picture is sharp.

Drawings of N people are measured beside their aligned photos and beside exemplars that the style has not seen. Read the
numbers together, and beside those of the baselines: doing nothing keeps every person.

    found = measure_pictures(photos, drawings, held_out, identity, features, mirrored=drawings_of_mirrored_photos)
    print(found.rank1.value, found.style.value, found.sharpness.value / found.exemplar_sharpness.value)

Many sets of drawings of the same photos are measured by one :class:`PictureScorer`, which looks at the photos once:

    scorer = PictureScorer(photos, identity, features)
    toon, oil = scorer.exemplars(toons), scorer.exemplars(oils)
    rows = {"toon3d": scorer.measure(drawn_toon, toon), "oil": scorer.measure(drawn_oil, oil)}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..errors import BadData
from ..networks.features import Features
from ..networks.identity import Identity
from ..ops import at_once
from .features import embed
from .kernel import Interval, kernel_interval
from .models import layout_similarity
from .pairs import interval
from .picture_signals import SIDE, Batch, check_batch, eye_difference, sharpness
from .recognition import matches, recognition

LEAST = 3
"""People, and exemplars, that can be measured at least."""
BATCH = 32
LEAST_IDENTITY = {False: 0.5, True: 0.35}
"""Cosine below which a person counts as lost: in colour, and in grey."""
SHARPNESS = (0.7, 1.2)
"""Of the exemplars'."""


@dataclass(frozen=True)
class PictureMeasures:
    """Drawings of N people, measured. Each value has its standard error; half of its 95 % interval is 1.96 of these."""

    identity: Interval
    """Mean cosine of a drawing and its own photo, -1 to 1; error over people."""
    strangers: Interval
    """Mean cosine of a drawing and another person's photo: the zero of ``identity``; jackknife over people."""
    rank1: Interval
    """Share of drawings whose nearest photo of N is the right person's, 0 to 1; chance is 1 / N; Wilson's error."""
    style: Interval | None
    """Kernel distance to held-out exemplars, about 0 at best; jackknife. Comparable on one feature network only. None
    without exemplars."""
    sharpness: Interval
    """Root mean square of the luminance above 32 cycles a picture, grey levels; error over people."""
    exemplar_sharpness: Interval | None
    """The same of the exemplars, error over these: neither more nor less is wanted. None without exemplars."""
    layout: Interval
    """Mean correlation of luminance over 16 x 16 areas of drawing and photo, -1 to 1; error over people."""
    eye_difference: Interval
    """Left minus right eye's mean luminance in drawings, grey levels; error over people."""
    mirror_bias: Interval | None
    """What is drawn into ``eye_difference`` whichever way a photo faces, grey levels; error over people.

    Half of the difference between the drawing of a photo and the drawing of the mirrored photo mirrored back: 0 for
    photos, and for whatever draws the mirrored photo as the mirrored drawing. None without drawings of mirrored photos.
    """

    def is_fit(self, is_colourless: bool) -> bool:
        """Return whether drawings, in grey or not, keep people and are about as sharp as the exemplars."""
        assert self.exemplar_sharpness is not None
        ratio = self.sharpness.value / self.exemplar_sharpness.value
        return self.identity.value >= LEAST_IDENTITY[is_colourless] and SHARPNESS[0] <= ratio <= SHARPNESS[1]

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return value and spread by the name of each field that was measured."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: {"value": v.value, "spread": v.spread} for name, v in found.items() if v is not None}


@dataclass(frozen=True, eq=False)
class ExemplarReference:
    """What is known of the exemplars of a style; made by :meth:`PictureScorer.exemplars`."""

    rows: Tensor
    """Their features, [M, F]."""
    sharpness: Interval


class PictureScorer:
    """Measures drawings of the same photos."""

    def __init__(self, photos: Batch, identity: Identity, features: Features, device: str = "cpu") -> None:
        """Look at the photos.

        Args:
            photos: Aligned photos of N different people, ``uint8 [N, 256, 256, 3]``, N at least 3.
            identity: Embeds faces; name it beside the numbers.
            features: What sets of pictures are compared with; name it beside the numbers.
            device: Where both networks are.

        Raises:
            BadData: The photos have another layout, or are too few.
        """
        check_batch(photos, "photos", LEAST)
        self.photos, self._identity, self._features, self._device = photos, identity, features, device
        self._persons = self._embedded(photos)

    def exemplars(self, pictures: Batch) -> ExemplarReference:
        """Look at exemplars ``uint8 [M, 256, 256, 3]`` that the style has not seen, M at least 3.

        Raises:
            BadData: They have another layout, or are too few.
        """
        check_batch(pictures, "exemplars", LEAST)
        return ExemplarReference(embed(self._features, self._batches(pictures)), _mean(sharpness(pictures)))

    def style(self, drawings: Batch, *exemplars: ExemplarReference) -> list[Interval]:
        """Return the style distance of pictures ``uint8 [M, 256, 256, 3]`` to each of several sets of exemplars.

        Raises:
            BadData: The pictures have another layout, or are too few.
        """
        check_batch(drawings, "drawings", LEAST)
        rows = embed(self._features, self._batches(drawings)) if exemplars else torch.empty(0)
        return [kernel_interval(rows, reference.rows) for reference in exemplars]

    def measure(
        self, drawings: Batch, exemplars: ExemplarReference | None = None, mirrored: Batch | None = None
    ) -> PictureMeasures:
        """Measure drawings, one of each photo in the same order.

        Args:
            drawings: ``uint8 [N, 256, 256, 3]``.
            exemplars: Those of the style.
            mirrored: The drawings of the mirrored photos, as they came, not mirrored back.

        Raises:
            BadData: The drawings have another layout, or are not one of each photo.
        """
        self._check(drawings, "drawings")
        who = recognition(self._embedded(drawings), self._persons)
        pairs = zip(self._batches(drawings), self._batches(self.photos), strict=True)
        eyes, bias = eye_difference(drawings), None
        if mirrored is not None:
            self._check(mirrored, "drawings of mirrored photos")
            # Mirroring a drawing back negates its difference.
            bias = _mean((eyes + eye_difference(mirrored)) / 2)
        return PictureMeasures(
            identity=who.own,
            strangers=who.strangers,
            rank1=who.rank1,
            style=None if exemplars is None else self.style(drawings, exemplars)[0],
            sharpness=_mean(sharpness(drawings)),
            exemplar_sharpness=None if exemplars is None else exemplars.sharpness,
            layout=interval(torch.cat([layout_similarity(mine, theirs) for mine, theirs in pairs])),
            eye_difference=_mean(eyes),
            mirror_bias=bias,
        )

    def persons(self, drawings: Batch) -> tuple[Tensor, Tensor]:
        """Return the cosine of each drawing and its own photo, and whether no other photo is as near: [N] each.

        Raises:
            BadData: As :meth:`measure`.
        """
        self._check(drawings, "drawings")
        return matches(self._embedded(drawings), self._persons)

    def _check(self, pictures: Batch, what: str) -> None:
        check_batch(pictures, what)
        if len(pictures) != len(self.photos):
            raise BadData(f"{len(pictures)} {what} belong to {len(self.photos)} photos.", "Bring one of each photo.")

    @torch.no_grad()
    def _embedded(self, pictures: Batch) -> Tensor:
        return torch.cat([self._identity.embed(part).cpu() for part in self._batches(pictures)])

    def _batches(self, pictures: Batch) -> Iterator[Tensor]:
        """Yield the pictures as networks take them, float32 [n, 3, 256, 256] in [-1, 1]."""
        some = at_once(BATCH, SIDE)
        for begin in range(0, len(pictures), some):
            part = np.ascontiguousarray(pictures[begin : begin + some].transpose(0, 3, 1, 2))
            yield torch.from_numpy(part).to(self._device).float().div_(127.5).sub_(1)


def measure_pictures(
    photos: Batch,
    drawings: Batch,
    exemplars: Batch | None,
    identity: Identity,
    features: Features,
    mirrored: Batch | None = None,
    *,
    device: str = "cpu",
) -> PictureMeasures:
    """Measure drawings of N people beside their photos and beside exemplars that the style has not seen.

    Args:
        photos: Photos of N different people, aligned as FFHQ's are, ``uint8 [N, 256, 256, 3]``; N at least 3.
        drawings: One of each, in the same order and layout.
        exemplars: Held-out exemplars ``uint8 [M, 256, 256, 3]``, M at least 3; None leaves out what needs them.
        identity: Embeds faces; those trained on photos see less of a person in a drawing.
        features: What the style distance looks with.
        mirrored: The drawings of the mirrored photos, as they came; :attr:`PictureMeasures.mirror_bias` needs them.
        device: Where both networks are.

    Raises:
        BadData: Pictures have another layout, are too few, or are not one of each photo.
    """
    scorer = PictureScorer(photos, identity, features, device)
    return scorer.measure(drawings, None if exemplars is None else scorer.exemplars(exemplars), mirrored)


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Interval:
    return interval(torch.from_numpy(values))
