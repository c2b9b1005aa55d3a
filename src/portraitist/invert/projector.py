"""Inversion by optimisation into W and W+: the projector of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, App. D).

Adam moves the code of each picture from the mean w until the drawing looks like the picture. A large learning rate
explores while noise on the code keeps it from the nearest bad minimum; both fade. Each picture has its own code and
moments, and the loss is a sum over pictures, so no picture sees another.

    projector = Projector(model.generator, PerceptualDistance(DiscriminatorFeatures(model.discriminator)))
    found = projector.invert(photos)        # found.code, found.image
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..losses.perceptual import PerceptualDistance, Prepared, pyramid_error
from ..networks import Generator
from ..networks.features import resized
from ..spaces import WPlus
from .inverter import Inverted, Progress
from .prior import fit_prior


@dataclass(frozen=True)
class Projection:
    """Settings of a projection; the defaults are those of the StyleGAN2 projector into W, less its noise planes."""

    space: Literal["w", "w+"] = "w"
    """One code for all rows, or one per row."""
    steps: int = 1000
    learning_rate: float = 0.1
    ramp_up: float = 0.05
    """Part of the steps over which the learning rate rises from 0."""
    ramp_down: float = 0.25
    """Part of the steps over which it falls to 0."""
    code_noise: float = 0.05
    """Deviation of the noise on the code at the start, relative to the deviation of w."""
    code_noise_until: float = 0.75
    """Part of the steps after which that noise is gone."""
    perceptual_weight: float = 1.0
    pixel_weight: float = 0.0
    """Of the squared error of pixels over a pyramid of sizes."""
    prior_weight: float = 0.0
    """Of the penalty on codes that the mapping network would hardly make; about 1 for those it makes."""
    tie_weight: float = 0.0
    """Of the penalty on rows of W+ that differ from each other; 2 for independent codes of the prior."""
    optimise_noise: bool = False
    """Fit the noise planes too. They hide what the code should say, and other generators then need them as well."""
    noise_weight: float = 1e5
    """Of the penalty on correlated noise planes."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space not in ("w", "w+"):
            raise UsageError(f"'{self.space}' is no space to project into.", "Use 'w' or 'w+'.")
        if self.steps < 1 or self.learning_rate <= 0:
            raise UsageError("A projection needs at least one step and a positive learning rate.")


def portrait() -> Projection:
    """Return the settings for restyling: as like the photo as codes near the prior can be.

    Without the two penalties the base draws the photo little better, but a style model draws such codes muddily and
    with patches. A base that is barely trained needs weaker ones: hair and head shape are then out of its reach.
    """
    return Projection(space="w+", steps=200, learning_rate=0.05, pixel_weight=5.0, prior_weight=0.3, tie_weight=0.3)


def stylegan2() -> Projection:
    """Return the settings of Karras et al. 2020, App. D: W, 1000 steps, noise planes optimised too."""
    return Projection(optimise_noise=True)


def image2stylegan() -> Projection:
    """Return the settings of Abdal et al. 2019, arXiv:1904.03189: W+, 5000 small steps, pixels beside features."""
    return Projection(space="w+", steps=5000, learning_rate=0.01, ramp_up=0, ramp_down=0, code_noise=0, pixel_weight=1)


