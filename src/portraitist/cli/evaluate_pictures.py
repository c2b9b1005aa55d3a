"""``portraitist evaluate pictures``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import BadData, BadImage, NonFinite, OutOfMemory, UsageError
from ..files import refuse_existing, write_bytes
from . import groups, options
from .bars import bar_of
from .common import note
from .evaluate_models import SetFeatures, set_network
from .options import opt

if TYPE_CHECKING:
    from ..data.images import Pixels
    from ..data.sources import ImageSource
    from ..evaluate.people import GroupMeasures
    from ..evaluate.picture_signals import Batch
    from ..evaluate.pictures import ExemplarReference, PictureScorer
    from ..report.pictures import PictureRow, PictureTable
    from ..stylize import Stylizer

FILES = ("pictures.md", "pictures.json", "pictures.png")
BASE = "the base"


@dataclass(frozen=True)
class People:
    """Groups of people that are measured apart."""

    panel: ClassVar[str] = options.ATTRIBUTES

    labels: Annotated[
        Path | None, opt("CSV file of the photos, `file` and a column per attribute: measure each group too.")
    ] = None
    record: Annotated[bool, opt("Write what the groups measure into the styles' files, for their cards.")] = False

    def recorded(self, styles: Sequence[str]) -> dict[str, Path]:
        """Return the files that what is measured will be written into, by the name of the style.

        Raises:
            UsageError: There are no groups to measure, or a style is not named by a file.
        """
        from ..stylize.mixture import Mixture

        if not self.record:
            return {}
        if self.labels is None:
            raise UsageError("--record is for what --labels measure.", "Add --labels FILE, or leave --record out.")
        if not styles or (names := [style for style in styles if not Path(style).exists()]):
            named = f"'{names[0]}'" if styles else "Every bundled style"
            raise UsageError(
                f"{named} is not a file to write into.", "Name files or run folders of yours with --style."
            )
        return {Mixture.find(style).name: Path(style) for style in styles}

    def measured(self, scorer: PictureScorer, drawn: _Drawn, styles: Sequence[str]) -> dict[str, list[GroupMeasures]]:
        """Return what each group measures in each style; nothing without labels."""
        from ..data.labels import read_table
        from ..evaluate.people import by_group, skin_tones

        if self.labels is None:
            return {}
        columns = {**read_table(self.labels, drawn.names), "skin": skin_tones(scorer.photos)}
        return {name: list(by_group(scorer, drawn.stacked(name), columns)) for name in styles}


def pictures(
    *,
    photos: Annotated[Path, typer.Argument(help="Photos of different people: folder or zip.")],
    style: Annotated[
        list[str] | None,
        opt(
            "Name, file, run folder or mixture; may be repeated (default: the bundled ones of one base).",
            "--style",
            "-s",
        ),
    ] = None,
    exemplars: Annotated[
        list[str] | None,
        opt("STYLE=FOLDER of its exemplars, of which those held out are measured on; may be repeated.", "--exemplars"),
    ] = None,
    attribute: options.AttributeOrAuto = None,
    aligned: options.Aligned = False,
    detail: options.Detail = 1.0,
    count: Annotated[int | None, opt("Measure so many photos, chosen by --seed (default: all).", min=3)] = None,
    people: People,
    identity: options.Identity = None,
    features: SetFeatures = None,
    inversion: groups.Drawing,
    out: Annotated[Path | None, opt("Folder for the page, all numbers and a sheet.", "--out", "-o")] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Redraw photos and measure the pictures.

    They are measured for who is recognised, style, sharpness, layout and mirror bias.

    The largest face of each photo is drawn, and its mirror image. Three baselines stand in the table: nothing (the
    photo), smoothed (without texture), and base's size (reduced to the base's pixels). --out also gets the page
    (pictures.md), all numbers (pictures.json) and a sheet (pictures.png). Photos that cannot be used are left out for
    all styles and listed; the exit code is then 3.
    """
    files = [] if out is None else [out / name for name in FILES]
    for file in files:
        refuse_existing(file, overwrite)
    folders = _folders(exemplars or [])
    recorded = people.recorded(style or [])

    from ..data.sources import open_source
    from ..evaluate import PictureScorer, metric_name
    from ..ops.memory import keep_heap
    from ..report.pictures import PictureTable
    from ..stylize import Stylizer
    from ..stylize.crops import one_thread

    keep_heap()
    where = options.device(device, exact=True)
    source = open_source(photos, 256)
    how = inversion.how(seed)
    stylizer = Stylizer.load(
        style or [], attribute=attribute, inversion=how, detail=detail, method=inversion.by, seed=seed, device=where
    )
    known = dict(zip(stylizer.styles, style or stylizer.styles, strict=True))
    if unknown := [name for name in folders if name not in known]:
        raise UsageError(f"--exemplars names '{unknown[0]}', which is not drawn.", f"Drawn are {', '.join(known)}.")
    embedder, network = options.persons(stylizer.base, identity, where), set_network(stylizer.base, features, where)
    held_out = {name: _held_out(known[name], folder, attribute) for name, folder in folders.items()}
    drawn = _draw(source, _chosen(source.names, count, seed), count, stylizer, aligned)
    with one_thread():
        scorer = PictureScorer(drawn.stacked("photo"), embedder, network, where)
        references = {name: scorer.exemplars(found) for name, (found, _) in held_out.items()}
        resolution = stylizer.base.generator.anatomy.resolution
        rows = [*_of_drawings(scorer, drawn, references), *_of_baselines(scorer, resolution, references)]
        by_group = people.measured(scorer, drawn, stylizer.styles)
    settings = {
        "people": len(scorer.photos),
        "photos": drawn.names,
        "aligned": aligned,
        "count": count,
        "seed": seed,
        "identity": f"{embedder.name} sha256:{embedder.digest[:8]}",
        "style distance": metric_name("kernel distance", network),
        "digests": {"identity": embedder.digest, "features": network.digest},
        "base side": resolution,
        "exemplars": {name: len(found) for name, (found, _) in held_out.items()},
        "stylizer": stylizer.settings,
    }
    warnings = [f"{name}: {warning}" for name, (_, warning) in held_out.items() if warning]
    sharp = {name: reference.sharpness for name, reference in references.items()}
    found = PictureTable(rows, sharp, settings, drawn.left_out, warnings, by_group)
    note(measured=found.as_json())
    typer.echo(found.markdown())
    if files:
        _write(files, found, drawn)
    _record(recorded, found)
    if drawn.left_out:
        raise typer.Exit(3)


