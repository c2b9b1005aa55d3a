"""What ``portraitist evaluate pictures`` writes: one table of styles, the base and the baselines, and a sheet.

print(PictureTable(rows, {"toon3d": reference.sharpness}, settings).markdown())
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.images import Pixels
from ..evaluate.kernel import Interval
from ..evaluate.people import GroupMeasures
from ..evaluate.picture_baselines import BASE_SIZE, NOTHING, SMOOTHED
from ..evaluate.picture_signals import CUTOFF
from ..evaluate.pictures import PictureMeasures
from .labels import labelled
from .markdown import shown, table

MOST_SHOWN = 24
"""People on a sheet."""
FIRST = ("identity ↑", "of strangers", "rank-1 ↑")
LAST = ("sharpness", "layout ↑", "left − right eye", "mirror bias")


GROUP_HEAD = ("", "people", "identity ↑", "rank-1 ↑", "lightness")
GROUP_NOTES = (
    "- Rank-1: among all people. Lightness: mean change of the cheeks from photo to drawing, CIELAB L* of 0 to 100.",
    "- Skin: the typology angle of the cheeks in the photo (Chardon et al. 1991), light above 41 and dark below 10.",
)


@dataclass(frozen=True)
class PictureRow:
    """One set of drawings, measured."""

    name: str
    measures: PictureMeasures
    styles: Mapping[str, Interval]
    """Style -> the style distance to its exemplars."""


@dataclass(frozen=True)
class PictureTable:
    """Sets of drawings of the same photos."""

    rows: Sequence[PictureRow]
    exemplars: Mapping[str, Interval]
    """Style -> the sharpness of its exemplars."""
    settings: Mapping[str, Any]
    """What determined the numbers: ``people``, ``identity`` and ``style distance`` (name and digest of each network),
    ``base side``, ``exemplars`` (style -> how many) and what the caller adds."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Photo -> why it could not be used."""
    warnings: Sequence[str] = ()
    groups: Mapping[str, Sequence[GroupMeasures]] = field(default_factory=dict)
    """Style -> its drawings of some people beside those of others."""

    def markdown(self, sheet: str = "") -> str:
        """Return the table with what its numbers mean below; ``sheet`` is the address of a picture to show."""
        styles = list(self.exemplars)
        head = ["", *FIRST, *(f"style: {name} ↓" for name in styles), *LAST]
        rows = [
            [row.name, *map(shown, _first(row)), *(shown(row.styles.get(name)) for name in styles), *_last(row)]
            for row in self.rows
        ]
        blank = [""] * (len(FIRST) + len(styles))
        rows += [[f"exemplars of {name}", *blank, shown(sharp), "", "", ""] for name, sharp in self.exemplars.items()]
        lines = ["# Pictures", "", *(f"**{warning}**\n" for warning in self.warnings), *table(head, rows)]
        lines += [f"- {note}" for note in self._notes()]
        for name, groups in self.groups.items():
            lines += ["", f"## {name}, by group", "", *table(GROUP_HEAD, group_rows(groups)), *GROUP_NOTES]
        if self.left_out:
            lines += ["", f"Left out of everything ({len(self.left_out)}):", ""]
            lines += [f"- {name}: {reason}" for name, reason in self.left_out.items()]
        if sheet:
            lines += ["", f"![The first people: photo, base and styles]({sheet})"]
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
            "left_out": dict(self.left_out),
            "exemplar_sharpness": {name: _plain(sharp) for name, sharp in self.exemplars.items()},
            "rows": [
                {
                    "name": row.name,
                    "values": row.measures.as_json(),
                    "style_distances": {name: _plain(found) for name, found in row.styles.items()},
                }
                for row in self.rows
            ],
            "groups": {name: [group.as_json() for group in groups] for name, groups in self.groups.items()},
        }

    def _notes(self) -> Iterator[str]:
        people = self.settings["people"]
        yield f"{people} people; ± half of the 95 % interval, over people unless said."
        yield (
            f"*{NOTHING}* is the photo, *{SMOOTHED}* the photo without texture, *{BASE_SIZE}* the photo reduced to "
            f"{self.settings['base side']} pixels; *the base* draws the same codes without a style."
        )
        yield f"Identity: cosine of {self.settings['identity']}; of strangers: to the photos of all others, its zero."
        yield f"Rank-1: share whose nearest photo of {people} is the right person's; chance {1 / people:.3f}; Wilson."
        if self.exemplars:
            counts = ", ".join(f"{name} {count}" for name, count in self.settings["exemplars"].items())
            yield f"Style: {self.settings['style distance']} to held-out exemplars ({counts}), unbiased; jackknife."
        yield (
            f"Sharpness: root mean square of luminance above {CUTOFF} cycles a picture of 256 pixels (Hann window), "
            "grey levels; the exemplars' is wanted."
        )
        yield "Layout: correlation of luminance over 16 x 16 areas of drawing and photo."
        yield (
            "Left − right eye: mean luminance, grey levels; mirror bias: what of it is drawn whichever way a photo "
            "faces, half of that of the drawing less that of the mirrored photo's drawing mirrored back; 0 is wanted."
        )


def group_rows(groups: Sequence[GroupMeasures]) -> list[tuple[str, ...]]:
    """Return the rows of a table of groups, under ``GROUP_HEAD``."""
    return [
        (f"{g.attribute}: {g.value}", str(g.people), *map(shown, (g.identity, g.rank1, g.lightness))) for g in groups
    ]


def sheet(columns: Mapping[str, Sequence[Pixels]], side: int = 160) -> Pixels:
    """Return a picture with a row per person, at most 24 of them, and a column per name.

    Args:
        columns: Name -> pictures of all people, ``uint8 [S, S, 3]``.
        side: Side in pixels at which each is shown.
    """
    return labelled({name: pictures[:MOST_SHOWN] for name, pictures in columns.items()}, side)


def _first(row: PictureRow) -> tuple[Interval, ...]:
    return row.measures.identity, row.measures.strangers, row.measures.rank1


def _last(row: PictureRow) -> tuple[str, ...]:
    found = row.measures
    return tuple(map(shown, (found.sharpness, found.layout, found.eye_difference, found.mirror_bias)))


def _plain(found: Interval) -> dict[str, float]:
    return {"value": found.value, "spread": found.spread}
