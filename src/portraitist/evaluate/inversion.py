"""How good an inversion is: how like the photo its drawing is, and how like the prior its codes are.

Both count. A code far from the prior can draw the photo to the last hair, and a style model still draws it muddily:
that is what AgileGAN (Song et al. 2021, Fig. 2) shows with a picture of codes, and what the Fréchet distance and the
overlap say in numbers.

    prior = prior_codes(base.generator, 2000)
    print(ms_ssim(drawn, photos).mean(), energy_distance(codes, prior), overlap(codes, prior).value)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadData, UsageError, require
from ..networks import Generator
from ..spaces import Z, ZPlus
from .distribution import as_rows

WINDOW, SIGMA = 11, 1.5
"""The Gaussian window of SSIM, pixels (Wang et al. 2004, Sec. III-B)."""
RANGE = 2.0
"""Of pixel values: images lie in [-1, 1]."""
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of MS-SSIM, from fine to coarse (Wang et al. 2003, Sec. 3.2)."""
NEIGHBOURS = 5
"""Of each code, for :func:`overlap`."""


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity of images [N, 3, H, W] in [-1, 1] to others: [N]; 1 where they are equal.

    Wang et al. 2004, Eq. 13: window of ``WINDOW`` pixels and ``SIGMA``, constants 0.01 and 0.03, each colour channel by
    itself, averaged over channels and over all places whose window lies inside. Values beyond the range are clamped.

    Raises:
        BadData: A side is shorter than the window.
    """
    _check_sides(images, 1)
    return _similarity(*_clamped(images, others))[0]


def ms_ssim(images: Tensor, others: Tensor, scales: int | None = None) -> Tensor:
    """Return the multi-scale structural similarity of images [N, 3, H, W] in [-1, 1] to others: [N].

    Wang et al. 2003, Eq. 7, on windows as in :func:`ssim`; a scale is the mean of 2 x 2 pixels of the next finer one.
    Below 176 pixels the coarsest scales would be smaller than the window; they are left out and the weights of the
    others scaled to sum to 1, so that numbers of different sizes of picture cannot be compared. Negative factors count
    as 0.

    Args:
        images: The images.
        others: Their twins.
        scales: How many; :func:`ms_ssim_scales` of the shorter side when None.

    Raises:
        BadData: A side is too short for as many scales.
    """
    # Not torchmetrics 1.9: its coarsest scale counts windows that reach over the border, its others do not.
    scales = scales or ms_ssim_scales(min(images.shape[2:]))
    _check_sides(images, scales)
    x, y = _clamped(images, others)
    total = x.new_ones(len(x))
    for k, weight in enumerate(WEIGHTS[:scales]):
        whole, contrast = _similarity(x, y)
        factor = whole if k == scales - 1 else contrast
        total = total * factor.clamp(min=0) ** (weight / sum(WEIGHTS[:scales]))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total


def ms_ssim_scales(side: int) -> int:
    """Return how many of the five scales a side in pixels has room for: 1 at 16, 3 at 64, 4 at 128, 5 at 256."""
    return max((n for n in range(1, len(WEIGHTS) + 1) if side >= WINDOW * 2 ** (n - 1)), default=1)


def prior_codes(generator: Generator, count: int, *, prior: Literal["z+", "z"] = "z+", seed: int = 0) -> Tensor:
    """Map latents of the prior to W+: float32 [count, rows, w_dim] on the CPU.

    Args:
        generator: Its mapping network is used.
        count: How many; AgileGAN (Song et al. 2021, Sec. 4.2) has 2000.
        prior: ``z+`` draws a latent for each row, as AgileGAN does; ``z`` one for all rows, as the generator was
            trained with.
        seed: Of the latents; the first codes do not depend on the count.
    """
    if prior not in ("z+", "z"):
        raise UsageError(f"'{prior}' is no prior.", "Use 'z+' or 'z'.")
    random, anatomy = torch.Generator().manual_seed(seed), generator.anatomy
    if prior == "z":
        z = Z.sample(count, anatomy.z_dim, random).data
    else:
        z = ZPlus.sample(count, anatomy.rows, anatomy.z_dim, random).data
    with torch.no_grad():
        return torch.cat([generator.styles(part).cpu() for part in torch.split(z.to(generator.w_mean.device), 250)])


@dataclass(frozen=True)
class Overlap:
    """How mixed two sets of codes are, as parts of what chance would mix."""

    codes: float
    """Of the nearest neighbours of the codes: the part that are of the prior. 0: the codes lie by themselves."""
    prior: float
    """Of the nearest neighbours of the prior's: the part that are codes. 0: the codes cover nothing of the prior."""

    @property
    def value(self) -> float:
        """The smaller of the two, at most 1: 1 where the sets cannot be told apart, 0 where they lie apart.

        Among many dimensions the points of the wider set have neighbours of the tighter set only, and their mean would
        call two spheres inside each other well mixed (Biswas et al. 2014, "A distribution-free two-sample run test").
        """
        return min(1.0, self.codes, self.prior)


