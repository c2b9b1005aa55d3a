"""Which exemplars of a set a style has not seen, as its file says about its training.

A training writes the digest of its whole set, the share that it held out and its seed; whoever has the same set can
hold the same exemplars out again. A style's file also lists the digests of the pictures themselves, so that some of
them are recognised among others, by any name. A picture that was cut or saved anew is another one.

    reference = reference_of(style.header, ImageSet.open("my-drawings", 64))
    print(len(reference.held_out), reference.warning)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data import ImageSet
from ..io.headers import Header
from .quality import Reference

LEAST_HELD_OUT = 5
"""Exemplars that a training holds out at least: fewer say nothing."""
EXEMPLARS = "exemplars"
"""Name, in the record of a training, of the digests of the pictures that it saw."""
SPLIT = 0.2
"""Share of exemplars to score on where a style was trained on all of them."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Exemplars by what a style has seen of them."""

    held_out: ImageSet
    trained: ImageSet | None = None
    """Those that it was trained on, where they are known."""
    warning: str = ""
    """What is wrong with the first."""


def seen_in(trained: Iterable[ImageSet]) -> dict[str, list[str]]:
    """Return what the file of a style says of the pictures that it was trained on: their digests, sorted."""
    return {EXEMPLARS: sorted({digest for part in trained for digest in part.picture_digests})}


def parts_of(header: Header, images: ImageSet) -> Parts:
    """Part the exemplars that the user has as a training did that saw them, or some of them, at this resolution.

    Args:
        header: Of the style.
        images: The exemplars, at the resolution that the style was trained at.
    """
    settings = header.recipe
    if images.digest not in _digests(settings):
        return _recognised(set(settings.get(EXEMPLARS) or ()), images)
    share = float(settings.get("held_out") or 0)
    rest, held = images.split(share or SPLIT, int(settings.get("seed", 0)), at_least=LEAST_HELD_OUT)
    warning = "" if share else "The style was trained on all of these exemplars: nothing here is held out."
    return Parts(held, rest, warning)


def known_parts(header: Header, images: ImageSet, wanted: ImageSet) -> tuple[ImageSet, ImageSet] | None:
    """Return what a style has seen and what it has not of exemplars; None where its file does not tell them apart.

    Args:
        header: Of the style.
        images: The exemplars, at the resolution that the style was trained at.
        wanted: The same exemplars, at the size in which they are to be returned.
    """
    parts = parts_of(header, images)
    if parts.trained is None or len(parts.held_out) < LEAST_HELD_OUT:
        return None
    seen, held = set(parts.trained.names), set(parts.held_out.names)
    if seen & held:
        return None
    each = [[k for k, name in enumerate(wanted.names) if name in names] for names in (seen, held)]
    return wanted.subset(each[0]), wanted.subset(each[1])


def _recognised(trained: set[str], images: ImageSet) -> Parts:
    """Part exemplars of another set than the training's by the digests of single pictures."""
    if not trained:
        return Parts(
            images,
            None,
            "The file of the style does not tell whether it was trained on these exemplars: only held-out ones say "
            "something about it.",
        )
    seen = [k for k, digest in enumerate(images.picture_digests) if digest in trained]
    if not seen:
        return Parts(images)
    rest = [k for k in range(len(images)) if k not in set(seen)]
    found = f"The style was trained on {len(seen)} of these {len(images)} exemplars, which their digests tell"
    if len(rest) < LEAST_HELD_OUT:
        return Parts(images, images.subset(seen), f"{found}: nearly nothing here is held out.")
    return Parts(images.subset(rest), images.subset(seen), f"{found}: the other {len(rest)} are scored on.")


def reference_of(header: Header, images: ImageSet, trained: ImageSet | None = None) -> Reference:
    """Return the exemplars to score a style on, those it was trained on, and a warning where they are not apart.

    Args:
        header: Of the style.
        images: The exemplars that the user has.
        trained: Those that the style was trained on, where the user keeps them apart; ``images`` are then scored on
            whole.
    """
    if trained is not None:
        shared = set(images.picture_digests) & set(trained.picture_digests)
        warning = f"{len(shared)} exemplars are both scored on and trained on." if shared else ""
        return Reference(images.all(), trained.all(), warning)
    parts = parts_of(header, images)
    return Reference(parts.held_out.all(), None if parts.trained is None else parts.trained.all(), parts.warning)


def _digests(settings: Mapping[str, Any]) -> set[str]:
    """Return the digests of the sets that a training split: the whole one, or that of each of its paths."""
    sets: Mapping[str, str] = settings.get("attributes") or {}
    # A training that balances values on one path knows their sets too, and splits the whole.
    if settings.get("paths") and sets:
        return set(sets.values())
    return {str(settings.get("data", {}).get("digest", ""))}
