"""Inversion by an encoder: one pass per picture, and steps of an optimiser from there where asked.

AgileGAN (Song et al. 2021, Sec. 3.4) takes the mean of the posterior. Where that draws badly, several codes are
sampled and the one is kept that differs least from the others on average: the medoid, by the perceptual distance
between drawings. Each picture has the same draws, those of the seed, so its code does not depend on its company.

    inverter = EncoderInverter(encoder, base.generator, perceptual, refine=refine(20))
    found = inverter.invert(photos)             # found.code, found.image
    others = inverter.variants(photos, 4)       # the mean and four codes like it
"""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ..data import ImageSet
from ..errors import NonFinite, UsageError
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator
from ..networks.encoder import Encoded, Encoder
from ..networks.features import resized
from ..ops import at_once
from ..spaces import WPlus
from .inverter import Inverted, Progress
from .projection import Projection
from .projector import Projector

Best = Literal["mean", "medoid"]


class EncoderInverter:
    """Find codes by an encoder; an ``Inverter``."""

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        perceptual: PerceptualDistance,
        *,
        best: Best = "mean",
        samples: int = 0,
        seed: int = 0,
        refine: Projection | None = None,
        together: int = 1,
    ) -> None:
        """Prepare frozen copies of both networks.

        Args:
            encoder: What looks at the picture.
            generator: The base that it was trained for; its mapping network turns Z+ into W+.
            perceptual: How likeness is measured.
            best: Which code is kept: the ``mean`` of the posterior, or the ``medoid`` of it and of ``samples`` more.
            samples: Codes drawn for the medoid, at least 2 for it.
            seed: Seed of these draws.
            refine: Settings of an optimisation that starts from the code, in W+ (see ``refine``); none when None.
            together: Pictures in one batch. With 1 a picture's code does not depend on its company, bit for bit.

        Raises:
            BadModel: The codes of the encoder do not fit the generator.
            UsageError: A medoid is asked for of too few codes, or of an encoder that has no posterior.
        """
        encoder.anatomy.check_base(generator.anatomy)
        if best not in ("mean", "medoid"):
            raise UsageError(f"'{best}' is not a choice of codes.", "Use 'mean' or 'medoid'.")
        if best == "medoid" and (samples < 2 or not encoder.anatomy.variational):
            raise UsageError(
                "A medoid needs a variational encoder and at least 2 samples.", "Raise the samples, or take the mean."
            )
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self.device = generator.w_mean.device
        self.encoder.to(self.device)
        self.perceptual, self.best, self.samples, self.seed = perceptual, best, samples, seed
        self.together = together
        self.projector = None
        if refine is not None:
            self.projector = Projector(generator, perceptual, refine, encoder=self.encode, together=together)

    def invert(self, images: Tensor, *, progress: Progress | None = None) -> Inverted:
        """Find a code for each of the images [N, 3, H, W] in [-1, 1].

        Without refinement ``history`` holds one row, the distance of the drawing that is returned.

        Raises:
            NonFinite: An image holds NaN.
            UsageError: There is no image.
        """
        begun = time.perf_counter()
        codes = self._codes(images, progress)
        if self.projector is None:
            found = self._drawn(images, codes)
        else:
            found = self.projector.invert(images, start=codes, progress=progress)
        if not torch.isfinite(found.distance).all():
            raise NonFinite("The inversion returned NaN.", "Look for NaN in the picture.")
        before = self.samples + 1 if self.best == "medoid" else 0
        return replace(found, steps=found.steps + before, seconds=time.perf_counter() - begun)

    def encode(self, images: Tensor) -> Tensor:
        """Return the mean codes [N, rows, w_dim] of images [N, 3, H, W], as optimisers ask an encoder (``Encodes``)."""
        return self.encoder.styles_of(self.encoder(images).mu, self.generator)

    @torch.no_grad()
    def variants(self, images: Tensor, count: int, *, together: int | None = None) -> list[WPlus]:
        """Return the mean code of each image and, after it, ``count`` codes from its posterior, unrefined.

        Args:
            images: Pictures [N, 3, H, W] in [-1, 1].
            count: Samples of each.
            together: Pictures in one batch; as in the constructor when None.

        Raises:
            UsageError: The encoder has no posterior, or there is no image.
        """
        drawn = torch.cat([self._variants(part, count) for part in self._parts(images, together)], 1)
        return [WPlus(codes) for codes in drawn]

    @torch.no_grad()
    def _codes(self, images: Tensor, progress: Progress | None) -> WPlus:
        found: list[Tensor] = []
        for part in self._parts(images):
            found.append(self._medoids(part) if self.best == "medoid" else self._variants(part, 0)[0])
            if progress is not None and self.projector is None:
                progress(sum(map(len, found)), len(images))
        return WPlus(torch.cat(found))

    def _parts(self, images: Tensor, together: int | None = None) -> tuple[Tensor, ...]:
        if len(images) == 0:
            raise UsageError("There is no picture to invert.")
        return torch.split(images.to(self.device), together or self.together)

    def _variants(self, images: Tensor, count: int) -> Tensor:
        """Return the mean and ``count`` samples: [1 + count, N, rows, w_dim]."""
        encoded: Encoded = self.encoder(images)
        latents = [encoded.mu]
        if count:
            latents += self._samples(encoded, count)
        return torch.stack([self.encoder.styles_of(x, self.generator) for x in latents])

    def _samples(self, encoded: Encoded, count: int) -> list[Tensor]:
        """Draw ``count`` latents of every image, each image with the same numbers: [N, rows or 1, dim] each."""
        parts = []
        for k in range(len(encoded.mu)):
            one = Encoded(encoded.mu[k : k + 1], None if encoded.logvar is None else encoded.logvar[k : k + 1])
            parts.append(one.sample(torch.Generator().manual_seed(self.seed), count))
        return list(torch.cat(parts, 1))

    def _medoids(self, images: Tensor) -> Tensor:
        candidates = self._variants(images, self.samples).transpose(0, 1)
        return torch.stack([codes[medoid(self.generator.synthesis(codes), self.perceptual)] for codes in candidates])

    @torch.no_grad()
    def _drawn(self, images: Tensor, codes: WPlus) -> Inverted:
        drawings, distances = [], []
        parts = zip(self._parts(images), torch.split(codes.data, self.together), strict=True)
        for photos, ws in parts:
            drawing = self.generator.synthesis(ws)
            drawings.append(drawing)
            distances.append(self.perceptual(drawing, resized(photos, self.generator.anatomy.resolution)))
        distance = torch.cat(distances)
        return Inverted(codes, torch.cat(drawings), distance, distance[None], 1, 0.0)


