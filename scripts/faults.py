"""Kills, full disks, long runs and hostile files: how often the program holds; writes docs/results/faults.md.

Kills hit forks of a process that has imported everything: half at random moments, half right before a change of the
disk (a file opened for writing, renamed or removed, a folder made), spread over all changes of a run. What is left
after the run was continued is compared byte by byte with what a run leaves that nobody disturbed, logs and sample grids
included. Mutations of valid files, chosen by hypothesis, are read in forks too; most of those of this program's own
files are sealed again with a digest that fits, so that what lies behind it is tried. A fault is any exception but the
program's own and MemoryError, a crash, a process that is started, more than two seconds of the processor, or more than
256 MiB.

    python scripts/faults.py                    # all
    python scripts/faults.py --share 0.05       # a twentieth of each, to try the script itself
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import fault_forks as forks  # noqa: E402
from fault_rows import FRONTIER, REPORTS, check_names  # noqa: E402

import portraitist.cli.main as command_line  # noqa: E402
from portraitist.data import ImageSet  # noqa: E402
from portraitist.data.images import read_image, write_image  # noqa: E402
from portraitist.io.model_file import save_model, save_pack  # noqa: E402
from portraitist.io.translator_files import save_translator  # noqa: E402
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy  # noqa: E402
from portraitist.report.markdown import table  # noqa: E402
from portraitist.runs.finetune import TrainOptions, train  # noqa: E402
from portraitist.runs.source import Source  # noqa: E402
from portraitist.stylize import ByEncoder, Stylizer  # noqa: E402
from portraitist.train.spec import Training  # noqa: E402
from tests.conftest import make_model, restyled  # noqa: E402
from tests.fuzz.readers import readers, translator  # noqa: E402
from tests.fuzz.reading import ALLOWED, outcome, peak, read_mutations  # noqa: E402

PAGE = REPOSITORY / "docs" / "results" / "faults.md"
CHANNELS = (8, 8)
TRAINING = Training(images=24, batch=4, tick=8, snapshot=8, r1_every=2, path_every=3, seed=3)
SOURCE = Source(generator=GeneratorAnatomy(8, CHANNELS, 8, 8, 2), discriminator=DiscriminatorAnatomy(8, CHANNELS))
TIMES = ("images_per_second", "cpu_seconds", "seconds", "created", "date")
COUNTS = {"training": 200, "command": 60, "mutations": 20_000, "faces": 1_600, "photos": 10_000}


@dataclass(frozen=True)
class Row:
    """A line of the page."""

    check: str
    tried: int
    held: int
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What is tried, and where."""

    root: Path
    share: float
    chance: random.Random

    def count(self, what: str) -> int:
        """Return how many of them to try."""
        return max(2, round(COUNTS[what] * self.share))


# --- Kills ----------------------------------------------------------------------------------------------------------


