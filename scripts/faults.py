"""Kills, full disks, long runs and hostile files: how often the program holds; writes docs/results/faults.md.

Kills are real SIGKILLs of forks of this process: half at random moments, half right before a change of the disk (a file
opened for writing, renamed or removed, a folder made), spread over all changes of a run. What is left after the run was
continued is compared byte by byte with what a run leaves that nobody disturbed. Mutations of valid files are read in
forks too; an untyped error is any exception but the program's own and MemoryError, a crash, or more than ten seconds of
the processor.

    python scripts/faults.py                    # all, within 19 minutes
    python scripts/faults.py --share 0.05       # a twentieth of each, to try the script itself
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import io
import json
import os
import pickletools
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import portraitist.cli.main as command_line  # noqa: E402
from portraitist.data import ImageSet  # noqa: E402
from portraitist.data.images import read_image, write_image  # noqa: E402
from portraitist.data.sources import open_source, parse_labels  # noqa: E402
from portraitist.errors import PortraitistError  # noqa: E402
from portraitist.io.codes import load_codes, save_codes  # noqa: E402
from portraitist.io.encoder_files import load_encoder, read_foreign_encoder, save_encoder  # noqa: E402
from portraitist.io.feature_files import read_tensors  # noqa: E402
from portraitist.io.formats import read_networks  # noqa: E402
from portraitist.io.legacy_tf import read_legacy  # noqa: E402
from portraitist.io.model_file import load_model, save_model, save_pack  # noqa: E402
from portraitist.io.nvidia import read_nvidia, read_nvidia_state, write_nvidia_state  # noqa: E402
from portraitist.io.rosinality import read_rosinality, write_rosinality  # noqa: E402
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy  # noqa: E402
from portraitist.report.markdown import table  # noqa: E402
from portraitist.runs.finetune import Source, TrainOptions, train  # noqa: E402
from portraitist.spaces import WPlus  # noqa: E402
from portraitist.stylize import ByEncoder, Stylizer  # noqa: E402
from portraitist.train.spec import Training  # noqa: E402
from tests.conftest import make_model, restyled  # noqa: E402
from tests.io.encoder_makers import write_encoder  # noqa: E402
from tests.io.foreign_files import (  # noqa: E402
    make_networks,
    persistent_networks,
    write_legacy_pickle,
    write_persistent_pickle,
)
from tests.stylize.tiny_encoders import make_encoder  # noqa: E402

PAGE = REPOSITORY / "docs" / "results" / "faults.md"
LONGEST = 10.0
"""Seconds of the processor after which a mutated file counts as one that hangs."""
CHANNELS = (8, 8, 8)
TRAINING = Training(images=48, batch=4, tick=8, snapshot=20, r1_every=2, path_every=3, seed=3)
SOURCE = Source(generator=GeneratorAnatomy(16, CHANNELS, 8, 8, 2), discriminator=DiscriminatorAnatomy(16, CHANNELS))
TIMES = ("images_per_second", "seconds", "created", "date")


@dataclass(frozen=True)
class Row:
    """A line of the page."""

    check: str
    tried: int
    held: int
    note: str = ""


# --- Children -------------------------------------------------------------------------------------------------------


def child(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> int:
    """Start ``work`` in a fork with a silent output; return its process. It ends with 0, or an error's exit code."""
    if pid := os.fork():
        return pid
    code = 99
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        before()
        work()
        code = 0
    except PortraitistError as error:
        code = error.exit_code
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a child; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def changes(count: Callable[[int], None]) -> None:
    """Call ``count`` with the number of each change of the disk in this process, right before it."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or event in ("os.rename", "os.remove", "os.mkdir"):
            seen += 1
            count(seen)

    sys.addaudithook(hook)


def count_changes(work: Callable[[], object]) -> int:
    """Return how often an undisturbed run changes the disk."""
    read, write = os.pipe()
    pid = child(work, lambda: changes(lambda number: os.write(write, b".") and None))
    os.close(write)
    total = 0
    while data := os.read(read, 1 << 16):
        total += len(data)
    os.close(read)
    assert ended(pid) == 0, "an undisturbed run failed"
    return total


def kill_before(number: int) -> Callable[[], None]:
    """Return what arms a child to die right before its ``number``-th change of the disk."""

    def strike(seen: int) -> None:
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: changes(strike)


# --- Kills ----------------------------------------------------------------------------------------------------------


def killed(
    name: str,
    work: Callable[[Path], object],
    left: Callable[[Path], object],
    root: Path,
    kills: int,
    seconds_left: float,
    chance: random.Random,
) -> Row:
    """Kill a run, continue it, and compare what is left with an undisturbed run; end early when time is up."""
    whole, folder, until = root / "whole", root / "killed", time.monotonic() + seconds_left
    root.mkdir()
    preload(lambda: work(root / "first"), root / "modules")
    start = time.monotonic()
    assert ended(child(lambda: work(whole))) == 0, f"{name}: an undisturbed run failed"
    seconds, wanted = time.monotonic() - start, left(whole)
    total = count_changes(lambda: work(root / "counted"))
    assert left(root / "counted") == wanted, f"{name}: two undisturbed runs differ"
    held = hit = tried = 0
    wrong: collections.Counter[str] = collections.Counter()
    order = chance.sample(range(total), total)  # so that a run that ends early has killed all over the place
    for k in range(kills):
        if time.monotonic() > until:
            break
        tried += 1
        shutil.rmtree(folder, ignore_errors=True)
        if k % 2:
            pid = child(lambda: work(folder), kill_before(1 + order[k // 2 % total]))
        else:
            pid = child(lambda: work(folder))
            time.sleep(chance.uniform(0, seconds))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        hit += ended(pid) == -signal.SIGKILL
        code = ended(child(lambda: work(folder)))
        found = left(folder) if code == 0 else None
        held += found == wanted
        if found != wanted:
            wrong[f"exit {code}" if code else "another content"] += 1
    faults = "".join(f"; {count} {what}" for what, count in wrong.items())
    return Row(name, tried, held, f"{hit} hit a live run, which changes the disk {total} times{faults}")


def preload(work: Callable[[], object], note: Path) -> None:
    """Import here what ``work`` imports, so that kills hit the work and not the imports."""

    def noted() -> None:
        try:
            work()
        finally:
            note.write_text("\n".join(sys.modules))

    assert ended(child(noted)) == 0, "an undisturbed run failed"
    for name in note.read_text().splitlines():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


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
    """Return the files of a folder; of a report, what does not depend on the clock or on how often it was begun."""
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


def kills(root: Path, share: float, seconds: float, chance: random.Random) -> Iterator[Row]:
    """Kill a training and the commands that work through folders."""
    exemplars = pictures(root / "exemplars", 10, 16)

    def training(run: Path) -> None:
        train(ImageSet.open(exemplars, 16), run, SOURCE, TRAINING, TrainOptions(quiet=True))

    yield killed(
        "kill a training, continue it",
        training,
        left_by_training,
        root / "training",
        at(200, share),
        0.31 * seconds,
        chance,
    )
    base = make_model(0, "tiny")
    save_model(root / "tiny.safetensors", base)
    save_pack(root / "wild.safetensors", restyled(base, "wild"), base)
    photos = pictures(root / "photos", 6, 32)
    landmarks = points(root / "points.json", photos, 32)
    lines: dict[str, tuple[object, ...]] = {
        "stylize": ("stylize", photos, "--aligned", "--style", root / "wild.safetensors", "--steps", "1"),
        "invert": ("invert", photos, "--aligned", "--base", root / "tiny.safetensors", "--steps", "1"),
        "prepare": ("prepare", photos, "--size", "16", "--points", landmarks),
    }
    for name, words in lines.items():

        def command(out: Path, words: tuple[object, ...] = words) -> None:
            portraitist(*words, "-o", out)

        check = f"kill `{name} FOLDER`, run it again"
        yield killed(check, command, left_by_command, root / name, at(60, share), 0.07 * seconds, chance)


# --- Full disks -----------------------------------------------------------------------------------------------------


def full_disks(root: Path) -> Iterator[Row]:
    """Let the disk run full at five points of a training, then make room."""
    exemplars, disk, held, tried = pictures(root / "exemplars", 10, 16), root / "disk", 0, 0
    disk.mkdir()

    def training() -> None:
        train(ImageSet.open(exemplars, 16), disk / "run", SOURCE, TRAINING, TrainOptions(quiet=True))

    wanted: object = None
    for size in (64, 160, 320, 480, 640):  # KiB
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], capture_output=True)
        if mounted.returncode:
            yield Row("a full disk at five points of a training", 0, 0, "not tried: a small disk needs root")
            return
        try:
            code = ended(child(training))
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            again = ended(child(training))
            found = left_by_training(disk / "run") if again == 0 else None
        finally:
            subprocess.run(["umount", disk], check=True)
        if wanted is None:
            assert ended(child(training)) == 0
            wanted = left_by_training(disk / "run")
            shutil.rmtree(disk / "run")
        tried += 1
        held += code in (0, 5) and found == wanted
    yield Row("a full disk at five points of a training", tried, held, "exit code 5, then the same run with room")


# --- Long runs ------------------------------------------------------------------------------------------------------


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def long_runs(root: Path, share: float) -> Iterator[Row]:
    """Draw many faces in one process, and prepare a big folder with one command."""
    count = at(1600, share)
    face = read_image(next(iter(sorted((REPOSITORY / "docs").glob("demo.png")))))[:64, :64]
    note = root / "memory.json"

    def draw() -> None:
        stylizer, sizes = Stylizer.load(["toon3d"], inversion=ByEncoder()), []
        for i in range(count):
            stylizer.stylize(np.roll(face, i, axis=1), aligned=True)
            if i % max(1, count // 16) == 0:
                sizes.append(resident())
        note.write_text(json.dumps(sizes))

    code = ended(child(draw))
    sizes = json.loads(note.read_text()) if code == 0 else [0.0, 1e9]
    grown = sizes[-1] - sizes[len(sizes) // 4]
    told = f"{grown:+.1f} MiB over the last three quarters of {count} faces"
    yield Row("memory stays flat over many faces", 1, int(grown < 8), told)

    many = at(10_000, share)
    photos, out = pictures(root / "many", many, 16), root / "prepared"
    line = ("prepare", photos, "--size", "16", "--points", points(root / "points.json", photos, 16), "-o", out)
    start = time.monotonic()
    code = ended(child(lambda: portraitist(*line)))
    first = time.monotonic() - start
    again = ended(child(lambda: portraitist(*line)))
    second = time.monotonic() - start - first
    faces = sum(1 for p in out.rglob("*.png"))
    told = f"{faces} faces in {first:.0f} s; the second run skips them in {second:.0f} s"
    yield Row(f"`prepare` a folder of {many:,} pictures", 1, int(code == again == 0 and faces == many), told)


# --- Hostile files --------------------------------------------------------------------------------------------------

Reader = Callable[[Path], object]


def valid_files(root: Path) -> list[tuple[str, Path, Reader]]:
    """Write a valid file of each kind that is read; return its name, itself and its reader."""
    root.mkdir()
    networks, base = make_networks(), make_model(0, "tiny")
    write_persistent_pickle(root / "nvidia.pkl", persistent_networks(networks))
    write_legacy_pickle(root / "legacy.pkl", networks)
    write_rosinality(root / "rosinality.pt", networks)
    write_nvidia_state(root / "state.safetensors", networks)
    write_nvidia_state(root / "state.pt", networks)
    save_model(root / "model.safetensors", base)
    save_encoder(root / "encoder.safetensors", make_encoder(base))
    save_codes(root / "code.safetensors", WPlus(torch.randn(1, 6, 16)), "")
    write_encoder(root / "psp.pt", "psp")
    arrays = {f"features.{i}.weight": np.ones((3, 3), np.float32) for i in range(6)}
    np.savez(root / "weights.npz", **arrays)
    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, root / "weights.pth")
    (root / "dataset.json").write_text(json.dumps({"labels": [[f"{i}.png", i % 3] for i in range(9)]}))
    picture = np.kron(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5, np.ones((8, 8, 1), np.uint8))
    for ending in ("png", "jpg", "webp"):
        write_image(root / f"picture.{ending}", picture)
    with zipfile.ZipFile(root / "pictures.zip", "w") as archive:
        for i in range(3):
            archive.write(root / "picture.png", f"a/{i}.png")
    with lmdb.open(str(root / "lmdb"), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"length", b"2")
        for i in range(2):
            transaction.put(f"32-{i:05d}".encode(), (root / "picture.jpg").read_bytes())

    def pictures_of(path: Path) -> None:
        source = open_source(path, 16)
        for name in source.names:
            with contextlib.suppress(PortraitistError):
                source.read(name)

    def lmdb_of(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:  # a new one each time: what is open must not change
            shutil.copy(path, Path(folder) / "data.mdb")
            pictures_of(Path(folder))

    return [
        ("NVIDIA .pkl", root / "nvidia.pkl", read_nvidia),
        ("TensorFlow .pkl", root / "legacy.pkl", read_legacy),
        ("rosinality .pt", root / "rosinality.pt", read_rosinality),
        ("any checkpoint", root / "rosinality.pt", read_networks),
        ("NVIDIA names .safetensors", root / "state.safetensors", read_nvidia_state),
        ("NVIDIA names .pt", root / "state.pt", read_nvidia_state),
        ("native model", root / "model.safetensors", load_model),
        ("native encoder", root / "encoder.safetensors", load_encoder),
        ("codes", root / "code.safetensors", load_codes),
        ("pSp encoder", root / "psp.pt", read_foreign_encoder),
        ("weights .npz", root / "weights.npz", read_tensors),
        ("weights .pth", root / "weights.pth", read_tensors),
        ("labels", root / "dataset.json", lambda path: parse_labels(path.read_bytes(), "dataset.json")),
        ("PNG", root / "picture.png", read_image),
        ("JPEG", root / "picture.jpg", read_image),
        ("WebP", root / "picture.webp", read_image),
        ("zip of pictures", root / "pictures.zip", pictures_of),
        ("LMDB", root / "lmdb" / "data.mdb", lmdb_of),
    ]


NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
OPCODES = (*(bytes([code]) for code in b"N]}()\x8802teu"), b"K\x07", b"G@\x09!\xfbTD-\x18", b"X\x01\0\0\0a")
"""Values of other types, and what takes them off the stack."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a file with a few things wrong: bits, cuts, moved and repeated pieces, odd numbers, swapped types."""
    if data[:2] == b"PK" and chance.random() < 0.6:
        return repacked(data, chance)
    if data[:1] == b"\x80" and chance.random() < 0.6:
        return swapped(data, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        # The beginnings and ends of files say more than their middles.
        where = chance.random() ** chance.choice((1, 3)) * len(changed)
        place = int(where) if chance.random() < 0.7 else len(changed) - 1 - int(where)
        size = chance.choice((1, 4, 16, 256))
        kind = chance.randrange(6)
        if kind == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(NUMBERS) % (1 << 8 * width)
            changed[place : place + width] = number.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 2:
            del changed[place : place + size]
        elif kind == 3:
            changed[place:place] = changed[place : place + size]
        elif kind == 4:
            other = chance.randrange(len(changed))
            changed[place : place + size] = changed[other : other + size]
        else:
            del changed[max(1, place) :]
        if not changed:
            return b""
    return bytes(changed)


def repacked(data: bytes, chance: random.Random) -> bytes:
    """Return a zip in which one member is mutated, with checksums that fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(buffer, "w") as after:
        members = before.infolist()
        pickles = [m for m in members if m.filename.endswith(".pkl")]
        chosen = pickles[0] if pickles and chance.random() < 0.8 else chance.choice(members)
        for member in members:
            content = before.read(member)
            if member is chosen:
                content = mutated(content, chance)
            after.writestr(member.filename, content)
    return buffer.getvalue()


def swapped(data: bytes, chance: random.Random) -> bytes:
    """Return a pickle in which one opcode is replaced by one of another type, left out or repeated."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except ValueError:
        return data[: chance.randrange(1, len(data))]
    at = chance.randrange(1, len(places) - 1)
    begin, end = places[at], places[at + 1]
    new = chance.choice((*OPCODES, b"", data[begin:end] * 2))
    return data[:begin] + new + data[end:]


def hostile(root: Path, total: int, seconds: float, chance: random.Random) -> Iterator[Row]:
    """Read mutations of valid files of every kind, for as long as there is time for."""
    files, begun = valid_files(root / "valid"), time.monotonic()
    each = -(-total // len(files))

    def seconds_of(file: tuple[str, Path, Reader]) -> float:
        start = time.process_time()
        file[2](file[1])
        return time.process_time() - start

    # The quick ones first: what they leave of their time goes to the others.
    for number, (name, path, read) in enumerate(sorted(files, key=seconds_of), 1):
        until = begun + 0.4 * seconds * number / len(files)
        data = path.read_bytes()
        seed = chance.randrange(1 << 30)
        counts: collections.Counter[str] = collections.Counter()
        done = 0
        while done < each and (time.monotonic() < until or not done):
            done += batch(root, path, data, read, random.Random(f"{seed} {done}"), min(200, each - done), counts)
        worst = "".join(f"; {count} {what}" for what, count in counts.items() if what not in ("refused", "read"))
        told = f"{counts['refused']} refused, {counts['read']} read{worst}"
        yield Row(f"mutations of a valid file: {name}", done, counts["refused"] + counts["read"], told)


def batch(
    root: Path, path: Path, data: bytes, read: Reader, chance: random.Random, count: int,
    counts: collections.Counter[str],
) -> int:  # fmt: skip
    """Read some mutations in a fork, which writes down what came of each; a crash ends it early. Return how many."""
    case, notes = root / f"case{path.suffix}", root / "notes"
    notes.write_text("")

    def work() -> None:
        ran: list[str] = []
        sys.addaudithook(lambda event, _: ran.append(event) if event in ("os.system", "subprocess.Popen") else None)
        with notes.open("a") as file:
            for _ in range(count):
                case.write_bytes(mutated(data, chance))
                signal.alarm(300)
                start, what = time.process_time(), "read"
                try:
                    read(case)
                except (PortraitistError, MemoryError):
                    what = "refused"
                except Exception as error:
                    trace = traceback.extract_tb(error.__traceback__)[-1]
                    what = f"{type(error).__name__} at {Path(trace.filename).name}:{trace.lineno}"
                if ran:
                    what = "ran code"
                elif time.process_time() - start > LONGEST:
                    what = f"took more than {LONGEST:.0f} s"
                file.write(what + "\n")
                file.flush()

    code = ended(child(work))
    found = notes.read_text().splitlines()
    if code != 0:
        found.append(f"crash ({code})")
        shutil.copy(case, root / f"crash{case.suffix}")
    counts.update(found)
    return len(found)


# --- The page -------------------------------------------------------------------------------------------------------


def at(count: int, share: float) -> int:
    """Return how many to try."""
    return max(2, round(count * share))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="share of all counts; the page is written at 1 only")
    parser.add_argument(
        "--minutes", type=float, default=19.0, help="time to end within, with smaller counts if need be"
    )
    parser.add_argument("--part", choices=["hostile", "kills", "full", "long"], help="one part; no page is written")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chance, start, rows = random.Random(chosen.seed), time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["PORTRAITIST_MODELS"] = str(root / "models")
        for part, work in {
            "hostile": lambda root: hostile(root, at(20_000, chosen.share), 60 * chosen.minutes, chance),
            "kills": lambda root: kills(root, chosen.share, 60 * chosen.minutes, chance),
            "full": full_disks,
            "long": lambda root: long_runs(root, chosen.share),
        }.items():
            if chosen.part not in (None, part):
                continue
            (root / part).mkdir()
            for row in work(root / part):
                print(f"{row.held}/{row.tried} {row.check}: {row.note} [{time.monotonic() - start:.0f} s]", flush=True)
                rows.append(row)
    minutes = (time.monotonic() - start) / 60
    if chosen.share == 1 and chosen.part is None:
        PAGE.write_text(page(rows, minutes, chosen.seed), encoding="utf-8")
    return int(any(row.held < row.tried for row in rows))


def page(rows: list[Row], minutes: float, seed: int) -> str:
    fuzzed = [row for row in rows if row.check.startswith("mutations")]
    total = Row("mutations of valid files, all", sum(r.tried for r in fuzzed), sum(r.held for r in fuzzed))
    lines = [[row.check, f"{row.tried:,}", f"{row.held:,}", row.note] for row in [*rows, total]]
    return "\n".join(
        [
            "# Faults: kills, full disks, long runs, hostile files",
            "",
            f"Written by `make faults` (scripts/faults.py, seed {seed}): {minutes:.0f} minutes on a machine of",
            f"{os.cpu_count()} cores with a load of {os.getloadavg()[2]:.0f} at the end. Where time did not suffice",
            "for the full counts (200 kills of a training, 60 of each command, 20,000 mutations), the table says how",
            "many were tried.",
            "",
            *__doc__.split("\n\n")[1].splitlines(),
            "",
            *table(["check", "tried", "held", "remarks"], lines),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
