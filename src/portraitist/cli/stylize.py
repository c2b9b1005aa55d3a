"""``portraitist stylize``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError
from . import options

if TYPE_CHECKING:
    from ..stylize import FileReport
    from ..stylize.pipeline import Which


def command(
    photo: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            "-s",
            help="Name, file or run folder, or a mixture as in toon3d:0.6+charcoal:0.4; may be repeated. "
            "All bundled styles if absent.",
        ),
    ] = None,
    attribute: options.Attribute = None,
    out: options.Out = None,
    strength: Annotated[float, typer.Option(min=0.0, max=1.5, help="0 what the base draws, 1 the style.")] = 1.0,
    face: Annotated[str, typer.Option(help="all, largest, or the number of a face (1 is the largest).")] = "all",
    paste_back: Annotated[bool, typer.Option("--paste-back", help="Put the redrawn faces into the photo.")] = False,
    aligned: Annotated[bool, typer.Option("--aligned", help="The pictures are aligned square faces already.")] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Write a sheet with photo, reconstruction and styles.")
    ] = False,
    size: Annotated[int | None, typer.Option(min=16, max=4096, help="Side of the pictures in pixels.")] = None,
    method: options.Method = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    samples: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Draw as many further pictures, of other codes that the encoder thinks of."),
    ] = None,
    best: Annotated[
        bool,
        typer.Option(
            "--best",
            help="Draw one picture: the one nearest to all others of the encoder's first code and --samples more "
            "(8 if absent).",
        ),
    ] = False,
    steps: options.Steps = None,
    features: options.Features = None,
    lpips: options.Lpips = None,
    suffix: Annotated[str, typer.Option(help="Format of the pictures: .png, .jpg or .webp.")] = ".png",
    report: Annotated[Path | None, typer.Option(help="JSON report; OUT/report.json for folders.")] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Redraw the faces of a photo or of a folder of them.

    A photo writes PHOTO.STYLE.png beside itself or into --out, further faces PHOTO.face2.STYLE.png, further pictures
    of --samples PHOTO.STYLE.sample1.png. A folder needs --out; photos that are finished are skipped, photos that cannot
    be redrawn are listed with the reason, and the exit code is then 3.
    """
    if photo.is_dir() and out is None:
        raise UsageError("A folder of photos needs a folder for the pictures.", "Give -o OUT.")
    from tqdm import tqdm

    from ..stylize import Stylizer, stylize_files
    from ..stylize.batch import Options, photos

    wanted = Options(_which(face), aligned, paste_back, sheet, size, suffix, overwrite)
    target = out or photo.parent
    count = len(photos(photo, target))
    way = options.inversion(method, encoder=encoder, refine=refine, samples=samples, best=best, seed=seed, steps=steps)
    perceptual = options.perceptual(features, lpips)
    if report is None and photo.is_dir():
        report = target / "report.json"
    where = options.device(device)
    with tqdm(total=count, unit=" photos", disable=count == 1) as bar, options.step_bar(count == 1) as progress:
        stylizer = Stylizer.load(
            style or [],
            attribute=attribute,
            strength=strength,
            device=where,
            perceptual=perceptual,
            progress=progress,
            **way,
        )

        def tell(line: FileReport) -> None:
            if line.status == "failed" and photo.is_dir():
                bar.write(f"{line.source}: {line.reason}", file=sys.stderr)
            bar.update()

        reports = stylize_files(stylizer, photo, target, wanted, report=report, on_file=tell)
    if photo.is_dir():
        _close(reports, target)
    elif reports[0].status == "failed":
        raise _as_error(reports[0])
    else:
        for name in reports[0].outputs:
            typer.echo(target / name)


def _which(face: str) -> Which | int:
    if face in ("all", "largest"):
        return cast("Which", face)
    if face.isdecimal():
        return int(face)
    raise UsageError(f"--face takes all, largest or a number, not '{face}'.")


def _as_error(report: FileReport) -> PortraitistError:
    """Return what went wrong with the only photo of a run, with its own exit code."""
    message = f"{report.source}: {report.reason}"
    kinds = {"exists": UsageError, "memory": OutOfMemory, "not-finite": NonFinite}
    return kinds[report.kind](message) if report.kind in kinds else BadImage(message, kind=report.kind)


def _close(reports: list[FileReport], out: Path) -> None:
    counts = {s: sum(r.status == s for r in reports) for s in ("done", "skipped", "failed")}
    typer.echo(f"{', '.join(f'{n} {s}' for s, n in counts.items())}; the pictures are in {out}")
    if counts["failed"]:
        raise typer.Exit(3)