class Projector:
    """Find codes by optimisation; an ``Inverter``."""

    def __init__(
        self,
        generator: Generator,
        perceptual: PerceptualDistance,
        settings: Projection | None = None,
        *,
        together: int = 1,
    ) -> None:
        """Prepare a frozen copy of the generator, which itself is not touched.

        Args:
            generator: What draws.
            perceptual: How likeness is measured.
            settings: :func:`portrait` when None.
            together: Pictures optimised in one batch. With 1 a picture's code does not depend on its company, bit
                for bit; more are faster on a GPU and agree to rounding, which many steps amplify.
        """
        self.anatomy = generator.anatomy
        self.synthesis = copy.deepcopy(generator.synthesis).eval().requires_grad_(False)
        self.device = self.synthesis.const.device
        mapping = copy.deepcopy(generator.mapping).to("cpu")
        self.prior = fit_prior(mapping, self.anatomy.z_dim).to(self.device)
        self.perceptual, self.settings, self.together = perceptual, settings or portrait(), together

    def invert(
        self,
        images: Tensor,
        *,
        start: WPlus | None = None,
        progress: Progress | None = None,
    ) -> Inverted:
        """Find a code for each image.

        Args:
            images: [N, 3, H, W] in [-1, 1]; resized to the generator's size with antialiasing.
            start: Codes to refine, one per image; the mean w when None. Only in W+.
            progress: Called after each step with the steps done and all steps.

        Raises:
            NonFinite: An image holds NaN, or the optimisation diverged.
        """
        begun = time.perf_counter()
        codes = torch.split(self._start(len(images), start), self.together)
        chunks = torch.split(images.to(self.device), self.together)
        parts = []
        for k, (chunk, code) in enumerate(zip(chunks, codes, strict=True)):
            report = _Report(progress, k * self.settings.steps, len(chunks) * self.settings.steps)
            parts.append(self._invert_together(chunk, code, report))
        found = _joined(parts, self.settings.steps, time.perf_counter() - begun)
        if not torch.isfinite(found.distance).all():
            raise NonFinite("The inversion diverged.", "Lower its learning rate, or look for NaN in the picture.")
        return found

    def _start(self, count: int, start: WPlus | None) -> Tensor:
        if count == 0:
            raise UsageError("There is no picture to invert.")
        if start is None:
            return self.prior.mean.repeat(count, 1 if self.settings.space == "w" else self.anatomy.rows, 1)
        if self.settings.space == "w":
            raise UsageError("Codes of W+ can be refined in W+ only.", "Choose settings whose space is 'w+'.")
        expected = (count, self.anatomy.rows, self.anatomy.w_dim)
        if tuple(start.data.shape) != expected:
            raise UsageError(f"Codes to refine must have shape {expected}, not {tuple(start.data.shape)}.")
        return start.data.to(self.device)

    def _invert_together(self, images: Tensor, start: Tensor, report: _Report) -> _Best:
        settings = self.settings
        target = resized(images, self.anatomy.resolution)
        with torch.no_grad():
            prepared = self.perceptual.prepare(target)
        code = start.clone().requires_grad_(True)
        noise = self._free_noise(len(images)) if settings.optimise_noise else []
        free = [code, *noise]
        adam = torch.optim.Adam(free, lr=settings.learning_rate, betas=(0.9, 0.999))
        random = torch.Generator().manual_seed(settings.seed)
        best = _Best()
        for step in range(settings.steps):
            t = step / settings.steps
            adam.param_groups[0]["lr"] = settings.learning_rate * _ramp(t, settings)
            # The same draw for every image: what a picture gets depends on the seed alone.
            shake = torch.randn(code.shape[1:], generator=random).to(self.device) * self._shake(t)
            ws = (code + shake).expand(-1, self.anatomy.rows, -1)
            image = self.synthesis(ws, noise or None)
            distance = self._distance(image, target, prepared)
            total = distance + self._penalty(ws, noise)
            best.see(total, distance, ws, image, *noise)
            for tensor, gradient in zip(free, torch.autograd.grad(total.sum(), free), strict=True):
                tensor.grad = gradient
            adam.step()
            _renormalize(noise)
            report(step + 1)
        return best

    def _distance(self, image: Tensor, target: Tensor, prepared: Prepared) -> Tensor:
        settings = self.settings
        total = image.new_zeros(len(image))
        if settings.perceptual_weight:
            total = total + settings.perceptual_weight * self.perceptual.distance(image, prepared)
        if settings.pixel_weight:
            total = total + settings.pixel_weight * pyramid_error(image, target)
        return total

    def _penalty(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        settings = self.settings
        total = ws.new_zeros(len(ws))
        if settings.prior_weight:
            total = total + settings.prior_weight * self.prior.penalty(ws)
        if settings.tie_weight:
            spread = (ws - ws.mean(1, keepdim=True)).square().sum(2).mean(1)
            total = total + settings.tie_weight * 2 * spread / self.prior.deviation**2
        if noise:
            total = total + settings.noise_weight * noise_correlation(noise)
        return total

    def _shake(self, t: float) -> float:
        left = max(0.0, 1.0 - t / self.settings.code_noise_until) if self.settings.code_noise_until else 0.0
        return self.settings.code_noise * self.prior.deviation * left**2

    def _free_noise(self, count: int) -> list[Tensor]:
        stored = dict(self.synthesis.named_buffers())
        planes = [stored[f"{c.name.removeprefix('synthesis.')}.noise"] for c in self.anatomy.convs]
        return [p[None, None].repeat(count, 1, 1, 1).requires_grad_(True) for p in planes]


def noise_correlation(planes: Sequence[Tensor]) -> Tensor:
    """Return the squared correlation of noise with itself one pixel on (Karras et al. 2020, App. D): [N].

    Args:
        planes: [N, 1, r, r] each; halved until at most 8 pixels remain, every size counted.
    """
    total = planes[0].new_zeros(len(planes[0]))
    for plane in planes:
        while True:
            for axis in (2, 3):
                total = total + (plane * plane.roll(1, axis)).mean((1, 2, 3)).square()
            if plane.shape[2] <= 8:
                break
            plane = F.avg_pool2d(plane, 2)
    return total


class _Best:
    """The best drawing of each image so far, and every distance."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, ...] = ()
        """Total loss, distance, code, image and noise planes."""
        self.history: list[Tensor] = []

    def see(self, *drawing: Tensor) -> None:
        """Take what another drawing has under the same order where its total loss is lower."""
        new = tuple(tensor.detach().clone() for tensor in drawing)
        self.history.append(new[1])
        if not self.kept:
            self.kept = new
            return
        won = new[0] < self.kept[0]
        self.kept = tuple(
            torch.where(won.reshape(-1, *[1] * (n.ndim - 1)), n, old) for n, old in zip(new, self.kept, strict=True)
        )


@dataclass(frozen=True)
class _Report:
    """Steps of one batch told as steps of all."""

    callback: Progress | None
    before: int
    all: int

    def __call__(self, done: int) -> None:
        if self.callback is not None:
            self.callback(self.before + done, self.all)


def _ramp(t: float, settings: Projection) -> float:
    """Rise over the first part, fall as a half cosine over the last."""
    down = min(1.0, (1.0 - t) / settings.ramp_down) if settings.ramp_down else 1.0
    up = min(1.0, t / settings.ramp_up) if settings.ramp_up else 1.0
    return up * (0.5 - 0.5 * math.cos(math.pi * down))


def _renormalize(planes: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for plane in planes:
            plane -= plane.mean((1, 2, 3), keepdim=True)
            plane *= torch.rsqrt(plane.square().mean((1, 2, 3), keepdim=True))


def _joined(parts: Sequence[_Best], steps: int, seconds: float) -> Inverted:
    _, distance, ws, image, *noise = (torch.cat(tensors) for tensors in zip(*(p.kept for p in parts), strict=True))
    history = torch.cat([torch.stack(p.history) for p in parts], 1)
    return Inverted(WPlus(ws), image, distance, history, steps, seconds, tuple(noise) or None)
