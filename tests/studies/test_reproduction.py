"""Reproductions: unrelated copies, trainings that are reused and refused, pages that are whole and repeatable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from portraitist.data import ImageSet
from portraitist.errors import UsageError
from portraitist.evaluate.held_out import reference_of, seen_in
from portraitist.io.headers import Header
from portraitist.io.model_file import Model, generator_digest
from portraitist.recipes import compose
from portraitist.runs.finetune import Exemplars
from portraitist.train.spec import Training
from studies.cartoon_stylegan import content_at
from studies.published import AGILEGAN_TABLE_2, UI2I_ROWS, UI2I_TABLE_1
from studies.reproduction import PAGE, reproduce
from studies.study import SCRATCH, Run, Study
from studies.unrelated import unrelated
from studies.verdict import verdict
from tests.conftest import make_model
from tests.recipes.tiny_runs import tiny_base
from tests.runs.test_finetune import draw_exemplars

COUNT = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return ImageSet.open(draw_exemplars(tmp_path_factory.mktemp("exemplars"), COUNT), 16)


def study_of(images: ImageSet, out: Path, **changed: object) -> Study:
    study = Study(
        base=tiny_base(),
        out=out,
        sets={"waves": images},
        seeds=(0,),
        images=16,
        samples=16,
        quiet=True,
        scratch=False,
        start=Training(batch=4, r1_every=2),
    )
    return replace(study, **changed)  # type: ignore[arg-type]


def test_an_unrelated_copy_draws_the_same_pictures_from_turned_latents_and_shares_nothing() -> None:
    generator = make_model(seed=3, resolution=32).generator
    with torch.no_grad():
        for p in generator.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    copy, rotation = unrelated(generator, seed=1)
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(rotation @ rotation.T, torch.eye(16), atol=1e-5)
        assert torch.allclose(copy(z @ rotation), generator(z), atol=1e-3)
        assert (copy(z) - generator(z)).abs().mean() > 0.1
        # Its w is another one too, and so are its features.
        assert not torch.allclose(copy.styles(z @ rotation), generator.styles(z), atol=1e-2)
    assert generator_digest(Model(generator, None, Header(generator.anatomy))) != generator_digest(
        Model(copy, None, Header(copy.anatomy))
    )


def test_a_training_is_done_once_and_another_in_its_place_is_refused(images: ImageSet, tmp_path: Path) -> None:
    study = study_of(images, tmp_path)
    run = Run("waves", "freeze_fc", 0)
    first = study.trained(run)
    kept = study.folder(run) / "kept.safetensors"
    written = kept.stat().st_mtime_ns
    again = study.trained(run)
    assert kept.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert [line["images"] for line in study.curve(run)] == [0, 4, 8, 12, 16]
    with torch.no_grad():
        drawn = study.base.generator(torch.zeros(1, 16) + 1), first(torch.zeros(1, 16) + 1)
    assert not torch.equal(*drawn)
    for measured in (replace(study, images=20).trained, replace(study, images=20).digest):
        with pytest.raises(UsageError, match="other settings: images"):
            measured(run)
    told = study.folder(run) / "settings.json"
    known = json.loads(told.read_text())
    for other in ({"recipe": "baseline"}, {"r1_gamma": 1.5}, {"terms": ["structure"]}):
        told.write_text(json.dumps(known | other))
        with pytest.raises(UsageError, match=f"other settings: {next(iter(other))}"):
            study.trained(run)


def test_the_unseen_exemplars_take_no_part_in_training(images: ImageSet, tmp_path: Path) -> None:
    study = study_of(images, tmp_path)
    rest, (unseen,) = study.split(Run("waves", "", 0))
    assert len(unseen) == COUNT // 5 and not set(rest.names) & set(unseen.names)
    study.trained(Run("waves", SCRATCH, 0))
    told = json.loads((tmp_path / "runs" / "waves-scratch-0" / "settings.json").read_text())
    assert told["data"] == {"digest": rest.digest, "count": len(rest)} and told["base"] == ""
    assert not torch.equal(study.split(Run("waves", "", 1))[1][0].all(), unseen.all())


def test_a_measurement_is_cached_until_what_it_rests_on_changes(images: ImageSet, tmp_path: Path) -> None:
    study, calls = study_of(images, tmp_path), []

    def measure() -> list[int]:
        calls.append(1)
        return [len(calls)]

    assert study.cached("x", {"model": "a"}, measure) == [1]
    assert study.cached("x", {"model": "a"}, measure) == [1]
    assert study.cached("x", {"model": "b"}, measure) == [2]
    assert replace(study, samples=17).cached("x", {"model": "b"}, measure) == [3]


def test_structure_is_read_off_between_ticks() -> None:
    points = [
        {"unseen": [1.0], "content": 0.0},
        {"unseen": [0.6], "content": 0.2},
        {"unseen": [0.7], "content": 0.3},
        {"unseen": [0.2], "content": 0.4},
    ]
    assert content_at(points, 0.8) == pytest.approx(0.1)
    assert content_at(points, 0.6) == pytest.approx(0.2)
    assert content_at(points, 0.45) == pytest.approx(0.35)
    assert content_at(points, 0.2) == pytest.approx(0.4)
    assert content_at(points, 1.5) == 0
    # A start that is there already counts, even if the training leaves and comes back.
    assert content_at([{"unseen": [u], "content": c} for u, c in ((0.3, 0.0), (0.9, 0.1), (0.2, 0.2))], 0.4) == 0


def test_a_verdict_says_plainly_where_ours_differs() -> None:
    assert verdict("a", "b", [(1, 2), (2, 3)]) == "a < b in all 2 runs (by 1.000 ± 0.000)."
    assert verdict("a", "b", [(1, 2), (3, 2)]).startswith("**Not clear here**: a < b in 1 of 2 runs (by 0.000")
    assert verdict("a", "b", [(1, 2)] * 9 + [(2, 1.9)]).startswith("On the whole, a < b in 9 of 10 runs (by 0.89")
    assert verdict("a", "b", [(2, 1)] * 9 + [(1, 1.1)]).startswith("**Ours differs**: a < b in 1 of 10 runs (by -0.89")
    assert verdict("a", "b", [(2, 1)]) == "**Ours differs**: a < b in 0 of 1 runs (by -1.000)."


def test_the_printed_numbers_have_the_printed_order() -> None:
    for column in UI2I_TABLE_1.values():
        assert len(column) == len(UI2I_ROWS) and list(column) == sorted(column, reverse=True)
    assert min(AGILEGAN_TABLE_2, key=AGILEGAN_TABLE_2.__getitem__) == "hVAE"


@pytest.mark.recipe
def test_ui2i_writes_a_page_that_a_second_call_repeats(images: ImageSet, tmp_path: Path) -> None:
    two = {"waves": images, "others": images.subset(range(COUNT - 1))}
    study = study_of(images, tmp_path, sets=two, scratch=True)
    page = reproduce("ui2i", study)
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / PAGE
    for name in (*UI2I_ROWS[:5], "from scratch", "mean colour", "memoriser", "do nothing", "Transitivity", "0.434"):
        assert name in text, name
    # The networks are named, and none goes by the name of another.
    assert f"sha256:{study.own.digest[:8]}" in text and "discriminator distance" in text
    assert (tmp_path / "reproduction-ui2i.png").exists()
    found = json.loads((tmp_path / "measured" / "ui2i-sets-waves-0.json").read_text())["found"][study.own.digest]
    assert found["memoriser"]["alarm"] == 1 and found["do nothing"]["change"] == 0
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.safetensors")}
    assert reproduce("ui2i", study).read_text(encoding="utf-8") == text
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.safetensors")}


@pytest.mark.recipe
def test_cartoon_stylegan_finds_that_a_swap_leaves_freeze_sg_as_it_is(images: ImageSet, tmp_path: Path) -> None:
    text = reproduce("cartoon-stylegan", study_of(images, tmp_path)).read_text(encoding="utf-8")
    assert "changes it by exactly 0" in " ".join(text.split())
    found = json.loads((tmp_path / "measured" / "cartoon-waves-0.json").read_text())["found"]
    assert found["swapped"]["FreezeSG"] == 0 < found["swapped"]["baseline"]
    assert found["references"]["do nothing"]["content"] == 0 < found["references"]["memoriser"]["content"]


@pytest.mark.recipe
def test_ui2i_trades_style_for_the_photos_themselves_where_there_are_some(images: ImageSet, tmp_path: Path) -> None:
    photos = tiny_base().generator.sample_batches(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)))
    study = study_of(images, tmp_path, photos=photos, steps=3, learned=images.subset(range(9)))
    text = " ".join(reproduce("ui2i", study).read_text(encoding="utf-8").split())
    assert "Outputs of 3 photos" in text and "finds in 3 steps" in text
    found = json.loads((tmp_path / "measured" / "ui2i-sets-waves-0.json").read_text())["found"][study.own.digest]
    assert found["do nothing"]["change"] == 0 < found["FC-FT"]["change"]
    assert {"CycleGAN", "MUNIT", "DRIT++"} <= set(found) and "DRIT++ learn from 9 photos" in text
    assert len(list((tmp_path / "measured" / "codes" / "ui2i").iterdir())) == 3


@pytest.mark.recipe
def test_agilegan_compares_embeddings_of_photos(images: ImageSet, tmp_path: Path) -> None:
    photos = images.all()[:3]
    study = study_of(images, tmp_path, photos=photos, steps=2)
    text = reproduce("agilegan", study).read_text(encoding="utf-8")
    for name in ("optimisation, W", "optimisation, W+", "do nothing", "memoriser", "71.9", "for want of an encoder"):
        assert name in text, name
    assert len(list((tmp_path / "measured" / "codes").rglob("*.json"))) == 6
    with pytest.raises(UsageError, match="of photos"):
        reproduce("agilegan", replace(study, photos=None))
    with pytest.raises(UsageError, match="no paper 'toonify'"):
        reproduce("toonify", study)


def test_a_study_needs_a_discriminator_a_style_and_a_seed(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no discriminator"):
        study_of(images, tmp_path, base=replace(tiny_base(), discriminator=None))
    with pytest.raises(UsageError, match="a style and a seed"):
        study_of(images, tmp_path, seeds=())


def test_what_a_training_held_out_is_found_again_by_its_digest(images: ImageSet) -> None:
    training = replace(compose("baseline", 16), seed=4)
    exemplars = Exemplars.of(images, training)
    settings = {"data": {"digest": images.digest, "count": COUNT}, "held_out": 0.2, "seed": 4}
    header = Header(make_model().generator.anatomy, recipe=settings)
    found = reference_of(header, images)
    assert torch.equal(found.held_out, exemplars.held_out[0].all()) and found.warning == ""
    assert found.trained is not None and torch.equal(found.trained, exemplars.train[0].all())


def test_exemplars_that_are_not_held_out_are_said_to_be(images: ImageSet) -> None:
    anatomy = make_model().generator.anatomy
    told = {"data": {"digest": images.digest, "count": COUNT}}
    everything = reference_of(Header(anatomy, recipe=told), images)
    assert "trained on all of these" in everything.warning and len(everything.held_out) == COUNT // 5
    strange = reference_of(Header(anatomy, recipe={"data": {"digest": "0"}}), images)
    assert "does not tell" in strange.warning and strange.trained is None and len(strange.held_out) == COUNT
    rest, held = images.split(0.5)
    apart = reference_of(Header(anatomy), held, rest)
    assert apart.warning == "" and apart.trained is not None and len(apart.trained) == len(rest)
    assert "30 exemplars are both" in reference_of(Header(anatomy), held, images).warning


def test_a_part_of_what_a_training_saw_is_found_by_the_digests_of_pictures(images: ImageSet) -> None:
    seen = images.subset(range(20))
    told = {"data": {"digest": images.digest, "count": COUNT}, **seen_in([seen])}
    header = Header(make_model().generator.anatomy, recipe=told)
    few = reference_of(header, images.subset(range(3, 12)))
    assert "trained on 9 of these 9" in few.warning and "nearly nothing" in few.warning
    assert few.trained is not None and len(few.trained) == len(few.held_out) == 9
    renamed = replace(images, names=tuple(f"other/{name}" for name in images.names))
    some = reference_of(header, renamed.subset(range(15, 30)))
    assert "trained on 5 of these 15" in some.warning and "other 10 are scored on" in some.warning
    assert torch.equal(some.held_out, images.subset(range(20, 30)).all())
    assert some.trained is not None and torch.equal(some.trained, images.subset(range(15, 20)).all())
    unseen = reference_of(header, images.subset(range(20, 40)))
    assert unseen.warning == "" and unseen.trained is None and len(unseen.held_out) == 20


def test_runs_split_by_an_attribute_hide_exemplars_of_each_value(tmp_path: Path) -> None:
    folder = draw_exemplars(tmp_path / "exemplars", 40)
    names = sorted(path.name for path in folder.iterdir())
    rows = [f"{name},{('a', 'b', 'other')[k % 3]}" for k, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,kind", *rows]) + "\n")
    labelled = ImageSet.open(folder, 16, labels=tmp_path / "labels.csv")
    study = study_of(labelled, tmp_path)
    run = Run("waves", "freeze_fc+multipath", 0, part="paths", by="kind", values=("a", "b"), paths=("a", "b"))
    rest, (of_a, of_b) = study.split(run)
    assert set(of_a.attributes["kind"]) == {"a"} and set(of_b.attributes["kind"]) == {"b"}
    assert len(of_a) == len(of_b) == 6 and set(rest.attributes["kind"]) == {"a", "b"}
    assert not set(rest.names) & {*of_a.names, *of_b.names}
    assert run.name == "paths-waves-freeze_fc_multipath-0"


def test_of_few_exemplars_the_unseen_ones_are_always_the_same(images: ImageSet, tmp_path: Path) -> None:
    study = study_of(images, tmp_path)
    few, many = (study.split(Run("waves", "freeze_fc", 0, exemplars=count)) for count in (10, 30))
    assert (len(few[0]), len(many[0])) == (10, 30) and few[1][0].names == many[1][0].names


def test_a_run_is_kept_where_runs_are_compared_and_goes_on(images: ImageSet, tmp_path: Path) -> None:
    study = replace(study_of(images, tmp_path), images=8)
    run = Run("waves", "freeze_fc", 0, part="stop", images=16)
    study.train(run)
    assert [line["images"] for line in study.curve(run)][-1] == 16
    short = replace(study_of(images, tmp_path / "short"), images=8)
    same = Run("waves", "freeze_fc", 0)
    pairs = zip(study.trained(run).parameters(), short.trained(same).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_training_that_balances_values_held_out_of_the_whole_set(images: ImageSet) -> None:
    half = images.subset(range(0, COUNT, 2))
    told = {"data": {"digest": images.digest, "count": COUNT}, "attributes": {"female": half.digest}, "held_out": 0.2}
    anatomy = make_model().generator.anatomy
    balanced = reference_of(Header(anatomy, recipe={**told, "paths": []}), half)
    assert "does not tell" in balanced.warning and balanced.trained is None
    by_paths = reference_of(Header(anatomy, recipe={**told, "paths": ["female"]}), half)
    assert by_paths.warning == "" and by_paths.trained is not None
