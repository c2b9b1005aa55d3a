"""The Python API as people expect it: pictures in and out, batches, progress, steps as functions."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import portraitist
from portraitist import ByEncoder, Stylizer, invert_photo
from portraitist.errors import BadImage, OutOfMemory, PortraitistError, UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.stylize import ByOptimisation
from portraitist.stylize.portraits import Portraits
from tests.stylize.test_batch import Marked, draw, with_styles
from tests.stylize.tiny_encoders import make_encoder

FACE = np.ascontiguousarray(np.asarray(astronaut())[40:200, 150:310])


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))


@pytest.fixture
def stylizer(tiny_model: Model, tiny_style: Model) -> Stylizer:
    return with_styles(tiny_model, {"wild": tiny_style})


def same(a: Portraits, b: Portraits) -> bool:
    return np.array_equal(a.faces[0].pictures["wild"], b.faces[0].pictures["wild"])


def test_five_kinds_of_input_give_one_picture_from_any_thread(stylizer: Stylizer, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(FACE).save(buffer, "PNG")
    (tmp_path / "me.png").write_bytes(buffer.getvalue())
    kinds = [tmp_path / "me.png", str(tmp_path / "me.png"), buffer.getvalue(), FACE, Image.fromarray(FACE)]
    first = stylizer.stylize(kinds[0], aligned=True)
    with ThreadPoolExecutor(2) as pool:
        assert all(same(first, other) for other in pool.map(lambda k: stylizer.stylize(k, aligned=True), kinds))


def test_pictures_of_pillow_are_read_as_their_files(stylizer: Stylizer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for picture in (
        Image.fromarray(np.dstack([FACE, np.arange(160, dtype=np.uint8).repeat(160).reshape(160, 160)])),
        Image.fromarray(FACE).convert("L"),
        Image.fromarray(FACE).quantize(32),
        Image.fromarray(FACE),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", exif=exif)
        opened = Image.open(io.BytesIO(buffer.getvalue()))
        assert same(stylizer.stylize(opened, aligned=True), stylizer.stylize(buffer.getvalue(), aligned=True))
    with pytest.raises(BadImage, match="kind F"):
        stylizer.stylize(Image.fromarray(np.ones((40, 40), np.float32)), aligned=True)
    cut = Image.open(io.BytesIO(buffer.getvalue()[:2000]))
    with pytest.raises(BadImage, match="ends early"):
        stylizer.stylize(cut, aligned=True)


@pytest.mark.parametrize("wrong", [None, 3, ["me.jpg"], np.zeros((4, 4)), b"", Path("nowhere.png")])
def test_only_errors_with_a_type_leave(stylizer: Stylizer, wrong: object) -> None:
    with pytest.raises(PortraitistError):
        stylizer.stylize(wrong)  # type: ignore[arg-type]


def test_a_full_memory_has_a_type_too(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(stylizer, "draw", full)
    with pytest.raises(OutOfMemory, match="not enough memory"):
        stylizer.stylize(FACE, aligned=True)


def test_results_are_saved_and_shown(stylizer: Stylizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portraits = stylizer.stylize(draw(2))
    assert portraits.image.size == (256, 256) and np.array_equal(
        np.asarray(portraits.image), portraits.faces[0].pictures["wild"]
    )
    assert portraits.save(tmp_path / "me.png") == [tmp_path / "me.wild.png", tmp_path / "me.face2.wild.png"]
    assert portraits.faces[1].save(tmp_path / "second.jpg") == [tmp_path / "second.jpg"]
    assert [p.name for p in portraits.save(tmp_path)] == ["portrait.wild.png", "portrait.face2.wild.png"]
    with pytest.raises(UsageError, match="exists already"):
        portraits.save(tmp_path)
    portraits.save(tmp_path, overwrite=True)
    with pytest.raises(UsageError, match=r"cannot end in '.gif'"):
        portraits.save(tmp_path / "me.gif")
    shown: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda picture: shown.append(picture))
    portraits.show()
    assert len(shown) == 1 and portraits._repr_png_().startswith(b"\x89PNG")


def test_from_pretrained_takes_one_style_or_several(known: None) -> None:
    how = ByOptimisation(replace(ByOptimisation().projection, steps=1))
    assert Stylizer.from_pretrained("wild", inversion=how, device="cpu").styles == ("wild",)
    assert Stylizer.from_pretrained(["wild", "wild:0.5"], device="cpu").styles == ("wild", "wild-0.5")
    assert Stylizer.from_pretrained().styles == ("wild",)
    with pytest.raises(UsageError, match="There is no model 'nobody'"):
        Stylizer.from_pretrained("nobody")
    with pytest.raises(UsageError, match="Unknown device"):
        Stylizer.from_pretrained("wild", device="tpu")


@pytest.mark.parametrize("samples", [0, 2])
def test_a_batch_is_drawn_as_one_by_one_to_two_levels(tiny_model: Model, tiny_style: Model, samples: int) -> None:
    stored = make_encoder(tiny_model, "e", seed=1)
    stylizer = Stylizer(tiny_model, {"wild": tiny_style}, finder=Marked(), inversion=ByEncoder(stored, samples=samples))
    photos = [draw(1), draw(2), draw(0), draw(1)]
    failed: list[object] = []
    together = list(stylizer.batch(photos, batch_size=3, on_error=lambda photo, error: failed.append(error)))
    alone = [stylizer.stylize(photo) for photo in (photos[0], photos[1], photos[3])]
    assert len(failed) == 1 and isinstance(failed[0], BadImage)
    for one, other in zip(alone, together, strict=True):
        assert len(one.faces) == len(other.faces)
        for a, b in zip(one.faces, other.faces, strict=True):
            assert list(a.named()) == list(b.named()) and len(a.named()) == 1 + samples
            for name, picture in a.named().items():
                assert np.abs(picture.astype(int) - b.named()[name]).max() <= 2
    with pytest.raises(BadImage):
        list(stylizer.batch(photos))
    with pytest.raises(UsageError, match="batch of 0"):
        stylizer.batch(photos, batch_size=0)


def test_stages_are_told(tiny_model: Model, tiny_style: Model) -> None:
    told: list[tuple[str, int, int]] = []
    how = ByOptimisation(replace(ByOptimisation().projection, steps=2))
    stylizer = Stylizer(tiny_model, {"wild": tiny_style}, inversion=how, on_progress=lambda *stage: told.append(stage))
    stylizer.stylize(FACE, aligned=True)
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["faces", "inversion", "drawing"]
    assert told[0] == ("faces", 0, 1) and ("inversion", 2, 2) in told and told[-1] == ("drawing", 1, 1)


def test_a_photo_is_inverted_by_a_function(known: None) -> None:
    how = ByOptimisation(replace(ByOptimisation().projection, steps=1))
    face = invert_photo(FACE, base="tiny", inversion=how, aligned=True, device="cpu")
    assert tuple(face.code.data.shape) == (1, 6, 16) and face.reconstruction.shape == (256, 256, 3)
    assert not face.pictures and {"train_style", "edit_photo", "evaluate_style"} <= set(portraitist.__all__)


def test_a_batch_keeps_what_is_transparent(tiny_model: Model, tiny_style: Model, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "me.png")
    stylizer = Stylizer(tiny_model, {"wild": tiny_style})
    (one,) = stylizer.batch([tmp_path / "me.png"], aligned=True)
    alone = stylizer.stylize(tmp_path / "me.png", aligned=True)
    assert one.opacity is not None and alone.opacity is not None
    assert np.array_equal(one.opacity, picture[..., 3]) and np.array_equal(one.photo, alone.photo)
