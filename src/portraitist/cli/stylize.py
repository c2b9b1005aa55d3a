"""``portraitist stylize``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ..errors import UsageError
from ..stylize.names import planned_ends
from . import bars, folders, groups, inputs, options, videos
from . import cluster as clusters
from .common import refuse_given
from .options import opt

if TYPE_CHECKING:
    from ..stylize import Appearance

STYLE, INVERSION = "Style", groups.Inversion.panel


@dataclass(frozen=True)
class Amount:
    """How much of a style is drawn."""

    panel: ClassVar[str] = STYLE

    strength: Annotated[float, opt("0 draws no style, 1 the style as trained.", min=0.0, max=1.5)] = 1.0
    detail: options.Detail = 1.0
    swap: Annotated[str, opt("Use the base up to this resolution, the style above (0: style).")] = "0"
    swap_by: Annotated[Literal["features", "weights"], opt("What --swap swaps.")] = "features"

    def settings(self) -> dict[str, Any]:
        """Return the settings of a stylizer.

        Raises:
            UsageError: One would be without effect.
        """
        from ..surgery import released_upto

        if not released_upto(self.swap):
            refuse_given({"swap_by"}, "is for --swap")
        return {**asdict(self), "swap": released_upto(self.swap)}


@dataclass(frozen=True)
class Appearances:
    """In which appearances a face is drawn as well."""

    panel: ClassVar[str] = "Appearance"

    appearance: Annotated[str | None, opt("random:N: also draw N random appearances.")] = None
    appearance_from: Annotated[int, opt("Rows from this resolution up are appearance.")] = 64
    appearance_truncation: Annotated[float, opt("1 full variety, 0 the mean.", min=0, max=1.5)] = 1.0
    reference: Annotated[list[Path] | None, opt("Also draw in the look of this picture.")] = None
    reference_aligned: Annotated[bool, opt("References are aligned.", "--reference-aligned")] = False

    @property
    def random(self) -> int:
        """How many random appearances are asked for."""
        return options.random_appearances(self.appearance)

    def read(self) -> Appearance:
        """Return the appearances, the references read.

        Raises:
            UsageError: A setting would be without effect.
        """
        from ..stylize import Appearance, Reference

        if not self.random:
            refuse_given({"appearance_truncation"}, "is for --appearance random:N")
            if not self.reference:
                refuse_given({"appearance_from"}, "is for --appearance and --reference")
        if not self.reference:
            refuse_given({"reference_aligned"}, "is for --reference")
        references = tuple(Reference.read(path, aligned=self.reference_aligned) for path in self.reference or [])
        return Appearance(self.random, references, self.appearance_from, self.appearance_truncation)


def command(
    *,
    photo: videos.Words = None,
    style: Annotated[
        list[str] | None,
        opt(
            "Name, file, run folder, or a mixture such as toon3d:0.6+charcoal:0.4; may be repeated "
            "(default: the bundled ones of one base).",
            "--style",
            "--to-style",
            "-s",
            panel=STYLE,
        ),
    ] = None,
    from_style: Annotated[
        str | None, opt("Style of the picture (default: photo).", "--from-style", panel=STYLE)
    ] = None,
    attribute: options.AttributeOrAuto = None,
    amount: Amount,
    appearances: Appearances,
    faces: groups.Faces,
    inversion: groups.Drawing,
    samples: Annotated[int | None, opt("Also draw N posterior samples.", min=1, max=100, panel=INVERSION)] = None,
    best: Annotated[bool, opt("Draw the medoid of mean and N samples (default 8).", "--best", panel=INVERSION)] = False,
    steps: options.Steps = None,
    rank: options.Rank = None,
    features: groups.Features,
    output: groups.Output,
    moving: videos.Moving,
    cluster: clusters.Address = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Redraw the faces of photos, of folders of photos, or of videos.

    A photo writes PHOTO.STYLE.png beside itself or into --out; further faces are called PHOTO.face2.STYLE.png, further
    pictures PHOTO.STYLE.sample1.png (--samples), PHOTO.STYLE.random1.png (--appearance), PHOTO.STYLE.REFERENCE.png, and
    photos with the faces in them PHOTO.STYLE.pasted.png. A folder needs --out: finished photos are skipped, failed ones
    listed, and the exit code is then 3. With -o - the picture of one style goes to standard output. A video writes
    VIDEO.STYLE.mp4 beside itself or --out FILE.mp4, in one style; a run that was stopped goes on when started again.
    """
    written = output.written(faces)
    random = appearances.random  # wrong ones are told first
    run: videos.VideoRun | folders.PhotoRun
    if (clips := moving.videos(photo or [], output.out, overwrite=written.overwrite)) is not None:
        run, style, is_single = clips, clips.style(style, attribute), False
    else:
        given = inputs.Inputs.of(photo or [], output.out)
        if cluster and given.out == inputs.STDOUT:
            raise UsageError("A cluster writes into a folder, not to standard output.", "Give a folder with -o.")
        from . import styles

        run, is_single = folders.PhotoRun(given, output.report), given.is_single
        if given.out == inputs.STDOUT and not style and not written.sheet:
            style = styles.first_default(attribute)
        if moving.painter is None:
            further = styles.further(samples, best, random, appearances.reference or [])
            ends = planned_ends(styles.names(style or [], attribute), ("", *further), **written.naming)
            given.refuse_existing(ends, written.overwrite, output.report)
    if cluster and (clips is not None or moving.painter is not None):
        raise UsageError("A cluster draws photos in styles: no video, camera or painter.", "Leave out --cluster.")
    from ..stylize import Stylizer

    how = inversion.how(seed, samples=samples, best=best, steps=steps, rank=rank)
    if inversion.by == "painter":
        refuse_given({"features", "lpips"}, "compares drawings of codes, and a painter draws")
    perceptual = features.distance()
    appearance = appearances.read()
    where = options.device(device)
    if (painter := moving.loaded(faces.finder(), where)) is not None:
        run.redraw(painter, written)
        return
    load = partial(
        Stylizer.load,
        style or [],
        attribute=attribute,
        source=from_style,
        inversion=how,
        finder=faces.finder(),
        perceptual=perceptual,
        appearance=appearance,
        **amount.settings(),
        method=inversion.by,
        seed=seed,
        device=where,
    )
    elsewhere = clusters.connected(cluster, load)
    with bars.stages(is_single) as on_progress:
        stylizer = load(on_progress=on_progress)
        if isinstance(run, videos.VideoRun):
            run.redraw(stylizer, written)
        else:
            run.redraw(stylizer, written, elsewhere)
