"""``portraitist sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .options import opt


def command(
    *,
    model: Annotated[str, typer.Argument(help="Name, file or run folder.")],
    out: Annotated[Path, opt("Folder for the pictures.", "--out", "-o")],
    attribute: options.Attribute = None,
    seeds: Annotated[str, opt("Seeds such as 0-7,85,100-103; each draws one picture.")] = "0-15",
    truncation: Annotated[float, opt("1 full variety, 0 the mean.", min=0.0, max=1.5)] = 0.7,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Draw people who do not exist.

    Writes one picture per seed, and a sheet of all.
    """
    numbers = options.seeds(seeds)
    files = [out / f"seed{seed:04d}.png" for seed in numbers]
    sheet = out / "sheet.png"
    options.refuse([*files, sheet], overwrite)

    import torch

    from ..data.images import to_array, write_image
    from ..data.sheet import tile
    from ..io import registry
    from ..spaces import Z, truncate

    generator = registry.load(model, attribute=attribute).generator.to(options.device(device))
    pictures = []
    for seed, file in zip(numbers, files, strict=True):
        z = Z.sample(1, generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            code = truncate(generator.map(z.to(generator.w_mean.device)), generator.mean, truncation)
            pictures.append(to_array(generator.synthesize(code)[0]))
        write_image(file, pictures[-1])
    typer.echo(write_image(sheet, tile(pictures)))
