"""Change a code by words: the latent optimisation of StyleCLIP, with the strength of Cartoon-StyleGAN.

Patashnik et al. 2021, arXiv:2103.17249, Sec. 4: Adam moves a code of W+ until CLIP finds the drawing near to a text,
while a penalty keeps it near to where it began. The edit is found on the base and drawn in any style. Back 2021,
arXiv:2106.12445, Eq. 5, goes further the same way, or less far.

    edited = edit_by_text(generator, code, clip, "a smiling face")
    image = style.synthesize(edited.at(1.5))       # 1 is the code that was found, 0 where it began
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..networks import Generator
from ..ops.schedule import ramp
from ..spaces import WPlus, lerp, truncate


class Clip(Protocol):
    """What knows how near a picture and a text are (CLIP; Radford et al. 2021, arXiv:2103.00020)."""

    def embed_image(self, images: Tensor) -> Tensor:
        """Return unit vectors [N, D] of images [N, 3, H, W] in [-1, 1], differentiably."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors [N, D] of texts."""
        ...


@dataclass(frozen=True)
class TextEdit:
    """Settings of the optimisation; the defaults are those of :func:`paper`."""

    steps: int = 300
    learning_rate: float = 0.1
    ramp_up: float = 0.05
    """Part of the steps over which the learning rate rises from 0."""
    ramp_down: float = 0.25
    """Part of the steps over which it falls to 0."""
    l2_weight: float = 0.008
    """Of the squared distance to the first code, summed over rows and entries."""
    truncation: float = 1.0
    """Codes are pulled to the mean by this before each drawing that CLIP sees; 1 leaves them."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.learning_rate <= 0 or self.l2_weight < 0:
            raise UsageError("An edit needs at least one step, a positive learning rate and no negative weight.")


def paper() -> TextEdit:
    """Return the settings of StyleCLIP, without its identity term."""
    return TextEdit()


def released() -> TextEdit:
    """Return what the released code of Cartoon-StyleGAN does; load its CLIP with ``pixels="released"``."""
    return TextEdit(l2_weight=0.004, truncation=0.7)


@dataclass(frozen=True, eq=False)
class TextEdited:
    """Where an edit began and where it came to."""

    start: WPlus
    """w_s, [N, rows, w_dim]."""
    code: WPlus
    """w, the optimised code."""
    history: Tensor
    """[steps, N], the text loss of each drawing."""

    def at(self, strength: float) -> WPlus:
        """Return the code w_s + s (w - w_s): 0 gives the first code, 1 the optimised one, both bit for bit.

        The paper writes w + alpha (w - w_s), which is s = 1 + alpha: its alpha = 2 is a strength of 3.
        """
        return lerp(self.start, self.code, strength)


def edit_by_text(
    generator: Generator,
    code: WPlus,
    clip: Clip,
    text: str,
    *,
    from_text: str | None = None,
    settings: TextEdit | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TextEdited:
    """Move codes until CLIP finds their drawings near to a text; the loss is 1 - cosine.

    Args:
        generator: The base, which is not touched.
        code: Where to begin, [N, rows, w_dim]; each code is moved for itself.
        clip: What compares pictures and texts.
        text: What the drawing should show.
        from_text: What it shows now. The goal is then the first drawing plus the difference of the two texts, so that
            of the drawing only that changes in which the texts differ (our variation).
        settings: :func:`paper` when None.
        progress: Called after each step with the steps done and all steps.

    Raises:
        NonFinite: The optimisation diverged.
    """
    settings = settings or paper()
    synthesis = copy.deepcopy(generator.synthesis).eval().requires_grad_(False)
    mean, start = generator.mean, WPlus(code.data.detach().to(generator.w_mean.device))

    def embedded(ws: Tensor) -> Tensor:
        seen = WPlus(ws) if settings.truncation == 1 else truncate(WPlus(ws), mean, settings.truncation)
        return clip.embed_image(synthesis(seen.data))

    with torch.no_grad():
        goal = _goal(clip, text, from_text, lambda: embedded(start.data))
    free = start.data.clone().requires_grad_(True)
    adam = torch.optim.Adam([free], lr=settings.learning_rate, betas=(0.9, 0.999))
    history = []
    for step in range(settings.steps):
        t = step / settings.steps
        adam.param_groups[0]["lr"] = settings.learning_rate * ramp(t, settings.ramp_up, settings.ramp_down)
        loss = 1 - (embedded(free) * goal).sum(1)
        total = loss + settings.l2_weight * (free - start.data).square().sum((1, 2))
        history.append(loss.detach())
        (free.grad,) = torch.autograd.grad(total.sum(), free)
        adam.step()
        if progress is not None:
            progress(step + 1, settings.steps)
    if not torch.isfinite(free).all():
        raise NonFinite("The edit diverged.", "Lower its learning rate.")
    return TextEdited(start, WPlus(free.detach()), torch.stack(history))


def _goal(clip: Clip, text: str, from_text: str | None, drawing: Callable[[], Tensor]) -> Tensor:
    """Return the unit vectors to come near to, [1 or N, D]."""
    if from_text is None:
        return clip.embed_text([text])
    there, here = clip.embed_text([text, from_text])
    return F.normalize(drawing() + there - here, dim=1)
