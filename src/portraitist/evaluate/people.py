"""Whether drawings keep some people better than others: by what is known of them, and by the tone of their skin.

    columns = {"skin": skin_tones(photos)}  # and "gender": ("female", "male", ...), say
    for group in by_group(PictureScorer(photos, identity, features), drawings, columns):
        print(group.attribute, group.value, group.identity.value, group.lightness.value)

The tone of a skin is read from the photo, where light and camera have a part in it: it sorts photos, not people. It
is the individual typology angle, arctan((L* - 50) / b*) in degrees, of Chardon, Cretois and Hourseau 1991 (Int. J.
Cosmetic Science 13, p. 191), whose six classes are taken in pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.labels import UNKNOWN
from ..errors import BadData
from .kernel import Interval
from .pairs import interval
from .picture_signals import SIDE, Batch, Values, check_batch
from .pictures import PictureScorer
from .recognition import share

TONES = ("light", "medium", "dark")
LIGHT, DARK = 41.0, 10.0
"""Typology angles in degrees above which a skin is (very) light, and below which it is brown or dark."""
CHEEK_ROWS = (0.55, 0.64)
"""Top and bottom of both cheeks, as parts of the side of an aligned face."""
CHEEK_COLUMNS = (0.32, 0.42)
"""Ends of the cheek at the viewer's left; those of the other mirror them."""
FEWEST = 3
"""People of a group that is measured."""


@dataclass(frozen=True)
class GroupMeasures:
    """Drawings of the people of one group, among drawings of all. Each value has its standard error over people."""

    attribute: str
    value: str
    people: int
    identity: Interval
    """Mean cosine of a drawing and its own photo, -1 to 1."""
    rank1: Interval
    """Share whose nearest photo of *all* people is their own, 0 to 1; Wilson's error."""
    lightness: Interval
    """Mean change of the cheeks' lightness from photo to drawing, CIELAB L* (0 to 100)."""

    def as_json(self) -> dict[str, Any]:
        """Return the group, how many are in it, and value and spread of each measure."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: {"value": v.value, "spread": v.spread} if isinstance(v, Interval) else v for name, v in found.items()
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> GroupMeasures:
        """Return what :meth:`as_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        measures = {
            name: Interval(float(found[name]["value"]), float(found[name]["spread"]))
            for name in ("identity", "rank1", "lightness")
        }
        return cls(str(found["attribute"]), str(found["value"]), int(found["people"]), **measures)


def by_group(scorer: PictureScorer, drawings: Batch, columns: Mapping[str, Sequence[str]]) -> Iterator[GroupMeasures]:
    """Measure drawings for each value of each attribute of which there are 3 people at least.

    Args:
        scorer: Knows the photos.
        drawings: One of each photo in the same order, ``uint8 [N, 256, 256, 3]``.
        columns: Attribute -> the value of each photo; ``unknown`` makes no group.

    Raises:
        BadData: A column is of another length, or the drawings have another layout.
    """
    for attribute, values in columns.items():
        if len(values) != len(scorer.photos):
            raise BadData(
                f"{len(values)} values of {attribute} belong to {len(scorer.photos)} photos.", "Label each photo."
            )
    own, right = scorer.persons(drawings)
    lighter = torch.from_numpy(cheeks(drawings)[:, 0] - cheeks(scorer.photos)[:, 0])
    for attribute, values in columns.items():
        # Tones have an order; other values come by name.
        order = TONES if set(values) <= {*TONES, UNKNOWN} else sorted(set(values))
        for value in order:
            of = torch.tensor([each == value for each in values])
            if value == UNKNOWN or (count := int(of.sum())) < FEWEST:
                continue
            hits = share(int(right[of].sum()), count)
            yield GroupMeasures(attribute, value, count, interval(own[of]), hits, interval(lighter[of]))


def skin_tones(photos: Batch) -> tuple[str, ...]:
    """Return ``light``, ``medium`` or ``dark`` for each aligned photo ``uint8 [N, 256, 256, 3]``."""
    lightness, b = cheeks(photos).T
    angles = np.degrees(np.arctan2(lightness - 50, np.maximum(b, 1e-6)))
    return tuple(TONES[0] if angle > LIGHT else TONES[2] if angle < DARK else TONES[1] for angle in angles)


def cheeks(pictures: Batch) -> Values:
    """Return the median L* and b* of the cheeks of aligned faces ``uint8 [N, 256, 256, 3]``: [N, 2]."""
    check_batch(pictures, "pictures")
    top, bottom = (round(part * SIDE) for part in CHEEK_ROWS)
    left, right = (round(part * SIDE) for part in CHEEK_COLUMNS)
    rows = pictures[:, top:bottom]
    both = np.concatenate((rows[:, :, left:right], rows[:, :, SIDE - right : SIDE - left]), axis=2)
    lab = _lightness_and_b(both.reshape(len(both), -1, 3))
    return np.median(lab, axis=1)


def _lightness_and_b(srgb: npt.NDArray[np.uint8]) -> Values:
    """Return L* and b* of CIELAB under D65 of colours [..., 3] in sRGB (IEC 61966-2-1): [..., 2]."""
    v = srgb / 255.0
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array((0.2126729, 0.7151522, 0.0721750))
    z = linear @ np.array((0.0193339, 0.1191920, 0.9503041)) / 1.08883
    fy, fz = (np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29) for t in (y, z))
    found: Values = np.stack((116 * fy - 16, 200 * (fy - fz)), axis=-1)
    return found
