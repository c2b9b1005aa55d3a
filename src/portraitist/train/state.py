"""All that a training is at one moment, and all that a snapshot must hold.

Random numbers are no part of it: each step draws from a generator seeded by (seed, images seen), and the order of the
images follows from the same two numbers, so a resumed training is the same training.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ..networks import Discriminator, DiscriminatorPanel, Generator, MultiPathGenerator, with_low_rows
from .ada import Ada, AdaController
from .spec import Training


@dataclass
class TrainState:
    """Both players, their optimisers, the average and the counters."""

    generator: Generator | MultiPathGenerator
    discriminator: Discriminator | DiscriminatorPanel
    average: Generator | MultiPathGenerator
    """Moving average of the generator: the one that is kept."""
    optimiser_g: Adam
    optimiser_d: Adam
    ada: AdaController
    path_mean: Tensor
    """Running mean of path lengths, a scalar."""
    images: int = 0
    """Real images seen."""
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    """What the averaged generator scored on held-out exemplars, tick by tick."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The averaged generator when it scored best; empty before the first score."""

    @classmethod
    def start(cls, generator: Generator, discriminator: Discriminator, training: Training) -> TrainState:
        """Begin a training with networks that it then owns; each path of the training gets its own copy of some."""
        rests = training.rests
        if rests.styles_upto and not generator.anatomy.low_rows:
            generator = with_low_rows(generator, generator.anatomy.rows_upto(rests.styles_upto))
        for name, p in generator.named_parameters():
            p.requires_grad_(not rests.generator(generator.anatomy, name))
        for name, p in discriminator.named_parameters():
            p.requires_grad_(not rests.discriminator(discriminator.anatomy, name))
        if training.paths:
            split = (training.split_from, training.split_upto)
            return cls._of(
                MultiPathGenerator(generator, training.paths, split),
                DiscriminatorPanel(discriminator, training.paths),
                training,
            )
        return cls._of(generator, discriminator, training)

    @classmethod
    def _of(
        cls,
        generator: Generator | MultiPathGenerator,
        discriminator: Discriminator | DiscriminatorPanel,
        training: Training,
    ) -> TrainState:
        return cls(
            generator,
            discriminator,
            copy.deepcopy(generator).eval().requires_grad_(False),
            adam(generator, training.learning_rate, training.path_interval),
            adam(discriminator, training.learning_rate, training.r1_interval),
            AdaController(Ada(training.ada_target, training.ada_images / 1000, training.ada_every)),
            torch.zeros((), device=next(generator.parameters()).device),
        )

    def players(self, path: int = 0) -> tuple[Generator, Discriminator]:
        """Return the generator and the discriminator of one path; the only ones where there is a single path."""
        return path_of(self.generator, path), opponent_of(self.discriminator, path)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        found = {"path_mean": self.path_mean, **{f"best.{k}": v for k, v in self.best.items()}}
        for prefix, module in self._modules():
            found |= {f"{prefix}.{k}": v for k, v in module.state_dict().items()}
        for prefix, module, optimiser in self._players():
            for name, p in module.named_parameters():
                for key, value in optimiser.state.get(p, {}).items():
                    found[f"adam.{prefix}.{key}.{name}"] = torch.as_tensor(value)
        return found

    def counters(self) -> dict[str, Any]:
        """Return what is no tensor."""
        counters = {"images": self.images, "step": self.step, "ada": self.ada.state_dict()}
        return {**counters, "history": self.history} if self.history else counters

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; the exact opposite of :meth:`tensors` and :meth:`counters`."""
        rest = dict(tensors)
        self.path_mean = rest.pop("path_mean").to(self.path_mean)
        for prefix, module in self._modules():
            module.load_state_dict({k: rest.pop(f"{prefix}.{k}") for k in module.state_dict()})
        for prefix, module, optimiser in self._players():
            for name, p in module.named_parameters():
                keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{prefix}.{key}.{name}" in rest]
                if keys:
                    loaded = {key: rest.pop(f"adam.{prefix}.{key}.{name}") for key in keys}
                    # Adam keeps its step counts on the CPU, the moments beside the parameter.
                    optimiser.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in loaded.items()}
        self.best = {k.removeprefix("best."): rest.pop(k) for k in list(rest) if k.startswith("best.")}
        if rest:
            raise KeyError(f"unknown tensors in the snapshot: {sorted(rest)[:5]}")
        self.images, self.step = counters["images"], counters["step"]
        self.ada.load_state_dict(counters["ada"])
        self.history = counters.get("history", [])

    def random(self, seed: int, phase: int, path: int) -> torch.Generator:
        """Return the source of all random numbers of one phase and path of the step that begins now."""
        return random_of(seed, self.images, phase, path)

    def follow(self, training: Training) -> None:
        """Move the average towards the generator by one step of ``batch`` images."""
        keep = decay(self.images, training.batch, training.ema_images, training.ema_ramp)
        with torch.no_grad():
            theirs = [p.data for p in self.generator.parameters()]
            torch._foreach_lerp_([p.data for p in self.average.parameters()], theirs, 1 - keep)

    def _modules(self) -> list[tuple[str, nn.Module]]:
        return [("G", self.generator), ("D", self.discriminator), ("average", self.average)]

    def _players(self) -> list[tuple[str, nn.Module, Adam]]:
        return [("G", self.generator, self.optimiser_g), ("D", self.discriminator, self.optimiser_d)]


def random_of(*words: object) -> torch.Generator:
    """Return a source of random numbers that belongs to these words and to no others."""
    word = hashlib.sha256(":".join(map(str, words)).encode()).digest()[:7]
    return torch.Generator().manual_seed(int.from_bytes(word, "big"))


def decay(images: int, batch: int, half_life: float, ramp: float) -> float:
    """Return what a moving average keeps of itself over a batch; with a ramp it is young while few images were seen."""
    if ramp:
        half_life = min(half_life, max(images, batch) * ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def path_of(generator: Generator | MultiPathGenerator, path: int) -> Generator:
    """Return the generator of one path."""
    return generator.path(generator.names[path]) if isinstance(generator, MultiPathGenerator) else generator


def opponent_of(discriminator: Discriminator | DiscriminatorPanel, path: int) -> Discriminator:
    """Return the discriminator of one path."""
    if isinstance(discriminator, DiscriminatorPanel):
        return discriminator.path(discriminator.names[path])
    return discriminator


def adam(player: nn.Module, learning_rate: float, lazy_every: int) -> Adam:
    """Make the optimiser of one player, rescaled for a regulariser that steps every ``lazy_every`` steps.

    Karras et al. 2020, arXiv:1912.04958, Appendix B: learning rate and betas as if both kinds of steps were one. A
    regulariser that is left out (0), or that joins every step (1), takes no steps of its own.
    """
    c = lazy_every / (lazy_every + 1) if lazy_every > 1 else 1.0
    return Adam(player.parameters(), lr=learning_rate * c, betas=(0.0, 0.99**c), eps=1e-8)
