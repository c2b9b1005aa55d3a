"""Tensor operations, differentiable twice; each fast function stands beside a slow reference."""

from .bias_act import bias_act, bias_act_reference
from .fir import downsample, taps, upfirdn, upfirdn_reference, upsample
from .memory import at_once, keep_heap
from .modconv import modulated_conv, modulated_conv_reference
from .warp import affine_warp, affine_warp_reference
from .winograd import conv, conv_reference, plain_convolution, winograd_conv

__all__ = [
    "affine_warp",
    "affine_warp_reference",
    "at_once",
    "bias_act",
    "bias_act_reference",
    "conv",
    "conv_reference",
    "downsample",
    "keep_heap",
    "modulated_conv",
    "modulated_conv_reference",
    "plain_convolution",
    "taps",
    "upfirdn",
    "upfirdn_reference",
    "upsample",
    "winograd_conv",
]
