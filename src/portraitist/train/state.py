"""All that a training is at one moment, and all that a snapshot must hold.

Random numbers are not part of it: each step draws from a generator seeded by (seed, images seen), and the order of the
images follows from the same two numbers, so a resumed training is the same training.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ..networks import Discriminator, DiscriminatorPanel, Generator, MultiPathGenerator, with_low_rows
from .ada import Ada, AdaController
from .spec import Training
from .symptoms import Symptoms
from .tally import Tally

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Optimised:
    """An optimiser of some parameters of a network."""

    prefix: str
    """Begins the names of its moments in a snapshot."""
    network: nn.Module
    optimiser: Optimizer

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that it moves, but for frozen ones."""
        return [p for group in self.optimiser.param_groups for p in group["params"] if p.requires_grad]

    def tensors(self) -> dict[str, Tensor]:
        """Return its moments under flat names."""
        return {
            f"{self.prefix}.{key}.{name}": torch.as_tensor(value)
            for name, p in self.network.named_parameters()
            for key, value in self.optimiser.state.get(p, {}).items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take its moments out of tensors with flat names."""
        mine = {p for group in self.optimiser.param_groups for p in group["params"]}
        for name, p in self.network.named_parameters():
            keys = [key for key in MOMENTS if p in mine and f"{self.prefix}.{key}.{name}" in tensors]
            if keys:
                loaded = {key: tensors.pop(f"{self.prefix}.{key}.{name}") for key in keys}
                # Adam keeps its step counts on the CPU, the moments beside the parameter.
                self.optimiser.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in loaded.items()}


class State:
    """Networks, optimisers and counters of a training of any kind; snapshots hold all of it."""

    def __init__(self, networks: Mapping[str, nn.Module], optimisers: Mapping[str, Optimised]) -> None:
        """Begin a training.

        Args:
            networks: By the prefix of their tensors in a snapshot.
            optimisers: By the role that each trains.
        """
        self.networks, self.optimisers = dict(networks), dict(optimisers)
        self.images = 0
        """Images seen."""
        self.step = 0
        self.history: list[dict[str, float]] = []
        """Scores of the averaged network on held-out images, tick by tick."""
        self.tally = Tally()
        """What has been reported since the last line of statistics."""
        self.symptoms = Symptoms()
        """What the lines of statistics have shown."""
        self.kept: dict[str, dict[str, Tensor]] = {"best": {}}
        """Further tensors by the prefix of their names; ``best`` is the averaged network when it scored best."""

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(p.device for network in self.networks.values() for p in network.parameters())

    @property
    def best(self) -> dict[str, Tensor]:
        """The averaged network when it scored best; empty before the first score."""
        return self.kept["best"]

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        found = {f"{prefix}.{k}": v for prefix, kept in self.kept.items() for k, v in kept.items()}
        for prefix, network in self.networks.items():
            found |= {f"{prefix}.{k}": v for k, v in network.state_dict().items()}
        for optimised in self.optimisers.values():
            found |= optimised.tensors()
        return found

    def counters(self) -> dict[str, Any]:
        """Return what is not a tensor."""
        found = {"history": self.history, "tally": self.tally.record(), "symptoms": self.symptoms.lines}
        return {"images": self.images, "step": self.step, **{name: value for name, value in found.items() if value}}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; the exact opposite of :meth:`tensors` and :meth:`counters`.

        Raises:
            KeyError: A tensor is missing or unknown.
            RuntimeError: One has another shape.
            TypeError, ValueError, AttributeError: A counter is of another type.
        """
        rest = dict(tensors)
        for prefix, network in self.networks.items():
            network.load_state_dict({k: rest.pop(f"{prefix}.{k}") for k in network.state_dict()})
        for optimised in self.optimisers.values():
            optimised.restore(rest)
        for prefix, kept in self.kept.items():
            names = [k for k in rest if k.startswith(f"{prefix}.")]
            kept.clear()
            kept.update({k.removeprefix(f"{prefix}."): rest.pop(k).to(self.device) for k in names})
        if rest:
            raise KeyError(f"unknown tensors in the snapshot: {sorted(rest)[:5]}")
        self.images, self.step = counters["images"], counters["step"]
        self.history = counters.get("history", [])
        if type(self.images) is not int or type(self.step) is not int or not isinstance(self.history, list):
            raise TypeError("images or step is no number, or history no list")
        self.tally.restore(counters.get("tally", {}))
        self.symptoms.restore(counters.get("symptoms", {}))


class TrainState(State):
    """Generator, discriminator, the averaged generator, ADA and the running mean of path lengths."""

    def __init__(
        self,
        generator: Generator | MultiPathGenerator,
        discriminator: Discriminator | DiscriminatorPanel,
        training: Training,
        heads: Optimised | None = None,
    ) -> None:
        """Begin a training; :meth:`start` freezes layers and splits paths first."""
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        """Moving average of the generator: the one that is kept."""
        self.optimiser_g = adam(generator, training.learning_rate, training.path_interval)
        self.optimiser_d = adam(discriminator, training.learning_rate, training.r1_interval)
        networks: dict[str, nn.Module] = {"G": generator, "D": discriminator, "average": self.average}
        optimisers = {
            "G": Optimised("adam.G", generator, self.optimiser_g),
            "D": Optimised("adam.D", discriminator, self.optimiser_d),
        }
        if heads is not None:
            networks["F"], optimisers["F"] = heads.network, heads
        super().__init__(networks, optimisers)
        self.ada = AdaController(Ada(training.ada_target, training.ada_images / 1000, training.ada_every))
        self.path_mean = torch.zeros((), device=self.device)
        """Running mean of path lengths, a scalar."""

    @classmethod
    def start(
        cls,
        generator: Generator,
        discriminator: Discriminator,
        training: Training,
        heads: Optimised | None = None,
    ) -> TrainState:
        """Begin a training with networks that it then owns; each path of the training gets its own copy of some.

        Args:
            generator: Of the base, or a new one.
            discriminator: The same.
            training: Settings.
            heads: The discriminator of features with its optimiser, where the training has one.
        """
        frozen = training.frozen
        if frozen.styles_upto and not generator.anatomy.low_rows:
            generator = with_low_rows(generator, generator.anatomy.rows_upto(frozen.styles_upto))
        for name, p in generator.named_parameters():
            p.requires_grad_(not frozen.generator(generator.anatomy, name))
        for name, p in discriminator.named_parameters():
            p.requires_grad_(not frozen.discriminator(discriminator.anatomy, name))
        if training.paths:
            split = (training.split_from, training.split_upto)
            return cls(
                MultiPathGenerator(generator, training.paths, split),
                DiscriminatorPanel(discriminator, training.paths),
                training,
            )
        return cls(generator, discriminator, training, heads)

    def pair(self, path: int = 0) -> tuple[Generator, Discriminator]:
        """Return the generator and the discriminator of one path; the only ones where there is a single path."""
        return path_of(self.generator, path), discriminator_of(self.discriminator, path)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        return {"path_mean": self.path_mean, **super().tensors()}

    def counters(self) -> dict[str, Any]:
        """Return what is not a tensor."""
        return {**super().counters(), "ada": self.ada.state_dict()}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; the exact opposite of :meth:`tensors` and :meth:`counters`."""
        super().restore({k: v for k, v in tensors.items() if k != "path_mean"}, counters)
        self.path_mean = tensors["path_mean"].to(self.path_mean)
        self.ada.load_state_dict(counters["ada"])

    def follow(self, training: Training) -> None:
        """Move the average towards the generator by one step of ``batch`` images."""
        keep = decay(self.images, training.batch, training.ema_images, training.ema_ramp)
        follow(self.average.parameters(), self.generator.parameters(), keep)


def follow(average: Iterable[Tensor], tensors: Iterable[Tensor], keep: float) -> None:
    """Move averages towards tensors of the same shapes in place: keep * average + (1 - keep) * tensor."""
    with torch.no_grad():
        torch._foreach_lerp_([a.data for a in average], [t.data for t in tensors], 1 - keep)


def random_of(*words: object) -> torch.Generator:
    """Return a source of random numbers that belongs to these words and to no others."""
    word = hashlib.sha256(":".join(map(str, words)).encode()).digest()[:7]
    return torch.Generator().manual_seed(int.from_bytes(word, "big"))


def decay(images: int, batch: int, half_life: float, ramp: float) -> float:
    """Return what a moving average keeps of itself over a batch; with a ramp it is young while few images were seen.

    Karras et al. 2019 and 2020 (official code): 0.5 ** (batch / half-life), the half-life at most ramp * images.
    """
    if ramp:
        half_life = min(half_life, max(images, batch) * ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def path_of(generator: Generator | MultiPathGenerator, path: int) -> Generator:
    """Return the generator of one path."""
    return generator.path(generator.names[path]) if isinstance(generator, MultiPathGenerator) else generator


def discriminator_of(discriminator: Discriminator | DiscriminatorPanel, path: int) -> Discriminator:
    """Return the discriminator of one path."""
    if isinstance(discriminator, DiscriminatorPanel):
        return discriminator.path(discriminator.names[path])
    return discriminator


def adam(network: nn.Module, learning_rate: float, lazy_every: int) -> Adam:
    """Make the optimiser of one network, rescaled for a regulariser that steps every ``lazy_every`` steps.

    Karras et al. 2020, arXiv:1912.04958, Appendix B: learning rate and betas as if both kinds of steps were one. A
    regulariser that is left out (0), or that joins every step (1), takes no steps of its own.
    """
    # c = k / (k + 1): lr' = c lr, beta' = beta ** c
    c = lazy_every / (lazy_every + 1) if lazy_every > 1 else 1.0
    return Adam(network.parameters(), lr=learning_rate * c, betas=(0.0, 0.99**c), eps=1e-8)
