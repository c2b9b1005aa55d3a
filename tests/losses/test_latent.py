"""The divergence of a posterior from the prior: its sign, its zero and its reduction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from portraitist.losses.identity import identity_distance
from portraitist.losses.latent import kl_divergence

NUMBERS = st.floats(-6, 6).filter(lambda x: abs(x) > 1e-3)


def test_it_is_nothing_at_the_prior() -> None:
    assert kl_divergence(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)) == 0


@given(mu=NUMBERS, logvar=NUMBERS)
def test_it_is_positive_elsewhere(mu: float, logvar: float) -> None:
    zero, m, v = torch.zeros(1, 1, 1), torch.full((1, 1, 1), mu), torch.full((1, 1, 1), logvar)
    assert kl_divergence(m, zero) > 0 and kl_divergence(zero, v) > 0
    # In double precision: beside a large variance a small mean is lost to rounding in single.
    assert kl_divergence(m.double(), v.double()) > kl_divergence(zero.double(), v.double())


def test_it_is_torchs_divergence_summed_over_rows_and_averaged_over_the_batch() -> None:
    mu, logvar = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(mu, logvar), expected.sum((1, 2)).mean())


def test_its_gradient_pulls_to_the_prior() -> None:
    mu, logvar = (torch.full((1, 2, 3), x, requires_grad=True) for x in (0.5, 1.0))
    kl_divergence(mu, logvar).backward()
    assert mu.grad is not None and logvar.grad is not None
    torch.testing.assert_close(mu.grad, torch.full((1, 2, 3), 0.5))
    assert (logvar.grad > 0).all()


@pytest.mark.parametrize(("other", "distance"), [((1.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((-1.0, 0.0), 2.0)])
def test_the_identity_distance_is_one_minus_the_cosine(other: tuple[float, float], distance: float) -> None:
    found = identity_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([other]))
    assert found.tolist() == [distance]
