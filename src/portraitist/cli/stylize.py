"""``portraitist stylize``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError
from . import options

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..stylize import FileReport, Redrawer
    from ..stylize.batch import Options
    from ..stylize.crops import Which


def command(
    photo: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            "--to-style",
            "-s",
            help="Name, file or run folder, or a mixture as in toon3d:0.6+charcoal:0.4; may be repeated. "
            "Beside another style, or with --from-style, it may be the base too. All bundled styles if absent.",
        ),
    ] = None,
    from_style: Annotated[
        str | None,
        typer.Option("--from-style", help="The style that the picture is drawn in; absent for photos."),
    ] = None,
    attribute: options.Attribute = None,
    out: options.Out = None,
    strength: Annotated[float, typer.Option(min=0.0, max=1.5, help="0 what the base draws, 1 the style.")] = 1.0,
    swap: Annotated[
        str,
        typer.Option(help="Last resolution in pixels that the base draws, and the style the rest; 0 the style alone."),
    ] = "0",
    swap_by: Annotated[
        Literal["features", "weights"],
        typer.Option(help="What --swap swaps; features keep the style's colours at low resolutions too."),
    ] = "features",
    appearance: Annotated[
        str | None,
        typer.Option(help="random:N draws each face in N further appearances, with the content of the photo."),
    ] = None,
    appearance_from: Annotated[
        int, typer.Option(help="Resolution in pixels from which on the code's rows are appearance.")
    ] = 64,
    appearance_truncation: Annotated[
        float, typer.Option(min=0.0, max=1.5, help="Of random appearances: 1 the whole variety, 0 the mean.")
    ] = 1.0,
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="A picture in the style whose appearance each face is drawn in too; may be repeated."),
    ] = None,
    reference_aligned: Annotated[
        bool, typer.Option("--reference-aligned", help="The references are aligned square faces already.")
    ] = False,
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
    PHOTO.STYLE.sample1.png (--samples), PHOTO.STYLE.random1.png (--appearance) and PHOTO.STYLE.REFERENCE.png. A folder
    needs --out; photos that are finished are skipped, photos that cannot be redrawn are listed with the reason, and the
    exit code is then 3.
    """
    target = folder_for(photo, out)
    from tqdm import tqdm

    from ..stylize import Appearance, Reference, Stylizer
    from ..stylize.batch import Options, photos
    from ..surgery import released_upto

    wanted = Options(which_face(face), aligned, paste_back, sheet, size, suffix, overwrite)
    count = len(photos(photo, target))
    inversion = options.inversion(
        method, encoder=encoder, refine=refine, samples=samples, best=best, seed=seed, steps=steps
    )
    perceptual = options.perceptual(features, lpips)
    appearances = Appearance(
        _random(appearance),
        tuple(Reference.read(path, aligned=reference_aligned) for path in reference or []),
        appearance_from,
        appearance_truncation,
    )
    where = options.device(device)
    with tqdm(total=count, unit=" photos", disable=count == 1) as bar, options.step_bar(count == 1) as progress:
        stylizer = Stylizer.load(
            style or [],
            attribute=attribute,
            source=from_style,
            strength=strength,
            swap=released_upto(swap),
            swap_by=swap_by,
            appearance=appearances,
            device=where,
            perceptual=perceptual,
            progress=progress,
            inversion=inversion,
            seed=seed,
        )

        reports = redraw(stylizer, photo, target, wanted, report, bar)
    conclude(reports, photo, target)


def folder_for(photo: Path, out: Path | None) -> Path:
    """Return where the pictures of a photo or of a folder of photos go.

    Raises:
        UsageError: A folder of photos is given, and none for the pictures; or a picture's name where a folder belongs.
    """
    if out is None:
        if photo.is_dir():
            raise UsageError("A folder of photos needs a folder for the pictures.", "Give -o OUT.")
        return photo.parent
    from ..data.sources import PICTURES

    if out.suffix.lower() in PICTURES and not out.is_dir():
        raise UsageError(
            f"{out} would become a folder: pictures take their names from the photo and the style.",
            f"Give -o {out.parent}, and --suffix {out.suffix} for the format.",
        )
    return out


def redraw(
    artist: Redrawer, photo: Path, out: Path, wanted: Options, report: Path | None, bar: tqdm[Any]
) -> list[FileReport]:
    """Redraw a photo or a folder of photos, with a report beside the pictures of a folder; the bar counts photos."""
    from ..stylize import stylize_files

    def tell(line: FileReport) -> None:
        if line.status == "failed" and photo.is_dir():
            bar.write(f"{line.source}: {line.reason}", file=sys.stderr)
        bar.update()

    if report is None and photo.is_dir():
        report = out / "report.json"
    return stylize_files(artist, photo, out, wanted, report=report, on_file=tell)


def conclude(reports: list[FileReport], photo: Path, out: Path) -> None:
    """Say what became of a photo or of a folder of photos, and where the pictures are.

    Raises:
        PortraitistError: The only photo could not be redrawn.
    """
    if photo.is_dir():
        _close(reports, out)
    elif reports[0].status == "failed":
        raise _as_error(reports[0])
    else:
        for name in reports[0].outputs:
            typer.echo(out / name)


def which_face(face: str) -> Which | int:
    """Read --face: all, largest or a number.

    Raises:
        UsageError: It is none of them.
    """
    if face in ("all", "largest"):
        return cast("Which", face)
    if face.isdecimal():
        return int(face)
    raise UsageError(f"--face takes all, largest or a number, not '{face}'.")


def _random(appearance: str | None) -> int:
    """Return how many appearances are drawn at random."""
    if appearance is None:
        return 0
    kind, _, count = appearance.partition(":")
    if kind != "random" or not (count.isascii() and count.isdecimal() and len(count) < 6):
        raise UsageError(f"--appearance takes random:N, not '{appearance[:40]}'.", "For a picture give --reference.")
    return int(count)


def _as_error(report: FileReport) -> PortraitistError:
    """Return what went wrong with the only photo of a run, with its own exit code."""
    message = f"{report.source}: {report.reason}"
    kinds = {"exists": UsageError, "memory": OutOfMemory, "not-finite": NonFinite}
    return kinds[report.kind](message) if report.kind in kinds else BadImage(message, kind=report.kind)


def _close(reports: list[FileReport], out: Path) -> None:
    """Say what became of a folder of photos; the exit code is 3 where some could not be redrawn."""
    counts = {s: sum(r.status == s for r in reports) for s in ("done", "skipped", "failed")}
    typer.echo(f"{', '.join(f'{n} {s}' for s, n in counts.items())}; the pictures are in {out}")
    if counts["failed"]:
        raise typer.Exit(3)
