"""``portraitist evaluate reproduce``: a way to the studies, which are beside the package and not in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .options import opt

PHOTOS, JUDGES = "Photos", "Judges"


def reproduce(
    *,
    paper: Annotated[str, typer.Argument(help="ui2i, cartoon-stylegan or agilegan.")],
    out: Annotated[Path, opt("Folder for runs, numbers and the page; an existing one continues.", "--out", "-o")],
    data: Annotated[Path, opt("Folder of exemplars: a folder or ZIP per style, NAME or style_NAME.")],
    styles: Annotated[str | None, opt("Styles, joined by commas (default: all named style_NAME).")] = None,
    seeds: Annotated[str, opt("Such as 0-2 or 0,5: each splits, trains and draws.")] = "0-2",
    base: Annotated[str, opt("Model that styles are made from: name, file or run folder.")] = "faces",
    images: Annotated[int, opt("Images that each training sees.", min=1)] = 3000,
    samples: Annotated[int, opt("Latents that each model draws.", min=16)] = 2000,
    scratch: Annotated[bool, opt("ui2i: also train from scratch.")] = True,
    set_: options.Set = None,
    photos: Annotated[
        Path | None,
        opt("agilegan, ui2i (Table II): aligned faces that nothing was trained on.", panel=PHOTOS),
    ] = None,
    limit: Annotated[int, opt("Take so many photos, drawn with seed 0.", min=3, panel=PHOTOS)] = 48,
    encoder: Annotated[
        list[str] | None, opt("agilegan: NAME=FILE, as in pSp=wplus.safetensors; may be repeated.", panel=PHOTOS)
    ] = None,
    pairs: Annotated[
        Path | None, opt("agilegan: folder with neutral/ and smiling/, a photo of each person in both.", panel=PHOTOS)
    ] = None,
    learn_from: Annotated[
        Path | None, opt("agilegan, ui2i: photos that translators learn from (Tables 1 and II).", panel=PHOTOS)
    ] = None,
    steps: Annotated[
        int | None, opt("Steps of every optimisation (default: 500, in-domain 100, ui2i 1000).", min=1, panel=PHOTOS)
    ] = None,
    features: Annotated[
        list[Path] | None, opt("Weights that compare sets; may be repeated.", "--features", panel=JUDGES)
    ] = None,
    perceptual: Annotated[
        Path | None, opt("Weights that compare pictures (default: the base's discriminator).", panel=JUDGES)
    ] = None,
    lpips: Annotated[Path | None, opt("LPIPS weights that were fitted on --perceptual.", panel=JUDGES)] = None,
    identity: Annotated[Path | None, opt("Weights of a face embedder.", panel=JUDGES)] = None,
    device: options.Device = "auto",
) -> None:
    """Re-run a paper's comparison, in a checkout of the source.

    It is what `python -m studies PAPER` does. Trains what is missing into run folders under --out, reuses what is
    there, and writes reproduction.md.
    """
    if find_spec("studies") is None:
        raise UsageError("The studies are not part of the package.", f"Call `python -m studies {paper}` in its source.")

    from studies import reproduction

    study = reproduction.study_of(
        paper,
        out=out,
        data=data,
        styles=styles,
        seeds=tuple(options.seeds(seeds)),
        base=base,
        images=images,
        samples=samples,
        scratch=scratch,
        settings=set_ or [],
        photos=photos,
        limit=limit,
        encoders=encoder or [],
        pairs=pairs,
        learn_from=learn_from,
        steps=steps,
        features=features or [],
        perceptual=perceptual,
        lpips=lpips,
        identity=identity,
        device=options.device(device),
    )
    typer.echo(reproduction.reproduce(paper, study))
