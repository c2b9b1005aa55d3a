"""The networks on the reference forms of ``portraitist.ops``: what the fast path is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor

from portraitist.networks import layers, synthesis
from portraitist.ops import bias_act_reference, modulated_conv_reference, upfirdn_reference


@contextmanager
def reference_forms() -> Iterator[None]:
    """Run the networks with grouped kernels, dense filters, the formula's order of steps and torch's own layout."""
    forms = {
        (layers, "modulated_conv"): modulated_conv_reference,
        (layers, "upfirdn"): upfirdn_reference,
        (layers, "bias_act"): bias_act_reference,
        (layers, "conv"): _conv,
        (layers, "channels_last"): Tensor.contiguous,
        (synthesis, "upsample"): _upsample,
    }
    with ExitStack() as stack:
        for (module, name), form in forms.items():
            stack.enter_context(patch.object(module, name, form))
        yield


def _conv(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def _upsample(x: Tensor, kernel: Tensor) -> Tensor:
    return upfirdn_reference(x, kernel, up=2, pad=(2, 1), gain=4.0)
