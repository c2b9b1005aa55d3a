"""Painters that packs carry: stored whole, drawn by where they are better, passed over where codes are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from portraitist.data.images import Pixels, resize, to_array, to_tensor
from portraitist.errors import BadModel, UsageError
from portraitist.export.drawable import find_drawable
from portraitist.io.headers import PackPainter, check_header, read_header
from portraitist.io.model_file import Model, load_model, save_model, save_pack
from portraitist.io.painter_files import default_painter
from portraitist.networks.painter import Painter, PainterAnatomy, new_painter
from portraitist.stylize import ByEncoder, ByOptimisation, Stylizer
from portraitist.stylize.packed import PackedPainter
from portraitist.video import StyleArtist
from tests.conftest import restyled
from tests.stylize.tiny_encoders import make_encoder

SMALL = PainterAnatomy((4, 6, 8), 1, 5.0)


@pytest.fixture
def painter() -> Painter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = new_painter(SMALL).eval()
        torch.nn.init.normal_(made.paint.bias, std=0.3)  # paints something
        torch.nn.init.normal_(made.field.bias, std=2.0)  # and moves it
    return made


def carrying(style: Model, painter: Painter, is_default: bool = True) -> Model:
    about = PackPainter(SMALL, 32, is_default, metrics={"painter": {}})
    return replace(style, painter=painter, header=replace(style.header, painter=about))


def drawn(stylizer: Stylizer, photo: Pixels) -> Pixels:
    return stylizer.stylize(photo, aligned=True, size=256).faces[0].pictures["wild"]


@pytest.fixture
def photo() -> Pixels:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return resize(coarse, 256)


@pytest.fixture
def wanted(painter: Painter, photo: Pixels) -> Pixels:
    with torch.no_grad():
        return resize(to_array(painter(to_tensor(resize(photo, 32))[None]).image[0]), 256)


def test_a_pack_keeps_its_painter(tiny_model: Model, tiny_style: Model, painter: Painter, tmp_path: Path) -> None:
    path = save_pack(tmp_path / "wild.safetensors", carrying(tiny_style, painter), tiny_model)
    again = load_model(path, find_base=lambda header: tiny_model)
    assert again.painter is not None and again.header.painter == read_header(path).painter
    for name, tensor in painter.state_dict().items():
        assert torch.equal(again.painter.state_dict()[name], tensor)
    assert again.digest == tiny_style.digest  # what codes draw is the same
    stored = default_painter(again)
    assert stored is not None and (stored.header.name, stored.header.side) == ("wild", 32)
    assert default_painter(carrying(tiny_style, painter, False)) is default_painter(tiny_style) is None
    # A whole model has no painter; a painter needs its description.
    whole = load_model(save_model(tmp_path / "whole.safetensors", carrying(tiny_style, painter)))
    assert whole.painter is None and whole.header.painter is None
    with pytest.raises(BadModel, match="does not describe the painter"):
        save_pack(tmp_path / "x.safetensors", replace(tiny_style, painter=painter), tiny_model)


def test_a_painter_that_is_not_whole_is_refused(
    tiny_model: Model, tiny_style: Model, painter: Painter, tmp_path: Path
) -> None:
    path = save_pack(tmp_path / "wild.safetensors", carrying(tiny_style, painter), tiny_model)
    with safe_open(path, "pt") as file:
        assert "P.stem.weight" in file.keys()
    larger = replace(carrying(tiny_style, painter).header, painter=PackPainter(replace(SMALL, blocks=2), 32))
    with pytest.raises(BadModel, match="does not describe the painter"):
        save_pack(tmp_path / "y.safetensors", replace(tiny_style, painter=painter, header=larger), tiny_model)
    huge = replace(larger, painter=PackPainter(replace(SMALL, blocks=999), 32))
    with pytest.raises(BadModel, match="too large"):
        check_header(huge)


def test_photos_are_drawn_by_the_better(
    tiny_model: Model, tiny_style: Model, painter: Painter, photo: Pixels, wanted: Pixels
) -> None:
    plain = ByEncoder(make_encoder(tiny_model))
    one = Stylizer(tiny_model, {"wild": carrying(tiny_style, painter)}, inversion=plain)
    assert np.array_equal(drawn(one, photo), wanted)
    code = drawn(Stylizer(tiny_model, {"wild": tiny_style}, inversion=plain), photo)
    assert not np.array_equal(code, wanted)
    asked = {"method": "code"}, {"detail": 0.5}, {"inversion": ByEncoder(make_encoder(tiny_model), samples=2)}
    for options in asked:
        by = Stylizer(tiny_model, {"wild": carrying(tiny_style, painter)}, **{"inversion": plain, **options})
        assert np.array_equal(drawn(by, photo), code), options
        assert by.painter("wild") is None and one.settings != by.settings
    worse = {"wild": carrying(tiny_style, painter, False)}
    assert np.array_equal(drawn(Stylizer(tiny_model, worse, inversion=plain), photo), code)
    forced = Stylizer(tiny_model, worse, inversion=plain, method="painter")
    assert np.array_equal(drawn(forced, photo), wanted)
    # A code that is given is drawn itself.
    face = one.stylize(photo, aligned=True).faces[0]
    assert np.array_equal(one.redraw(face.aligned, 256, code=face.code).pictures["wild"], code)
    # Several faces at a time are drawn as one alone.
    (together,) = one.batch([photo], aligned=True, size=256)
    assert np.array_equal(together.faces[0].pictures["wild"], wanted)


def test_a_face_that_painters_draw_is_inverted_when_its_code_is_asked_for(
    tiny_model: Model, tiny_style: Model, painter: Painter, photo: Pixels
) -> None:
    stored, seen = make_encoder(tiny_model), []
    stored.encoder.register_forward_hook(lambda *_: seen.append(1))
    plain = ByEncoder(stored)
    by = Stylizer(tiny_model, {"wild": carrying(tiny_style, painter)}, inversion=plain)
    (face,), (other,) = by.stylize(photo, aligned=True).faces, next(by.batch([photo], aligned=True)).faces
    assert not seen
    known = Stylizer(tiny_model, {"wild": tiny_style}, inversion=plain).stylize(photo, aligned=True).faces[0]
    assert len(seen) == 1
    assert torch.equal(face.code.data, known.code.data) and torch.equal(other.code.data, face.code.data)
    assert np.array_equal(face.reconstruction, known.reconstruction) and len(seen) == 3
    # One style without a painter: the face is inverted at once.
    by.add(tiny_style, name="plain")
    mixed = by.stylize(photo, aligned=True).faces[0]
    assert len(seen) == 4 and np.array_equal(mixed.pictures["wild"], face.pictures["wild"])


def test_a_painter_that_is_asked_for_must_be_there_and_be_all(
    tiny_model: Model, tiny_style: Model, painter: Painter
) -> None:
    plain = ByEncoder(make_encoder(tiny_model))
    with pytest.raises(UsageError, match=r"'wild' has no painter.*distill"):
        Stylizer(tiny_model, {"wild": tiny_style}, inversion=plain, method="painter")
    for options, what in (
        ({"detail": 0.5}, "Less detail"),
        ({"inversion": ByOptimisation()}, "An inversion"),
        ({"swap": 8}, "A swap"),
    ):
        with pytest.raises(UsageError, match=f"{what} is for codes"):
            Stylizer(
                tiny_model,
                {"wild": carrying(tiny_style, painter)},
                **{"inversion": plain, "method": "painter"} | options,
            )


def test_strength_goes_from_the_photo_to_the_drawing(painter: Painter, photo: Pixels, wanted: Pixels) -> None:
    about = PackPainter(SMALL, 256)
    given, whole = photo.astype(float), PackedPainter(painter, about).paint(photo).astype(float)
    none, half = (PackedPainter(painter, about, s).paint(photo).astype(float) for s in (0.0, 0.5))
    assert np.abs(none - given).max() <= 1
    near, far = np.abs(half - given).mean(), np.abs(whole - given).mean()
    assert 0.3 * far < near < 0.8 * far


def test_videos_and_exports_take_it_too(
    tiny_model: Model, tiny_style: Model, painter: Painter, models_folder: Path, tmp_path: Path
) -> None:
    save_model(models_folder / "faces.safetensors", tiny_model)
    path = save_pack(tmp_path / "wild.safetensors", carrying(tiny_style, painter), tiny_model)
    found = find_drawable(path, side=64)
    assert (found.kind, found.side, found.about.name) == ("painter", 64, "wild")
    artist = StyleArtist(Stylizer.load([path], inversion=ByEncoder(make_encoder(tiny_model))))
    assert artist.stylizer.painter("wild") is not None
    # A mixture is drawn by codes.
    save_pack(tmp_path / "calm.safetensors", restyled(tiny_model, "calm", seed=2), tiny_model)
    mixture = f"{path}:0.5+{tmp_path / 'calm.safetensors'}:0.5"
    mixed = Stylizer.load([mixture], inversion=ByEncoder(make_encoder(tiny_model)))
    assert mixed.painter(mixed.styles[0]) is None
