from __future__ import annotations

import json
import math

import pytest
import torch

from portraitist.errors import NonFinite, UsageError
from portraitist.train.ada import Ada, AdaController, mean_sign


def scores(real: int, fake: int) -> torch.Tensor:
    return torch.cat((torch.full((real,), 2.5), torch.full((fake,), -0.1)))[:, None]


def observe(ada: AdaController, seen: torch.Tensor) -> None:
    ada.note(mean_sign(seen), seen.numel())


def feed(ada: AdaController, real: int, fake: int, minibatches: int) -> list[float]:
    history = []
    for _ in range(minibatches):
        observe(ada, scores(real, fake))
        history.append(ada.adjust(real + fake))
    return history


def test_p_rises_by_images_over_length_every_few_minibatches() -> None:
    ada = AdaController(Ada(kimg=1, every=4))
    assert feed(ada, 10, 0, 9) == [0, 0, 0, 0.04, 0.04, 0.04, 0.04, 0.08, 0.08]
    assert ada.mean_sign == 1


def test_p_falls_below_the_target_and_stops_at_zero() -> None:
    ada = AdaController(Ada(kimg=1, every=1, start=0.025))
    assert feed(ada, 6, 4, 4) == pytest.approx([0.015, 0.005, 0, 0], abs=1e-12)
    assert ada.mean_sign == pytest.approx(0.2)


def test_p_stays_on_target() -> None:
    ada = AdaController(Ada(kimg=1, every=1, target=0.6, start=0.3))
    assert feed(ada, 8, 2, 3) == [0.3] * 3


def test_p_may_pass_one() -> None:
    assert feed(AdaController(Ada(kimg=0.01, every=1)), 10, 0, 3) == [1, 2, 3]


def test_the_sign_is_averaged_over_all_scores_since_the_last_move() -> None:
    ada = AdaController(Ada(every=2, kimg=1))
    observe(ada, scores(2, 0))
    ada.adjust(2)
    observe(ada, scores(10, 8))
    observe(ada, torch.zeros(4))  # on the fence: counts, without a sign
    assert ada.adjust(22) == 0
    assert ada.mean_sign == pytest.approx(4 / 24)


def test_without_scores_p_holds() -> None:
    ada = AdaController(Ada(every=1, start=0.4))
    assert ada.adjust(32) == 0.4


def test_a_controlled_process_settles_where_the_target_is_met() -> None:
    # A discriminator whose confidence falls from 1 to 0 as p goes from 0 to 1 meets the target at p = 0.4.
    ada, random = AdaController(Ada(kimg=20, every=4)), torch.Generator().manual_seed(0)
    history = []
    for _ in range(4000):
        real = torch.rand(16, generator=random) < (2 - ada.p) / 2
        observe(ada, real * 2.0 - 1)
        history.append(ada.adjust(16))
    assert sum(history[1000:]) / 3000 == pytest.approx(0.4, abs=0.02)


def test_resuming_is_exact_also_between_moves() -> None:
    whole = AdaController(Ada(kimg=0.7, every=4))
    first = feed(whole, 7, 3, 2) + feed(whole, 9, 0, 20)
    cut = AdaController(Ada(kimg=0.7, every=4))
    second = feed(cut, 7, 3, 2) + feed(cut, 9, 0, 3)
    resumed = AdaController(Ada(kimg=0.7, every=4))
    resumed.load_state_dict(json.loads(json.dumps(cut.state_dict())))
    second += feed(resumed, 9, 0, 17)
    assert first == second
    assert whole.state_dict() == resumed.state_dict()


def test_scores_keep_no_graph() -> None:
    ada = AdaController(Ada())
    observe(ada, scores(3, 1).requires_grad_())
    assert isinstance(ada.sign_sum, torch.Tensor)
    assert not ada.sign_sum.requires_grad


def test_nan_scores_are_an_error() -> None:
    ada = AdaController(Ada(every=1))
    observe(ada, torch.tensor([1.0, math.nan]))
    with pytest.raises(NonFinite):
        ada.adjust(2)


@pytest.mark.parametrize(
    "wrong", [{"target": 1.5}, {"target": math.nan}, {"kimg": 0}, {"every": 0}, {"start": -0.1}, {"start": math.inf}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Ada(**wrong)  # type: ignore[arg-type]
