"""What the work of docs/larger.md costs: seconds and memory.

On networks of the official sizes (random weights), and on the bundled base grown to 256 pixels. Each piece of work runs
in a process of its own, whose largest resident size is what it needs.

python -m benchmarks.larger             # writes docs/results/larger.md
python -m benchmarks.larger grown       # writes docs/results/grown.md
"""

from __future__ import annotations

import contextlib
import copy
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from portraitist.cli.main import app
from portraitist.data import to_array, write_image
from portraitist.edit import sefa_directions
from portraitist.invert import Projector
from portraitist.invert.projection import METHODS
from portraitist.io import registry
from portraitist.io.directions import save_directions
from portraitist.io.encoder_files import StoredEncoder, save_encoder
from portraitist.io.headers import EncoderHeader, Header
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.losses.perceptual import default_perceptual
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.encoder import ir_se50, new_encoder, small
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.ops import keep_heap
from portraitist.recipes import compose
from portraitist.runs.finetune import objective_of
from portraitist.runs.source import Source, grown
from portraitist.train.encoder import EncoderLoss, EncoderState, Encoding, agilegan
from portraitist.train.loop import fit
from portraitist.train.state import TrainState

from .__main__ import RESULTS

# Channels of rosinality's networks with multiplier 2, which are those of the official FFHQ models.
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
GROWN_CHANNELS = (128, 128, 128, 64, 48, 32, 16)
GROWN_DISCRIMINATOR_CHANNELS = (128, 128, 96, 48, 32, 16, 16)
BATCH = 4