def _write(files: Sequence[Path], found: PictureTable, drawn: _Drawn) -> None:
    """Write the page, all numbers and the sheet."""
    from ..data.images import write_image
    from ..report.pictures import sheet

    write_bytes(files[0], found.markdown(sheet=FILES[2]).encode(), overwrite=True)
    write_bytes(files[1], f"{json.dumps(found.as_json(), indent=1)}\n".encode(), overwrite=True)
    write_image(files[2], sheet(drawn.pictures))
    for file in files:
        typer.echo(file)


def _record(files: Mapping[str, Path], found: PictureTable) -> None:
    """Write what the groups measure into the files of the styles."""
    from ..io.measured import PEOPLE, add_metrics

    about = {"photos": found.settings["people"], "identity": found.settings["identity"]}
    for name, path in files.items():
        groups_of = [group.as_json() for group in found.groups[name]]
        typer.echo(add_metrics(path, {PEOPLE: groups_of, f"{PEOPLE}_by": about}))


@dataclass
class _Drawn:
    """The drawings of all photos that could be used."""

    names: list[str] = field(default_factory=list)
    pictures: dict[str, list[Pixels]] = field(default_factory=dict)
    """``photo``, ``the base`` or style -> a picture of each person."""
    mirrored: dict[str, list[Pixels]] = field(default_factory=dict)
    """The same of the mirrored photos."""
    left_out: dict[str, str] = field(default_factory=dict)

    def stacked(self, name: str, *, mirrored: bool = False) -> Batch:
        """Return the pictures of a column, ``uint8 [N, 256, 256, 3]``."""
        import numpy as np

        return np.stack((self.mirrored if mirrored else self.pictures)[name])


def _folders(texts: Sequence[str]) -> dict[str, Path]:
    """Read STYLE=FOLDER."""
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--exemplars takes STYLE=FOLDER, not '{text}'.", "Write --exemplars toon3d=drawings/.")
        if name in found:
            raise UsageError(f"--exemplars names '{name}' twice.", "Name each style once.")
        found[name] = Path(folder)
    return found


