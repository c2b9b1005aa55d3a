"""What a training is: a frozen value that a recipe derives from another by replacing fields.

quick = replace(Training(), images=20_000, rests=Rests(mapping=True))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import UsageError
from ..losses import Game, Tap
from ..networks import DiscriminatorAnatomy, GeneratorAnatomy
from ..networks.anatomy import SMALLEST

Augmentation = Literal["none", "ada", "diffaugment"]
Latents = Literal["z", "z+"]

NOT_NEGATIVE = (
    "r1_gamma",
    "r1_every",
    "path_weight",
    "path_every",
    "ema_ramp",
    "structure_weight",
    "similarity_weight",
    "patience",
    "entrance_images",
    "entrance_rate",
)


@dataclass(frozen=True)
class Rests:
    """Which parameters stay as they are; named by resolution, both networks."""

    mapping: bool = False
    """The mapping network of the generator (FreezeFC, Huang, Liao and Kwong 2020, arXiv:2010.05713)."""
    generator_upto: int = 0
    """Blocks of the generator up to this resolution (FreezeG); 0 for none."""
    discriminator_from: int = 0
    """Blocks of the discriminator from this resolution to the pixels (FreezeD, Mo et al. 2020); 0 for none."""
    styles_upto: int = 0
    """Rows of W+ that feed blocks up to this resolution come from the base's mapping (FreezeSG); 0 for none."""

    def generator(self, anatomy: GeneratorAnatomy, parameter: str) -> bool:
        """Tell whether a parameter of the generator rests."""
        if anatomy.borrowed(parameter):
            return True
        place = anatomy.place(parameter)
        return self.mapping if place is None else place <= self.generator_upto

    def discriminator(self, anatomy: DiscriminatorAnatomy, parameter: str) -> bool:
        """Tell whether a parameter of the discriminator rests."""
        return bool(self.discriminator_from) and anatomy.place(parameter) >= self.discriminator_from


