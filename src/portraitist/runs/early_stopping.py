"""When to stop: a monitor that scores a training on exemplars it has not seen.

Every tick the averaged generator draws fixed codes. Its *held-out distance* is the kernel distance of these pictures to
the held-out exemplars on the features of the base's own discriminator; its *likeness* tells how much of the layout of
the base's faces is left. The rule (no person and no training exemplar takes part):

    the level of a tick is the mean of its held-out distance and the one before (that of the base, and of the first tick
    after it, are their own);
    a tick is the best so far when its level is lower than that of the best before by more than GAIN of what training
    has gained since its beginning, and than that of the base by more than its own spread;
    the training ends when PATIENCE ticks in a row were not the best, and the best one is kept.

One distance to a few dozen exemplars is lucky at times, two in a row seldom. Smaller gains are within their noise, and
later pictures are less like the person. A part of the gain, and not of the distance, because a distance that is not
biased comes near 0 and may be negative.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..evaluate import Interval, kernel_interval, layout_similarity, pooled_features
from ..networks import Generator
from ..networks.features import Features
from ..train.state import State, TrainState, path_of

CODES = 128
GAIN = 0.01

Score = dict[str, float]


class HeldOutMonitor:
    """Scores generators against held-out exemplars, one set of them per path."""

    def __init__(self, base: Generator, held_out: Sequence[Tensor], features: Features, *, seed: int = 0) -> None:
        """Draw the base's pictures of the fixed codes, and look at the exemplars.

        Args:
            base: The generator that training begins with.
            held_out: Per path, exemplars [N, 3, R, R] in [-1, 1], on the device of the base.
            features: What both are compared with.
            seed: Of the codes.
        """
        self.features = features
        random = torch.Generator().manual_seed(seed)
        self.codes = torch.randn(CODES, base.anatomy.z_dim, generator=random).to(base.w_mean.device)
        self.held_out = [pooled_features(features, images) for images in held_out]
        self.base = base.sample_batches(self.codes).cpu()

    def score(self, generators: Sequence[Generator]) -> Score:
        """Return ``held_out``, ``held_out_spread`` and ``likeness``, each the mean over paths."""
        scores = [self._score(g, rows) for g, rows in zip(generators, self.held_out, strict=True)]
        mean = {name: sum(s[name] for s in scores) / len(scores) for name in scores[0]}
        # The paths' errors are independent.
        return mean | {"held_out_spread": sum(s["held_out_spread"] ** 2 for s in scores) ** 0.5 / len(scores)}

    def _score(self, generator: Generator, held_out: Tensor) -> Score:
        pictures = generator.sample_batches(self.codes)
        distance: Interval = kernel_interval(pooled_features(self.features, pictures), held_out)
        alike = float(layout_similarity(pictures.cpu(), self.base).mean())
        return {"held_out": distance.value, "held_out_spread": distance.spread, "likeness": alike}

    def update(self, state: TrainState) -> Score:
        """Score the averaged generator of a training, and keep it where it is the best so far."""
        paths = range(len(self.held_out))
        score = {"images": float(state.images), **self.score([path_of(state.average, k) for k in paths])}
        note(state, score, state.average)
        return score


def note(state: State, score: Score, average: nn.Module) -> None:
    """Add a score to the history of a training, and keep the averaged network where it is the best so far."""
    state.history.append(score)
    if best(state.history) == len(state.history) - 1:
        state.kept["best"] = {k: v.detach().clone() for k, v in average.state_dict().items()}


def best(history: Sequence[Score]) -> int:
    """Return which tick is the best by the rule."""
    found = 0
    for k, score in enumerate(history):
        level = _level(history, found)
        gained = history[0]["held_out"] - level
        if _level(history, k) < level - (GAIN * gained if found else score["held_out_spread"]):
            found = k
    return found


def _level(history: Sequence[Score], k: int) -> float:
    before = history[k - 1] if k > 1 else history[k]
    return (before["held_out"] + history[k]["held_out"]) / 2


def is_over(history: Sequence[Score], patience: int) -> bool:
    """Tell whether the training ends by the rule; never where patience is 0."""
    return bool(patience) and bool(history) and len(history) - 1 - best(history) >= patience


def reason(history: Sequence[Score], patience: int) -> str:
    """Say in a sentence which tick was kept and why."""
    kept = history[best(history)]
    ended = (
        f"{patience} ticks in a row did not"
        if is_over(history, patience)
        else "the images that the run was given were used up"
    )
    return (
        f"After {kept['images']:.0f} images the held-out distance was {kept['held_out']:.4f} "
        f"± {kept['held_out_spread']:.4f}, from {history[0]['held_out']:.4f} of the base, and no two later ticks "
        f"gained, on average, another {GAIN:.0%} of this difference; training ended because {ended}."
    )


def kept(state: TrainState) -> Sequence[Generator]:
    """Return the averaged generators of all paths at the best tick; the last ones where nothing was scored."""
    average = copy.deepcopy(state.average)
    if state.best:
        average.load_state_dict(state.best)
    names = getattr(average, "names", ("",))
    return [path_of(average, k) for k in range(len(names))]
