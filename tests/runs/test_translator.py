"""Translators in run folders, in two stages: what a run leaves, that it continues, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import read_image, write_image
from portraitist.data.groups import Groups
from portraitist.errors import UsageError
from portraitist.io.translator_files import load_translator, without_trainers
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.translator_anatomy import PanelAnatomy
from portraitist.recipes.translator import PRESETS, paper
from portraitist.runs.translator import TranslatorOptions, extend_translator, train_translator
from portraitist.train.signals import Interrupted
from portraitist.train.translation_loss import TranslationLoss
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.recipe
QUIET = TranslatorOptions(quiet=True)
RECIPE = PRESETS["ugatit"](16, 4)
RECIPE = replace(
    RECIPE,
    translator=replace(RECIPE.translator, blocks=1, light=True),
    panel=replace(RECIPE.panel, layers=(3,)),
    training=replace(RECIPE.training, images=8, batch=2, tick=4, snapshot=4, decay_from=1.0, group_weight=100.0),
)
SIDE = RECIPE.training.loaded(16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("groups"), np.random.default_rng(0)
    for group, photos, drawings in (("women", 12, 8), ("men", 5, 4)):
        for side, count in (("photos", photos), ("drawings", drawings)):
            (folder / side / group).mkdir(parents=True)
            for k in range(count):
                coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                write_image(folder / side / group / f"{k}.png", coarse.repeat(5, 0).repeat(5, 1))
    return folder


@pytest.fixture(scope="module")
def basic(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "basic"
    told = replace(QUIET, name="mine", licence="CC0-1.0", credit="Nobody")
    train_translator(Groups.open(root, SIDE, ["women"]), out, RECIPE, told)
    return out


def stats(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_what_a_run_leaves(basic: Path, root: Path) -> None:
    stored = load_translator(basic)
    header = stored.header
    assert (header.name, header.licence, header.credit, header.groups) == ("mine", "CC0-1.0", "Nobody", ("women",))
    assert header.training["stage"] == "basic" and header.training["data"]["groups"] == {"women": [12, 8]}
    assert [step["images_seen"] for step in header.lineage] == [8]
    assert [line["images"] for line in stats(basic)] == [4, 8] and "group_d" not in stats(basic)[0]
    assert sorted(p.name for p in (basic / "samples").iterdir()) == ["images-000000004.png", "images-000000008.png"]
    assert read_image(basic / "samples" / "images-000000008.png").shape == (3 * 18 - 2, 6 * 18 - 2, 3)


def test_it_goes_on_where_it_was(basic: Path, root: Path, tmp_path: Path) -> None:
    data, half = Groups.open(root, SIDE, ["women"]), replace(RECIPE, training=replace(RECIPE.training, images=4))
    train_translator(data, tmp_path / "b", half, QUIET)
    path = train_translator(data, tmp_path / "b", RECIPE, QUIET)
    assert load_translator(path).digest == load_translator(basic).digest
    falling = replace(RECIPE, training=replace(RECIPE.training, decay_from=0.5))
    train_translator(data, tmp_path / "c", falling, QUIET)
    longer = replace(falling, training=replace(falling.training, images=16))
    with pytest.raises(UsageError, match="images: 8 -> 16"):
        train_translator(data, tmp_path / "c", longer, QUIET)


def test_a_run_of_an_earlier_version_goes_on(basic: Path, root: Path, tmp_path: Path) -> None:
    data, half = Groups.open(root, SIDE, ["women"]), replace(RECIPE, training=replace(RECIPE.training, images=4))
    train_translator(data, tmp_path / "b", half, QUIET)
    settings = json.loads((tmp_path / "b" / "settings.json").read_text(encoding="utf-8"))
    del settings["translator"]["resized"], settings["initial_share"]
    (tmp_path / "b" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    assert (
        load_translator(train_translator(data, tmp_path / "b", RECIPE, QUIET)).digest == load_translator(basic).digest
    )


def test_grey_drawings_are_remembered(basic: Path, root: Path, tmp_path: Path) -> None:
    assert not load_translator(basic).header.grey
    grey = tmp_path / "grey"
    shutil.copytree(root, grey)
    for path in (grey / "drawings").rglob("*.png"):
        write_image(path, np.repeat(read_image(path)[..., :1], 3, axis=2))
    short = replace(RECIPE, training=replace(RECIPE.training, images=2))
    found = load_translator(train_translator(Groups.open(grey, SIDE, ["women"]), tmp_path / "a", short, QUIET))
    assert found.header.grey
    for path in (grey / "drawings" / "women").glob("*.png"):
        shutil.copy(root / "drawings" / "women" / path.name, path)
    mixed = Groups.open(grey, SIDE, ["men", "women"])  # of whom the second ones are in colour
    assert not load_translator(train_translator(mixed.mixed("all"), tmp_path / "b", short, QUIET)).header.grey
    assert not load_translator(
        extend_translator(Groups.open(grey, SIDE, ["women", "men"]), tmp_path / "c", found, short.training, QUIET)
    ).header.grey


def test_groups_are_added_and_the_file_extends_again(basic: Path, root: Path, tmp_path: Path) -> None:
    stored, training = load_translator(basic), replace(RECIPE.training, images=12, learning_rate=1e-2)
    data = Groups.open(root, SIDE, ["women", "men"])
    found = load_translator(extend_translator(data, tmp_path / "e", stored, training, QUIET))
    assert found.header.groups == ("women", "men") and found.header.training["stage"] == "extended"
    assert found.header.training["base"] == stored.digest and len(found.header.lineage) == 2
    assert found.header.licence == ""  # of other pictures, so it must be said again
    assert [line["images"] for line in stats(tmp_path / "e")] == [4, 8, 12] and stats(tmp_path / "e")[0]["group_d"] > 0
    x = torch.zeros(1, 3, 16, 16)
    women, men = (found.system.to_drawing(x, group).image for group in found.system.groups)
    assert not torch.equal(women, men)
    with pytest.raises(UsageError, match="of a new group"):
        extend_translator(data, tmp_path / "f", found, training, QUIET)
    with pytest.raises(UsageError, match="common group is 'women'"):
        extend_translator(Groups.open(root, SIDE, ["men", "women"]), tmp_path / "f", stored, training, QUIET)
    with pytest.raises(UsageError, match="only be run"):
        extend_translator(data, tmp_path / "f", without_trainers(stored), training, QUIET)


def test_the_baselines_of_the_paper(basic: Path, root: Path, tmp_path: Path) -> None:
    data, stored = Groups.open(root, SIDE, ["women", "men"]), load_translator(basic)
    mixed = load_translator(train_translator(data, tmp_path / "m", RECIPE, QUIET))
    assert mixed.header.groups == ("women-men",) and mixed.header.training["data"]["groups"] == {"women-men": [17, 12]}
    few = Groups.open(root, SIDE, ["men"])
    still = replace(RECIPE, training=replace(RECIPE.training, images=2, learning_rate=1e-9))
    tuned = load_translator(train_translator(few, tmp_path / "t", still, QUIET, start=stored))
    x = torch.zeros(1, 3, 16, 16)
    torch.testing.assert_close(tuned.system.to_drawing(x, "men").image, stored.system.to_drawing(x, "women").image)
    assert [step["images_seen"] for step in tuned.header.lineage] == [8, 2]


def test_a_signal_leaves_a_snapshot(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    from portraitist.runs import translator

    before = translator.pictures_of

    def kill(*arguments: object) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return before(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(translator, "pictures_of", kill)
    data = Groups.open(root, SIDE, ["women"])
    with pytest.raises(Interrupted):
        train_translator(data, tmp_path / "e", RECIPE, QUIET)
    assert [p.name for p in (tmp_path / "e" / "snapshots").iterdir()] == ["snapshot-000000004.safetensors"]
    monkeypatch.setattr(translator, "pictures_of", before)
    assert train_translator(data, tmp_path / "e", RECIPE, QUIET).exists()


def test_presets_say_what_the_papers_say() -> None:
    ours, photo2cartoon, ugatit, cyclegan = (PRESETS[p]() for p in ("paper", "photo2cartoon", "ugatit", "cyclegan"))
    assert ours == paper()
    weights = ("adversarial", "cycle", "identity", "attention", "person", "group")
    assert [getattr(ours.training, f"{w}_weight") for w in weights] == [1, 10, 10, 1000, 1, 100]
    assert photo2cartoon.training.cycle_weight == 50 and photo2cartoon.translator == ours.translator
    assert ugatit.training.cycle_weight == 10 and ugatit.training.person_weight == 0 and not ugatit.translator.light
    assert (cyclegan.training.pool, cyclegan.training.learning_rate, cyclegan.training.identity_weight) == (50, 2e-4, 5)
    assert ours.training.rate(150_000) == 1e-4 and ugatit.training.rate(750_000) == pytest.approx(5e-5)
    assert {r.training.loaded(256) for r in (ours, photo2cartoon, ugatit, cyclegan)} == {286}


def test_the_default_draws_pictures_as_they_are_at_first_and_learns_further_groups_slowly() -> None:
    recipe = PRESETS["default"]()
    assert recipe.translator == replace(PRESETS["cyclegan"](128, 16).translator, resized=True)
    assert (recipe.training.images, recipe.training.initial_images, recipe.training.person_weight) == (8000, 2000, 1)
    further = recipe.going_on()
    assert (further.images, further.initial_share, further.learning_rate) == (900, 0, 1e-4)
    assert replace(recipe.training, **recipe.further, initial_share=0.0) == further  # type: ignore[arg-type]
    assert paper().going_on() == paper().training


def test_the_presets_of_unit_and_munit() -> None:
    found = {name: PRESETS[name]() for name in ("unit", "munit")}  # type: ignore[index]
    names = ("adversarial", "reconstruction", "cycle", "kl", "content", "appearance", "identity", "attention", "person")
    weights = {name: [getattr(r.training, f"{w}_weight") for w in names] for name, r in found.items()}
    assert weights == {"unit": [1, 10, 10, 0.01, 0, 0, 0, 0, 0], "munit": [1, 10, 0, 0, 1, 1, 0, 0, 0]}
    for recipe in found.values():
        t, a, panel = recipe.training, recipe.translator, recipe.panel
        assert (t.learning_rate, t.beta1, t.beta2, t.weight_decay, t.batch) == (1e-4, 0.5, 0.999, 1e-4, 1)
        assert t.rate(250_000) == pytest.approx(2.5e-5) and t.loaded(256) == 256 and t.init == "kaiming"
        assert (a.channels, a.blocks, a.resolution) == (64, 4, 256) and a.appearance == (8 if a.kind == "munit" else 0)
        assert panel.layers == (5, 5, 5) and panel.scaled and panel.channels == 64


def test_the_preset_of_drit() -> None:
    recipe = PRESETS["drit"]()
    t, a = recipe.training, recipe.translator
    names = ("adversarial", "content_adversarial", "reconstruction", "cycle", "appearance", "kl", "mode_seeking")
    assert [getattr(t, f"{name}_weight") for name in names] == [1, 1, 10, 10, 10, 0.01, 1]
    assert (t.identity_weight, t.attention_weight, t.person_weight, t.content_weight) == (0, 0, 0, 0)
    assert (t.learning_rate, t.beta1, t.beta2, t.weight_decay, t.batch) == (1e-4, 0.5, 0.999, 1e-4, 1)
    assert t.rate(250_000) == 1e-4 and t.rate(375_000) == pytest.approx(5e-5) and t.init == "normal_convolutions"
    assert (t.loaded(216), t.loaded(256)) == (256, 303)
    assert (a.channels, a.blocks, a.appearance, a.tied) == (64, 4, 8, ("to_code", "from_code"))
    assert recipe.panel.layers == (5, 5, 5) and recipe.panel.scaled


def test_the_tables_of_the_documents_say_what_the_presets_have() -> None:
    told: dict[str, dict[str, str]] = {}
    heads: list[str] = []
    for line in (REPOSITORY / "docs" / "groups.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "`--preset`":
            heads = cells
        elif heads and cells[0].strip("`") in PRESETS:
            told[cells[0].strip("`")] = dict(zip(heads, cells, strict=True))
    assert told.keys() == PRESETS.keys()
    inits = {
        "N(0, 0.02)": "normal",
        "N(0, 0.02), convolutions": "normal_convolutions",
        "torch's": "torch",
        "Kaiming": "kaiming",
    }
    for name, row in told.items():
        training, attentive = PRESETS[name]().training, PRESETS[name]().translator.attentive  # type: ignore[index]
        for word in (
            "cycle",
            "identity",
            "attention",
            "person",
            "group",
            "reconstruction",
            "kl",
            "content",
            "appearance",
        ):
            said = row.get("KL" if word == "kl" else word, "")
            found = getattr(training, f"{word}_weight") if attentive or word != "attention" else 0
            assert float(said or 0) == found, (name, word)
        assert inits[row["weights"]] == training.init
        rate = row["learning rate"]
        assert float(rate.split(",")[0]) == training.learning_rate
        assert ("falls in the second half" in rate) == (training.decay_from == 0.5)
        assert ("halved every 100,000" in rate) == (training.halve_every == 100_000)


def test_the_paper_is_the_few_shot_papers(tmp_path: Path) -> None:
    recipe = paper()
    t, a = recipe.training, recipe.translator
    # Sec. 4.2: batch 1, 286 to 256 pixels, Adam .5 and .999, rate and decay 1e-4, weights N(0, .02).
    assert (t.batch, t.beta1, t.beta2, t.learning_rate, t.weight_decay, t.init) == (1, 0.5, 0.999, 1e-4, 1e-4, "normal")
    assert t.rate(0) == t.rate(t.images) and t.selective and t.loaded(256) == 286
    # Sec. 3.2: photo2cartoon's networks, two discriminators with attention in either domain.
    assert (a.kind, a.light, a.channels, a.blocks) == ("photo2cartoon", True, 32, 4)
    assert recipe.panel.attentive and recipe.panel.layers == (7, 5)
    # Face-ID is on, and asks for a face embedder; classes are weighed once there are groups.
    assert t.person_weight == 1 and t.group_weight == 100
    with pytest.raises(UsageError, match="face embedder"):
        TranslationLoss(TranslatorSystem.new(replace(a, resolution=32, channels=4), PanelAnatomy((3, 3), 4), ("a",)), t)


def test_unit_in_a_run_folder(root: Path, tmp_path: Path) -> None:
    recipe = PRESETS["unit"](16, 4)
    small = replace(recipe.training, images=4, batch=2, tick=2, snapshot=2)
    recipe = replace(recipe, translator=replace(recipe.translator, blocks=2), training=small)
    data = Groups.open(root, 16, ["women"])
    half = replace(recipe, training=replace(small, images=2))
    train_translator(data, tmp_path / "a", half, replace(QUIET, framing="photo2cartoon"))
    path = train_translator(data, tmp_path / "a", recipe, replace(QUIET, framing="photo2cartoon"))
    whole = load_translator(train_translator(data, tmp_path / "b", recipe, QUIET))
    found = load_translator(path)
    assert found.digest == whole.digest and (found.header.framing, whole.header.framing) == ("photo2cartoon", "ffhq")
    assert found.system.to_drawing.shared["to_code"] is found.system.to_photo.shared["to_code"]  # type: ignore[union-attr]
    both = Groups.open(root, 16, ["women", "men"])
    more = load_translator(extend_translator(both, tmp_path / "c", found, replace(small, group_weight=1.0), QUIET))
    assert more.header.framing == "photo2cartoon" and more.system.groups == ("women", "men")
    with pytest.raises(UsageError, match="have no loss for attention_weight and identity_weight"):
        extend_translator(both, tmp_path / "d", found, PRESETS["ugatit"](16, 4).training, QUIET)
    assert not (tmp_path / "d").exists()
