"""What chooses the path of a multi-path style for a face: linear layers on the latents of an encoder.

Song et al. 2021, "AgileGAN", Sec. 3.4, choose the path by a detector. Here a logistic regression on the latents that
the encoder gives anyway does; it says which path draws a face best, and nothing else is made of it.

    chooser = Chooser(10 * 128, {"gender": ("female", "male")})
    chooser.shares("gender", encoder(photos).mu, ("female", "male"))        # [N, 2], rows add up to 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Chooser(nn.Module):
    """A linear layer for each attribute that paths may be named by."""

    def __init__(self, size: int, values: Mapping[str, Sequence[str]]) -> None:
        """Make it unlearned.

        Args:
            size: Numbers of a face's latents, all rows together.
            values: Attribute -> its values.
        """
        super().__init__()
        self.size, self.values = size, {name: tuple(each) for name, each in values.items()}
        self.layers = nn.ModuleDict({name: nn.Linear(size, len(each)) for name, each in self.values.items()})

    def covers(self, attribute: str, paths: Sequence[str]) -> bool:
        """Tell whether all of these paths are values of an attribute."""
        return set(paths) <= set(self.values[attribute])

    def shares(self, attribute: str, latents: Tensor, paths: Sequence[str]) -> Tensor:
        """Return how much speaks for each of some paths, in [0, 1] and 1 together: [N, paths].

        Args:
            attribute: Whose values the paths are.
            latents: Of an encoder, [N, rows, dim].
            paths: Values of the attribute.
        """
        logits: Tensor = self.layers[attribute](latents.flatten(1))
        return logits[:, [self.values[attribute].index(path) for path in paths]].softmax(dim=1)
