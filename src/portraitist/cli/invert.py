"""``portraitist invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files import refuse_existing
from . import options


def command(
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    base: Annotated[
        str, typer.Option("--base", help="Model whose code is wanted: name, file or run folder.")
    ] = "faces",
    attribute: options.Attribute = None,
    out: options.Out = None,
    method: options.Method = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    space: Annotated[
        str | None, typer.Option(help="w: one code for all rows; w+: a code per row. The method's own if absent.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Directions that a ui2i code may move along; all if absent.")
    ] = None,
    steps: options.Steps = None,
    features: options.Features = None,
    lpips: options.Lpips = None,
    aligned: Annotated[bool, typer.Option("--aligned", help="The picture is an aligned square face already.")] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Find the code of the largest face of a photo.

    Writes PHOTO.code.safetensors and PHOTO.inverted.png, beside the photo or into --out.
    The picture is drawn with the noise that the model stores, whatever noise a method fitted beside the code.
    """
    from ..data.images import read_image, write_image
    from ..data.sheet import beside
    from ..io import registry
    from ..io.codes import save_codes
    from ..io.model_file import generator_digest
    from ..stylize import Stylizer

    inversion = options.inversion(
        method, encoder=encoder, refine=refine, seed=seed, space=space, rank=rank, steps=steps
    )
    target = out or photo.parent
    files = [target / f"{photo.stem}{end}" for end in (".code.safetensors", ".inverted.png")]
    for file in files:
        refuse_existing(file, overwrite)
    with options.step_bar() as progress:
        stylizer = Stylizer(
            registry.load(base, attribute=attribute),
            {},
            device=options.device(device),
            perceptual=options.perceptual(features, lpips),
            progress=progress,
            inversion=inversion,
            seed=seed,
        )
        portraits = stylizer.stylize(read_image(photo), which="largest", aligned=aligned)
    face = portraits.faces[0]
    save_codes(files[0], face.code, generator_digest(stylizer.base), overwrite=True)
    write_image(files[1], beside([face.aligned.image, face.reconstruction], face.reconstruction.shape[0]))
    for file in files:
        typer.echo(file)