def _chosen(names: Sequence[str], count: int | None, seed: int) -> list[str]:
    """Return the photos in the order in which they are tried; where some are chosen, in a random one."""
    if count is None:
        return list(names)
    import torch

    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    return [names[k] for k in order.tolist()]


def _held_out(style: str, folder: Path, attribute: str | None) -> tuple[Batch, str]:
    """Return the exemplars that a style has not seen, and a warning where this is not known."""
    import numpy as np

    from ..data import ImageSet
    from ..evaluate.held_out import parts_of
    from ..evaluate.picture_signals import SIDE
    from ..stylize.mixture import Mixture

    held_out = options.pictures(folder, SIDE)
    parts = Mixture.find(style, or_base=True, attribute=attribute).parts
    warning = "It has no training record, so nobody knows which exemplars it has seen."
    # Of a mixture, the style that these exemplars are of counts.
    for part in parts:
        known = parts_of(part.header, ImageSet.open(folder, part.header.generator.resolution))
        held_out, warning = known.held_out, known.warning
        if not warning:
            break
    return np.stack(list(held_out.decoded_at(SIDE))), warning


def _draw(source: ImageSource, names: Sequence[str], count: int | None, stylizer: Stylizer, aligned: bool) -> _Drawn:
    """Draw photos and their mirror images; stop after ``count`` that could be drawn.

    Raises:
        BadData: Fewer than 3 could be drawn.
    """
    import numpy as np

    from ..data.images import read_image
    from ..evaluate.picture_signals import SIDE
    from ..evaluate.pictures import LEAST
    from ..stylize.crops import as_aligned_face

    drawn = _Drawn(left_out={name: reason for name, _, reason in source.refused})
    with bar_of(total=min(count or len(names), len(names)), unit=" photos") as bar:
        for name in names:
            if len(drawn.names) == count:
                break
            try:
                whole = read_image(source.read(name), name=name)
                crop = as_aligned_face(whole, SIDE) if aligned else stylizer.crops(whole, "largest", SIDE)[0]
                each = [
                    _columns(stylizer, pixels) for pixels in (crop.image, np.ascontiguousarray(crop.image[:, ::-1]))
                ]
            except (BadImage, NonFinite, OutOfMemory) as error:
                drawn.left_out[name] = str(error)
                bar.write(f"{name}: {error}", file=sys.stderr)
                continue
            finally:
                bar.update()
            drawn.names.append(name)
            for columns, found in zip((drawn.pictures, drawn.mirrored), each, strict=True):
                for column, picture in found.items():
                    columns.setdefault(column, []).append(picture)
    if len(drawn.names) < LEAST:
        raise BadData(f"{len(drawn.names)} photos could be drawn, {LEAST} are needed.", "Bring more photos.")
    return drawn


def _columns(stylizer: Stylizer, photo: Pixels) -> dict[str, Pixels]:
    """Return an aligned photo, what the base draws of it, and what each style draws."""
    (face,) = stylizer.stylize(photo, aligned=True, size=len(photo)).faces
    return {"photo": photo, BASE: face.reconstruction, **face.pictures}


def _of_drawings(scorer: PictureScorer, drawn: _Drawn, references: Mapping[str, ExemplarReference]) -> list[PictureRow]:
    """Measure the styles, each beside its own exemplars, and the base beside all."""
    rows = []
    for name in [*(name for name in drawn.pictures if name not in ("photo", BASE)), BASE]:
        own = {key: found for key, found in references.items() if name in (key, BASE)}
        rows.append(_row(scorer, name, drawn.stacked(name), drawn.stacked(name, mirrored=True), own))
    return rows


def _of_baselines(
    scorer: PictureScorer, resolution: int, references: Mapping[str, ExemplarReference]
) -> list[PictureRow]:
    import numpy as np

    from ..evaluate import baselines

    plain, mirrored = (
        baselines(photos, resolution) for photos in (scorer.photos, np.ascontiguousarray(scorer.photos[:, :, ::-1]))
    )
    return [_row(scorer, name, plain[name], mirrored[name], references) for name in plain]


def _row(
    scorer: PictureScorer,
    name: str,
    drawings: Batch,
    mirrored: Batch,
    references: Mapping[str, ExemplarReference],
) -> PictureRow:
    from ..report.pictures import PictureRow

    distances = scorer.style(drawings, *references.values())
    measures = scorer.measure(drawings, mirrored=mirrored)
    return PictureRow(name, measures, dict(zip(references, distances, strict=True)))
