"""``portraitist recipes``, and the options of ``train`` that recipes need."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portraitist.cli.main import main
from portraitist.data import write_image
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model
from portraitist.networks.features import SqueezeNetFeatures
from portraitist.recipes import RECIPES
from tests.conftest import make_model

Run = Callable[..., tuple[int, str, str]]
KINDS = ("men", "women")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models_folder: Path, tmp_path: Path
) -> Run:
    """The command line in this process, with a base of 32 pixels called ``tiny``."""
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    model: Model = make_model(name="tiny", resolution=32)
    registry.add(save_model(tmp_path / "tiny.safetensors", model))

    def go(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["portraitist", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return go


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for kind in KINDS:
        for i in range(11):
            write_image(tmp_path / "ex" / kind / f"{i}.png", random.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    return tmp_path / "ex"


@pytest.fixture
def dry(run: Run, drawings: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def go(*words: object) -> dict[str, Any]:
        code, out, err = run("train", drawings, "-o", tmp_path / "run", "--from", "tiny", "--dry-run", *words)
        assert code == 0, err
        return dict(json.loads(out[: out.rindex("}") + 1]))

    return go


def test_recipes_lists_each_with_its_paper_and_what_it_refuses(run: Run) -> None:
    code, out, _ = run("recipes")
    lines = out.splitlines()
    assert code == 0 and [x.split()[0] for x in lines if x and not x[0].isspace()][: len(RECIPES)] == list(RECIPES)
    for recipe in RECIPES.values():
        assert recipe.use in out and recipe.paper in out
        assert all(f"not with {other}: {why}" in out for other, why in recipe.refuses.items())
    assert max(map(len, lines)) < 200


def test_recipes_as_json_holds_every_setting_of_both_presets(run: Run) -> None:
    code, out, _ = run("recipes", "--json", "--resolution", 256)
    found = {entry["name"]: entry for entry in json.loads(out)["recipes"]}
    assert code == 0 and list(found) == list(RECIPES)
    assert found["freeze_sg"]["settings"]["default"]["frozen"]["styles_upto"] == 8
    assert found["freeze_sg"]["settings"]["released"]["frozen"]["generator_upto"] == 16
    assert found["multipath"]["settings"]["default"]["split_upto"] == 64
    assert "freeze_d" in found["baseline"]["refuses"]
    for name, recipe in RECIPES.items():
        assert tuple(found[name]["settings"]) == recipe.presets


def test_attributes_come_from_sub_folders_or_a_label_file(dry: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert dry("--recipe", "multipath")["paths"] == list(KINDS)
    assert dry("--recipe", "multipath+agilegan", "--paths", "women")["paths"] == ["women"]
    labels = tmp_path / "labels.csv"
    names = [f"{kind}/{i}.png" for kind in KINDS for i in range(11)]
    rows = [f"{n},{('old', 'young', '')[k % 3]},{'a' if k % 2 else 'b'}" for k, n in enumerate(names)]
    labels.write_text("file,age,side\n" + "\n".join(rows))
    by = ("--recipe", "multipath", "--labels", labels, "--by")
    assert dry(*by, "age")["paths"] == ["old", "young"]  # what nobody has labelled gets no path
    assert dry(*by, "side")["paths"] == ["a", "b"] and dry(*by, "folder")["paths"] == list(KINDS)
    assert dry(*by, "side", "--set", "batch=7")["batch"] == 8
    balanced = dry("--recipe", "freeze_fc", "--labels", labels, "--balance", "Side")
    assert balanced["balance"] == ["a", "b"] and balanced["paths"] == []
    assert dry("--balance", "folder")["balance"] == list(KINDS) and dry()["balance"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "multipath", "--by", "age"], "The attribute is not clear: folder"),
        (["--balance", "age"], "The attribute is not clear: folder"),
        (["--recipe", "multipath", "--balance", "folder"], "equally often already"),
        (["--recipe", "agilegan", "--paths", "men"], "Add multipath to --recipe"),
        (["--by", "folder"], "Add multipath to --recipe"),
        (["--labels", __file__], "--labels are for --balance"),
        (
            ["--recipe", "freeze_g+freeze_sg"],
            "freeze_g and freeze_sg contradict each other: freeze_g freezes the mapping",
        ),
        (["--recipe", "agilegan+freeze_g", "--set", "frozen.generator_upto=32"], "Every generator layer is frozen"),
        (["--set", "held_out=0"], "Early stopping (patience) needs held-out exemplars"),
        (["--set", "structure=1"], "losses are set one by one"),
        (["--set", "structure.heavy=1"], "no setting 'heavy'"),
        (["--set", "structure.last=8"], "there is no loss 'structure' to set"),
        (["--set", "blend_upto=12"], "blend_upto is 12"),
        (["--recipe", "cartoon"], "no recipe 'cartoon'"),
        (["--preset", "authors"], "no preset 'authors'"),
    ],
)
def test_what_contradicts_is_exit_code_2_before_anything_is_written(
    run: Run, drawings: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = run("train", drawings, "-o", tmp_path / "run", "--from", "tiny", *words)
    (line,) = [x for x in err.splitlines() if x.startswith("error: ")]
    assert code == 2 and out == "" and message in line, line
    assert not (tmp_path / "run").exists()


def test_settings_may_be_given_in_any_order(dry: Callable[..., dict[str, Any]]) -> None:
    for pairs in (("held_out=0", "patience=0"), ("patience=0", "held_out=0")):
        found = dry(*(word for pair in pairs for word in ("--set", pair)))
        assert (found["held_out"], found["patience"]) == (0, 0)
    assert dry("--set", "patience=3")["patience"] == 3
    assert dry("--set", "accumulate=3", "--set", "batch=9")["accumulate"] == 3
    # What one recipe freezes, a setting may unfreeze: rules look at the whole only.
    found = dry("--recipe", "freeze_g+multipath", "--set", "frozen.generator_upto=4")
    assert found["frozen"]["generator_upto"] == 4 and found["split_upto"] == 8


def test_a_loss_is_set_and_added_by_its_name(dry: Callable[..., dict[str, Any]]) -> None:
    found = dry("--recipe", "structure", "--set", "structure.weight=100", "--set", "correspondence.weight=5")
    assert found["terms"] == ["correspondence", "structure"]
    assert (found["structure"]["weight"], found["correspondence"]["weight"]) == (100, 5)
    assert dry("--recipe", "structure", "--set", "structure.weight=0")["terms"] == []


def test_old_names_of_settings_are_still_taken(dry: Callable[..., dict[str, Any]]) -> None:
    pairs = ("rests.mapping=true", "game=hinge", "structure_upto=8", "structure_weight=2")
    found = dry(*(word for pair in pairs for word in ("--set", pair)))
    assert found["frozen"]["mapping"] and found["gan_loss"] == "hinge"
    assert (found["structure"]["weight"], found["structure"]["last"]) == (2, 8)


def test_a_base_grows_from_the_command_line(run: Run, drawings: Path, tmp_path: Path) -> None:
    words = ("train", drawings, "--from", "tiny", "--resolution", "64", "--name", "grown", "--set", "batch=2")
    short = ("--images", 2, "--set", "entrance_images=2", "--set", "mixing=0")
    code, _, err = run(*words, *short, "-o", tmp_path / "run")
    assert code == 0, err
    model = registry.load(tmp_path / "run")
    assert model.generator.anatomy.resolution == 64 and model.header.name == "grown"
    assert model.header.lineage[-1]["grown_from"]["resolution"] == 32
    assert not (tmp_path / "run" / "style.safetensors").exists()


def test_a_base_is_trained_on_as_a_base(run: Run, drawings: Path, tmp_path: Path) -> None:
    words = ("train", drawings, "--as-base", "--set", "batch=2", "--set", "mixing=0", "--images", 2)
    code, _, err = run(*words, "--from", "tiny", "--name", "older", "-o", tmp_path / "run")
    assert code == 0, err
    model, before = registry.load(tmp_path / "run"), registry.load("tiny")
    assert (model.header.kind, model.header.name) == ("model", "older")
    assert model.generator.anatomy == before.generator.anatomy and model.discriminator is not None
    assert not torch.equal(*(m.generator.state_dict()["mapping.layers.0.weight"] for m in (model, before)))
    assert len(model.header.lineage) == len(before.header.lineage) + 1 and "grown_from" not in model.header.lineage[-1]
    assert not (tmp_path / "run" / "style.safetensors").exists()
    code, _, err = run(*words, "-o", tmp_path / "new")
    assert code == 2 and "--as-base is for a base that is there" in err


def test_a_growth_is_held_to_codes_of_the_smaller_base(run: Run, drawings: Path, tmp_path: Path) -> None:
    squeezenet = tmp_path / "squeezenet.pt"
    torch.save({f"features.{k}": v for k, v in SqueezeNetFeatures.layers().state_dict().items()}, squeezenet)
    codes = tmp_path / "codes"
    code, _, err = run("invert", drawings, "--aligned", "--base", "tiny", "--steps", 1, "-o", codes)
    assert code == 0, err
    words = ("train", drawings, "--from", "tiny", "--resolution", "64", "--set", "batch=2", "--set", "mixing=0")
    short = ("--images", 2, "--set", "entrance_images=2", "--features", squeezenet)
    code, _, err = run(*words, *short, "--codes", codes, "-o", tmp_path / "run")
    assert code == 0, err
    model, smaller = registry.load(tmp_path / "run"), registry.load("tiny")
    assert model.header.recipe["terms"] == ["downscaling", "feature_discriminator", "reconstruction"]
    mine, its = (m.generator.mapping.state_dict() for m in (model, smaller))
    assert all(torch.equal(mine[name], its[name]) for name in its)

    on = ("train", drawings, "--from", tmp_path / "run", "--as-base", "--set", "batch=2", *short[:2], *short[4:])
    code, _, err = run(*on, "--codes", codes, "--smaller", "tiny", "-o", tmp_path / "on")
    assert code == 0, err
    assert len(registry.load(tmp_path / "on").header.lineage) == len(model.header.lineage) + 1
    code, _, err = run(*on, "--codes", codes, "-o", tmp_path / "no")
    assert code == 2 and "Name a smaller one with --smaller" in err
    code, _, err = run(*words[:2], *words[6:], "--codes", codes, "-o", tmp_path / "no")
    assert code == 2 and "New networks cannot be held" in err
    code, _, err = run(*words[:2], *words[6:], "--smaller", "nothing", "-o", tmp_path / "no")
    assert code == 2 and "New networks cannot be held" in err

    grown, style = ("--from", tmp_path / "run"), ("--codes", codes, "--smaller", "tiny", *words[6:])
    code, _, err = run("train", drawings, *grown, "--recipe", "freeze_sg", *style, "-o", tmp_path / "no")
    assert code == 2 and "one path and one mapping network" in err
    short = (*short[:2], *short[4:], "--set", "held_out=0", "--set", "patience=0")
    code, _, err = run("train", drawings, *grown, "--recipe", "freeze_fc", *style, *short, "-o", tmp_path / "style")
    assert code == 0, err
    assert registry.load(tmp_path / "style").header.recipe["terms"] == model.header.recipe["terms"]
    next(codes.rglob("*.safetensors")).unlink()
    code, _, err = run(*on, "--codes", codes, "--smaller", "tiny", "-o", tmp_path / "no")
    assert code == 3 and "1 of" in err and "have no code" in err and "portraitist invert" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--resolution", "16"), "cannot grow to 16"),
        (("--channels", "2,2,2,2"), "lose channels"),
        (("--channels", "8,x"), "whole numbers joined by commas"),
        (("--resolution", "64", "--recipe", "freeze_sg"), "by itself, without a recipe"),
        (("--as-base", "--recipe", "freeze_sg"), "by itself, without a recipe"),
        (("--as-base", "--preset", "paper"), "--preset is for the recipes"),
        (("--as-base", "--set", "held_out=0.2"), "Train the base first"),
        (("--as-base", "--set", "entrance_images=8"), "for bases that grow"),
        (("--set", "entrance_images=8"), "for bases that grow"),
        (("--set", "entrance_rate=0.1"), "for bases that grow"),
        (("--channel-cap", "8"), "for training from scratch"),
        (("--latent", "8"), "for training from scratch"),
    ],
)
def test_growth_that_cannot_be_is_refused(
    run: Run, drawings: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    code, _, err = run("train", drawings, "--from", "tiny", "-o", tmp_path / "run", "--set", "batch=2", *words)
    assert code == 2 and says in err
    assert "Traceback" not in err


def test_channels_are_given_or_follow_from_the_rule(run: Run, drawings: Path, tmp_path: Path) -> None:
    words = ("train", drawings, "-o", tmp_path / "run", "--resolution", "32", "--channels", "8,8,8,8", "--dry-run")
    assert run(*words)[0] == 0
    code, _, err = run(*words, "--channel-base", "64")
    assert code == 2 and "--channel-base and --channels cannot be combined" in err
