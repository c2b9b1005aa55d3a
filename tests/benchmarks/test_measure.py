from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks import generation, inversion, training
from benchmarks.measure import Peak, Subject, WorkCounter, measure


@pytest.mark.parametrize("groups", [1, 4])
def test_work_is_counted_as_direct_convolution_without_filters(groups: int) -> None:
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(4, 4 // groups, 3, 3)
    subject = Subject("convolution", lambda: lambda: F.conv2d(x, weight, padding=1, groups=groups), goal=1.0)
    result = measure(subject, Peak(1.0, 1.0), seconds=0, least=2)
    assert result.gflop == (2 * 2 * 64 * 4 * 4 * 9 / 1e9 if groups == 1 else 0)
    assert result.rounds == 2


def test_the_work_of_a_gradient_is_counted() -> None:
    x, weight = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(4, 4, 3, 3, requires_grad=True)
    with WorkCounter() as counter:
        F.conv2d(x, weight, padding=1).square().sum().backward()
    assert counter.total == 3 * (2 * 2 * 64 * 4 * 4 * 9)  # forward, and a gradient for each factor


def test_subjects_cover_what_the_goals_name() -> None:
    names = {s.name for module in (generation, training, inversion) for s in module.subjects()}
    wanted = {f"generate {size} px, batch {batch}" for size in (64, 256, 1024) for batch in (1, 4)}
    assert wanted <= names
    assert {"inversion step 64 px", "inversion step 256 px"} <= names
    assert len([n for n in names if "step 64 px" in n]) == 4
