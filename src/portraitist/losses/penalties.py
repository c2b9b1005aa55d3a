"""Gradient penalties: R1 on the discriminator, path length on the generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def r1(scores: Tensor, images: Tensor) -> Tensor:
    """Return |grad D(x)|^2 per image (Mescheder et al. 2018, arXiv:1801.04406, Eq. 9, without the factor gamma / 2).

    Args:
        scores: D(x) [N], computed from ``images`` with their gradient on.
        images: [N, 3, R, R].

    Returns:
        [N], differentiable.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)  # [N, 3, R, R]
    return gradient.square().sum((1, 2, 3))


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Return |J_w^T y| per image (Karras et al. 2020, arXiv:1912.04958, Eq. 4).

    Args:
        images: G(w) [N, 3, R, R], computed from ``ws``.
        ws: Codes of W+ [N, rows, w_dim] with their gradient on.
        noise: Unit normals y of the shape of ``images``; scaled here to unit length per pixel.

    Returns:
        [N], differentiable: the root of the squared gradient summed over w and averaged over rows.
    """
    pixels = math.sqrt(images.shape[2] * images.shape[3])
    # Eq. 4: J_w^T y is the gradient of G(w) y by w
    (gradient,) = torch.autograd.grad((images * noise / pixels).sum(), ws, create_graph=True)  # [N, rows, w_dim]
    return gradient.square().sum(2).mean(1).sqrt()
