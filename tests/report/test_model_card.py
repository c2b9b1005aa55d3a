from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from portraitist.io import registry
from portraitist.io.model_file import Header
from portraitist.networks import GeneratorAnatomy
from portraitist.report.model_card import MARK, model_card, write_model_card

HEADER = Header(
    GeneratorAnatomy(64, (8, 8, 8, 8, 8), 8, 8, 2),
    name="inks",
    description='Lines | "and" <washes>',
    licence="CC-BY-4.0",
    credit="An artist: of name\n# no heading",
    kind="style-pack",
    base_name="faces",
    base_digest="61a95dc643c9526c",
    lineage=[
        {"data": {"count": 1699, "digest": "7b55"}, "images_seen": 400_000, "device": "cpu"},
        {"data": {"count": 24, "digest": "0ef2cee91b4d"}, "images_seen": 8000, "device": "cpu"},
    ],
    recipe={"recipe": "freeze_fc", "seed": 3},
    metrics={
        "held_out": 0.047,
        "held_out_spread": 0.016,
        "likeness": 0.6,
        "copies": {"alarm": True, "below": 40, "threshold": 0.1},
    },
)


def front_matter(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_card_of_a_style_says_what_its_file_says() -> None:
    card = model_card(HEADER, "runs/inks", "style.png")
    front = front_matter(card)
    assert (front["license"], front["base_model"], front["pipeline_tag"]) == ("cc-by-4.0", "faces", "image-to-image")
    metrics = front["model-index"][0]["results"][0]["metrics"]
    assert [(m["type"], m["value"]) for m in metrics] == [("kernel-distance", 0.047), ("layout-similarity", 0.6)]
    for words in (
        "portraitist stylize me.jpg --style runs/inks",
        "| 8,000 | 24 | `0ef2cee91b4d` | cpu |",
        "| kernel distance to held-out exemplars | 0.047 ± 0.016 |",
        "24 exemplars, which is few",
        "It copies exemplars",
        "![What it draws](style.png)",
        "digest `61a95dc643c9`",
        "| `seed` | 3 |",
    ):
        assert words in card, words
    assert re.findall("^#+ .*", card, re.MULTILINE) == [
        "# inks",
        "## Intended use",
        "## Data",
        "## Training",
        "## Measures",
        "## Limits",
        "## Licence and credit",
    ]
    assert "<washes>" not in card.split("---\n")[2].replace("<!--", "")


def test_what_nobody_recorded_is_said_to_be_missing() -> None:
    bare = Header(HEADER.generator)
    card = model_card(bare, "models/mine.safetensors")
    assert front_matter(card) == {
        "license": "unknown",
        "library_name": "portraitist",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["portrait", "base", "stylegan2"],
    }
    for words in (
        "No licence is recorded",
        "The file records no training.",
        "None are recorded in the file.",
        "Nobody has measured it",
    ):
        assert words in card, words
    # A header may hold anything that is JSON.
    odd = replace(bare, lineage=[{"data": 3, "images_seen": "many"}], metrics={"held_out": "low", "copies": 1})
    assert "| many |" in model_card(odd, "odd")
    for people in (3, [3], [{}], [{"attribute": "a", "value": "b", "people": 3, "identity": 1}]):
        card = model_card(replace(bare, metrics={"people": people, "people_by": people}), "odd")
        assert "people drawn" not in card


@pytest.mark.parametrize("entry", [*registry.entries(), *registry.encoders()], ids=lambda entry: str(entry.name))
def test_every_bundled_model_has_a_card(entry: registry.AnyEntry) -> None:
    card = model_card(entry.header, entry.name)
    front = front_matter(card)
    free = {"faces-open": "mit", "toon3d-open": "cc-by-4.0", "charcoal-open": "cc-by-4.0"}.get(entry.name)
    assert front["license"] == (free or "cc-by-nc-sa-4.0") and " ".join(entry.header.credit.split()) in card
    assert ("| 699 |" in card, "| 1,699 |" in card) == (bool(free), not free)
    assert ("model-index" in front) == (entry.header.kind == "style-pack")


def test_a_card_replaces_its_own_kind_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    card = tmp_path / "README.md"
    write_model_card(tmp_path, HEADER)
    write_model_card(tmp_path, replace(HEADER, name="later"))
    assert "# later" in card.read_text() and front_matter(card.read_text())["license"] == "cc-by-4.0"
    mine = card.read_text().replace(MARK, "")
    card.write_text(mine)
    write_model_card(tmp_path, HEADER)
    assert card.read_text() == mine and "stays as it is" in caplog.text
