from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage.data import astronaut

from portraitist.data import folder_run
from portraitist.data.images import read_image, write_image
from portraitist.data.prepare import prepare
from portraitist.errors import StorageError, UsageError
from portraitist.faces import AlignedFace, Face, Landmarks
from portraitist.invert import portrait
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.stylize import ByOptimisation, FileReport, Stylizer, stylize_files
from portraitist.stylize.choices import Options
from portraitist.stylize.discovery import drawn_pictures, photos
from tests.conftest import restyled

Pixels = npt.NDArray[np.uint8]


class Marked:
    """Finds one face for each bright square of the photo's first row."""

    def __repr__(self) -> str:
        return "Marked()"

    def find(self, image: Pixels) -> list[Face]:
        if (image[0, :4] == 13).all():
            raise IndexError("a bug")
        count = int(image[0, 0, 0]) // 100
        points = np.array([(40, 40), (60, 40), (50, 50), (42, 58), (58, 58)])
        return [Face.around(Landmarks.from_points(points + 5 * i), 1.0) for i in range(count)]


def draw(faces: int, seed: int = 0) -> Pixels:
    picture = np.random.default_rng(seed).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    picture[0] = 100 * faces
    return picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "my photos"
    write_image(source / "me.png", draw(1, 1))
    write_image(source / "me.webp", draw(1, 2))
    write_image(source / "sub" / "Zoë with space.png", draw(2, 3))
    write_image(source / "empty landscape.png", draw(0, 4))
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (source / "zero.png").write_bytes(b"")
    (source / "notes.txt").write_text("x")
    (source / ".hidden.png").write_bytes(b"x")
    (source / "folder.png").mkdir()
    return source


@pytest.fixture
def stylizer(tiny_model: Model, tiny_style: Model) -> Stylizer:
    return with_styles(tiny_model, {"wild": tiny_style})


def with_styles(base: Model, styles: dict[str, Model], steps: int = 2, strength: float = 1.0) -> Stylizer:
    inversion = ByOptimisation(replace(portrait(), steps=steps))
    return Stylizer(base, styles, finder=Marked(), inversion=inversion, strength=strength)


def run(
    stylizer: Stylizer, source: Path, out: Path, options: Options | None = None, **more: Callable[[FileReport], None]
) -> dict[str, FileReport]:
    found = stylize_files(stylizer, source, out, options or Options(), report=out / "report.json", **more)
    return {line.source: line for line in found}


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


PICTURES = [
    "me.png.wild.png",
    "me.webp.wild.png",
    "sub/Zoë with space.face2.wild.png",
    "sub/Zoë with space.wild.png",
]


