"""``portraitist evaluate study``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options
from .common import note
from .options import opt

if TYPE_CHECKING:
    from ..data.images import Pixels
    from ..evaluate.study import StudyScore

MOST_EXEMPLARS = 12
ASKING = "Asking"


def study(
    what: Annotated[
        list[str],
        typer.Argument(help="Folders of drawings, a method each, or NAME=FOLDER; with --score, files of answers."),
    ],
    *,
    photos: Annotated[
        Path | None, opt("Photos that were drawn: folder or zip. me.png and me.toon3d.png are drawings of me.jpg.")
    ] = None,
    out: Annotated[Path | None, opt("Folder for the page (study.html) and its key (key.json).", "--out", "-o")] = None,
    ask: Annotated[
        list[str] | None, opt("What to ask; may be repeated (default: the best portrait of this person).", panel=ASKING)
    ] = None,
    exemplars: Annotated[Path | None, opt("Pictures of the style, shown above each question.", panel=ASKING)] = None,
    show: Annotated[int | None, opt("Drawings a question (default: all methods).", min=2, panel=ASKING)] = None,
    per_rater: Annotated[
        int | None, opt("Photos that one person is asked about, drawn for each (default: all).", min=1, panel=ASKING)
    ] = None,
    common: Annotated[bool, opt("Take the photos that all methods have drawn.", "--common", panel=ASKING)] = False,
    side: Annotated[
        int | None, opt("Longer side of all pictures, pixels (default: 256).", min=32, max=1024, panel=ASKING)
    ] = None,
    score: Annotated[bool, opt("Score answers to a study.", "--score")] = False,
    key: Annotated[Path | None, opt("With --score: key of the study (default: key.json beside the answers).")] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Ask people which of several drawings is best, and score what they say.

    Writes one page for any browser, without a network, and a key that says who drew what; the page does not know. Each
    person gets the photos and the drawings in an order of their own, and saves a file of answers. --score prints shares
    and Bradley-Terry strengths with 95 % intervals.
    """
    if score:
        making = {"--photos": photos, "--out": out, "--ask": ask, "--exemplars": exemplars, "--show": show}
        making |= {"--per-rater": per_rater, "--common": common, "--side": side, "--overwrite": overwrite}
        if given := [name for name, value in making.items() if value not in (None, False)]:
            raise UsageError(f"{given[0]} is of writing a study, not of scoring one.", f"Leave out {given[0]}.")
        _score([Path(name) for name in what], key)
        return
    if key is not None:
        raise UsageError("--key is of scoring.", "Add --score, or leave it out.")
    if photos is None or out is None:
        raise UsageError("A study needs photos and a folder to write to.", "Give --photos and -o.")
    from ..report.study import DEFAULT_ASK, SIDE, Layout, paired, write_study

    pool = paired(photos, _methods(what), common=common)
    pictures = () if exemplars is None else _exemplars(exemplars, seed)
    layout = Layout(tuple(ask or [DEFAULT_ASK]), show, per_rater, side or SIDE, seed, pictures)
    files = write_study(out, pool, layout, overwrite=overwrite)
    typer.echo(f"{len(pool.pairs)} photos, {len(pool.drawings)} methods; keep {files[1].name} from those who answer")
    for file in files:
        typer.echo(file)


def _methods(words: Sequence[str]) -> dict[str, Path]:
    """Return the methods' folders by name."""
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        path = Path(folder if equals and not Path(word).exists() else word)
        name = name if equals and not Path(word).exists() else path.resolve().name.removesuffix(".zip")
        if not name or name in found:
            raise UsageError(f"Two methods are called '{name}'.", "Name them: ours=a/out theirs=b/out.")
        found[name] = path
    return found


def _exemplars(folder: Path, seed: int) -> tuple[Pixels, ...]:
    """Read some pictures of the style, chosen by the seed."""
    import random

    from ..data.images import read_image
    from ..data.sources import open_source

    source = open_source(folder, 256)
    names = random.Random(seed).sample(source.names, min(MOST_EXEMPLARS, len(source.names)))
    if not names:
        raise UsageError(f"{folder} holds no picture.", "Name a folder of exemplars.")
    return tuple(read_image(source.read(name), name=name) for name in names)


def _score(files: Sequence[Path], key: Path | None) -> None:
    from ..evaluate.study import KEY_FILE, read_answers, read_key, scores

    key = key or files[0].parent / KEY_FILE
    if not key.is_file():
        raise UsageError(f"There is no {key}.", "Name the key that was written with the page: --key study/key.json.")
    known = read_key(key)
    found = scores(known, read_answers(files, known))
    note(study=known.digest, scores=[asdict(score) | {"warnings": score.warnings} for score in found])
    typer.echo("\n".join(_told(found)))


def _told(found: Sequence[StudyScore]) -> list[str]:
    """Return a table for each thing that was asked."""
    from ..report.markdown import table

    lines = []
    for score in found:
        rows = [
            [
                m.name,
                m.shown,
                m.chosen,
                f"{m.share.value:.1%} ({m.share.low:.1%} to {m.share.high:.1%})" if m.shown else "-",
                f"{m.strength.value:+.2f} ({m.strength.low:+.2f} to {m.strength.high:+.2f})",
            ]
            for m in score.methods
        ]
        lines += [f"## {score.ask}", "", *table(["method", "shown", "chosen", "share", "strength"], rows)]
        lines.append(
            f"{score.answers} answers of {score.raters} raters; chance is {1 / len(score.places):.1%}. In brackets: "
            f"95 % intervals, {score.design_effect:.1f} answers counting as one independent one."
        )
        lines += [f"**{warning}**" for warning in score.warnings]
    return lines