@torch.no_grad()
def encode_all(
    encoder: Encoder, generator: Generator, pictures: ImageSet, *, batch: int = 32, progress: Progress | None = None
) -> WPlus:
    """Encode a set of aligned photos: their mean codes [N, rows, w_dim], on the device of the generator.

    ``batch`` photos are encoded at a time; of more than 64 pixels fewer, so that the memory stays the same.
    """
    where = generator.w_mean.device
    encoder.eval().to(where)
    codes: list[Tensor] = []
    for part in torch.split(torch.arange(len(pictures)), at_once(batch, pictures.resolution)):
        images = pictures.batch(part, torch.zeros(len(part), dtype=torch.bool)).to(where)
        codes.append(encoder.styles_of(encoder(images).mu, generator))
        if progress is not None:
            progress(sum(map(len, codes)), len(pictures))
    return WPlus(torch.cat(codes))


def medoid(images: Tensor, perceptual: PerceptualDistance) -> int:
    """Return the number of the image [K, 3, R, R] whose distances to all others sum to the least; of equals the first.

    AgileGAN, Sec. 3.4: the sample with the smallest average perceptual distance.
    """
    prepared = perceptual.prepare(images)
    sums = [perceptual.distance(images, tuple(x[k : k + 1] for x in prepared)).sum() for k in range(len(images))]
    return int(torch.stack(sums).argmin())
