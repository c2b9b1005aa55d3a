"""What the work of docs/larger.md costs on networks of the official sizes (random weights): seconds and memory.

Each piece of work runs in a process of its own, whose largest resident size is what it needs.

python -m benchmarks.larger        # writes docs/results/larger.md
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from portraitist.invert import Projector, portrait
from portraitist.io.model_file import Header, Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.encoder import ir_se50, new_encoder, small
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.ops import keep_heap
from portraitist.recipes import compose
from portraitist.runs.finetune import Source, objective_of
from portraitist.train.encoder import EncoderLoss, EncoderState, Encoding, agilegan
from portraitist.train.loop import fit
from portraitist.train.state import TrainState

from .__main__ import RESULTS

PAGE = RESULTS / "larger.md"
# Channels of rosinality's networks with multiplier 2, which are those of the official FFHQ models.
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
BATCH = 4


def main() -> None:
    if len(sys.argv) == 2:
        print(WORK[sys.argv[1]](), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    lines = [
        "# Bases of the official sizes: what the work costs",
        "",
        f"Networks with the channels of the official FFHQ models and random weights; one thread ({platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()},",
        f"torch {torch.__version__}), CPU time, fp32. Each piece of work in a process of its own, "
        "whose largest resident size is given.",
        "Training: batch 4, the lazy terms in their share. Written by `python -m benchmarks.larger`.",
        "",
        "| work | seconds | memory, GiB |",
        "|---|---|---|",
    ]
    for name in WORK:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.larger", name], check=True, capture_output=True, text=True
        )
        seconds, memory = map(float, done.stdout.split())
        lines.append(f"| {name} | {seconds:.2f} | {memory:.1f} |")
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def base(side: int) -> Model:
    """Return an untrained model of an official size."""
    widths = tuple(width for r, width in CHANNELS.items() if r <= side)
    generator = Generator(GeneratorAnatomy(side, widths, z_dim=512, w_dim=512, mapping_layers=8)).eval()
    discriminator = Discriminator(DiscriminatorAnatomy(side, widths)).eval()
    return Model(generator, discriminator, Header(generator.anatomy, discriminator.anatomy, name="official"))


def drawing(side: int) -> float:
    generator = base(side).generator
    z = torch.randn(1, 512)
    with torch.no_grad():
        generator(z)
        return spent(lambda: generator(z))


def inversion(side: int, steps: int = 3) -> float:
    """Return the seconds of one step of the default optimisation."""
    model = base(side)
    assert model.discriminator is not None
    looks = PerceptualDistance(DiscriminatorFeatures(model.discriminator))
    projector = Projector(model.generator, looks, replace(portrait(), steps=steps))
    photo = torch.randn(1, 3, side, side).clamp(-1, 1)
    return spent(lambda: projector.invert(photo)) / steps


def encoding(side: int, size: Callable[..., object]) -> float:
    model = base(side)
    encoder = new_encoder(size(model.generator.anatomy, "hvae"), model.generator).eval()  # type: ignore[arg-type]
    photo = torch.randn(1, 3, side, side)
    with torch.no_grad():
        encoder(photo)
        return spent(lambda: encoder(photo))


def encoder_training(side: int, size: Callable[..., object]) -> float:
    """Return the seconds of one photo of an encoder's training."""
    model = base(side)
    assert model.discriminator is not None
    training = replace(agilegan(), batch=BATCH, images=10**9)
    encoder = new_encoder(size(model.generator.anatomy, "hvae"), model.generator)  # type: ignore[arg-type]
    looks = PerceptualDistance(DiscriminatorFeatures(model.discriminator))
    persons = DiscriminatorIdentity.of_base(model.generator, model.discriminator)
    loss = EncoderLoss(model.generator, training, looks, persons)
    state = EncoderState(encoder, training)
    objective = Encoding(training, Noise(side, BATCH), loss)
    return spent(lambda: fit(state, objective, lambda *_: True)) / BATCH


def fine_tuning(side: int) -> float:
    """Return the seconds of one exemplar of FreezeFC: fifteen plain steps and one with every lazy term."""
    training = replace(compose("freeze_fc", side), batch=BATCH, images=10**9)
    source = Source(base=base(side))
    state = TrainState.start(*source.networks(0), training)
    objective = objective_of(source, training, Noise(side, BATCH))

    def step() -> float:
        until = state.step + 1
        return spent(lambda: fit(state, objective, lambda s, _: s.step == until))

    lazy, plain = step(), step()
    share = 1 / min(training.r1_every or 16, training.path_every or 16)
    return (plain + (lazy - plain) * share) / BATCH


class Noise:
    """Endless batches of no picture."""

    def __init__(self, side: int, batch: int) -> None:
        self.side, self.batch = side, batch

    def at(self, images: int) -> Tensor:
        random = torch.Generator().manual_seed(images)
        return torch.randn(self.batch, 3, self.side, self.side, generator=random).clamp(-1, 1)


def spent(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


WORK: Mapping[str, Callable[[], float]] = {
    "256 px: draw one code": lambda: drawing(256),
    "1024 px: draw one code": lambda: drawing(1024),
    "256 px: one step of an inversion": lambda: inversion(256),
    "1024 px: one step of an inversion": lambda: inversion(1024),
    "256 px: encode a photo, small encoder": lambda: encoding(256, small),
    "256 px: encode a photo, IR-SE50": lambda: encoding(256, ir_se50),
    "256 px: train the small encoder, per photo": lambda: encoder_training(256, small),
    "256 px: train IR-SE50, per photo": lambda: encoder_training(256, ir_se50),
    "256 px: fine-tune a style (freeze_fc), per exemplar": lambda: fine_tuning(256),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_heap()
    torch.manual_seed(0)
    main()
