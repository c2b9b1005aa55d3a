"""Inversion by optimisation, as the projector of StyleGAN2 does it (Karras et al. 2020, arXiv:1912.04958, App. D).

Adam moves the code of each picture until the drawing looks like the picture. A large learning rate explores while
noise on the code keeps it from the nearest bad minimum; both fade. Each picture has its own code and moments, and the
loss is a sum over pictures, so no picture sees another. :class:`Projection` says in which space, from where, and how
likeness is weighed.

    projector = Projector(model.generator, PerceptualDistance(DiscriminatorFeatures(model.discriminator)))
    found = projector.invert(photos)        # found.code, found.image
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..losses.perceptual import (
    FeatureError,
    PerceptualDistance,
    Prepared,
    absolute_error,
    pixel_error,
    pyramid_error,
)
from ..networks import Generator, modulation_weights
from ..networks.features import resized
from ..ops.schedule import ramp
from ..spaces import Basis, WPlus, sefa_basis
from .inverter import Encodes, Inverted, Progress
from .prior import fit_prior
from .projection import Projection, portrait

PIXELS = {"pyramid": pyramid_error, "squared": pixel_error, "absolute": absolute_error}


class Projector:
    """Find codes by optimisation; an ``Inverter``."""

    def __init__(
        self,
        generator: Generator,
        perceptual: PerceptualDistance,
        settings: Projection | None = None,
        *,
        encoder: Encodes | None = None,
        basis: Basis | None = None,
        together: int = 1,
    ) -> None:
        """Prepare a frozen copy of the generator, which itself is not touched.

        Args:
            generator: What draws.
            perceptual: How likeness is measured.
            settings: :func:`portrait` when None.
            encoder: Where codes begin, and what keeps them in its domain, if the settings say so. It must be in
                evaluation mode; it is not copied.
            basis: The directions that coordinates count along if the settings name a basis; when None those of SeFa
                over all convolutions.
            together: Pictures optimised in one batch. With 1 a picture's code does not depend on its company, bit
                for bit; more are faster on a GPU and agree to rounding, which many steps amplify.

        Raises:
            UsageError: The settings need an encoder, or more directions than there are.
        """
        self.anatomy = generator.anatomy
        self.synthesis = copy.deepcopy(generator.synthesis).eval().requires_grad_(False)
        self.device = self.synthesis.const.device
        mapping = copy.deepcopy(generator.mapping).to("cpu")
        self.prior = fit_prior(mapping, self.anatomy.z_dim).to(self.device)
        self.settings, self.encoder, self.together = settings or portrait(), encoder, together
        if self.settings.needs_encoder and encoder is None:
            raise UsageError(
                "This inversion starts at an encoder's code, but there is no encoder.", "Choose another method."
            )
        self.perceptual = perceptual
        if (compared := self.settings.features) != "unit":
            self.perceptual = FeatureError(perceptual.features, root=compared == "norm")
        self.origin = self.prior.mean if self.settings.start != "zero" else torch.zeros_like(self.prior.mean)
        self.basis = None if self.settings.basis == "none" else self._basis(basis)

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
            start: Codes to refine, one per image, in W+ only; where the settings begin when None. A basis keeps of them
                what lies in its span.
            progress: Called after each step with the steps done and all steps.

        Raises:
            NonFinite: An image holds NaN, or the optimisation diverged.
        """
        begun = time.perf_counter()
        self._check(images, start)
        chunks = torch.split(images.to(self.device), self.together)
        parts = []
        for k, chunk in enumerate(chunks):
            report = _Report(progress, k * self.settings.steps, len(chunks) * self.settings.steps)
            given = None if start is None else start.data[k * self.together :][: len(chunk)]
            parts.append(self._invert_together(chunk, given, report))
        found = _joined(parts, self.settings.steps, time.perf_counter() - begun)
        if not torch.isfinite(found.distance).all():
            raise NonFinite("The inversion diverged.", "Lower its learning rate, or look for NaN in the picture.")
        return found

    def _basis(self, basis: Basis | None) -> Basis:
        chosen = sefa_basis(modulation_weights(self.synthesis)) if basis is None else basis
        rank = self.settings.rank or len(chosen)
        if rank > len(chosen):
            raise UsageError(f"There are {len(chosen)} directions, not {rank}.", f"Use a rank up to {len(chosen)}.")
        return chosen.first(rank).to(self.device)

    def _check(self, images: Tensor, start: WPlus | None) -> None:
        if len(images) == 0:
            raise UsageError("There is no picture to invert.")
        if start is None:
            return
        if self.settings.space == "w":
            raise UsageError("Codes of W+ can be refined in W+ only.", "Choose settings whose space is 'w+'.")
        expected = (len(images), self.anatomy.rows, self.anatomy.w_dim)
        if tuple(start.data.shape) != expected:
            raise UsageError(f"Codes to refine must have shape {expected}, not {tuple(start.data.shape)}.")

    def _start(self, target: Tensor, given: Tensor | None) -> Tensor:
        """Return the codes to begin at, [N, 1 or rows, w_dim]."""
        if given is not None:
            return given.to(self.device)
        if self.settings.start == "encoder":
            return self._encoded(target).detach()
        return self.origin.repeat(len(target), 1 if self.settings.space == "w" else self.anatomy.rows, 1)

    def _encoded(self, images: Tensor) -> Tensor:
        assert self.encoder is not None
        return self.encoder(images)

    def _free(self, codes: Tensor) -> Tensor:
        """Return the numbers that Adam may move for codes [N, n, w_dim]: themselves, or coordinates [N, n, rank]."""
        return codes.clone() if self.basis is None else self.basis.coordinates(codes - self.origin)

    def _codes(self, free: Tensor) -> Tensor:
        """Return the codes of W+ for what Adam moves."""
        codes = free if self.basis is None else self.origin + self.basis.compose(free)
        return codes.expand(-1, self.anatomy.rows, -1)

    def _invert_together(self, images: Tensor, given: Tensor | None, report: _Report) -> _Best:
        settings = self.settings
        target = resized(images, self.anatomy.resolution)
        with torch.no_grad():
            prepared = self.perceptual.prepare(target)
            code = self._free(self._start(target, given))  # [N, 1 or rows, w_dim or rank]
        code.requires_grad_(True)
        noise = self._free_noise(len(images)) if settings.optimise_noise else []
        free = [code, *noise]
        adam = torch.optim.Adam(free, lr=settings.learning_rate, betas=(0.9, 0.999))
        random = torch.Generator().manual_seed(settings.seed)
        best = _Best()
        for step in range(settings.steps):
            t = step / settings.steps  # from 0 to 1 (App. D)
            adam.param_groups[0]["lr"] = settings.learning_rate * ramp(t, settings.ramp_up, settings.ramp_down)
            # The same draw for every image: what a picture gets depends on the seed alone.
            shake = torch.randn(code.shape[1:], generator=random).to(self.device) * self._shake(t)
            ws = self._codes(code + shake)  # w~ = w + N(0, s(t)^2), [N, rows, w_dim]
            image = self.synthesis(ws, noise or None)  # [N, 3, R, R]
            distance = self._distance(image, target, prepared)  # D_LPIPS(x, G(w~, n)), [N]
            total = distance + self._penalty(ws, image, noise)  # L_image + alpha sum_ij L_ij (App. D), [N]
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
            total = total + settings.pixel_weight * PIXELS[settings.pixels](image, target)
        return total

    def _penalty(self, ws: Tensor, image: Tensor, noise: Sequence[Tensor]) -> Tensor:
        settings = self.settings
        total = ws.new_zeros(len(ws))
        if settings.prior_weight:
            total = total + settings.prior_weight * self.prior.penalty(ws)
        if settings.tie_weight:
            spread = (ws - ws.mean(1, keepdim=True)).square().sum(2).mean(1)  # mean over rows of |w_r - mean w|^2, [N]
            total = total + settings.tie_weight * 2 * spread / self.prior.deviation**2
        if settings.domain_weight:
            total = total + settings.domain_weight * (ws - self._encoded(image)).square().mean((1, 2))
        if noise:
            total = total + settings.noise_weight * noise_correlation(noise)
        return total

    def _shake(self, t: float) -> float:
        left = max(0.0, 1.0 - t / self.settings.code_noise_until) if self.settings.code_noise_until else 0.0
        # s(t) = 0.05 sigma_w max(0, 1 - t / 0.75)^2 in App. D
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
                # L_ij = (1/r^2 sum n(x, y) n(x - 1, y))^2 + (1/r^2 sum n(x, y) n(x, y - 1))^2 (App. D)
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
    """Report steps of one batch as steps of all."""

    callback: Progress | None
    before: int
    all: int

    def __call__(self, done: int) -> None:
        if self.callback is not None:
            self.callback(self.before + done, self.all)


def _renormalize(planes: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for plane in planes:
            plane -= plane.mean((1, 2, 3), keepdim=True)
            plane *= torch.rsqrt(plane.square().mean((1, 2, 3), keepdim=True))


def _joined(parts: Sequence[_Best], steps: int, seconds: float) -> Inverted:
    _, distance, ws, image, *noise = (torch.cat(tensors) for tensors in zip(*(p.kept for p in parts), strict=True))
    history = torch.cat([torch.stack(p.history) for p in parts], 1)
    return Inverted(WPlus(ws), image, distance, history, steps, seconds, tuple(noise) or None)
