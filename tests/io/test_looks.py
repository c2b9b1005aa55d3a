"""Looks in style packs: they come back, packs without one stay as they were, and what is not whole is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from portraitist.detail import Look, Medium
from portraitist.detail.look import TENSORS
from portraitist.errors import BadModel
from portraitist.io.headers import KEY, read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from tests.detail.test_look import full, same
from tests.io.test_model_file import paths_of, rewrite


def loaded(path: Path, base: Model, attribute: str | None = None) -> Model:
    return load_model(path, find_base=lambda h: base, attribute=attribute)


@pytest.fixture
def pack(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Path:
    return save_pack(tmp_path / "wild.safetensors", replace(tiny_style, look=full()), tiny_model)


def test_a_look_comes_back_bit_for_bit_and_the_style_too(pack: Path, tiny_model: Model, tiny_style: Model) -> None:
    found = loaded(pack, tiny_model)
    assert found.look is not None and same(found.look, full())
    assert found.header.medium == read_header(pack).medium == full().medium
    assert generator_digest(found) == generator_digest(tiny_style)
    assert {name for name in load_file(pack) if name.startswith("L.")} == {f"L.{name}" for name in TENSORS}


def test_a_look_in_half_precision_is_good_to_its_rounding(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "w.safetensors", replace(tiny_style, look=full()), tiny_model, half=True)
    found = loaded(path, tiny_model).look
    assert found is not None and found.medium == full().medium
    for name, value in full().tensors().items():
        stored = found.tensors()[name]
        assert stored.dtype == torch.float32 and torch.equal(stored, value.half().float()), name


def test_all_paths_have_the_look_of_the_first(tmp_path: Path, tiny_model: Model) -> None:
    models = {a: replace(m, look=full(k)) for k, (a, m) in enumerate(paths_of(tiny_model).items())}
    path = save_pack(tmp_path / "both.safetensors", models, tiny_model)
    for attribute in models:
        found = loaded(path, tiny_model, attribute)
        assert found.look is not None and same(found.look, full(0))
        assert generator_digest(found) == generator_digest(models[attribute])


def test_a_look_can_be_replaced_and_taken_away(pack: Path, tiny_model: Model) -> None:
    found = loaded(pack, tiny_model)
    save_pack(pack, replace(found, look=full(3)), tiny_model, overwrite=True)
    assert (again := loaded(pack, tiny_model).look) is not None and same(again, full(3))
    save_pack(pack, replace(found, look=None), tiny_model, overwrite=True)
    bare = loaded(pack, tiny_model)
    assert bare.look is None and bare.header.medium is None
    assert not any(name.startswith("L.") for name in load_file(pack))


def test_a_pack_saved_whole_has_no_look(pack: Path, tmp_path: Path, tiny_model: Model) -> None:
    whole = load_model(save_model(tmp_path / "whole.safetensors", loaded(pack, tiny_model)))
    assert whole.look is None and whole.header.medium is None


def test_packs_from_before_there_were_looks_load(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "old.safetensors", tiny_style, tiny_model)
    rewrite(path, lambda tensors, header: header.pop("medium"))
    with safe_open(path, framework="pt") as file:
        assert "medium" not in json.loads(file.metadata()[KEY])
    found = loaded(path, tiny_model)
    assert found.look is None and generator_digest(found) == generator_digest(tiny_style)


@pytest.mark.parametrize("name", TENSORS)
def test_a_look_that_lacks_a_tensor_or_has_another_shape_is_refused(pack: Path, tiny_model: Model, name: str) -> None:
    def cut(tensors: Any, header: Any) -> None:
        tensors[f"L.{name}"] = tensors[f"L.{name}"][1:].contiguous()

    for change in (cut, lambda tensors, header: tensors.pop(f"L.{name}")):
        rewrite(pack, change)
        with pytest.raises(BadModel, match=rf"a look that is not whole: \['{name}'\].*portraitist look"):
            loaded(pack, tiny_model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, h: t.update({"L.extra": torch.zeros(1)}), "a look that is not whole.*extra"),
        (lambda t, h: h.update(medium=None), "a look that is not whole"),
        (lambda t, h: h.pop("medium"), "a look that is not whole"),
        (lambda t, h: [t.pop(f"L.{name}") for name in TENSORS], "a look that is not whole.*shape"),
        (lambda t, h: t["L.energy"].fill_(-1), "a look that is not whole"),
        (lambda t, h: t["L.shift"].fill_(torch.nan), r"L\.shift holds NaN"),
        (lambda t, h: t["L.shape"].fill_(torch.inf), r"L\.shape holds"),
        (lambda t, h: h["medium"].update(own=-0.5), "damaged.*own of a look is -0.5"),
        (lambda t, h: h["medium"].update(edges=float("nan")), "damaged.*edges of a look is nan"),
        (lambda t, h: h["medium"].update(strokes=float("inf")), "damaged.*strokes of a look is inf"),
        (lambda t, h: h["medium"].update(smoothing=1e6), "damaged.*smoothing"),
        (lambda t, h: h["medium"].update(length="long"), "damaged.*length"),
        (lambda t, h: h["medium"].update(own=[1]), "damaged.*own"),
        (lambda t, h: h.update(medium="brush"), "damaged.*medium"),
    ],
)
def test_looks_are_read_strictly(pack: Path, tiny_model: Model, change: Any, words: str) -> None:
    rewrite(pack, change)
    with pytest.raises(BadModel, match=f"(?s){words}"):
        loaded(pack, tiny_model)


def test_a_full_model_with_a_look_is_refused(tmp_path: Path, tiny_model: Model) -> None:
    path = save_model(tmp_path / "tiny.safetensors", tiny_model)
    rewrite(path, lambda t, h: t.update({f"L.{k}": v for k, v in full().tensors().items()}))
    with pytest.raises(BadModel, match=r"L\.centre"):
        load_model(path)


def test_numbers_that_cannot_be_stored_are_not_written(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    wrong = replace(full(), shift=torch.full((3, 16, 16), torch.nan))
    with pytest.raises(BadModel, match="NaN"):
        save_pack(tmp_path / "w.safetensors", replace(tiny_style, look=wrong), tiny_model)
    assert list(tmp_path.iterdir()) == []


def test_the_medium_stands_in_the_header_as_plain_json(pack: Path) -> None:
    with safe_open(pack, framework="pt") as file:
        told = json.loads(file.metadata()[KEY])["medium"]
    assert told == asdict(full().medium) and Medium(**told) == full().medium


def test_the_look_that_changes_nothing_comes_back(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "n.safetensors", replace(tiny_style, look=Look.neutral()), tiny_model)
    found = loaded(path, tiny_model).look
    assert found is not None and found.medium == Medium()
    for name, value in Look.neutral().tensors().items():
        assert torch.equal(found.tensors()[name], value)
