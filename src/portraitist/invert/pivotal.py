"""Pivotal tuning: bend a copy of the generator until it draws a picture from its code (Roich et al. 2021).

arXiv:2106.05744. A code near the prior can be edited and restyled, but the base does not draw the photo from it well;
a code far away the other way round. Here the code, the pivot, stays where it is, and the weights of the synthesis
network go the rest of the way.

    found = Projector(model.generator, perceptual, stylegan2()).invert(photo)
    tuned = tune(model.generator, photo, found.code, perceptual)
    tuned.generator.synthesize(found.code)
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..losses.perceptual import PerceptualDistance, Prepared, pixel_error
from ..networks import Generator
from ..networks.features import resized
from ..spaces import WPlus, statistics
from .inverter import Progress


@dataclass(frozen=True)
class PivotalTuning:
    """Settings of a tuning; the defaults are those of the released code, less its threshold."""

    steps: int = 350
    learning_rate: float = 3e-4
    perceptual_weight: float = 1.0
    pixel_weight: float = 1.0
    """Of the mean squared difference of pixels (Sec. 3.2)."""
    enough: float = 0.0
    """Stop when every picture's perceptual distance is below; the released code has 0.07, in LPIPS of AlexNet."""
    locality_weight: float = 0.0
    """Of the regulariser (Sec. 3.3): codes near the pivot must be drawn as before. Where used it is 0.1."""
    radius: float | None = None
    """How far from the pivot those codes lie (alpha); 30 in the released code; None takes the deviation of w."""
    seed: int = 0
    """Of the directions in which they lie."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.learning_rate < math.inf:
            raise UsageError("A tuning needs at least one step and a positive learning rate.")


@dataclass(frozen=True)
class Tuned:
    """A generator bent to some pictures, and what that cost."""

    generator: Generator
    """Frozen; its mapping is the original's."""
    image: Tensor
    """[N, 3, R, R], what it draws from the pivots."""
    before: Tensor
    """[N], perceptual distance of what the original draws."""
    after: Tensor
    """[N], perceptual distance of ``image``."""
    history: Tensor
    """[steps, N], weighted perceptual and pixel loss before each step."""
    steps: int
    """Steps done; fewer than asked for where it was good enough."""
    seconds: float


def tune(
    generator: Generator,
    images: Tensor,
    pivots: WPlus,
    perceptual: PerceptualDistance,
    settings: PivotalTuning | None = None,
    *,
    progress: Progress | None = None,
) -> Tuned:
    """Tune one copy of the synthesis network to all the images together; the original is not touched.

    Args:
        generator: What is copied.
        images: [N, 3, H, W] in [-1, 1]; resized to the generator's size with antialiasing.
        pivots: The code of each image.
        perceptual: How likeness is measured.
        settings: ``PivotalTuning()`` when None.
        progress: Called after each step with the steps done and all steps.

    Raises:
        NonFinite: An image or a pivot holds NaN, or the tuning diverged.
        UsageError: There are not as many pivots as images, or none.
    """
    settings = settings or PivotalTuning()
    if not len(images) or len(images) != len(pivots):
        raise UsageError(f"{len(images)} pictures cannot be tuned to by {len(pivots)} codes.", "Give a code for each.")
    begun = time.perf_counter()
    device = generator.w_mean.device
    target, ws = resized(images.to(device), generator.anatomy.resolution), pivots.to(device)
    tuned = copy.deepcopy(generator).eval().requires_grad_(False)
    with torch.no_grad():
        prepared = perceptual.prepare(target)
        before = perceptual.distance(tuned.synthesize(ws), prepared)
    keeper = _Locality(generator, ws.data, perceptual, settings) if settings.locality_weight else None
    history = _optimise(tuned, ws, target, prepared, perceptual, keeper, settings, progress)
    with torch.no_grad():
        image = tuned.synthesize(ws)
        after = perceptual.distance(image, prepared)
    if not torch.isfinite(after).all():
        raise NonFinite("The tuning diverged.", "Lower its learning rate, or look for NaN in the picture or its code.")
    return Tuned(tuned, image, before, after, history, len(history), time.perf_counter() - begun)


def _optimise(
    tuned: Generator,
    ws: WPlus,
    target: Tensor,
    prepared: Prepared,
    perceptual: PerceptualDistance,
    keeper: _Locality | None,
    settings: PivotalTuning,
    progress: Progress | None,
) -> Tensor:
    weights = list(tuned.synthesis.requires_grad_(True).parameters())
    adam = torch.optim.Adam(weights, lr=settings.learning_rate)
    history = []
    for step in range(settings.steps):
        image = tuned.synthesize(ws)  # G(w_p; theta*), [N, 3, R, R]
        seen = perceptual.distance(image, prepared)  # [N]
        if (seen < settings.enough).all():
            break
        # Sec. 3.2: L_pt = L_LPIPS(x, x_p) + lambda L_2(x, x_p), of each picture [N]
        loss = settings.perceptual_weight * seen + settings.pixel_weight * pixel_error(image, target)
        history.append(loss.detach())
        total = loss.mean() if keeper is None else loss.mean() + keeper.loss(tuned)
        for weight, gradient in zip(weights, torch.autograd.grad(total, weights), strict=True):
            weight.grad = gradient
        adam.step()
        if progress is not None:
            progress(step + 1, settings.steps)
    adam.zero_grad()
    tuned.requires_grad_(False)
    return torch.stack(history) if history else target.new_zeros(0, len(target))


class _Locality:
    """What the original draws around the pivots, and how far a tuned copy has left it."""

    def __init__(
        self, generator: Generator, ws: Tensor, perceptual: PerceptualDistance, settings: PivotalTuning
    ) -> None:
        self.original = copy.deepcopy(generator).eval().requires_grad_(False)
        self.ws, self.perceptual, self.settings = ws, perceptual, settings
        self.random = torch.Generator().manual_seed(settings.seed)
        mapping = copy.deepcopy(generator.mapping).to("cpu")
        self.radius = settings.radius or statistics(mapping, generator.anatomy.z_dim).deviation

    def loss(self, tuned: Generator) -> Tensor:
        """Return the weighted difference at one code near each pivot."""
        near = self._near()
        with torch.no_grad():
            wanted = self.original.synthesize(near)
            prepared = self.perceptual.prepare(wanted)
        image = tuned.synthesize(near)
        # Sec. 3.3: L_R = L_LPIPS(x_r, x_r*) + lambda L_2(x_r, x_r*), [N]
        difference = self.perceptual.distance(image, prepared) + pixel_error(image, wanted)
        return self.settings.locality_weight * difference.mean()

    def _near(self) -> WPlus:
        """Return codes ``radius`` away from the pivots, each row towards a sample of the prior."""
        z = torch.randn(len(self.ws), self.original.anatomy.z_dim, generator=self.random).to(self.ws)
        with torch.no_grad():
            way = self.original.styles(z) - self.ws  # w_z - w_p, [N, rows, w_dim]
        # Sec. 3.3: w_r = w_p + alpha (w_z - w_p) / |w_z - w_p|
        return WPlus(self.ws + self.radius * torch.nn.functional.normalize(way, dim=2))
