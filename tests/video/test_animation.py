"""A portrait that does what the face of a video does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import Pixels
from portraitist.edit.expressions import EXPRESSIONS
from portraitist.errors import BadData, NoFaceFound, UsageError
from portraitist.io.model_file import Model
from portraitist.networks.motion import FirstOrderMotion, Keypoints
from portraitist.spaces import WPlus
from portraitist.spaces.direction import Direction
from portraitist.stylize import ByEncoder, Stylizer
from portraitist.video import CodePuppet, FirstOrderPuppet, animate_video, portrait_puppet, redraw
from portraitist.video.animation import Animator, the_style
from portraitist.video.driving import Driver, Movement
from portraitist.video.first_order import relative
from portraitist.video.puppet import parted

from ..networks.test_motion import SMALL
from ..stylize.tiny_encoders import make_encoder
from .made_faces import MESH, OPEN, MeshFinder, face
from .made_videos import DiscFinder, frames_of, sound_of, times_of, write_video
from .made_videos import walk as disc_at

FINDER = MeshFinder()
MOUTH = EXPRESSIONS.index("mouth")
SIDE = 128


def drawn(code: WPlus) -> Pixels:
    """Draw a face whose mouth the first number of the code opens."""
    opened = min(1.0, max(0.0, float(code.data[0, 0, 0])))
    return face(SIDE / 2, SIDE * 0.6, SIDE * 0.3, opened, SIDE, SIDE)


def opening(frame: Pixels) -> float:
    """Return the part of the most by which the mouth of a drawn face is open."""
    return (float(np.median(frame[frame[..., 0] > 200][:, 1])) - 30) / 60


def made_puppet(start: float = 0.4) -> CodePuppet:
    vector = torch.zeros(4)
    vector[0] = 1.0
    code = torch.zeros(1, 2, 4)
    code[0, :, 0] = start
    directions = [Direction("mouth", vector, (0, 1), 0.2)]
    return CodePuppet(drawn(WPlus(code)), WPlus(code), drawn, base=drawn, directions=directions, finder=FINDER)


def movement(now: np.ndarray, change: np.ndarray | None = None) -> Movement:
    blank = np.zeros((256, 256, 3), np.uint8)
    return Movement(MESH, now, np.zeros(6) if change is None else change, blank, blank)


def test_a_driver_tells_the_head_from_the_mouth() -> None:
    driver = Driver(FINDER)
    first = driver.step(face(48, 50, 20), 1.0)
    assert first is not None and first.is_first and not first.change.any() and (first.now == first.first).all()
    for _ in range(40):  # the filter comes to rest
        still = driver.step(face(48, 50, 20, 0.5), 1.0)
    assert still is not None
    turn, parts = parted(still)
    assert np.allclose(turn, np.eye(3), atol=5e-3)
    lip, brow = parts[17], parts[70]
    assert abs(lip[1] - 0.5 * OPEN) < 0.01 and np.linalg.norm(brow) < 0.005
    gap = 0.5 * OPEN / np.linalg.norm(MESH[[362, 263]].mean(axis=0) - MESH[[33, 133]].mean(axis=0))
    assert abs(still.change[MOUTH] - gap) < 0.05
    for _ in range(40):
        moved = driver.step(face(54, 50, 20, 0.0), 1.0)
    assert moved is not None and abs(moved.change[MOUTH]) < 0.02
    turn, parts = parted(moved)
    assert 0.05 < turn[0, 2] < 0.1 and abs(turn[1, 2]) < 5e-3 and np.abs(parts).max() < 0.01


def test_a_turn_is_told_from_what_the_parts_do() -> None:
    angle, size = 0.2, 1.1
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    now = (MESH - 0.5) @ turn.T + 0.52
    now[17] += turn @ (0.0, 0.03)
    found, parts = parted(movement(now))
    assert 0.15 < np.arctan2(found[1, 0], found[0, 0]) < 0.2  # large ones are held back
    assert np.allclose(parts[17], (0, 0.03), atol=1e-3) and np.abs(np.delete(parts, 17, axis=0)).max() < 1e-3
    still, none = parted(movement(MESH))
    assert np.allclose(still, np.eye(3), atol=1e-12) and np.abs(none).max() < 1e-12


def test_the_driving_face_is_lost_and_found_again() -> None:
    nobody, away = np.full((96, 96, 3), 110, np.uint8), face(60, 50, 20)
    with pytest.raises(NoFaceFound, match="first frame shows no face"):
        Animator(made_puppet(), FINDER).redraw(nobody, 0.1)
    animator = Animator(made_puppet(), FINDER)
    start, count = animator.redraw(face(48, 50, 20), 0.1)
    assert count == 1 and (start == animator.puppet.still).all()
    before = [animator.redraw(away, 0.1)[0] for _ in range(4)][-1]
    assert (before != start).any()
    for seconds in (0.1, 0.5, 2.0, 2.0):  # longer than it is waited for
        held, count = animator.redraw(nobody, seconds)
        assert count == 0 and (held == before).all()
    assert [animator.redraw(away, 0.5)[1] for _ in range(6)][-1] == 1 and animator.undrawn >= 4


def test_one_of_two_faces_drives() -> None:
    two = np.concatenate([face(48, 50, 22), face(48, 50, 18, 0.5)], axis=1)
    for number, due in ((1, 48), (2, 96 + 48)):
        driver = Driver(FINDER, number)
        first = driver.step(two, 1.0)
        assert first is not None and abs(driver._matrix[0, 2] + driver._matrix[0, 0] / 2 - due) < 3
    for number in (0, 3):
        with pytest.raises(NoFaceFound, match=f"no face {number}; 2 were found"):
            Driver(FINDER, number).step(two, 1.0)


def test_a_finder_without_mesh_is_refused() -> None:
    with pytest.raises(UsageError, match="468 points"):
        Driver(DiscFinder()).step(disc_at(0), 1.0)
    assert Driver(DiscFinder(), reads=False).step(disc_at(0), 1.0) is not None


def test_without_motion_a_puppet_is_the_portrait_and_with_it_the_code_opens_the_mouth() -> None:
    puppet = made_puppet()
    assert (puppet.move(movement(MESH)) == puppet.still).all()
    assert puppet.answers.numbers[0, MOUTH] > 0 and np.allclose(puppet.answers.points[0, 17, 0], 0, atol=1e-3)
    change = np.zeros(6)
    change[MOUTH] = 2 * puppet.answers.numbers[0, MOUTH]
    now = MESH + 2 * puppet.answers.points[0]
    assert 1 < puppet.steps(change)[0] <= 2
    wide = puppet.move(movement(now, change))
    assert opening(puppet.still) == pytest.approx(0.4, abs=0.02) and opening(wide) > 0.6
    shut = puppet.move(movement(MESH - 2 * puppet.answers.points[0], -change))
    assert opening(shut) < 0.2


def test_the_head_moves_and_the_border_stays() -> None:
    puppet = made_puppet()
    aside = puppet.move(movement(MESH + np.array([0.08, 0.0]))).astype(int)
    found, start = (float(np.nonzero(p[..., 0] > 170)[1].mean()) / SIDE for p in (aside, puppet.still))
    assert 0.04 < found - start < 0.08
    assert np.abs(aside - puppet.still)[:, :2].max() <= 1 and np.abs(aside - puppet.still)[:2].max() <= 1


def test_directions_have_the_names_of_expressions() -> None:
    odd = Direction("age", torch.ones(4), (0,))
    code = WPlus(torch.zeros(1, 2, 4))
    with pytest.raises(UsageError, match="'age' is no direction of an expression"):
        CodePuppet(drawn(code), code, drawn, base=drawn, directions=[odd], finder=FINDER)
    blank = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UsageError, match="No face is found in the portrait"):
        CodePuppet(blank, code, drawn, base=drawn, directions=[], finder=FINDER)
    assert CodePuppet(blank, code, drawn, base=drawn, directions=[], finder=FINDER, expected=MESH).steps(
        np.ones(6)
    ).shape == (0,)


@pytest.fixture(scope="module")
def stylizer(tiny_model: Model, tiny_style: Model) -> Stylizer:
    return Stylizer(tiny_model, {"wild": tiny_style}, inversion=ByEncoder(make_encoder(tiny_model)), finder=FINDER)


def walk(k: int) -> Pixels:
    return face(44 + k / 2, 48, 20, min(1.0, k / 8))


def test_the_first_frame_is_what_stylize_draws(stylizer: Stylizer) -> None:
    photo = face(48, 48, 22)
    puppet = portrait_puppet(stylizer, photo, [], size=64)
    due = stylizer.stylize(photo, which="largest", size=64).faces[0].picture("wild")
    animator = Animator(puppet, FINDER)
    frames = [animator.redraw(walk(k), 1 / 30)[0] for k in range(8)]
    assert (frames[0] == due).all() and (frames[7] != due).any()


def test_a_video_keeps_sound_and_times_and_a_stopped_run_goes_on(
    tmp_path: Path, stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraw, "SEGMENT", 4)
    source = write_video(tmp_path / "v.mp4", 10, walk, times=[k * 20 + k % 3 * 6 for k in range(10)], sound="aac")
    puppet = portrait_puppet(stylizer, face(48, 48, 22), [], size=63)
    report = animate_video(puppet, source, tmp_path / "o.mp4", finder=FINDER)
    assert (report.frames, report.drawn, report.undrawn, report.people) == (10, 10, 0, 1)
    assert times_of(tmp_path / "o.mp4") == times_of(source) and sound_of(tmp_path / "o.mp4") == sound_of(source)
    frames = frames_of(tmp_path / "o.mp4")
    lightness = [picture[:63, :63] @ (0.2126, 0.7152, 0.0722) for picture in (frames[0], puppet.still)]
    assert frames[0].shape == (64, 64, 3) and np.abs(lightness[0] - lightness[1]).mean() < 2.5

    def stopping(done: int, every: int | None) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate_video(puppet, source, tmp_path / "p.mp4", finder=FINDER, on_frame=stopping)
    seen: list[int] = []
    report = animate_video(
        puppet, source, tmp_path / "p.mp4", finder=FINDER, on_frame=lambda done, every: seen.append(done)
    )
    assert report.resumed == 4 and seen == list(range(5, 11))
    assert (tmp_path / "p.mp4").read_bytes() == (tmp_path / "o.mp4").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_one_style_moves(tiny_model: Model, tiny_style: Model) -> None:
    two = Stylizer(tiny_model, {"one": tiny_style, "two": tiny_style}, finder=FINDER)
    with pytest.raises(UsageError, match="one style, not in one, two"):
        the_style(two)


def test_keypoints_move_as_those_of_the_video_in_proportion_to_the_hulls() -> None:
    square = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]]]) * 0.4
    eye = torch.eye(2).expand(1, 5, 2, 2)
    here, first = Keypoints(square * 2, eye * 3), Keypoints(square, eye * 2)
    there = relative(here, first, Keypoints(square + 0.1, eye))
    assert torch.allclose(there.places, square * 2 + 0.2) and there.jacobians is not None
    assert torch.allclose(there.jacobians, eye * 1.5)  # 1 / 2 of 3
    still = relative(here, first, first)
    assert torch.allclose(still.places, here.places)
    with pytest.raises(BadData, match="span an area"):
        relative(here, Keypoints(torch.zeros(1, 5, 2), None), first)


def test_the_first_order_model_moves_the_portrait() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FirstOrderMotion(SMALL).eval()
    puppet = FirstOrderPuppet(drawn(WPlus(torch.zeros(1, 2, 4))), model)
    animator = Animator(puppet, DiscFinder())  # no mesh is needed
    frames = [animator.redraw(disc_at(k), 0.1)[0] for k in (0, 6, 12)]
    assert (frames[0] == puppet.still).all() and all(f.shape == (SIDE, SIDE, 3) for f in frames)
    assert (frames[1] != frames[2]).any() and puppet.settings["kind"] == "first order"