def test_a_folder_is_redrawn_and_every_bad_file_has_a_reason(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    out = tmp_path / "out"
    lines = run(stylizer, folder, out)
    assert files(out) == sorted([*PICTURES, "report.json"])
    assert {name: line.status for name, line in lines.items()} == {
        "broken.jpg": "failed",
        "empty landscape.png": "failed",
        "me.png": "done",
        "me.webp": "done",
        "sub/Zoë with space.png": "done",
        "zero.png": "failed",
    }
    assert {n: x.kind for n, x in lines.items() if x.kind} == {
        "broken.jpg": "truncated",
        "empty landscape.png": "no-face",
        "zero.png": "empty",
    }
    assert all(line.reason for line in lines.values() if line.kind)
    double = lines["sub/Zoë with space.png"]
    assert double.faces == 2 and double.outputs == [
        "sub/Zoë with space.wild.png",
        "sub/Zoë with space.face2.wild.png",
    ]
    told = json.loads((out / "report.json").read_text())["photos"]
    assert [line["source"] for line in told] == sorted(lines)
    assert all(len(line["sha256"]) == 64 and line["seconds"] >= 0 for line in told)


def test_a_second_run_has_nothing_to_do(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    out = tmp_path / "out"
    run(stylizer, folder, out)
    before = {name: (out / name).stat().st_mtime_ns for name in PICTURES}
    lines = run(stylizer, folder, out)
    assert {x.status for x in lines.values() if not x.kind} == {"skipped"}
    assert {name: (out / name).stat().st_mtime_ns for name in PICTURES} == before
    third = run(stylizer, folder, out)
    assert {x.status for x in third.values() if not x.kind} == {"skipped"}


def test_changed_photos_lost_pictures_and_other_settings_are_redone(
    folder: Path, tmp_path: Path, stylizer: Stylizer, tiny_model: Model, tiny_style: Model
) -> None:
    out = tmp_path / "out"
    run(stylizer, folder, out)
    (out / "me.webp.wild.png").unlink()
    write_image(folder / "me.png", draw(1, 9))
    lines = run(stylizer, folder, out)
    assert {n for n, x in lines.items() if x.status == "done"} == {"me.png", "me.webp"}
    for other in (
        with_styles(tiny_model, {"wild": tiny_style}, steps=3),
        with_styles(tiny_model, {"wild": tiny_style}, strength=0.5),
    ):
        before = (out / "me.png.wild.png").read_bytes()
        assert {x.status for x in run(other, folder, out).values()} == {"done", "failed"}
        assert (out / "me.png.wild.png").read_bytes() != before
    small = run(other, folder, out, Options(size=32))
    assert {x.status for x in small.values()} == {"done", "failed"}


def test_a_picture_of_somebody_else_is_not_replaced(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "me.png.wild.png").write_bytes(b"precious")
    lines = run(stylizer, folder, out)
    assert lines["me.png"].kind == "exists" and "--overwrite" in lines["me.png"].reason
    assert (out / "me.png.wild.png").read_bytes() == b"precious"
    lines = run(stylizer, folder, out)  # nor does the report of the first run vouch for it
    assert lines["me.png"].kind == "exists"
    lines = run(stylizer, folder, out, Options(overwrite=True))
    assert lines["me.png"].status == "done" and (out / "me.png.wild.png").read_bytes() != b"precious"
    assert run(stylizer, folder, out)["me.png"].status == "skipped"


def test_an_interrupted_run_goes_on_and_ends_the_same(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(stylizer, folder, whole)

    def stop(line: FileReport) -> None:
        if line.source == "me.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stylizer, folder, out, on_file=stop)
    assert "me.png.wild.png" in files(out) and "me.webp.wild.png" not in files(out)
    lines = run(stylizer, folder, out)
    assert lines["me.png"].status == "skipped" and lines["me.webp"].status == "done"
    assert {n: (out / n).read_bytes() for n in PICTURES} == {n: (whole / n).read_bytes() for n in PICTURES}


def test_an_interrupted_run_with_other_settings_forgets_no_picture(
    folder: Path, tmp_path: Path, stylizer: Stylizer, tiny_model: Model, tiny_style: Model
) -> None:
    out = tmp_path / "out"
    run(stylizer, folder, out)
    other = with_styles(tiny_model, {"wild": tiny_style}, steps=3)

    def stop(line: FileReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(other, folder, out, on_file=stop)
    assert {x.status for x in run(other, folder, out).values()} == {"done", "failed"}


def test_styles_one_after_the_other_share_a_folder(
    folder: Path, tmp_path: Path, stylizer: Stylizer, tiny_model: Model
) -> None:
    out = tmp_path / "out"
    run(stylizer, folder, out)
    calm = with_styles(tiny_model, {"calm": restyled(tiny_model, "calm", 2)})
    lines = run(calm, folder, out)
    assert lines["me.png"].outputs == ["me.png.calm.png"] and lines["me.png"].earlier == ["me.png.wild.png"]
    assert run(stylizer, folder, out)["me.png"].status == "done"  # its own pictures may be replaced


def test_photos_never_share_a_picture(tmp_path: Path, stylizer: Stylizer) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write_image(source / "a.png", draw(2, 1))
    write_image(source / "a.face2.png", draw(1, 2))  # its picture has the name of the other's second face
    for overwrite in (False, True, False):
        lines = run(stylizer, source, out, Options(overwrite=overwrite))
        assert sorted(x.kind for x in lines.values()) == ["", "exists"], overwrite
        (name,) = (n for n, x in lines.items() if not x.kind)
        assert set(lines[name].outputs) <= set(files(out))


def test_a_bug_in_one_photo_does_not_end_the_run(
    folder: Path, tmp_path: Path, stylizer: Stylizer, caplog: pytest.LogCaptureFixture
) -> None:
    picture = draw(1)
    picture[0] = 13
    write_image(folder / "cursed.png", picture)
    lines = run(stylizer, folder, tmp_path / "out")
    assert (lines["cursed.png"].kind, lines["cursed.png"].reason) == ("error", "IndexError: a bug")
    assert lines["me.png"].status == "done" and "please report it" in caplog.text


def test_a_full_disk_ends_the_run(
    folder: Path, tmp_path: Path, stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        run(stylizer, folder, tmp_path / "out")
    assert files(tmp_path / "out") == []


def test_a_base_that_cannot_invert_ends_the_run_at_once(
    folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    base = Model(tiny_model.generator, None, tiny_model.header)
    with pytest.raises(UsageError, match="no discriminator"):
        run(with_styles(base, {"wild": tiny_style}), folder, tmp_path / "out")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"photos": [{"a": 1}]}', '{"photos": [{"source": 1, "status": ""}]}']
)
def test_a_file_that_is_no_report_is_not_replaced(folder: Path, tmp_path: Path, stylizer: Stylizer, text: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not the report of an earlier run"):
        stylize_files(stylizer, folder, tmp_path / "out", Options(), report=path)
    assert path.read_text() == text


def test_one_photo_needs_no_report(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    out = tmp_path / "out"
    (line,) = stylize_files(stylizer, folder / "me.png", out, Options())
    assert line.status == "done" and files(out) == ["me.wild.png"]
    (line,) = stylize_files(stylizer, folder / "me.png", out, Options())
    assert line.kind == "exists"


def test_pasted_pictures_and_sheets(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    out = tmp_path / "out"
    (line,) = stylize_files(
        stylizer, folder / "sub", out, Options(paste_back=True, sheet=True, suffix=".jpg"), report=None
    )
    assert line.outputs == ["Zoë with space.wild.pasted.jpg", "Zoë with space.sheet.jpg"]
    with Image.open(out / line.outputs[0]) as pasted:
        assert pasted.size == (100, 100)
    with pytest.raises(UsageError, match=r"cannot end in '.gif'"):
        Options(suffix=".gif")


def test_a_photo_on_its_side_is_pasted_upright(tmp_path: Path, stylizer: Stylizer) -> None:
    """Orientation 6, stored as LONG in big endian."""
    turned = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIII", 0x0112, 4, 1, 6, 0)
    upright = draw(1)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.rot90(upright)).save(tmp_path / "in" / "me.png", exif=b"Exif\0\0" + turned)
    (line,) = stylize_files(stylizer, tmp_path / "in", tmp_path / "out", Options(paste_back=True))
    assert line.status == "done"
    pasted = read_image(tmp_path / "out" / line.outputs[0])
    assert np.array_equal(pasted[95:], upright[95:]) and np.array_equal(pasted[:, 95:], upright[:, 95:])


@pytest.mark.parametrize("suffix, mode", [(".png", "RGBA"), (".webp", "RGBA"), (".jpg", "RGB")])
def test_a_pasted_photo_stays_cut_out(tmp_path: Path, stylizer: Stylizer, suffix: str, mode: str) -> None:
    (tmp_path / "in").mkdir()
    opacity = np.full((100, 100), 255, np.uint8)
    opacity[80:] = 0
    Image.fromarray(np.dstack([draw(1), opacity])).save(tmp_path / "in" / "me.png")
    options = Options(paste_back=True, suffix=suffix)
    (line,) = stylize_files(stylizer, tmp_path / "in", tmp_path / "out", options)
    with Image.open(tmp_path / "out" / line.outputs[0]) as pasted:
        assert pasted.mode == mode
        if mode == "RGBA":
            assert np.array_equal(np.asarray(pasted)[..., 3], opacity)
        else:
            assert np.asarray(pasted)[90:].min() > 240


def test_a_face_that_is_mostly_outside_of_its_photo_is_told(
    tmp_path: Path, stylizer: Stylizer, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "in" / "whole.png", draw(1))
    write_image(tmp_path / "in" / "tight.png", draw(1)[:60, :60])
    stylize_files(stylizer, tmp_path / "in", tmp_path / "out", Options())
    (told,) = [record.getMessage() for record in caplog.records if "outside of the photo" in record.getMessage()]
    assert told.startswith("tight.png: ")


def test_nothing_of_the_photos_metadata_reaches_the_pictures(tmp_path: Path, stylizer: Stylizer) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-description"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    photo = tmp_path / "in" / "me.jpg"
    photo.parent.mkdir()
    picture = Image.fromarray(np.full((100, 100, 3), 110, np.uint8))
    picture.save(photo, exif=exif, comment=b"SECRET-comment", quality=100)
    assert b"SECRET" in photo.read_bytes()
    for suffix in (".png", ".jpg", ".webp"):
        options = Options(suffix=suffix, paste_back=True, sheet=True)
        (line,) = stylize_files(stylizer, photo, tmp_path / "out", options)
        assert len(line.outputs) == 2
        for name in line.outputs:
            assert b"SECRET" not in (tmp_path / "out" / name).read_bytes()
            with Image.open(tmp_path / "out" / name) as written:
                assert not written.getexif() and "comment" not in written.info


def test_which_files_are_photos(folder: Path, tmp_path: Path) -> None:
    names = [p.name for p in photos(folder, tmp_path / "out")]
    assert names == ["broken.jpg", "empty landscape.png", "me.png", "me.webp", "sub/Zoë with space.png", "zero.png"]
    write_image(folder / "out" / "made.png", draw(1))
    assert "out/made.png" in [p.name for p in photos(folder, tmp_path / "out")]
    assert "out/made.png" not in [p.name for p in photos(folder, folder / "out")]
    assert [p.name for p in photos(folder / "sub", folder)] == ["Zoë with space.png"]  # the pictures lie above
    with pytest.raises(UsageError, match="among the photos"):
        photos(folder, folder / "sub" / "..")
    with pytest.raises(UsageError, match="no file or folder"):
        photos(folder / "missing", tmp_path)
    with pytest.raises(UsageError, match="holds no pictures"):
        photos(folder / "folder.png", tmp_path)


def test_stems_differ_even_where_case_does_not_count(tmp_path: Path) -> None:
    for name in ("Me.png", "me.jpg", "you.png"):
        write_image(tmp_path / "in" / name, np.asarray(astronaut())[:16, :16])
    assert [p.stem for p in photos(tmp_path / "in", tmp_path / "out")] == ["Me.png", "me.jpg", "you"]


@pytest.mark.parametrize("first", ["prepare", "stylize"])
def test_faces_and_pictures_share_a_folder(tmp_path: Path, stylizer: Stylizer, first: str) -> None:
    """Fault II-23: each command refused the report of the other."""
    source, out = tmp_path / "in", tmp_path / "out"
    write_image(source / "me.png", draw(1))

    def faces() -> None:
        prepare(source, out, 16, lambda picture, name: [AlignedFace(picture[:16, :16], np.zeros((4, 2)), np.eye(3))])

    def drawings() -> None:
        assert [line.status for line in run(stylizer, source, out).values()] in (["done"], ["skipped"])

    work = [faces, drawings] if first == "prepare" else [drawings, faces]
    for do in (*work, *work):
        do()
    other = "report.photos.json" if first == "prepare" else "report.pictures.json"
    assert files(out) == ["me.png", "me.wild.png", "report.json", other]
    assert run(stylizer, source, out)["me.png"].status == "skipped"


def test_what_a_killed_run_left_is_no_photo(folder: Path, stylizer: Stylizer, tmp_path: Path) -> None:
    write_image(folder / "out" / "me.other.png", draw(1))
    assert "out/me.other.png" in [photo.name for photo in photos(folder, tmp_path / "new")]
    (folder / "out" / ".report.json.journal").write_bytes(b"")
    assert "out/me.other.png" not in [photo.name for photo in photos(folder, tmp_path / "new")]


def test_every_file_that_claims_to_be_a_picture_is_in_the_report(
    folder: Path, tmp_path: Path, stylizer: Stylizer
) -> None:
    for ending in (".HEIC", ".gif", ".bmp", ".TIF", ".jfif"):
        (folder / f"x{ending}").write_bytes(b"x")
    lines = run(stylizer, folder, tmp_path / "out")
    assert {name for name in lines if name.startswith("x")} == {"x.HEIC", "x.gif", "x.bmp", "x.TIF", "x.jfif"}
    assert all(line.kind == "not-an-image" for name, line in lines.items() if name.startswith("x"))


def test_drawings_of_earlier_runs_are_not_taken_as_photos(
    folder: Path, tmp_path: Path, stylizer: Stylizer, tiny_model: Model, tiny_style: Model, models_folder: Path
) -> None:
    names = [p.name for p in photos(folder, tmp_path / "out")]
    stylize_files(stylizer, folder / "sub" / "Zoë with space.png", folder / "sub", Options(sheet=True))
    run(stylizer, folder / "sub", folder / "earlier")
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    assert (folder / "sub" / "Zoë with space.face2.wild.png").is_file() and (folder / "earlier").is_dir()
    assert [p.name for p in photos(folder, tmp_path / "out")] == names
    write_image(folder / "me.summer.png", draw(1))  # not a style
    assert [p.name for p in photos(folder, tmp_path / "out")] == sorted([*names, "me.summer.png"])


def test_suffixes_may_be_in_capitals(folder: Path, tmp_path: Path, stylizer: Stylizer) -> None:
    (line,) = stylize_files(stylizer, folder / "me.png", tmp_path / "out", Options(suffix=".JPG"))
    assert line.outputs == ["me.wild.jpg"]


def test_a_stopped_run_draws_the_photo_in_hand_again(
    folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault I-1: pictures of a photo that the report did not know yet were taken for somebody else's for ever."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    both = with_styles(tiny_model, {"wild": tiny_style, "calm": restyled(tiny_model, "calm", 2)})
    run(both, folder, whole)
    real, written = folder_run.write_bytes, []

    def stop_after_the_first(path: Path, *args: object, **more: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        real(path, *args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(folder_run, "write_bytes", stop_after_the_first)
        run(both, folder, out)
    assert [p.name for p in written] == ["me.png.wild.png"] and (out / "me.png.wild.png").is_file()
    lines = run(both, folder, out)
    assert lines["me.png"].outputs == ["me.png.wild.png", "me.png.calm.png"]
    pictures = [name for name in files(whole) if name != "report.json"]
    assert {n: (out / n).read_bytes() for n in pictures} == {n: (whole / n).read_bytes() for n in pictures}
    assert files(out) == files(whole)


def test_pictures_of_photos_that_differ_in_case_are_known_again(
    models_folder: Path, tiny_model: Model, tiny_style: Model
) -> None:
    save_pack(models_folder / "wild.safetensors", tiny_style, tiny_model)
    names = [Path("A.jpg"), Path("a.jpg"), Path("A.jpg.wild.png"), Path("a.jpg_.wild.png"), Path("b_.wild.png")]
    assert drawn_pictures(names) == {Path("A.jpg.wild.png"), Path("a.jpg_.wild.png")}
