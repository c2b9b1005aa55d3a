"""The weights gathered are those that make the styles."""

from __future__ import annotations

import pytest
import torch

from portraitist.errors import UsageError
from portraitist.networks import Generator, GeneratorAnatomy, modulation_weights


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorAnatomy(16, (10, 8, 6), z_dim=4, w_dim=5, mapping_layers=1))


def test_each_choice_holds_the_layers_it_names(generator: Generator) -> None:
    def widths(*args: object, **kwargs: object) -> list[int]:
        return [len(w) for w in modulation_weights(generator.synthesis, *args, **kwargs)]  # type: ignore[arg-type]

    assert widths() == [10, 10, 10, 8, 8, 6]  # conv1 and ToRGB of 4, then two convolutions at 8 and at 16
    assert widths(to_rgb="none") == [10, 10, 8, 8, 6]
    assert widths(to_rgb="last") == [10, 10, 8, 8, 6, 6]
    assert widths(to_rgb="all") == [10, 10, 10, 8, 8, 8, 6, 6]
    assert widths([8], to_rgb="all") == [10, 8, 8]
    assert widths([16, 4]) == [10, 10, 8, 6]


def test_a_step_changes_the_styles_by_the_weights(generator: Generator) -> None:
    conv0 = generator.synthesis.get_submodule("blocks.16.conv0")
    (weight,) = modulation_weights(generator.synthesis, [16])[:1]
    w, step = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = conv0.affine(w + step) - conv0.affine(w)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(change, step @ weight.t(), rtol=1e-4, atol=1e-5)
    assert not weight.requires_grad


def test_a_choice_of_nothing_is_refused(generator: Generator) -> None:
    with pytest.raises(UsageError, match=r"no blocks of \[32\]"):
        modulation_weights(generator.synthesis, [8, 32])
    with pytest.raises(UsageError, match="No layer"):
        modulation_weights(generator.synthesis, [])