def killed(
    plan: Plan, name: str, work: Callable[[Path], object], left: Callable[[Path], object], root: Path, kills: int
) -> Row:
    """Kill a run, continue it, and compare what is left with an undisturbed run."""
    whole, folder = root / "whole", root / "killed"
    root.mkdir()
    forks.preload(lambda: work(root / "first"), root / "modules")
    before = forks.seconds_of_children()
    assert forks.run(lambda: work(whole)) == 0, f"{name}: an undisturbed run failed"
    seconds, wanted = forks.seconds_of_children() - before, left(whole)
    total = forks.count_changes(lambda: work(root / "counted"))
    assert left(root / "counted") == wanted, f"{name}: two undisturbed runs differ"
    held = hit = 0
    wrong: collections.Counter[str] = collections.Counter()
    order = plan.chance.sample(range(total), total)
    for k in range(kills):
        shutil.rmtree(folder, ignore_errors=True)
        moment = forks.after_seconds(plan.chance.uniform(0, seconds))
        arm = forks.before_change(1 + order[k // 2 % total]) if k % 2 else moment
        hit += forks.ended(forks.start(lambda: work(folder), arm)) < 0
        code = forks.run(lambda: work(folder))
        found = left(folder) if code == 0 else None
        held += found == wanted
        if found != wanted:
            wrong[f"exit {code}" if code else "another content"] += 1
    faults = "".join(f"; {count} {what}" for what, count in wrong.items())
    return Row(name, kills, held, f"{hit} hit a live run, which changes the disk {total} times{faults}")


def untimed(value: object) -> object:
    """Return JSON without what depends on the clock."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMES}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def left_by_training(run: Path) -> object:
    """Return a run's model, snapshots, sheets and log; names of files that should be gone are in it too."""
    log = [untimed(json.loads(line)) for line in (run / "stats.jsonl").read_text().splitlines()]
    files = [*(run / "samples").iterdir(), *(run / "snapshots").iterdir(), run / "model.safetensors"]
    partial = sorted(p.name for p in run.rglob("*.part"))
    return log, {p.name: p.read_bytes() for p in files}, partial


def left_by_command(out: Path) -> object:
    """Return the files of a folder; of a report only that it is there, for it tells how often a run was begun."""
    found: dict[str, object] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(path.relative_to(out))
        found[name] = path.suffix == ".json" or path.read_bytes()
    return found


def pictures(folder: Path, count: int, side: int, seed: int = 0) -> Path:
    """Write smooth random pictures."""
    numbers = np.random.default_rng(seed)
    for i in range(count):
        coarse = numbers.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        write_image(folder / f"{i:05d}.png", np.kron(coarse, np.ones((side // 4, side // 4, 1), np.uint8)))
    return folder


def points(path: Path, folder: Path, side: int) -> Path:
    """Write where the face of each picture of a folder is, as `prepare --points` reads it."""
    face = [[x * side / 16, y * side / 16] for x, y in ((6, 7.6), (10, 7.6), (8, 9), (6.6, 11.6), (9.4, 11.6))]
    path.write_text(json.dumps({p.name: face for p in folder.iterdir()}))
    return path


def portraitist(*words: object) -> None:
    """Run a command of the program, as its own process would."""
    sys.argv = ["portraitist", *map(str, words)]
    command_line.main()


def tiny_training(exemplars: Path, run: Path) -> None:
    """Train from scratch for six steps."""
    train(ImageSet.open(exemplars, 8), run, SOURCE, TRAINING, TrainOptions(quiet=True))


def killed_trainings(plan: Plan) -> Iterator[Row]:
    """Kill a training."""
    exemplars = pictures(plan.root / "exemplars", 10, 8)
    yield killed(
        plan,
        "kill a training, continue it",
        lambda run: tiny_training(exemplars, run),
        left_by_training,
        plan.root / "training",
        plan.count("training"),
    )


def killed_commands(plan: Plan) -> Iterator[Row]:
    """Kill the commands that work through folders."""
    root, base = plan.root, make_model(0, "tiny")
    save_model(root / "tiny.safetensors", base)
    save_pack(root / "wild.safetensors", restyled(base, "wild"), base)
    save_translator(root / "translator.safetensors", translator())
    photos = pictures(root / "photos", 4, 32)
    landmarks = points(root / "points.json", photos, 32)
    small = ("--aligned", "--size", "16")
    lines: dict[str, tuple[object, ...]] = {
        "prepare FOLDER": ("prepare", photos, "--size", "16", "--points", landmarks),
        "stylize FOLDER": ("stylize", photos, *small, "--style", root / "wild.safetensors", "--steps", "1"),
        "invert FOLDER": ("invert", photos, "--aligned", "--base", root / "tiny.safetensors", "--steps", "1"),
        "translate run FOLDER": (
            "translate", "run", photos, *small, "-t", root / "translator.safetensors", "--keep-background",
        ),
    }  # fmt: skip
    for name, words in lines.items():

        def command(out: Path, words: tuple[object, ...] = words) -> None:
            portraitist(*words, "-o", out)

        check, folder = f"kill `{name}`, run it again", root / name.replace(" ", "-")
        yield killed(plan, check, command, left_by_command, folder, plan.count("command"))


# --- Full disks -----------------------------------------------------------------------------------------------------


def full_disks(plan: Plan) -> Iterator[Row]:
    """Let the disk run full at five points of a training, then make room."""
    exemplars, disk, held, full = pictures(plan.root / "exemplars", 10, 8), plan.root / "disk", 0, 0
    name = "a full disk at five points of a training"
    tiny_training(exemplars, plan.root / "whole")
    wanted = left_by_training(plan.root / "whole")
    sizes = [round(part * sum(p.stat().st_size for p in (plan.root / "whole").rglob("*")) / 1024) for part in FILLED]
    disk.mkdir()
    for size in sizes:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], capture_output=True)
        if mounted.returncode:
            yield Row(name, 0, 0, "not tried: a small disk needs root")
            return
        try:
            code = forks.run(lambda: tiny_training(exemplars, disk / "run"))
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            again = forks.run(lambda: tiny_training(exemplars, disk / "run"))
            found = left_by_training(disk / "run") if again == 0 else None
        finally:
            subprocess.run(["umount", disk], check=True)
        full += code == 5
        held += code in (0, 5) and found == wanted
    yield Row(name, len(sizes), held, f"{full} end with exit code 5; then the same run with room is complete")


FILLED = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of what a run leaves that the disk has room for."""


# --- Long runs ------------------------------------------------------------------------------------------------------


def many_faces(plan: Plan) -> Iterator[Row]:
    """Draw many faces in one process."""
    count = plan.count("faces")
    face = read_image(REPOSITORY / "docs" / "demo.png")[:64, :64]
    note = plan.root / "memory.json"

    def draw() -> None:
        stylizer, sizes = Stylizer.load(["toon3d"], inversion=ByEncoder(), detail=0), []
        for i in range(count):
            stylizer.stylize(np.roll(face, i, axis=1), aligned=True, size=64)
            if i % max(1, count // 16) == 0:
                sizes.append(peak())
        note.write_text(json.dumps(sizes))

    code = forks.run(draw)
    sizes = json.loads(note.read_text()) if code == 0 else [0.0, 1e9]
    grown = sizes[-1] - sizes[len(sizes) // 4]
    told = f"{grown:+.1f} MiB over the last three quarters of {count} faces"
    yield Row("memory stays flat over many faces", 1, int(grown < 8), told)


def many_photos(plan: Plan) -> Iterator[Row]:
    """Prepare a big folder with one command."""
    many = plan.count("photos")
    photos, out = pictures(plan.root / "many", many, 16), plan.root / "prepared"
    landmarks = points(plan.root / "points.json", photos, 16)
    seconds = []
    for _ in range(2):
        before = forks.seconds_of_children()
        code = forks.run(lambda: portraitist("prepare", photos, "--size", "16", "--points", landmarks, "-o", out))
        assert code == 0, "a big folder ended with an error"
        seconds.append(forks.seconds_of_children() - before)
    faces = sum(1 for p in out.rglob("*.png"))
    told = f"{faces:,} faces in {seconds[0]:.0f} s of the processor; the second run skips them in {seconds[1]:.0f} s"
    yield Row(f"`prepare` a folder of {many:,} pictures", 1, int(faces == many), told)


# --- Hostile files --------------------------------------------------------------------------------------------------


def hostile(plan: Plan) -> Iterator[Row]:
    """Read mutations of valid files of every kind; of kinds that are slow to read, a quarter as many."""
    (plan.root / "valid").mkdir()
    kinds = readers(plan.root / "valid")
    for kind in kinds:
        outcome(kind.read, kind.path)  # imports what it needs, before it is forked
    weights = [1 if kind.is_slow else 4 for kind in kinds]
    for kind, weight in zip(kinds, weights, strict=True):
        wanted = -(-plan.count("mutations") * weight // sum(weights))
        counts = read_mutations(kind, plan.root, wanted, plan.chance.randrange(1 << 30))
        worst = "".join(f"; {count} {what}" for what, count in counts.items() if what not in ALLOWED)
        told = f"{counts['refused']} refused, {counts['read']} read{worst}"
        yield Row(f"mutations of a valid file: {kind.name}", counts.total(), counts["refused"] + counts["read"], told)


# --- The page -------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "trainings": killed_trainings,
    "commands": killed_commands,
    "disks": full_disks,
    "hostile": hostile,
    "photos": many_photos,
    "faces": many_faces,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="share of all counts; below 0.1 no page is written")
    parser.add_argument("--part", choices=PARTS, help="one part; no page is written")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    check_names(REPOSITORY)
    torch.set_num_threads(1)
    rows: list[Row] = []
    begun = time.monotonic()
    # In memory, where there is room: what is tried does not depend on how long a disk takes.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        os.environ["PORTRAITIST_MODELS"] = str(Path(folder) / "models")
        for part, work in PARTS.items():
            if chosen.part not in (None, part):
                continue
            plan = Plan(Path(folder) / part, chosen.share, random.Random(f"{chosen.seed} {part}"))
            plan.root.mkdir()
            before = used()
            for row in work(plan):
                print(f"{row.held}/{row.tried} {row.check}: {row.note} [{used() - before:.0f} s]", flush=True)
                rows.append(row)
                before = used()
            shutil.rmtree(plan.root, ignore_errors=True)
            if chosen.share >= 0.1 and chosen.part is None:  # part by part: a run that is stopped is not in vain
                PAGE.write_text(page(rows, used(), chosen.seed), encoding="utf-8")
    print(f"{used():.0f} s of the processor, {(time.monotonic() - begun) / 60:.0f} minutes")
    return int(any(row.held < row.tried for row in rows))


def used() -> float:
    """Return the seconds of the processor that this process and its children have used."""
    return time.process_time() + forks.seconds_of_children()


def page(rows: list[Row], seconds: float, seed: int) -> str:
    """Return the page of all results."""
    fuzzed = [row for row in rows if row.check.startswith("mutations")]
    total = Row("mutations of valid files, all", sum(r.tried for r in fuzzed), sum(r.held for r in fuzzed))
    lines = [[row.check, f"{row.tried:,}", f"{row.held:,}", row.note] for row in [*rows, total]]
    rows_of_list = [[str(row.number), row.fault, row.verdict, row.shown] for row in FRONTIER]
    return "\n".join(
        [
            "# Faults: kills, full disks, long runs, hostile files",
            "",
            f"Written by `make faults` (scripts/faults.py, seed {seed}): {seconds:.0f} seconds of one processor. The",
            f"full counts are {COUNTS['training']} kills of a training, {COUNTS['command']} of each command, and",
            f"{COUNTS['mutations']:,} mutations; a shorter run says how many it tried.",
            "",
            *__doc__.split("\n\n")[1].splitlines(),
            "",
            *table(["check", "tried", "held", "remarks"], lines),
            "",
            "## The list of faults to survive",
            "",
            "Each fault of a list that was drawn up before the program was written, from what befell programs of this",
            "kind; whether the program holds; and the tests, or the lines of the table above, that show it.",
            "",
            *table(["#", "fault", "verdict", "shown by"], rows_of_list),
            "",
            "## What users of such programs have reported",
            "",
            "Fourteen kinds of public problem reports, each rebuilt with inputs of our own, and the tests of the right",
            "answer.",
            "",
            *table(["#", "report", "shown by"], [[str(row.number), row.fault, row.shown] for row in REPORTS]),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
