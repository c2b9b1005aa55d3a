"""GIF, BMP, TIFF and HEIC, which Pillow reads by itself, under the caps of the others."""

from __future__ import annotations

import builtins
import io
import struct
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from portraitist.data import read_image
from portraitist.data.images import Pixels
from portraitist.errors import BadImage
from tests.data.made_files import noise, scene

QUARTER = 6
"""Orientation of a photo whose camera was turned."""


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = QUARTER
    return exif


def heic(pixels: Pixels, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    size = pixels.shape[1], pixels.shape[0]
    lossless: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    pillow_heif.encode("RGB", size, pixels.tobytes(), buffer, exif=exif.tobytes(), **lossless)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_pixels_are_those_of_the_file(kind: str) -> None:
    pixels = noise(12, 17)
    assert np.array_equal(read_image(saved(Image.fromarray(pixels), kind)), pixels)


def test_gif_shows_its_palette() -> None:
    picture = Image.fromarray(scene(12, 17)).quantize(16)
    assert np.array_equal(read_image(saved(picture, "GIF")), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_tiff_shows_what_a_png_or_pillow_shows(mode: str) -> None:
    grey = Image.fromarray(scene(16, 16)).convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        wanted = np.asarray(grey.convert("RGB"))
    else:
        picture = Image.fromarray(scene(16, 16)).convert(mode)
        wanted = np.asarray(picture.convert("RGB"))
    assert np.array_equal(read_image(saved(picture, "TIFF")), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("white", [0, 1])
def test_the_white_end_of_a_grey_tiff_is_where_it_says(bits: int, white: int) -> None:
    grey = np.asarray(Image.fromarray(scene(16, 16)).convert("L"))
    stored = grey if bits == 8 else grey.astype(np.uint16) * 257
    data = saved(Image.fromarray(stored), "TIFF", tiffinfo={262: white})
    with Image.open(io.BytesIO(data)) as check:
        assert check.tag_v2[262] == white  # type: ignore[attr-defined]
    # Photometric interpretation 0: 0 is white. Pillow turns 8 bits over as it writes them, and 16 not.
    assert (stored.tobytes() in data) == (bits == 16 or white == 1)
    wanted = 255 - grey if (bits, white) == (16, 0) else grey
    assert np.array_equal(read_image(data)[..., 0], wanted)


@pytest.mark.parametrize("alpha", [0, 128])
def test_a_bmp_that_is_clear_everywhere_leaves_its_opacity_unused(alpha: int) -> None:
    pixels = scene(16, 16)
    body = np.dstack([pixels[::-1, :, ::-1], np.full((16, 16), alpha, np.uint8)]).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    header = struct.pack("<IiiHHIIiiII", 108, 16, 16, 1, 32, 3, len(body), 0, 0, 0, 0) + masks
    file = b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body
    found = read_image(file)
    if alpha:
        half = np.abs(found.astype(int) - (pixels * (alpha / 255) + 255 - alpha))
        assert half.max() <= 1
    else:
        assert np.array_equal(found, pixels)


def test_a_tiff_of_numbers_is_refused() -> None:
    with pytest.raises(BadImage, match="TIFF file of the kind F") as refused:
        read_image(saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"))
    assert refused.value.kind == "format"


@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
def test_a_turned_tiff_is_turned_once(compression: str | None) -> None:
    picture = Image.fromarray(noise(12, 17))
    found = read_image(saved(picture, "TIFF", exif=turned_exif(), compression=compression))
    assert np.array_equal(found, np.rot90(np.asarray(picture), -1))


def test_a_turned_heic_is_turned_once_as_its_jpeg_is() -> None:
    pixels = np.ascontiguousarray(scene(64, 96))
    assert np.array_equal(read_image(heic(pixels, QUARTER)), np.rot90(pixels, -1))
    grey = np.repeat(pixels[..., :1], 3, axis=-1)  # JPEG rounds colours by more than two levels
    jpeg = read_image(saved(Image.fromarray(grey), "JPEG", quality=100, subsampling=0, exif=turned_exif()))
    found = read_image(heic(grey, QUARTER))
    assert found.shape == jpeg.shape == (96, 64, 3)
    assert np.abs(found.astype(int) - jpeg).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_of_several_pictures_the_first_is_read_and_that_is_said(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Image.fromarray(scene(16, 16)).convert("L").point(lambda v, k=k: v * k // 2) for k in (2, 1))
    data = saved(first, kind, save_all=True, append_images=[second])
    assert np.array_equal(read_image(data, name="me"), np.asarray(first.convert("RGB")))
    assert "me holds several pictures: the first is taken" in caplog.text


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "HEIC"])
def test_damage_and_size_are_refused_as_of_the_others(kind: str) -> None:
    pixels = np.ascontiguousarray(scene(64, 64))
    data = heic(pixels) if kind == "HEIC" else saved(Image.fromarray(pixels), kind)
    with pytest.raises(BadImage) as cut:
        read_image(data[: len(data) // 2])
    assert cut.value.kind == "truncated" and cut.value.cure
    with pytest.raises(BadImage) as large:
        read_image(data, max_pixels=64 * 64 - 1)
    assert large.value.kind == "too-large"


@pytest.mark.parametrize("side", [20_000, 9_500])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    bomb = bytearray(saved(Image.fromarray(noise(4, 4)), "BMP"))
    struct.pack_into("<ii", bomb, 18, side, side)
    with pytest.raises(BadImage) as refused:
        read_image(bytes(bomb))
    assert refused.value.kind == "too-large"


def test_without_the_extra_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data, real = heic(scene(64, 64)), builtins.__import__

    def missing(name: str, *more: Any, **named: Any) -> object:
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BadImage, match="HEIC file") as refused:
        read_image(data)
    assert "portraitist[heic]" in refused.value.cure and refused.value.kind == "format"
