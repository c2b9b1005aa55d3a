"""A model's card: what its file says of it, as Markdown in the form that model hubs show.

    Path("README.md").write_text(model_card(read_header(Path("runs/mine/style.safetensors")), "runs/mine"))

The front matter is YAML: licence, base, library, task, and what was measured. All of it comes from the header of the
file; what nobody recorded or measured is said to be missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..evaluate.people import GroupMeasures
from ..files import write_bytes
from ..io.headers import ChooserHeader, EncoderHeader, Header, StoredHeader, TranslatorHeader
from ..io.measured import PEOPLE
from .pictures import group_rows
from .template import render

log = logging.getLogger("portraitist")

CARD = "README.md"
MARK = "<!-- Written by `portraitist train`, which replaces it. Delete this line to keep your changes. -->"
NO_LICENCE = "No licence is recorded; ask whoever made it before you pass it on."
FEW = 50
"""Exemplars below which a style is said to rest on few."""
TASKS = {
    "style": "image-to-image",
    "base": "unconditional-image-generation",
    "encoder": "image-feature-extraction",
    "chooser": "image-classification",
    "translator": "image-to-image",
}
MEASURES = {
    "held_out": ("kernel-distance", "kernel distance to held-out exemplars"),
    "likeness": ("layout-similarity", "layout kept of the base's faces"),
}
"""Key in the header -> type for a hub, and words."""
SETTINGS = ("recipe", "preset", "images", "batch", "learning_rate", "augment", "patience", "seed")
"""What of a training is shown; the file holds all of it."""


def model_card(header: StoredHeader, name: str, picture: str = "", remark: str = "") -> str:
    """Return the card of a base, a style, an encoder, a chooser or a translator.

    Args:
        header: What its file says.
        name: What people type to use it: a name, a file or a run folder.
        picture: Address of a picture of samples to show.
        remark: Markdown to begin with.
    """
    kind = _kind(header)
    return render(
        "model_card.md",
        kind=kind,
        task=TASKS[kind],
        remark=remark,
        title=header.name or name,
        name=name,
        header=header,
        resolution=_resolution(header),
        base=getattr(header, "base_name", ""),
        paths=getattr(header, "paths", ()),
        groups=getattr(header, "groups", ()),
        picture=picture,
        settings=_settings(header),
        stages=list(_stages(header)),
        measures=_chosen(header) if isinstance(header, ChooserHeader) else _measures(header.metrics),
        people=_people(header.metrics) if isinstance(header, Header) else [],
        people_by=_people_by(header.metrics) if isinstance(header, Header) else "",
        limits=list(_limits(header, kind)),
    )


def write_model_card(folder: Path, header: Header, picture: str = "") -> None:
    """Write the card of a run's model into its folder, in place of an older one that nobody has changed.

    Raises:
        StorageError: The folder cannot be written.
    """
    path = folder / CARD
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        log.warning(
            "%s is yours and stays as it is; `portraitist models show %s --card` prints a new one.", path, folder
        )
        return
    write_bytes(path, model_card(header, str(folder), picture, MARK).encode(), overwrite=True)


def _kind(header: StoredHeader) -> str:
    if not isinstance(header, Header):
        return header.kind
    # What a fine-tuning leaves whole is a style too.
    return "style" if header.kind == "style-pack" or header.recipe.get("recipe") else "base"


def _resolution(header: StoredHeader) -> int:
    if isinstance(header, ChooserHeader):
        return 0  # it sees the encoder's latents
    if isinstance(header, TranslatorHeader):
        return header.translator.drawn
    return header.encoder.resolution if isinstance(header, EncoderHeader) else header.generator.resolution


def _settings(header: StoredHeader) -> dict[str, Any]:
    found = header.recipe if isinstance(header, Header) else header.training
    return {k: v for k in SETTINGS if (v := found.get(k)) not in (None, "")}


def _stages(header: StoredHeader) -> Iterator[tuple[str, str, str, str]]:
    """Yield images seen, images learned from, the digest of their set and the device, of each training."""
    for step in header.lineage:
        data = step.get("data")
        data = data if isinstance(data, dict) else {}
        digest = str(data.get("digest", ""))[:12]
        yield (_said(step.get("images_seen")), _said(data.get("count")), digest, _said(step.get("device")))


def _measures(metrics: Mapping[str, Any]) -> list[tuple[str, str, float, str]]:
    """Return type, words, value, and value with its spread, of what was measured."""
    found = []
    for key, (measure, words) in MEASURES.items():
        value, spread = metrics.get(key), metrics.get(f"{key}_spread")
        if isinstance(value, int | float):
            around = f" ± {spread:.3f}" if isinstance(spread, int | float) else ""
            found.append((measure, words, round(float(value), 4), f"{value:.3f}{around}"))
    return found


def _people(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each group of people that was measured; what has another form is left out."""
    found = metrics.get(PEOPLE)
    groups = []
    for group in found if isinstance(found, list) else ():
        with suppress(KeyError, TypeError, ValueError):
            groups.append(GroupMeasures.from_json(group))
    return group_rows(groups)


def _people_by(metrics: Mapping[str, Any]) -> str:
    about = metrics.get(f"{PEOPLE}_by")
    about = about if isinstance(about, dict) else {}
    return f"{_said(about.get('photos'))} people; identity by {_said(about.get('identity'))}"


def _chosen(header: ChooserHeader) -> list[tuple[str, str, float, str]]:
    """Return the same of how often a chooser was right."""
    found = []
    for choice in header.choices:
        whole = f"{choice.attribute}: right, of {choice.held_out} held-out photos"
        part = f"{choice.attribute}: right, of the {choice.chosen:.0%} beyond its margin of {choice.margin:.2f}"
        for words, value in ((whole, choice.accuracy), (part, choice.chosen_accuracy)):
            found.append(("accuracy", words, round(value, 4), f"{value:.1%}"))
    return found


def _limits(header: StoredHeader, kind: str) -> Iterator[str]:
    if isinstance(header, ChooserHeader):
        yield "It chooses what draws a face and says nothing about the person; below its margin it refuses."
        yield "It was measured on photos of people who do not exist, which are not all people."
        if not header.licence:
            yield NO_LICENCE
        return
    side = _resolution(header)
    framed = "photo2cartoon cuts them out" if getattr(header, "framing", "ffhq") != "ffhq" else "the FFHQ set is"
    yield f"It {'sees' if kind == 'encoder' else 'draws'} faces of {side} x {side} pixels, aligned as {framed}."
    last = header.lineage[-1] if header.lineage else {}
    data = last.get("data")
    count = data.get("count") if isinstance(data, dict) else None
    if isinstance(count, int) and kind == "style":
        few = ", which is few" if count < FEW else ""
        yield (
            f"It learned from {count} exemplars{few}: what they do not show (ages, skin tones, beards, glasses, hats, "
            "profiles) it draws as the nearest that they do."
        )
    copies = header.metrics.get("copies")
    if isinstance(copies, dict) and copies.get("alarm"):
        yield f"**It copies exemplars**: {copies.get('below')} samples lie suspiciously near to one."
    if kind != "encoder" and not header.metrics:
        yield "Nobody has measured it: the file holds no figures."
    if not header.licence:
        yield NO_LICENCE


def _said(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
