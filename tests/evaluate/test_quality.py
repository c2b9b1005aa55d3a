"""One style's table: baselines behave as they must, a memoriser is caught, and numbers survive a file."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadData
from portraitist.evaluate.kernel import Interval
from portraitist.evaluate.quality import (
    DO_NOTHING,
    MEAN_COLOUR,
    MEASURES,
    MEMORISER,
    Reference,
    Scorer,
    as_files,
    baselines,
)
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.report.markdown import shown
from portraitist.report.quality import Table


def pictures(count: int, seed: int, colour: float = 0.0) -> Tensor:
    """Smooth pictures of many kinds, so that no two are alike."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=random) * 0.4
    return torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear") + colour


@pytest.fixture(scope="module")
def features(tiny_model: Model) -> DiscriminatorFeatures:
    assert tiny_model.discriminator is not None
    return DiscriminatorFeatures(tiny_model.discriminator)


@pytest.fixture(scope="module")
def scorer(tiny_model: Model, features: DiscriminatorFeatures) -> Scorer:
    reference = Reference(pictures(30, 1, 0.3), pictures(60, 2, 0.3))
    assert tiny_model.discriminator is not None
    identity = DiscriminatorIdentity.of_base(tiny_model.generator, tiny_model.discriminator)
    return Scorer(reference, features, PerceptualDistance(features), identity, draws=8)


def test_a_memoriser_is_caught_and_an_honest_model_is_not(scorer: Scorer) -> None:
    inputs = pictures(100, 3)
    honest = scorer.row("honest", pictures(100, 4, 0.3), inputs)
    nothing, tint, memoriser = scorer.baselines(inputs)
    assert (nothing.name, tint.name, memoriser.name) == (DO_NOTHING, MEAN_COLOUR, MEMORISER)
    assert memoriser.alarm and "alarm" in memoriser.copies
    assert not honest.alarm and not nothing.alarm
    assert memoriser.values["kernel_trained"].value < 0 < nothing.values["kernel_trained"].value


def test_doing_nothing_changes_nothing_and_a_tint_comes_nearer(scorer: Scorer) -> None:
    nothing, tint, _ = scorer.baselines(pictures(60, 5))
    assert nothing.values["change"] == Interval(0.0, 0.0)
    assert nothing.values["identity"].value == pytest.approx(1, abs=1e-5)
    assert nothing.values["layout"].value == pytest.approx(1, abs=1e-5)
    assert tint.values["layout"].value > 0.98
    assert tint.values["kernel"].value < nothing.values["kernel"].value


def test_the_tint_has_the_mean_colour_of_the_exemplars() -> None:
    reference = Reference(pictures(10, 1, 0.5))
    inputs = pictures(40, 2)
    found = baselines(inputs, reference)
    assert torch.allclose(found[MEAN_COLOUR].mean((0, 2, 3)), reference.held_out.mean((0, 2, 3)), atol=1e-5)
    assert torch.equal(found[DO_NOTHING], inputs)
    copied = found[MEMORISER]
    both = torch.cat([reference.held_out, reference.held_out.flip(3)])
    assert all(any(torch.equal(copy, other) for other in both) for copy in copied)


def test_without_known_training_exemplars_no_copies_are_looked_for(features: DiscriminatorFeatures) -> None:
    scorer = Scorer(Reference(pictures(20, 1)), features, PerceptualDistance(features), draws=4)
    row = scorer.row("mine", pictures(20, 2), pictures(20, 3))
    assert row.copies == "" and not row.alarm and not {"kernel_trained", "identity"} & set(row.values)
    with pytest.raises(BadData, match="5 exemplars cannot be scored on"):
        Scorer(Reference(pictures(5, 1)), features, PerceptualDistance(features))


def test_only_what_is_wanted_is_measured(features: DiscriminatorFeatures) -> None:
    reference = Reference(pictures(20, 1), pictures(20, 2))
    scorer = Scorer(reference, features, PerceptualDistance(features), wanted=("kernel", "change"))
    assert list(scorer.row("mine", pictures(10, 3), pictures(10, 4)).values) == ["kernel", "change"]


def test_a_table_is_read_back_and_says_what_it_was_measured_with(
    scorer: Scorer, features: DiscriminatorFeatures
) -> None:
    row = scorer.row("mine", pictures(30, 6), pictures(30, 7), {"path_length": Interval(12.0, 0.5)})
    assert list(row.values) == [key for key in MEASURES if key in row.values] and "path_length" in row.values
    settings = {**scorer.settings, "warning": "They were trained on."}
    table = Table("mine: samples", [row], settings, ("A note.",))
    again = Table.from_json(json.loads(json.dumps(table.as_json())))
    assert again == table
    text = table.markdown()
    assert f"Fréchet distance (discriminator sha256:{features.digest[:8]})" in text
    assert "**They were trained on.**" in text and "A note." in text and "trained on 60 others" in text
    # The measure's own name belongs to its own network.
    assert "FID (" not in text and "KID (" not in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    with pytest.raises(BadData, match="not written by"):
        Table.from_json({"title": "mine"})


def test_numbers_are_shown_to_the_digits_that_their_interval_leaves() -> None:
    assert shown(Interval(0.123456, 0.01)) == "0.123 ± 0.020"
    assert shown(Interval(123.456, 5.2)) == "123 ± 10"
    assert shown(Interval(0.5, 0.0)) == "0.500 ± 0.000"
    assert shown(None) == ""


def test_files_hold_256_levels() -> None:
    images = torch.linspace(-1.5, 1.5, 48).reshape(1, 3, 4, 4)
    found = as_files(images)
    assert found.min() == -1 and found.max() == 1 and torch.equal(as_files(found), found)
    assert torch.allclose((found + 1) * 127.5, ((found + 1) * 127.5).round(), atol=1e-4)
