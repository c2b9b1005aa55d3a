"""``portraitist invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import groups, options
from .options import opt


def command(
    *,
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    base: Annotated[str, opt("Model to invert into: name, file or run folder.", "--base")] = "faces",
    attribute: options.Attribute = None,
    out: options.Out = None,
    inversion: groups.Inversion,
    space: Annotated[
        str | None,
        opt("w: one code for all rows; w+: a code per row (default: the method's).", panel=groups.Inversion.panel),
    ] = None,
    rank: Annotated[
        int | None, opt("SeFa directions that a ui2i code uses (default: all).", min=1, panel=groups.Inversion.panel)
    ] = None,
    steps: options.Steps = None,
    features: groups.Features,
    aligned: options.Aligned = False,
    detector: options.Detector = "",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Find the code of the largest face of a photo.

    Writes PHOTO.code.safetensors and PHOTO.inverted.png, beside the photo or into --out. The picture is drawn with the
    noise that the model stores, whatever noise a method fitted beside the code.
    """
    how = inversion.how(seed, space=space, rank=rank, steps=steps)
    target = out or photo.parent
    files = [target / f"{photo.stem}{end}" for end in (".code.safetensors", ".inverted.png")]
    options.refuse(files, overwrite)
    from ..data.images import read_image, write_image
    from ..data.sheet import beside
    from ..faces import finder_named
    from ..io import registry
    from ..io.codes import save_codes
    from ..io.model_file import generator_digest
    from ..stylize import Stylizer

    with options.step_bar() as progress:
        stylizer = Stylizer(
            registry.load(base, attribute=attribute),
            {},
            inversion=how,
            finder=finder_named(detector),
            perceptual=features.distance(),
            seed=seed,
            device=options.device(device),
            progress=progress,
        )
        (face,) = stylizer.stylize(read_image(photo), which="largest", aligned=aligned).faces
    save_codes(files[0], face.code, generator_digest(stylizer.base), overwrite=True)
    write_image(files[1], beside([face.aligned.image, face.reconstruction], face.reconstruction.shape[0]))
    for file in files:
        typer.echo(file)
