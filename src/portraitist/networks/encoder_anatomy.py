"""The one description of an encoder: everything that a file must tell to build it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import BadModel
from .anatomy import GeneratorAnatomy, resolutions

EncoderKind = Literal["w+", "hvae", "vae", "z+"]
SMALLEST_INPUT, LARGEST_INPUT = 16, 256
STAGES = 4


@dataclass(frozen=True)
class EncoderAnatomy:
    """Sizes of an encoder; everything that a file must tell to build it again."""

    kind: EncoderKind
    resolution: int
    """Side of the image it sees: 16 times a power of two, at most 256."""
    levels: tuple[int, int, int]
    """Rows of the code fed by the maps of a 16th, an 8th and a quarter of that side, in this order."""
    dim: int
    """Length of a row: z_dim of the base, or its w_dim for the kind w+."""
    widths: tuple[int, ...] = (64, 64, 128, 256, 512)
    """Channels of the stem and after each of the four stages of the backbone."""
    units: tuple[int, ...] = (3, 4, 14, 3)
    """Residual units of each stage."""
    head_width: int = 512
    """Channels of the convolutions that turn a map into a row."""
    residual_rows: bool = False
    """Every row but the first is an offset from the first (Tov et al. 2021, "e4e", arXiv:2102.02766, Sec. 4.1)."""
    standardised: bool = False
    """The means of the posteriors have, over all photos, the mean 0 and the deviation 1 of the prior in every entry
    (after Zhu et al. 2020, "A Batch Normalized Inference Network Keeps the KL Vanishing Away", arXiv:2004.12585). The
    mapping network looks at the direction of a latent only, so an encoder can quiet the noise of its posterior by a
    large part that all photos share, which the divergence alone hardly forbids; all codes then lie to one side of the
    prior. AgileGAN has no such thing."""

    def __post_init__(self) -> None:
        for name in ("levels", "widths", "units"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.kind not in get_args(EncoderKind):
            raise BadModel(f"'{self.kind}' is no kind of encoder.", f"Use one of {', '.join(get_args(EncoderKind))}.")
        if self.resolution not in resolutions(LARGEST_INPUT, SMALLEST_INPUT):
            raise BadModel(
                f"An encoder for images of {self.resolution} pixels is not possible.", "Use 16, 32, ... 256."
            )
        if len(self.widths) != STAGES + 1 or len(self.units) != STAGES or min(*self.widths, *self.units) < 1:
            raise BadModel(f"An encoder has a stem and {STAGES} stages, not {self.widths} and {self.units}.")
        if self.standardised and self.kind == "w+":
            raise BadModel("Codes of W+ are not standardised: their prior is no normal distribution.")
        if len(self.levels) != 3 or min(self.levels) < 0 or min(self.rows, self.dim, self.head_width) < 1:
            raise BadModel(f"An encoder needs three levels of rows and positive sizes, not {self}.")

    @property
    def rows(self) -> int:
        """Rows of the code it is for, whether it gives each its own or not."""
        return sum(self.levels)

    @property
    def variational(self) -> bool:
        """Whether it gives a posterior rather than a code."""
        return self.kind in ("hvae", "vae")

    @property
    def level_sides(self) -> tuple[int, int, int]:
        """Sides of the maps of the three levels, from coarse to fine."""
        return (self.resolution // 16, self.resolution // 8, self.resolution // 4)

    def check_base(self, base: GeneratorAnatomy) -> None:
        """Refuse a generator that this encoder's codes do not fit.

        Raises:
            BadModel: It has other rows, or rows of another length.
        """
        dim = base.w_dim if self.kind == "w+" else base.z_dim
        if (self.rows, self.dim) != (base.rows, dim):
            raise BadModel(
                f"An encoder of {self.rows} rows of {self.dim} does not fit a generator of {base.rows} rows of {dim}.",
                "Use an encoder that was trained for this base.",
            )
