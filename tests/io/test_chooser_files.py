"""Files of choosers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from portraitist.errors import BadModel, UsageError
from portraitist.io import catalogue, registry
from portraitist.io.chooser_files import load_chooser, save_chooser
from portraitist.io.headers import Choice, read_any_header, read_header
from portraitist.io.model_file import Model, save_model
from portraitist.report.model_card import model_card
from tests.stylize.test_paths import chooser_of
from tests.stylize.tiny_encoders import make_encoder


def test_what_is_saved_is_read_and_shares_add_up(tmp_path: Path, tiny_model: Model) -> None:
    stored = chooser_of(tiny_model, 2.0)
    again = load_chooser(save_chooser(tmp_path / "c.safetensors", stored))
    assert again.header == stored.header and again.digest == stored.digest
    again = load_chooser(save_chooser(tmp_path / "h.safetensors", stored, half=True))
    latents = torch.randn(3, stored.header.rows, stored.header.dim)
    shares = again.chooser.shares("group", latents, ("women", "men"))
    assert torch.allclose(shares.sum(dim=1), torch.ones(3))
    assert torch.equal(shares.flip(1), again.chooser.shares("group", latents, ("men", "women")))
    sure = stored.chooser.shares("group", latents, ("women", "men")).gt(0.5)
    assert torch.equal(shares.gt(0.5), sure)  # half precision changes no choice
    with pytest.raises(BadModel, match="a chooser of paths, not a model"):
        read_header(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    "choices",
    [
        (),
        (Choice("group", ("men",), 0.5, 1, 1, 1, 1, 1),),
        (Choice("group", ("men", "men"), 0.5, 1, 1, 1, 1, 1),),
        (Choice("a.b", ("men", "women"), 0.5, 1, 1, 1, 1, 1),),
        (Choice("group", ("../men", "women"), 0.5, 1, 1, 1, 1, 1),),
    ],
)
def test_headers_of_no_chooser_are_refused(tmp_path: Path, tiny_model: Model, choices: tuple[Choice, ...]) -> None:
    stored = chooser_of(tiny_model, 1.0)
    with pytest.raises(BadModel):
        save_chooser(tmp_path / "c.safetensors", replace(stored, header=replace(stored.header, choices=choices)))


def test_it_is_found_by_base_encoder_and_paths(models_folder: Path, tmp_path: Path, tiny_model: Model) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model), name="b")
    file = save_chooser(tmp_path / "c.safetensors", chooser_of(tiny_model, 1.0), half=True)
    entry = registry.add(file)
    assert entry.name == "who" and catalogue.find_chooser("who") == entry.path
    assert registry.load_chooser_of(tiny_model, ("women", "men")) is None  # its encoder is not known
    registry.add_encoder(make_encoder(tiny_model))
    found = registry.load_chooser_of(tiny_model, ("women", "men"))
    assert found is not None and found[1] == "group"
    assert registry.load_chooser_of(tiny_model, ("women", "kids")) is None
    registry.add_encoder(make_encoder(tiny_model, seed=1), overwrite=True)
    assert registry.load_chooser_of(tiny_model, ("women", "men")) is None  # another encoder of that name
    with pytest.raises(UsageError, match="something of another kind"):
        registry.add_encoder(make_encoder(tiny_model), name="who", overwrite=True)


def test_its_card_says_how_often_it_was_right(tmp_path: Path, tiny_model: Model) -> None:
    file = save_chooser(tmp_path / "c.safetensors", chooser_of(tiny_model, 1.0))
    card = model_card(read_any_header(file), "who")
    assert "90.0%" in card and "99.0%" in card and "no statement about the person" in card
    json.dumps(card)