def overlap(codes: Tensor, prior: Tensor, *, neighbours: int = NEIGHBOURS, draws: int = 4) -> Overlap:
    """Measure how mixed codes [N, ...] are with as many codes of the prior, by nearest neighbours.

    After Schilling 1986, "Multivariate two-sample tests based on nearest neighbors": both sets are thrown together, and
    of each code's ``neighbours`` nearest others the part that belong to the other set is taken, over the N / (2 N - 1)
    that chance would give. Where several are equally near, each counts as a part.

    Args:
        codes: The codes.
        prior: At least N codes of the prior; as many sets of N as there are in it, up to ``draws``, are averaged over.
        neighbours: Of each code; less than N.
        draws: Most sets of the prior.

    Raises:
        BadData: There are not enough codes, or they have different sizes.
    """
    count = len(codes)
    if not 1 <= neighbours < count <= len(prior):
        raise BadData(
            f"{neighbours} neighbours among {count} codes and {len(prior)} of the prior cannot be counted.",
            "Bring more codes than neighbours, and at least as many of the prior.",
        )
    x, y = as_rows(codes, prior, at_least=1)
    parts = [part for part in torch.split(y, count) if len(part) == count][:draws]
    shares = torch.stack([_shares(x, part, neighbours) for part in parts]).mean(0) * (2 * count - 1) / count
    return Overlap(float(shares[0]), float(shares[1]))


def tsne(sets: list[Tensor], *, seed: int = 0, perplexity: float = 30.0) -> list[Tensor]:
    """Place codes of several sets [N_i, ...] in one plane by t-SNE (van der Maaten and Hinton 2008): [N_i, 2] each.

    Raises:
        UsageError: scikit-learn is not installed.
        BadData: There are fewer than 4 codes in all.
    """
    require("t-SNE", "evaluate", "sklearn")
    from sklearn.manifold import TSNE

    rows = torch.cat([codes.detach().cpu().flatten(1) for codes in sets]).double().numpy()
    if len(rows) < 4:
        raise BadData(f"{len(rows)} codes are too few for t-SNE.", "Bring at least 4.")
    perplexity = min(perplexity, (len(rows) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(rows)
    return list(torch.split(torch.tensor(places), [len(codes) for codes in sets]))


def _check_sides(images: Tensor, scales: int) -> None:
    least = WINDOW * 2 ** (scales - 1)
    if min(images.shape[2:]) < least:
        raise BadData(
            f"Pictures of {images.shape[3]}x{images.shape[2]} pixels are too small for the window of SSIM.",
            f"{scales} scales need {least} pixels a side.",
        )


def _clamped(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    return images.double().clamp(-1, 1), others.double().clamp(-1, 1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of luminance times contrast and structure, and that of the latter alone: [N] each."""
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    mean_x, mean_y, xx, yy, xy = _windowed(torch.stack([x, y, x * x, y * y, x * y]))
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    structure = (2 * (xy - product) + c2) / (xx + yy - squares + c2)
    luminance = (2 * product + c1) / (squares + c1)
    return (luminance * structure).mean((1, 2, 3)), structure.mean((1, 2, 3))


def _windowed(planes: Tensor) -> Tensor:
    """Average [..., H, W] over the Gaussian window at all places where it lies inside."""
    places = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    window = torch.softmax(-places.square() / (2 * SIGMA**2), 0)
    flat = planes.reshape(-1, 1, *planes.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, window.reshape(1, 1, 1, -1)), window.reshape(1, 1, -1, 1))
    return flat.reshape(*planes.shape[:-2], *flat.shape[-2:])


def _shares(x: Tensor, y: Tensor, neighbours: int) -> Tensor:
    """Return the part of neighbours in the other set, averaged over the rows of x and over those of y: [2]."""
    both = torch.cat([x, y])
    # The quick way through a matrix product loses the digits that make equal codes equally near.
    distance = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    side = torch.arange(len(both)) < len(x)
    other = side[:, None] != side
    limit = distance.kthvalue(neighbours, 1, keepdim=True).values
    nearer, level = distance < limit, distance == limit
    rest = neighbours - nearer.sum(1)
    share = ((nearer & other).sum(1) + rest * (level & other).sum(1) / level.sum(1)) / neighbours
    return torch.stack([share[: len(x)].mean(), share[len(x) :].mean()])
