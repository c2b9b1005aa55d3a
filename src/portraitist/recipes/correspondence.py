"""Cross-domain correspondence: pictures keep the relations among themselves that they have in the base.

Ojha, Li, Lu, Efros, Lee, Shechtman and Zhang 2021, "Few-shot Image Generation via Cross-domain Correspondence",
arXiv:2104.06820, Sec. 3.1. The paper adds anchors and blocks up; here they are averaged, so that the weight does not
depend on batch and resolution. Pairs are formed within the part of a batch that is worked through at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..networks import GeneratorAnatomy
from ..train.spec import SourceTerm, Training
from ..train.terms import StepContext


def distance_consistency(source: Iterable[Tensor], target: Iterable[Tensor]) -> Tensor:
    """Return KL(y_target || y_source), averaged over anchors and blocks of features [N, C, r, r]: a scalar."""
    pairs = [(_log_similarities(t), _log_similarities(s.detach())) for s, t in zip(source, target, strict=True)]
    return torch.stack([F.kl_div(s, t, reduction="batchmean", log_target=True) for t, s in pairs]).mean()


def _log_similarities(features: Tensor) -> Tensor:
    """Return log y [N, N - 1]: the softmax of the cosines of each picture to all others."""
    unit = F.normalize(features.flatten(1).float(), dim=1)
    cosines = unit @ unit.T  # [N, N]
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return cosines[others].view(len(unit), -1).log_softmax(1)


@dataclass(frozen=True)
class Correspondence(SourceTerm):
    """Distance consistency to the source; the weight is the paper's lambda of 1000."""

    weight: float = 1000.0
    name: ClassVar[str] = "correspondence"

    def __call__(self, context: StepContext) -> Tensor:
        """Return the weighted loss over the features of all blocks."""
        drawn, source = context.drawn, context.base.generator
        with torch.no_grad():
            theirs = [s.features for s in source.synthesis.walk(source.styles(drawn.z), drawn.noise)]
        return distance_consistency(theirs, [s.features for s in drawn.seen]) * self.weight

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:
        """Refuse batches in which no picture has two others."""
        self.check_parts(training, training.accumulate)

    def check_parts(self, training: Training, parts: int) -> None:
        """Refuse as many parts of a batch that no picture of one has two others: the loss would be 0."""
        if (each := training.batch // max(len(training.paths), 1) // parts) < 3:
            raise UsageError(f"Correspondence needs 3 pictures at once, not {each}.", "Set batch higher.")


def correspondence(training: Training, resolution: int) -> Training:
    """Add the distance consistency loss of the paper."""
    return training.with_term(Correspondence())
