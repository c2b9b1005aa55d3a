"""AgileGAN's study: tables by embedding and by method, latents and the prior, pairs of photos, paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.errors import UsageError
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.train.spec import Training
from studies import reproduction, translated
from studies.agilegan import LEAST_PHOTOS, embeddings, expressions, methods
from studies.agilegan.prior import spread
from studies.published import AGILEGAN_TABLE_1, AGILEGAN_TABLE_2
from studies.study import Run, Study
from tests.recipes.tiny_runs import tiny_base
from tests.runs.test_finetune import draw_exemplars
from tests.stylize.tiny_encoders import make_encoder

COUNT = 60
pytestmark = pytest.mark.recipe


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = draw_exemplars(tmp_path_factory.mktemp("agilegan") / "waves", COUNT)
    names = sorted(path.name for path in folder.iterdir())
    rows = [f"{name},{('female', 'male')[k % 2]}" for k, name in enumerate(names)]
    (folder.parent / "labels.csv").write_text("\n".join(["file,gender", *rows]) + "\n")
    return ImageSet.open(folder, 16, labels=folder.parent / "labels.csv")


def drawn(count: int, seed: int) -> Tensor:
    return tiny_base().generator.sample_batches(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def study(labelled: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Study:
    base = tiny_base()
    assert base.discriminator is not None
    kinds = {"hVAE": "hvae", "pSp": "w+", "w/o Z+": "vae", "w/o variational": "z+"}
    return Study(
        base=base,
        out=tmp_path_factory.mktemp("study"),
        sets={"waves": labelled},
        seeds=(0, 1),
        images=8,
        samples=16,
        quiet=True,
        start=Training(batch=4, r1_every=2),
        photos=drawn(LEAST_PHOTOS, 1),
        pairs=(drawn(4, 2), drawn(4, 3)),
        identity=DiscriminatorIdentity(base.discriminator),
        learned=labelled.subset(range(12)),
        steps=2,
        encoders={name: make_encoder(base, kind=kind) for name, kind in kinds.items()},  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module", autouse=True)
def narrow_translators() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(translated, "CHANNELS", 8)
        yield


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return " ".join(reproduction.reproduce("agilegan", study).read_text(encoding="utf-8").split())


def test_every_embedding_and_every_method_has_its_row(page: str, study: Study) -> None:
    rows = (*AGILEGAN_TABLE_2, *embeddings.ABLATIONS, *AGILEGAN_TABLE_1, "FC-FT", "memoriser")
    for name in rows:
        assert f"| waves | {name} |" in page, name
    assert "for want of" not in page
    assert all((study.out / name).exists() for name in (methods.PICTURE, "reproduction-agilegan-paths.png"))


def test_translators_are_trained_for_the_first_seed_alone(page: str, study: Study) -> None:
    by_seed = [
        json.loads((study.out / "measured" / f"agilegan-methods-waves-{seed}.json").read_text())["found"]
        for seed in study.seeds
    ]
    first, second = (set(found[study.own.digest]) for found in by_seed)
    assert first - second == set(methods.TRANSLATORS)
    assert "for waves and seed 0 alone" in page


def test_a_translator_is_trained_once_and_another_in_its_place_is_refused(page: str, study: Study) -> None:
    path = study.out / "runs" / "waves-unit-0" / "translator.safetensors"
    written = path.stat().st_mtime_ns
    pictures = translated.translated(study, "unit", "waves", 0, drawn(2, 5))
    assert pictures.shape == (2, 3, 16, 16) and path.stat().st_mtime_ns == written
    assert not torch.equal(pictures[0], pictures[1])
    fewer = study.sets["waves"].subset(range(11))
    for changed, named in ((replace(study, images=9), "images"), (replace(study, learned=fewer), "data.digest")):
        with pytest.raises(UsageError, match=f"other settings: {named}"):
            translated.trained(changed, "unit", "waves", 0)
    with pytest.raises(UsageError, match="--learn-from"):
        translated.trained(replace(study, learned=None), "unit", "waves", 0)


def test_a_second_call_repeats_the_page_and_trains_nothing(page: str, study: Study) -> None:
    before = {p: p.stat().st_mtime_ns for p in study.out.rglob("*.safetensors")}
    assert " ".join(reproduction.reproduce("agilegan", study).read_text(encoding="utf-8").split()) == page
    assert before == {p: p.stat().st_mtime_ns for p in study.out.rglob("*.safetensors")}


def test_the_similarity_loss_is_left_out_and_the_split_is_the_one_asked_for(page: str, study: Study) -> None:
    def settings(run: Run) -> dict[str, object]:
        found: dict[str, object] = json.loads((study.folder(run) / "settings.json").read_text())
        return found

    own, without = settings(Run("waves", "agilegan", 0)), settings(Run("waves", "agilegan", 0, similarity=0.0))
    assert own["terms"] == ["similarity"] and without["terms"] == []
    paths = {"part": "paths", "by": "gender", "values": ("female", "male"), "paths": ("female", "male")}
    high = Run("waves", "agilegan+multipath", 0, split=(16, 16), **paths)  # type: ignore[arg-type]
    assert (settings(high)["split_from"], settings(high)["split_upto"]) == (16, 16)
    women, men = (study.trained(high, path=value) for value in ("female", "male"))
    apart = {k for k, v in women.state_dict().items() if not torch.equal(v, men.state_dict()[k])}
    assert apart and all(k.startswith("synthesis.blocks.16") for k in apart)


def test_pairs_are_matched_by_their_names(tmp_path: Path) -> None:
    for name in ("neutral", "smiling"):
        draw_exemplars(tmp_path / name, 3)
    neutral, smiling = reproduction.pairs_of(tmp_path, 16)
    assert neutral.shape == smiling.shape == (3, 3, 16, 16)
    (tmp_path / "smiling" / "01.png").rename(tmp_path / "smiling" / "7.png")
    with pytest.raises(UsageError, match=r"01\.png is in one of"):
        reproduction.pairs_of(tmp_path, 16)


def test_the_spread_of_latents_is_that_of_their_directions() -> None:
    random = torch.Generator().manual_seed(0)
    wide = torch.randn(4000, 2, 8, generator=random)
    assert spread(wide)["directions"] == pytest.approx(8, abs=0.1)
    assert spread(wide)["common"] == pytest.approx(0, abs=0.01)
    flat = wide * torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])
    assert spread(flat)["directions"] == pytest.approx(2, abs=0.05)
    # Moved by its own length, half of the energy is the same for all.
    assert spread(wide + 1)["common"] == pytest.approx(0.5, abs=0.02)
    assert spread(wide[:, :1].expand(-1, 2, -1))["between rows"] == pytest.approx(1)
    assert spread(wide[:, :1])["between rows"] is None


def test_without_the_papers_encoder_the_page_says_what_is_not_measured(study: Study) -> None:
    bare = replace(study, encoders={})
    for lines in (methods.section(bare, {}), expressions.section(bare)):
        assert lines[0].startswith("### ") and "no encoder is named hVAE" in " ".join(lines)
