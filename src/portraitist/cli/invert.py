"""``portraitist invert``."""

from __future__ import annotations

from typing import Annotated

from ..errors import UsageError
from ..files import CODE_SUFFIX, INVERTED_SUFFIX
from . import bars, folders, groups, inputs, options
from .options import opt


def command(
    *,
    photo: inputs.Words,
    base: Annotated[str, opt("Model to invert into: name, file or run folder.", "--base")] = "faces",
    attribute: options.Attribute = None,
    out: options.Out = None,
    inversion: groups.Inversion,
    space: Annotated[
        str | None,
        opt("w: one code for all rows; w+: a code per row (default: the method's).", panel=groups.Inversion.panel),
    ] = None,
    rank: options.Rank = None,
    steps: options.Steps = None,
    features: groups.Features,
    aligned: options.Aligned = False,
    detector: options.Detector = "",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Find the code of the largest face of each photo.

    Writes PHOTO.code.safetensors and PHOTO.inverted.png, beside the photo or into --out. The picture is drawn with the
    noise that the model stores, whatever noise a method fitted beside the code. A folder needs --out: finished photos
    are skipped, failed ones listed, and the exit code is then 3.
    """
    given = inputs.Inputs.of(photo, out)
    if given.out == inputs.STDOUT:
        raise UsageError("Codes are not written to standard output.", "Give a folder with -o.")
    given.refuse_existing([CODE_SUFFIX, INVERTED_SUFFIX], overwrite)
    how = inversion.how(seed, space=space, rank=rank, steps=steps)
    from ..faces import finder_named
    from ..io import registry
    from ..stylize import Stylizer

    with bars.step_bar(given.is_single) as progress:
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
        folders.PhotoRun(given).invert(stylizer, aligned=aligned, overwrite=overwrite)
