"""``portraitist encoder chooser``, and what ``stylize`` says of it: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portraitist.io import registry
from portraitist.io.chooser_files import load_chooser
from portraitist.io.model_file import Model, save_model
from tests.cli.conftest import Run
from tests.runs.test_chooser import labelled
from tests.stylize.test_paths import TOLD, both, pictures  # noqa: F401
from tests.stylize.tiny_encoders import make_encoder


def test_a_chooser_is_learned_measured_and_added(
    run: Run, models_folder: Path, tmp_path: Path, tiny_model: Model
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model), name="b")
    registry.add_encoder(make_encoder(tiny_model))
    labelled(tmp_path / "a", 60, seed=0)
    labelled(tmp_path / "h", 40, seed=1)
    words = ("encoder", "chooser", tmp_path / "a", "--labels", tmp_path / "a" / "labels.csv", "--by", "kind")
    out = tmp_path / "who.safetensors"
    known = ("--held-out", tmp_path / "h", "--held-out-labels", tmp_path / "h" / "labels.csv")
    code, lines, err = run(*words, "--base", "b", *known, "--set", "strength=1", "-o", out)
    assert code == 0 and "of 36 photos" in lines[0] and lines[-1] == str(out), err
    assert load_chooser(out).header.choices[0].values == ("bright", "dark")
    assert run(*words, "--base", "b", "-o", out)[0] == 2  # it exists
    assert run("models", "add", out)[0] == 0
    code, lines, err = run("models", "show", "who")
    assert code == 0 and '"margin"' in "".join(lines), err
    assert [line.split()[:2] for line in run("encoder", "list")[1][:-2]] == [["hvae", "hvae"], ["who", "chooser"]]
    listed = json.loads(run("encoder", "list", "--json")[1][-1])
    assert [(e["name"], e["header"]["choices"][0]["attribute"]) for e in listed["choosers"]] == [("who", "kind")]


@pytest.mark.parametrize("attribute", [(), ("--attribute", "auto")])
def test_no_word_tells_which_path_drew(
    run: Run,
    both: Model,  # noqa: F811
    tmp_path: Path,
    attribute: tuple[str, ...],
) -> None:
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for name, picture in zip("ab", pictures(), strict=True):
        Image.fromarray(picture).save(photos / f"{name}.png")
    words = ("stylize", photos, "--aligned", "-s", "both", "-o", tmp_path / "out", *attribute)
    for more in ((), ("--overwrite", "--json"), ("--overwrite", "-v")):
        code, lines, err = run(*words, *more)
        assert code == 0, err
        assert not TOLD.search("\n".join([*lines, err]))
    for file in (tmp_path / "out").rglob("*"):
        assert not TOLD.search(file.name)
        assert file.is_dir() or not TOLD.search(file.read_bytes().decode("latin-1"))
