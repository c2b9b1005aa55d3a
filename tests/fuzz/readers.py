"""A valid file of each kind that is read, and its reader."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lmdb
import numpy as np
import torch

from portraitist.data.images import read_image, write_image
from portraitist.data.labels import read_table
from portraitist.data.sources import open_source, parse_labels
from portraitist.errors import PortraitistError
from portraitist.faces import read_points
from portraitist.io.clip_files import load_clip
from portraitist.io.codes import load_codes, save_codes
from portraitist.io.directions import load_directions, save_directions
from portraitist.io.encoder_files import load_encoder, save_encoder
from portraitist.io.feature_files import read_tensors
from portraitist.io.foreign_encoders import read_foreign_encoder
from portraitist.io.formats import read_networks
from portraitist.io.headers import TranslatorHeader, read_header
from portraitist.io.legacy_tf import read_legacy
from portraitist.io.model_file import load_model, save_model, save_pack
from portraitist.io.nvidia import read_nvidia, read_nvidia_state, write_nvidia_state
from portraitist.io.painter_files import PainterHeader, StoredPainter, load_painter, save_painter
from portraitist.io.photo2cartoon import read_photo2cartoon, write_photo2cartoon
from portraitist.io.rosinality import read_rosinality, write_rosinality
from portraitist.io.translator_files import StoredTranslator, load_translator, save_translator
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.networks.translator_anatomy import PanelAnatomy, ugatit
from portraitist.spaces import WPlus
from portraitist.spaces.direction import Direction
from portraitist.stylize.batch import open_report
from portraitist.train.folder import check_config
from portraitist.train.snapshot import resume, write_snapshot
from tests.conftest import make_model, restyled
from tests.io.encoder_makers import write_encoder
from tests.io.foreign_files import (
    make_networks,
    persistent_networks,
    write_legacy_pickle,
    write_persistent_pickle,
)
from tests.io.tiny_clip import save_clip
from tests.stylize.tiny_encoders import make_encoder

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """A kind of file."""

    name: str
    path: Path
    """A valid one."""
    read: Read
    is_slow: bool = False
    """Whether a reading takes more than a few hundredths of a second."""


def readers(root: Path) -> list[Reader]:
    """Write a valid file of each kind into an empty folder."""
    return [*_models(root), *_networks_of_others(root), *_pictures(root), *_texts(root), *_folders(root)]


def translator() -> StoredTranslator:
    """Return a translator that draws nothing in particular, of one group."""
    anatomy = replace(ugatit(16, 4, light=True), blocks=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        system = TranslatorSystem.new(anatomy, PanelAnatomy((4, 3), 4), ("all",)).eval()
    return StoredTranslator(system, TranslatorHeader(anatomy, ("all",), name="mine"))


def _models(root: Path) -> list[Reader]:
    """Files of this program."""
    base = make_model(0, "tiny")
    vector = torch.tensor([0.6, 0.8, 0.0])
    save_codes(root / "code.safetensors", WPlus(torch.randn(1, 6, 16)), "")
    directions = save_directions(
        root / "directions.safetensors", [Direction("age", vector, (0, 2), 1.5, "by hand")], base="a", base_name="tiny"
    )
    painter = PainterAnatomy((4, 6, 8), 2, 5.0)
    stored = StoredPainter(new_painter(painter).eval(), PainterHeader(painter, name="mine"))
    return [
        Reader("native model", save_model(root / "model.safetensors", base), load_model),
        Reader("header", root / "model.safetensors", read_header),
        Reader(
            "style pack",
            save_pack(root / "pack.safetensors", restyled(base, "wild"), base),
            lambda path: load_model(path, find_base=lambda header: base),
        ),
        Reader("native encoder", save_encoder(root / "encoder.safetensors", make_encoder(base)), load_encoder),
        Reader("translator", save_translator(root / "translator.safetensors", translator()), load_translator),
        Reader("painter", save_painter(root / "painter.safetensors", stored), load_painter),
        Reader("codes", root / "code.safetensors", load_codes),
        Reader("directions", directions, load_directions),
    ]


def _networks_of_others(root: Path) -> list[Reader]:
    """Checkpoints and weights of other programs."""
    networks = make_networks()
    write_persistent_pickle(root / "nvidia.pkl", persistent_networks(networks))
    write_legacy_pickle(root / "legacy.pkl", networks)
    write_rosinality(root / "rosinality.pt", networks)
    write_nvidia_state(root / "state.safetensors", networks)
    write_nvidia_state(root / "state.pt", networks)
    write_photo2cartoon(root / "ugatit.pt", translator().system, group="all")
    write_encoder(root / "psp.pt", "psp")
    arrays = {f"features.{i}.weight": np.ones((3, 3), np.float32) for i in range(6)}
    np.savez(root / "weights.npz", **arrays)  # type: ignore[arg-type]
    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, root / "weights.pth")
    return [
        Reader("NVIDIA .pkl", root / "nvidia.pkl", read_nvidia),
        Reader("TensorFlow .pkl", root / "legacy.pkl", read_legacy),
        Reader("rosinality .pt", root / "rosinality.pt", read_rosinality),
        Reader("any checkpoint", root / "rosinality.pt", read_networks),
        Reader("NVIDIA names .safetensors", root / "state.safetensors", read_nvidia_state),
        Reader("NVIDIA names .pt", root / "state.pt", read_nvidia_state),
        Reader("UGATIT .pt", root / "ugatit.pt", lambda path: read_photo2cartoon(path, resolution=16), is_slow=True),
        Reader("pSp encoder", root / "psp.pt", read_foreign_encoder, is_slow=True),
        Reader("weights .npz", root / "weights.npz", read_tensors),
        Reader("weights .pth", root / "weights.pth", read_tensors),
    ]


def _pictures(root: Path) -> list[Reader]:
    """Pictures, alone and in archives."""
    picture = np.kron(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5, np.ones((8, 8, 1), np.uint8))
    found = [
        Reader(ending.upper(), write_image(root / f"picture.{ending}", picture), read_image)
        for ending in ("png", "jpg", "webp")
    ]
    with zipfile.ZipFile(root / "pictures.zip", "w") as archive:
        for i in range(3):
            archive.write(root / "picture.png", f"a/{i}.png")
    with lmdb.open(str(root / "lmdb"), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"length", b"2")
        for i in range(2):
            transaction.put(f"32-{i:05d}".encode(), (root / "picture.jpg").read_bytes())

    def every_picture(path: Path) -> None:
        source = open_source(path, 16)
        for name in source.names:
            with contextlib.suppress(PortraitistError):
                source.read(name)

    def database(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:  # a new one each time: what is open must not change
            shutil.copy(path, Path(folder) / "data.mdb")
            every_picture(Path(folder))

    return [
        *found,
        Reader("zip of pictures", root / "pictures.zip", every_picture),
        Reader("LMDB", root / "lmdb" / "data.mdb", database),
    ]


def _texts(root: Path) -> list[Reader]:
    """Labels, landmarks and records."""
    names = [f"{i}.png" for i in range(9)]
    (root / "dataset.json").write_text(json.dumps({"labels": [[name, i % 3] for i, name in enumerate(names)]}))
    (root / "labels.csv").write_text("file,hair,age\n" + "".join(f"{name},dark,{i}\n" for i, name in enumerate(names)))
    face = [[6.0, 7.6], [10, 7.6], [8, 9], [6.6, 11.6], [9.4, 11.6]]
    (root / "points.json").write_text(json.dumps({name: face for name in names}))
    line = {"source": "a.png", "status": "done", "outputs": ["a.wild.png"], "seconds": 0.5, "unfinished": {"a": "b"}}
    (root / "report.json").write_text(json.dumps({"photos": [line]}))
    check_config(root / "run", {"training": {"images": 8}})

    (record,) = (root / "run").iterdir()

    def settings(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            shutil.copy(path, Path(folder) / record.name)
            check_config(Path(folder), {"training": {"images": 8}})

    return [
        Reader("dataset.json", root / "dataset.json", lambda path: parse_labels(path.read_bytes(), "dataset.json")),
        Reader("table of labels", root / "labels.csv", lambda path: read_table(path, names)),
        Reader("landmarks", root / "points.json", read_points),
        Reader("report of a folder", root / "report.json", lambda path: open_report(path, path.parent)),
        Reader("settings of a run", record, settings),
    ]


class _Counter:
    """The smallest training: a number."""

    def __init__(self) -> None:
        self.value = torch.zeros(3)
        self.images = 8

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"value": self.value}

    def counters(self) -> dict[str, object]:
        return {"images": self.images}

    def restore(self, tensors: dict[str, torch.Tensor], counters: dict[str, object]) -> None:
        self.value = tensors["value"]


def _folders(root: Path) -> list[Reader]:
    """Files that are read with their neighbours."""
    clip = save_clip(root / "clip")
    snapshot = write_snapshot(root / "snapshots", _Counter(), {})

    def of_clip(name: str) -> Read:
        def read(path: Path) -> None:
            with tempfile.TemporaryDirectory(dir=root) as folder:
                shutil.copytree(clip, folder, dirs_exist_ok=True)
                shutil.copy(path, Path(folder) / name)
                load_clip(folder)

        return read

    def continued(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            shutil.copy(path, Path(folder) / snapshot.name)
            resume(Path(folder), _Counter())

    names = ("config.json", "model.safetensors", "vocab.json", "tokenizer_config.json")
    return [
        *(Reader(f"CLIP {name}", clip / name, of_clip(name), is_slow=True) for name in names),
        Reader("snapshot", snapshot, continued),
    ]
