"""Learning what chooses a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.data import ImageSet
from portraitist.errors import BadData, UsageError
from portraitist.io.model_file import Model
from portraitist.runs.chooser import Fit, learn_chooser
from tests.stylize.tiny_encoders import make_encoder


def labelled(folder: Path, count: int, *, seed: int) -> ImageSet:
    """Make pictures whose label is whether they are bright; a tenth is unknown."""
    folder.mkdir()
    rng, lines = np.random.default_rng(seed), ["file,kind"]
    for k in range(count):
        level = 190 if k % 2 else 60
        picture = np.clip(rng.normal(level, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{k}.png")
        lines.append(f"{k}.png,{'unknown' if k % 10 == 9 else ('bright' if k % 2 else 'dark')}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return ImageSet.open(folder, 16, labels=folder / "labels.csv")


def test_it_learns_what_tells_pictures_apart(tmp_path: Path, tiny_model: Model) -> None:
    encoder = make_encoder(tiny_model)
    photos, others = labelled(tmp_path / "a", 80, seed=0), labelled(tmp_path / "b", 40, seed=1)
    for held_out, count in ((None, 72), (others, 36)):
        stored = learn_chooser(photos, ["kind"], tiny_model, encoder, held_out=held_out, fit=Fit(strength=1.0))
        (choice,) = stored.header.choices
        assert choice.values == ("bright", "dark") and choice.learned_from == 72 and choice.held_out == count
        assert choice.accuracy > 0.9 and choice.chosen_accuracy >= choice.accuracy and 0.5 <= choice.margin < 1
    latents = encoder.encoder(others.all()).mu
    shares = stored.chooser.shares("kind", latents, ("bright", "dark")).detach().numpy()
    labels = others.attributes["kind"]
    right = [("bright", "dark")[share.argmax()] == label for share, label in zip(shares, labels, strict=True)]
    assert sum(right) / 36 == pytest.approx(choice.accuracy)


def test_what_cannot_be_learned_is_refused(tmp_path: Path, tiny_model: Model) -> None:
    photos, encoder = labelled(tmp_path / "a", 20, seed=0), make_encoder(tiny_model)
    with pytest.raises(BadData, match="20 photos each"):
        learn_chooser(photos, ["kind"], tiny_model, encoder)
    with pytest.raises(UsageError, match="no column 'sex'"):
        learn_chooser(photos, ["sex"], tiny_model, encoder)
    with pytest.raises(UsageError, match="--by"):
        learn_chooser(photos, [], tiny_model, encoder)


def test_other_words_in_the_held_out_labels_are_refused(tmp_path: Path, tiny_model: Model) -> None:
    photos, others = labelled(tmp_path / "a", 80, seed=0), labelled(tmp_path / "b", 20, seed=1)
    capitals = replace(others, attributes={"kind": [label.upper() for label in others.attributes["kind"]]})
    with pytest.raises(BadData, match="None of the 20 other photos is labelled with a kind of bright, dark"):
        learn_chooser(photos, ["kind"], tiny_model, make_encoder(tiny_model), held_out=capitals)


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"folds": 21}, {"strength": 0.0}, {"wanted": 1.5}, {"wanted": np.nan}])
def test_settings_without_a_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"The setting {next(iter(wrong))} is"):
        Fit(**wrong)  # type: ignore[arg-type]