@dataclass(frozen=True)
class Training:
    """Every setting of a training. Amounts are counted in images, never in iterations."""

    images: int = 200_000
    """Real images to show to the discriminator in all."""
    batch: int = 8
    seed: int = 0
    game: Game = "logistic"
    """What the players play for."""
    latents: Latents = "z"
    """``z`` mixes two latents per image (see ``mixing``); ``z+`` draws one for each row of W+ (AgileGAN)."""
    learning_rate: float = 0.002
    """Of Adam, for both players, before the rescaling for lazy regularisation."""
    r1_gamma: float = 1.0
    """Weight of R1; gamma / 2 multiplies the squared gradient."""
    r1_every: int = 16
    """Steps between R1 steps; 0 leaves it out."""
    path_weight: float = 2.0
    path_every: int = 4
    """Steps between path-length steps; 0 leaves it out."""
    path_shrink: int = 2
    """The path-length step draws batch / path_shrink images."""
    path_decay: float = 0.01
    """How fast the running mean of path lengths follows."""
    mixing: float = 0.9
    """Share of images drawn from two latents."""
    ema_images: float = 5_000.0
    """Half-life of the averaged generator."""
    ema_ramp: float = 0.05
    """The half-life is at most this share of the images seen, so that early averages are young; 0 switches it off."""
    augment: Augmentation = "ada"
    """What the discriminator's images go through."""
    ada_target: float = 0.6
    """Mean sign of the scores of real images that ADA steers to (Karras et al. 2020, arXiv:2006.06676)."""
    ada_images: float = 100_000.0
    """Images in which p can move by 1."""
    ada_every: int = 4
    """Steps between changes of p."""
    mirror: bool = True
    """Show each image mirrored half of the time."""
    rests: Rests = field(default_factory=Rests)
    structure_weight: float = 0.0
    """Of the structure loss (Back 2021, arXiv:2106.12445, Sec. 3.2); 0 leaves it out."""
    structure_from: int = 4
    structure_upto: int = 16
    """First and last resolution of the blocks that it compares."""
    structure_tap: Tap = "rgb"
    """What it compares: each block's own ``rgb``, the image so far (``rgb_sum``), or its ``feature`` maps."""
    similarity_weight: float = 0.0
    """Of the perceptual distance to what the base draws (AgileGAN, Eq. 10); 0 leaves it out."""
    similarity_taps: int = 3
    """How many of the deepest taps of the features it compares."""
    blend_upto: int = 0
    """At the end, blocks above this resolution are the base's again (Toonify); 0 leaves the style as it is."""
    paths: tuple[str, ...] = ()
    """Attributes with blocks of their own (AgileGAN's multi-path generator); empty for a single path."""
    split_from: int = 8
    split_upto: int = 64
    """First and last resolution of the blocks that each path has for itself."""
    held_out: float = 0.0
    """Share of the exemplars (5 at least) that is not trained on but scores the training; 0 for none."""
    patience: int = 0
    """Ticks without a better score on the held-out exemplars after which training stops; 0 to go on to the end."""
    entrance_images: int = 0
    """Of a base that grows: images that the new layers of the discriminator are fitted to, before the game goes on."""
    entrance_rate: float = 0.005
    """Learning rate of Adam in that regression, at its beginning; it falls to 0."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; gradients are those of the whole."""
    tick: int = 2_000
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sample grids."""

    @property
    def r1_interval(self) -> int:
        """Steps between R1 steps; 0 where its interval or its weight leaves it out."""
        return self.r1_every if self.r1_gamma else 0

    @property
    def path_interval(self) -> int:
        """Steps between path-length steps; 0 where its interval or its weight leaves it out."""
        return self.path_every if self.path_weight else 0

    def __post_init__(self) -> None:
        for name in (
            "images",
            "batch",
            "tick",
            "snapshot",
            "path_shrink",
            "ada_every",
            "similarity_taps",
            "accumulate",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"The setting {name} must be at least 1, not {getattr(self, name)}.")
        for name in ("learning_rate", "ema_images", "ada_images"):
            if not getattr(self, name) > 0:
                raise UsageError(f"The setting {name} must be positive, not {getattr(self, name)}.")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(f"The setting {name} cannot be negative ({getattr(self, name)}).")
        for name in ("mixing", "path_decay", "held_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"The setting {name} is a share between 0 and 1, not {getattr(self, name)}.")
        for name, kind in (("augment", Augmentation), ("game", Game), ("latents", Latents), ("structure_tap", Tap)):
            if getattr(self, name) not in get_args(kind):
                raise UsageError(f"The setting {name} is one of {get_args(kind)}, not '{getattr(self, name)}'.")
        paths = max(len(self.paths), 1)
        if self.batch % (paths * self.accumulate):
            raise UsageError(
                f"A batch of {self.batch} cannot be shared by {paths} paths in {self.accumulate} parts.",
                f"Make the batch a multiple of {paths * self.accumulate}.",
            )


def check(training: Training, anatomy: GeneratorAnatomy) -> None:
    """Refuse a training in which one setting makes another void, or that does not fit the generator.

    Raises:
        UsageError: It is one, and why.
    """
    rests = training.rests
    _check_blocks(training, anatomy)
    if training.patience and not training.held_out:
        raise UsageError("Stopping by itself needs exemplars that are held out.", "Set held_out, or patience=0.")
    if rests.generator_upto >= anatomy.resolution and (rests.mapping or rests.styles_upto >= anatomy.resolution):
        raise UsageError("The whole generator rests.", "Set rests.generator_upto lower.")
    if 0 < rests.discriminator_from <= SMALLEST:
        raise UsageError("The whole discriminator rests.", "Set rests.discriminator_from higher.")
    codes_rest = rests.mapping or rests.styles_upto >= training.structure_upto
    if training.structure_weight and codes_rest and rests.generator_upto >= training.structure_upto:
        raise UsageError(
            f"The structure loss looks at blocks up to {training.structure_upto} pixels, all of which rest.",
            "Set structure_upto higher, or rests.generator_upto lower.",
        )
    if training.paths and rests.generator_upto >= training.split_upto:
        raise UsageError(
            f"Paths have blocks of their own up to {training.split_upto} pixels, all of which rest.",
            "Set split_upto higher, or rests.generator_upto lower.",
        )
    if rests.styles_upto and rests.mapping:
        raise UsageError(
            "The upper rows come from a mapping network that trains (rests.styles_upto), but it rests.",
            "Set rests.mapping=false, or rests.styles_upto=0.",
        )


def _check_blocks(training: Training, anatomy: GeneratorAnatomy) -> None:
    named = {"blend_upto": training.blend_upto, "rests.styles_upto": training.rests.styles_upto}
    if training.paths:
        named |= {"split_from": training.split_from, "split_upto": training.split_upto}
    for name, value in named.items():
        if value not in (0, *anatomy.resolutions):
            raise UsageError(
                f"The setting {name} is {value}, but there is no such block.",
                f"Blocks have {', '.join(map(str, anatomy.resolutions))} pixels.",
            )
    compared = [r for r in anatomy.resolutions if training.structure_from <= r <= training.structure_upto]
    if (training.paths and training.split_from > training.split_upto) or (training.structure_weight and not compared):
        raise UsageError("A first resolution lies above the last.", "Set split_from or structure_from lower.")
