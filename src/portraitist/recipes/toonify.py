"""Toonify: the shapes of the style, the texture of photos.

Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains",
arXiv:2010.05334. After fine-tuning, the low resolutions are taken from the style and the high ones from the base: the
opposite direction to the layer swap of Cartoon-StyleGAN and UI2I. The authors switch after 32 pixels at 1024.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Training


def toonify(training: Training, resolution: int) -> Training:
    """Fine-tune, then blend: blocks up to 32 pixels (half of a smaller side) are the style's, the others the base's."""
    return replace(training, blend_upto=min(32, resolution // 2))
