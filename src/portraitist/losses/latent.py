"""How far the posterior of an encoder is from the prior.

Song et al. 2021, "AgileGAN", Eq. 2, whose printed sign is that of the negative divergence: as written it would be
maximal at the prior. The sum runs over rows and entries, as the text says, and the mean over the batch.
"""

from __future__ import annotations

from torch import Tensor


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(0, 1)) summed over rows and entries, averaged over the batch: a scalar.

    It is 0 at mu = 0, logvar = 0 and positive elsewhere.

    Args:
        mu: Means [N, rows, dim].
        logvar: Logarithms of variances, of the same shape.
    """
    # Eq. 2 with its sign turned, s = logvar: 1/2 sum (mu^2 + e^s - 1 - s); expm1 keeps it from rounding below 0.
    return 0.5 * (mu.square() + logvar.expm1() - logvar).sum((1, 2)).mean()