def main() -> None:
    page = sys.argv[1] if len(sys.argv) > 1 else "larger"
    title, work = PAGES[page]
    if len(sys.argv) > 2:
        print(work[sys.argv[2]](), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    lines = [
        *title,
        f"One thread ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}), "
        "CPU time, fp32. Each piece of",
        "work in a process of its own, whose largest resident size is given. Training: batch 4, the lazy terms in",
        f"their share. Written by `python -m benchmarks.larger{'' if page == 'larger' else ' ' + page}`.",
        "",
        "| work | seconds | memory, GiB |",
        "|---|---|---|",
    ]
    for name in work:
        command = [sys.executable, "-m", "benchmarks.larger", page, name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds, memory = map(float, done.stdout.split()[-2:])
        lines.append(f"| {name} | {seconds:.2f} | {memory:.1f} |")
        print(lines[-1], flush=True)
    (RESULTS / f"{page}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def base(side: int) -> Model:
    """Return an untrained model of an official size."""
    widths = tuple(width for r, width in CHANNELS.items() if r <= side)
    generator = Generator(GeneratorAnatomy(side, widths, z_dim=512, w_dim=512, mapping_layers=8)).eval()
    discriminator = Discriminator(DiscriminatorAnatomy(side, widths)).eval()
    return Model(generator, discriminator, Header(generator.anatomy, discriminator.anatomy, name="official"))


def grown_source(model: Model) -> Source:
    """Return the sizes that the bundled base grows to in docs/larger.md, and the base."""
    return grown(model, 256, GROWN_CHANNELS, GROWN_DISCRIMINATOR_CHANNELS)


def grown_base() -> Model:
    """Return the bundled base, grown to 256 pixels as docs/larger.md says; its new layers are not trained."""
    generator, discriminator = (network.eval() for network in grown_source(registry.load("faces")).networks(0))
    assert isinstance(generator, Generator) and isinstance(discriminator, Discriminator)
    return Model(generator, discriminator, Header(generator.anatomy, discriminator.anatomy, name="grown"))


def drawing(model: Model) -> float:
    generator = model.generator
    z = torch.randn(1, generator.anatomy.z_dim)
    with torch.no_grad():
        generator(z)
        return spent(lambda: generator(z))


def inversion(model: Model, method: str = "portrait", steps: int = 3) -> float:
    """Return the seconds of one step of an optimisation."""
    looks = default_perceptual(model.require_discriminator("to measure likeness with"))
    projector = Projector(model.generator, looks, replace(METHODS[method](), steps=steps))
    side = model.generator.anatomy.resolution
    photo = torch.randn(1, 3, side, side).clamp(-1, 1)
    projector.invert(photo)  # the first optimiser of a process imports PyTorch's compiler
    return spent(lambda: projector.invert(photo)) / steps


def encoding(model: Model, size: Callable[..., object]) -> float:
    encoder = new_encoder(size(model.generator.anatomy, "hvae"), model.generator).eval()  # type: ignore[arg-type]
    side = model.generator.anatomy.resolution
    photo = torch.randn(1, 3, side, side)
    with torch.no_grad():
        encoder(photo)
        return spent(lambda: encoder(photo))


def encoder_training(model: Model, size: Callable[..., object]) -> float:
    """Return the seconds of one photo of an encoder's training."""
    discriminator = model.require_discriminator("to measure likeness with")
    training = replace(agilegan(), batch=BATCH, images=10**9)
    encoder = new_encoder(size(model.generator.anatomy, "hvae"), model.generator)  # type: ignore[arg-type]
    persons = DiscriminatorIdentity.of_base(model.generator, discriminator)
    loss = EncoderLoss(model.generator, training, default_perceptual(discriminator), persons)
    state = EncoderState(encoder, training)
    objective = Encoding(training, Noise(model.generator.anatomy.resolution, BATCH), loss)
    return spent(lambda: fit(state, objective, lambda *_: True)) / BATCH


def fine_tuning(model: Model, recipe: str = "freeze_fc", preset: str = "default", paths: Sequence[str] = ()) -> float:
    """Return the seconds of one exemplar of a recipe: plain steps and one with every lazy term, in their share."""
    side = model.generator.anatomy.resolution
    training = replace(compose(recipe, side, preset=preset, paths=paths), batch=BATCH, images=10**9)
    source = Source(base=model)
    state = TrainState.start(*source.networks(0), training)
    objective = objective_of(source, training, Noise(side, BATCH))

    def step() -> float:
        until = state.step + 1
        return spent(lambda: fit(state, objective, lambda s, _: s.step == until))

    lazy, plain = step(), step()
    share = 1 / min(training.r1_every or 16, training.path_every or 16)
    return (plain + (lazy - plain) * share) / BATCH


def command(*words: str) -> float:
    """Return the seconds of a command that finds the grown base, a style of it, an encoder and pictures of noise."""
    model = grown_base()
    style = copy.deepcopy(model.generator)
    with torch.no_grad():
        style.synthesis.const.add_(0.1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder / "base.safetensors", model)
        save_pack(folder / "style.safetensors", Model(style, None, Header(style.anatomy, name="style")), model)
        encoder = new_encoder(small(model.generator.anatomy, "hvae"), model.generator).eval()
        about = EncoderHeader(encoder.anatomy, base_digest=generator_digest(model))
        save_encoder(folder / "encoder.safetensors", StoredEncoder(encoder, about))
        save_directions(folder / "one.safetensors", sefa_directions(style, count=1), base=generator_digest(model))
        for k, picture in enumerate(Noise(256, 32).at(0)):
            write_image(folder / "photos" / f"{k:02d}.png", to_array(picture))
        with contextlib.chdir(folder), contextlib.redirect_stdout(sys.stderr):
            return spent(lambda: app(words, standalone_mode=False))


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


OFFICIAL: Mapping[str, Callable[[], float]] = {
    "256 px: draw one code": lambda: drawing(base(256)),
    "1024 px: draw one code": lambda: drawing(base(1024)),
    "256 px: one step of an inversion": lambda: inversion(base(256)),
    "1024 px: one step of an inversion": lambda: inversion(base(1024)),
    "256 px: encode a photo, small encoder": lambda: encoding(base(256), small),
    "256 px: encode a photo, IR-SE50": lambda: encoding(base(256), ir_se50),
    "256 px: train the small encoder, per photo": lambda: encoder_training(base(256), small),
    "256 px: train IR-SE50, per photo": lambda: encoder_training(base(256), ir_se50),
    "256 px: fine-tune a style (freeze_fc), per exemplar": lambda: fine_tuning(base(256)),
}
COMMANDS: Sequence[str] = (
    "sample base.safetensors --seeds 0-7 -o drawn",
    "swap --low base.safetensors --high style.safetensors --upto 32 -o swapped.safetensors",
    "invert photos/00.png --aligned --base base.safetensors --encoder encoder.safetensors -o found",
    "invert photos/00.png --aligned --base base.safetensors --steps 10 -o found",
    "stylize photos/00.png --aligned --style style.safetensors --encoder encoder.safetensors -o drawn",
    "stylize photos/00.png --aligned --style style.safetensors --steps 10 -o drawn",
    "edit directions base.safetensors -o sefa.safetensors --preview sheet.png",
    "edit apply photos/00.png -d one.safetensors --strengths -3:3:7 --aligned --style style.safetensors "
    "--encoder encoder.safetensors -o drawn",
    "encoder train photos --base base.safetensors --images 32 -o encoder",
    "train photos --from base.safetensors --recipe freeze_sg --images 8 --set held_out=0 --set patience=0 -o style",
)
GROWN: Mapping[str, Callable[[], float]] = {
    "draw one code": lambda: drawing(grown_base()),
    **{
        f"one step of an inversion, {m} (of {METHODS[m]().steps})": partial(lambda m: inversion(grown_base(), m), m)
        for m in METHODS
        if not METHODS[m]().needs_encoder
    },
    "encode a photo, small encoder": lambda: encoding(grown_base(), small),
    "train the small encoder, per photo": lambda: encoder_training(grown_base(), small),
    **{
        f"fine-tune a style ({r}), per exemplar": partial(lambda r: fine_tuning(grown_base(), r), r)
        for r in ("freeze_fc", "freeze_sg", "freeze_g", "structure", "agilegan")
    },
    "fine-tune a style (agilegan+multipath, two paths), per exemplar": lambda: fine_tuning(
        grown_base(), "agilegan+multipath", paths=("women", "men")
    ),
    **{
        f"fine-tune a style ({r}, as released), per exemplar": partial(
            lambda r: fine_tuning(grown_base(), r, "released"), r
        )
        for r in ("freeze_fc", "agilegan")
    },
    **{f"`{words}`": partial(command, *words.split()) for words in COMMANDS},
}
PAGES: Mapping[str, tuple[Sequence[str], Mapping[str, Callable[[], float]]]] = {
    "larger": (
        (
            "# Bases of the official sizes: what the work costs",
            "",
            "Networks with the channels of the official FFHQ models and random weights.",
        ),
        OFFICIAL,
    ),
    "grown": (
        (
            "# The bundled base, grown to 256 pixels: what the work costs",
            "",
            "Channels 128, 128, 128, 64, 48, 32, 16 (the discriminator's: 128, 128, 96, 48, 32, 16, 16), new layers as",
            "they begin, pictures of noise. The seconds of a command are those of all it does, but for its start;",
            "`photos` are 32 pictures.",
        ),
        GROWN,
    ),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_heap()
    torch.manual_seed(0)
    main()
