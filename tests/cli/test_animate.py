"""``portraitist animate``: what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portraitist.data import write_image
from portraitist.faces import registry as finders
from portraitist.io import registry
from portraitist.io.directions import save_directions
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.spaces.direction import Direction

from ..networks.test_motion import SMALL, released_layout
from ..stylize.tiny_encoders import make_encoder
from ..video.made_faces import MeshFinder, face
from ..video.made_videos import frames_of, write_video
from .conftest import Run


@pytest.fixture
def work(
    tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Model, tiny_style: Model
) -> Path:
    """A folder with a photo, a video and directions; a style, its base and an encoder are known."""
    monkeypatch.setitem(finders.FINDERS, next(iter(finders.FINDERS)), MeshFinder)
    monkeypatch.chdir(tmp_path)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))
    write_image(tmp_path / "me.png", face(48, 48, 22))
    write_video(tmp_path / "drive.mp4", 3, lambda k: face(46 + k, 48, 20, k / 3))
    mouth = Direction("mouth", torch.ones(16) / 4, (0, 1))
    for name, digest in (("d", generator_digest(tiny_model)), ("other", "00")):
        save_directions(tmp_path / f"{name}.safetensors", [mouth], base=digest, base_name="tiny")
    return tmp_path


WORDS = ("animate", "me.png", "--drive", "drive.mp4", "--style", "wild", "-o", "out.mp4", "--size", 48)


def test_a_photo_does_what_the_video_does(work: Path, run: Run) -> None:
    assert run(*WORDS, "--directions", "d.safetensors")[:2] == (0, ["out.mp4"])
    assert [f.shape for f in frames_of(work / "out.mp4")] == [(48, 48, 3)] * 3
    code, _, error = run(*WORDS, "--directions", "d.safetensors")
    assert code == 2 and "exists already" in error
    torch.save(released_layout(SMALL), work / "vox.pth.tar")
    assert run(*WORDS, "--overwrite", "--motion", "vox.pth.tar")[:2] == (0, ["out.mp4"])


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--directions", "other.safetensors"], "found on"),
        (["--directions", "d.safetensors", "--motion", "w.safetensors"], "--directions has no meaning"),
        (["--motion", "missing.pth.tar"], "missing.pth.tar"),
        (["--directions", "d.safetensors", "--face", "2"], "no face 2; 1 were found"),
        (["--face", "all"], "One face drives a portrait"),
        (["--face", "0"], "1 is the largest"),
        (["--directions", "d.safetensors", "--drive", "none.mp4"], "none.mp4"),
        (["--directions", "d.safetensors", "-o", "out.avi"], "End it in .mp4"),
        ([], "drawings of the base show a face"),
    ],
)
def test_what_cannot_be_done_is_said(
    work: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str
) -> None:
    monkeypatch.setattr("portraitist.edit.expressions.SAMPLES", 5)
    code, out, error = run(*WORDS, *words)
    assert code != 0 and out == [] and reason in error
    assert not list(work.glob("out.*"))
