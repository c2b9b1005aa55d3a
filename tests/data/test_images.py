from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from portraitist.data import images
from portraitist.data.images import (
    crop_square,
    encode_image,
    read_image,
    read_translucent,
    resize,
    to_array,
    to_tensor,
    with_opacity,
    write_image,
)
from portraitist.errors import BadImage, StorageError, UsageError
from tests.data.made_files import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    chunk,
    encode,
    exif,
    matrix_profile,
    noise,
    pixel_bomb,
    png,
    scene,
)

ORIENTED = [
    ("JPEG", {"quality": 95, "subsampling": 0}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
]
ADOBE_RGB = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
DISPLAY_P3 = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])


def kind_of(data: bytes | Path, **options: int) -> str:
    with pytest.raises(BadImage) as caught:
        read_image(data, **options)
    assert caught.value.cure
    return caught.value.kind


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_lossless_formats_return_the_pixels(kind: str, options: dict[str, object]) -> None:
    picture = noise(13, 17)
    assert np.array_equal(read_image(encode(picture, kind, **options)), picture)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(kind: str) -> None:
    picture = scene(40, 56)
    assert np.abs(read_image(encode(picture, kind, quality=95)).astype(int) - picture).max() <= 8


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(noise(8, 8), "PNG"))
    assert np.array_equal(read_image(path), noise(8, 8))
    with path.open("rb") as stream:
        assert np.array_equal(read_image(stream), noise(8, 8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind, options", ORIENTED)
def test_orientation_equals_the_upright_reference(kind: str, options: dict[str, object], orientation: int) -> None:
    data = encode(scene(24, 40), kind, exif=b"Exif\0\0" + exif(orientation), **options)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(read_image(data), upright)
    assert read_image(data).shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))


@pytest.mark.parametrize("kind", [1, 4])
@pytest.mark.parametrize("format, options", ORIENTED)
def test_an_orientation_of_another_type_of_number_counts(format: str, options: dict[str, object], kind: int) -> None:
    usual = encode(scene(24, 40), format, exif=b"Exif\0\0" + exif(6), **options)
    odd = encode(scene(24, 40), format, exif=b"Exif\0\0" + exif(6, kind), **options)
    assert np.array_equal(read_image(odd), read_image(usual))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


@pytest.mark.parametrize("blocks, turned", [((6, None), 6), ((None, 6), 6), ((6, 3), 6), ((1, 6), 1), ((9, 8), 8)])
def test_the_first_of_several_orientations_counts(blocks: tuple[int | None, ...], turned: int) -> None:
    plain = encode(scene(24, 40), "JPEG", quality=95)
    held = [b"MM\0*\0\0\0\x08\0\0" if block is None else exif(block) for block in blocks]
    data = plain[:2] + b"".join(segment(0xE1, b"Exif\0\0" + block) for block in held) + plain[2:]
    upright = read_image(encode(scene(24, 40), "JPEG", quality=95, exif=b"Exif\0\0" + exif(turned)))
    assert np.array_equal(read_image(data), upright)


@pytest.mark.parametrize("block", [b"", b"nonsense", exif(0), exif(9), exif(6)[:16], b"MM\0*\xff\xff\xff\xff"])
def test_nonsense_in_exif_leaves_the_picture_as_stored(block: bytes) -> None:
    data = png(2, 1, 8, GREY, [b"\x01\x02"], chunk(b"eXIf", block))
    assert read_image(data)[0, :, 0].tolist() == [1, 2]


def test_16_bit_grey_is_scaled_and_rounded() -> None:
    levels = np.array([0, 1, 127, 128, 129, 256, 257, 32767, 32768, 65278, 65407, 65535])
    data = png(len(levels), 1, 16, GREY, [levels.astype(">u2").tobytes()])
    expected = np.rint(levels / 257).astype(np.uint8)
    assert read_image(data)[0].tolist() == [[v, v, v] for v in expected]


@given(st.lists(st.integers(0, 65535), min_size=3, max_size=3))
def test_16_bit_colour_is_within_one_level(levels: list[int]) -> None:
    data = png(1, 1, 16, RGB, [np.array(levels, ">u2").tobytes()])
    assert np.abs(read_image(data)[0, 0] - np.array(levels) / 257).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_spans_the_whole_range_and_hides_its_key(bits: int) -> None:
    top = 2**bits - 1
    packed = bytes([top << (8 - bits)])
    row = packed if bits < 8 else b"\xff\x00"
    plain = read_image(png(2, 1, bits, GREY, [row]))
    assert plain[0].tolist() == [[255] * 3, [0] * 3]
    keyed = png(2, 1, bits, GREY, [row], chunk(b"tRNS", struct.pack(">H", top)))
    assert read_image(keyed, matte=(10, 20, 30))[0].tolist() == [[10, 20, 30], [0] * 3]


def test_a_keyed_colour_is_transparent_in_8_and_16_bits() -> None:
    for bits, scale, code in [(8, 1, "u1"), (16, 257, ">u2")]:
        row = (np.array([1, 2, 3, 1, 2, 4]) * scale).astype(code).tobytes()
        key = struct.pack(">HHH", scale, 2 * scale, 3 * scale)
        data = png(2, 1, bits, RGB, [row], chunk(b"tRNS", key))
        assert read_image(data, matte=(9, 8, 7))[0].tolist() == [[9, 8, 7], [1, 2, 4]]
    deep = png(2, 1, 16, GREY, [np.array([500, 501], ">u2").tobytes()], chunk(b"tRNS", struct.pack(">H", 500)))
    assert read_image(deep, matte=(9, 8, 7))[0].tolist() == [[9, 8, 7], [2, 2, 2]]


def test_a_key_of_16_bits_is_compared_in_full() -> None:
    row = np.array([0xFF00, 0xFF00, 0xFF00, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], ">u2").tobytes()
    data = png(3, 1, 16, RGB, [row], chunk(b"tRNS", struct.pack(">HHH", 0xFFFF, 0xFFFF, 0xFFFF)))
    assert read_image(data, matte=(9, 8, 7))[0].tolist() == [[255] * 3, [9, 8, 7], [255] * 3]


def test_a_palette_with_opacities_lies_over_the_matte() -> None:
    palette = chunk(b"PLTE", bytes([200, 100, 50, 0, 0, 255]))
    row = [b"\x00\x01"]
    assert read_image(png(2, 1, 8, PALETTE, row, palette))[0].tolist() == [[200, 100, 50], [0, 0, 255]]
    half = png(2, 1, 8, PALETTE, row, palette, chunk(b"tRNS", b"\x80"))
    assert read_image(half, matte=(0, 0, 0))[0].tolist() == [[100, 50, 25], [0, 0, 255]]


@pytest.mark.parametrize("alpha", [0, 1, 77, 128, 254, 255])
@pytest.mark.parametrize("matte", [(255, 255, 255), (0, 0, 0), (12, 200, 90)])
def test_alpha_is_composed_over_the_matte(alpha: int, matte: tuple[int, int, int]) -> None:
    for colour, levels in [(GREY_ALPHA, [90, 90, 90]), (RGB_ALPHA, [90, 10, 240])]:
        stored = levels[:1] if colour == GREY_ALPHA else levels
        data = png(1, 1, 8, colour, [bytes([*stored, alpha])])
        exact = (np.array(levels) * alpha + np.array(matte) * (255 - alpha)) / 255
        assert np.abs(read_image(data, matte=matte)[0, 0] - exact).max() <= 0.51


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_opacity_is_turned_with_the_picture(orientation: int) -> None:
    layered = np.dstack([scene(24, 40), noise(24, 40)[:, :, 0]])
    data = encode(layered, "PNG", exif=b"Exif\0\0" + exif(orientation))
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    picture, opacity = read_translucent(data)
    assert np.array_equal(opacity, upright[..., 3]) and np.array_equal(picture, read_image(data))


def test_an_opacity_that_hides_nothing_is_none() -> None:
    assert read_translucent(encode(scene(8, 8), "PNG"))[1] is None
    assert read_translucent(encode(np.dstack([scene(8, 8), np.full((8, 8), 255, np.uint8)]), "PNG"))[1] is None


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_picture_with_its_opacity_shows_the_same_over_white(suffix: str) -> None:
    opacity = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None], 64, axis=0)
    picture = read_image(encode(np.dstack([scene(64, 64), opacity]), "PNG"))
    data = encode_image(with_opacity(picture, opacity), suffix)
    again, kept = read_translucent(data)
    assert np.abs(again.astype(int) - picture).mean() < (2 if suffix == ".jpg" else 0.5)
    assert kept is None if suffix == ".jpg" else np.array_equal(kept, opacity)


PLTE, TRNS, ICCP = chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\0"), chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x"))


@pytest.mark.parametrize(
    "chunks", [[TRNS, PLTE], [TRNS], [PLTE, chunk(b"tRNS", bytes(3))], [PLTE, PLTE], [PLTE, ICCP], [PLTE, TRNS, TRNS]]
)
def test_chunks_that_decoders_read_differently_are_refused(chunks: list[bytes]) -> None:
    assert read_image(png(1, 1, 8, PALETTE, [b"\0"], ICCP, PLTE, TRNS)).shape == (1, 1, 3)
    with pytest.raises(BadImage, match="damaged"):
        read_image(png(1, 1, 8, PALETTE, [b"\0"], *chunks))


def test_alpha_in_webp_lies_over_the_matte() -> None:
    layered = np.dstack([noise(8, 8), np.zeros((8, 8), np.uint8)])
    assert (read_image(encode(layered, "WEBP", lossless=True, exact=True), matte=(1, 2, 3)) == (1, 2, 3)).all()


@pytest.mark.parametrize("ink, rgb", [((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0), ((0, 0, 0, 128), 127)])
@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_with_and_without_the_adobe_marker(ink: tuple[int, ...], rgb: int, adobe: bool) -> None:
    sheet = np.full((16, 16, 4), ink, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(sheet if adobe else 255 - sheet, "CMYK").save(buffer, "JPEG", quality=100)
    data = buffer.getvalue()
    marker = data.index(b"\xff\xee")
    if not adobe:
        data = data[:marker] + data[marker + 2 + struct.unpack_from(">H", data, marker + 2)[0] :]
    assert np.abs(read_image(data).astype(int) - rgb).max() <= 2


def through_xyz(levels: np.ndarray, colorants: np.ndarray, gamma: float) -> np.ndarray:
    """The closed form: decode, to XYZ at D50, to linear sRGB, encode (IEC 61966-2-1)."""
    linear = ((levels / 255) ** gamma @ colorants @ np.linalg.inv(SRGB)).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("colorants", [ADOBE_RGB, DISPLAY_P3])
@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WEBP", {"lossless": True})])
def test_wide_gamuts_become_srgb(colorants: np.ndarray, kind: str, options: dict[str, object]) -> None:
    picture = noise(16, 16) // 2 + 64
    profile = matrix_profile(colorants, 2.19921875, "a wide one")
    read = read_image(encode(picture, kind, icc_profile=profile, **options))
    assert np.abs(read - through_xyz(picture, colorants, 2.19921875)).max() <= 2
    assert np.abs(read.astype(int) - picture).max() > 10


def test_a_profile_keeps_transparency() -> None:
    layered = np.dstack([np.full((4, 4, 3), (200, 40, 40), np.uint8), np.full((4, 4), 0, np.uint8)])
    layered[0, :, 3] = 255
    profile = matrix_profile(DISPLAY_P3, 2.2, "P3")
    read = read_image(encode(layered, "PNG", icc_profile=profile), matte=(1, 2, 3))
    assert np.abs(read[0] - through_xyz(layered[0, :, :3], DISPLAY_P3, 2.2)).max() <= 2
    assert (read[1:] == (1, 2, 3)).all()


TRUE_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("profile", [b"broken", matrix_profile(SRGB, 2.2, "x")[:200], TRUE_SRGB])
def test_unreadable_and_srgb_profiles_change_nothing(profile: bytes) -> None:
    assert np.array_equal(read_image(encode(noise(8, 8), "PNG", icc_profile=profile)), noise(8, 8))


@pytest.mark.parametrize("name", ["sRGB", "sRGB linear", "sRGB-elle-V4-g10.icc", "linear"])
def test_what_a_profile_is_counts_and_not_its_name(name: str) -> None:
    grey = np.full((8, 8, 3), 55, np.uint8)
    assert (read_image(encode(grey, "PNG", icc_profile=matrix_profile(SRGB, 1, name))) == 128).all()


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("behind", [0xD8, 0xE0, 0xC0, 0xC4])
def test_the_profile_of_a_jpeg_counts_wherever_it_stands(behind: int, parts: int) -> None:
    profile = matrix_profile(ADOBE_RGB, 2.19921875, "wide").ljust(900, b"\0")
    plain, usual = (encode(scene(24, 40), "JPEG", quality=95, icc_profile=p) for p in (None, profile))
    pieces = [profile[i * 300 : (i + 1) * 300] for i in range(3)] if parts == 3 else [profile]
    segments = [segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, parts]) + piece) for i, piece in enumerate(pieces)]
    at = plain.index(bytes([0xFF, behind]))
    at += 2 if behind == 0xD8 else 2 + struct.unpack_from(">H", plain, at + 2)[0]
    moved = plain[:at] + b"".join(reversed(segments)) + plain[at:]
    assert np.array_equal(read_image(moved), read_image(usual))
    assert not np.array_equal(read_image(moved), read_image(plain))


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_a_profile_may_be_as_large_as_printers_have_them(kind: str, options: dict[str, object]) -> None:
    small = matrix_profile(ADOBE_RGB, 2.19921875, "wide")
    large = small + np.random.default_rng(0).bytes(2 << 20)
    large = struct.pack(">I", len(large)) + large[4:]
    one, other = (read_image(encode(scene(24, 40), kind, icc_profile=p, **options)) for p in (small, large))
    assert np.array_equal(one, other)


def test_a_profile_for_other_channels_is_ignored() -> None:
    grey = noise(8, 8)[..., 0]
    data = encode(grey, "PNG", icc_profile=matrix_profile(DISPLAY_P3, 2.2, "P3"))
    assert np.array_equal(read_image(data)[..., 1], grey)


def test_huge_profiles_are_refused() -> None:
    assert kind_of(encode(noise(8, 8), "JPEG", icc_profile=bytes(5 << 20))) == "colour"
    squeezed = chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(50 << 20)))
    assert kind_of(png(1, 1, 8, GREY, [b"\0"], squeezed)) == "colour"


def test_text_chunks_never_reach_the_decoder() -> None:
    texts = [chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(1 << 20))) for _ in range(100)]
    assert read_image(png(1, 1, 8, GREY, [b"\7"], *texts)).tolist() == [[[7, 7, 7]]]


def test_the_first_picture_of_a_multi_picture_file_is_read() -> None:
    buffer = io.BytesIO()
    second = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    Image.fromarray(scene(16, 16)).save(buffer, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(read_image(buffer.getvalue()).astype(int) - scene(16, 16)).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(noise(8, 8, seed)) for seed in range(3)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    assert kind_of(buffer.getvalue()) == "animated"


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"", "empty"),
        (b"just some text", "not-an-image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "not-an-image"),
        (b"%PDF-1.7", "format"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "format"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "format"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (png(0, 1, 8, GREY, [b""]), "truncated"),
    ],
)
def test_what_is_no_picture_of_ours_is_named(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "nothing.png") == "missing"
    assert kind_of(tmp_path) == "not-an-image"


@pytest.mark.parametrize("kind, options", [*ORIENTED, ("WEBP", {"quality": 80}), ("PNG", {"optimize": True})])
def test_every_shorter_file_is_refused(kind: str, options: dict[str, object]) -> None:
    data = encode(scene(20, 20), kind, **options)
    for length in range(1, len(data)):
        with pytest.raises(BadImage) as caught:
            read_image(data[:length])
        assert caught.value.kind in ("truncated", "not-an-image")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ORIENTED),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=9),
)
def test_damage_gives_pixels_or_a_bad_image(form: tuple[str, dict[str, object]], damage: list[tuple[int, int]]) -> None:
    kind, options = form
    data = bytearray(encode(scene(16, 16), kind, exif=b"Exif\0\0" + exif(6), **options))
    for at, value in damage:
        data[at % len(data)] = value
    try:
        picture = read_image(bytes(data))
    except BadImage:
        return
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


JPEGS = [{}, {"progressive": True}, {"restart_marker_blocks": 5}, {"optimize": True, "subsampling": 0}]


def scan_of(data: bytes) -> int:
    """Where the coded data of the first scan begins."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def coloured(picture: np.ndarray, mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_whose_coded_pixels_are_damaged_is_refused(options: dict[str, object], mode: str) -> None:
    data = coloured(noise(64, 64), mode, **options)
    begin = scan_of(data)
    middle = (begin + len(data)) // 2
    wrong = {
        "cut but closed": data[:middle] + b"\xff\xd9",
        "a piece is twice": data[:middle] + data[middle - 300 :],
        "zeros": data[:middle] + bytes(300) + data[middle + 300 :],
        "an early end": data[:middle] + b"\xff\xd9" + data[middle:],
        "bytes too many": data[:-2] + b"12345" * 6 + data[-2:],
    }
    assert read_image(data).shape == (64, 64, 3)
    for damaged in wrong.values():
        assert kind_of(damaged) == "truncated"


def test_restart_markers_out_of_order_are_refused() -> None:
    data = coloured(noise(64, 64), "RGB", restart_marker_blocks=1)
    first, second = data.index(b"\xff\xd2"), data.index(b"\xff\xd5")
    swapped = data[:first] + b"\xff\xd5" + data[first + 2 : second] + b"\xff\xd2" + data[second + 2 :]
    assert kind_of(swapped) == "truncated"


@pytest.mark.parametrize("options", JPEGS)
def test_a_flipped_bit_that_loses_the_decoders_way_is_refused(options: dict[str, object]) -> None:
    data, random = coloured(scene(64, 64), "RGB", **options), np.random.default_rng(0)
    judged: list[bytearray] = []
    for _ in range(300):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            simplejpeg.decode_jpeg(bytes(damaged), "RGB")
        except ValueError as warned:
            if not str(warned).startswith("Corrupt"):
                continue
            judged += [damaged]
            assert kind_of(bytes(damaged)) in ("truncated", "not-an-image", "too-large")
    assert len(judged) > 10


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", JPEGS)
def test_what_other_programs_leave_in_sound_jpegs_is_no_damage(options: dict[str, object], mode: str) -> None:
    data = coloured(scene(64, 64), mode, **options)
    plain, start = read_image(data), data.index(b"\xff\xda")
    idle = start + 5 + 2 * data[start + 4]  # Ss, Se, Ah and Al, which mean nothing in a sequential picture
    written = {
        "bytes behind the end": data + b"\0trailer" * 99,
        "a second picture": data + data,
        "padding before the end": data[:-2] + bytes(40) + data[-2:],
        "a careless end": data[:-2] + b"\x5a" + data[-2:],
        "fill bytes": data[:-2] + b"\xff" * 5 + data[-2:],
        "a comment": data[:2] + segment(0xFE, b"by nobody") + data[2:],
        "another JFIF": data.replace(b"JFIF\0\1", b"JFIF\0\2"),
    }
    if "progressive" not in options:
        written["Samsung's scan"] = data[:idle] + bytes(3) + data[idle + 3 :]
    for other in written.values():
        assert np.array_equal(read_image(other), plain)


@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
def test_strips_leave_no_seams(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layered = np.dstack([noise(37, 23), noise(37, 23, 1)[..., 0]])
    data = encode(layered, "PNG", exif=b"Exif\0\0" + exif(orientation))
    whole = read_image(data, matte=(1, 2, 3))
    monkeypatch.setattr(images, "_STRIP", 100)
    assert np.array_equal(read_image(data, matte=(1, 2, 3)), whole)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_picture_costs_12_bytes_a_pixel(mode: str, tmp_path: Path) -> None:
    side = 4000
    picture = Image.new(mode, (side, side), 0)
    picture.save(tmp_path / "large.png", exif=b"Exif\0\0" + exif(6), **({"transparency": 0} if mode == "P" else {}))
    assert rise_of_memory(tmp_path / "large.png") <= 12 * side * side + (8 << 20)


def test_a_file_that_is_no_picture_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(400 << 20)
    assert rise_of_memory(tmp_path / "huge.png") < 4 << 20


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert kind_of(tmp_path / "pipe.png") == "missing"


def rise_of_memory(path: Path) -> int:
    """Return the bytes by which the peak of a fresh process rises while it reads a picture."""
    script = """
import resource, sys
from portraitist.data import read_image
from portraitist.errors import BadImage
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_image(sys.argv[1])
except BadImage:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return int(run.stdout)


def test_the_pixel_cap_is_exact() -> None:
    data = png(30, 40, 8, GREY, [bytes(30)] * 40)
    assert kind_of(data, max_pixels=1199) == "too-large"
    assert read_image(data, max_pixels=1200).shape == (40, 30, 3)


def test_bombs_are_refused_without_being_decoded(tmp_path: Path) -> None:
    bombs = {
        "wide.png": pixel_bomb(9427, 9427),
        "tall.png": pixel_bomb(1, 60_000),
        "fills.jpg": b"\xff\xd8" + b"\xff" * (4 << 20),
        "claim.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2 + b"ABCD\0\0\0\0",
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    script = """
import resource, sys
from pathlib import Path
from portraitist.data import read_image
from portraitist.errors import BadImage
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_image(path)
    except BadImage as error:
        print(path.name, error.kind)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    *kinds, rise = run.stdout.splitlines()
    assert kinds == ["claim.webp too-large", "fills.jpg truncated", "tall.png too-large", "wide.png too-large"]
    assert int(rise) < 50


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.JPG"])
def test_written_pictures_hold_pixels_and_nothing_else(tmp_path: Path, name: str) -> None:
    picture = read_image(encode(scene(16, 24), "JPEG", exif=b"Exif\0\0" + exif(1), icc_profile=b"x" * 200))
    path = write_image(tmp_path / "new" / name, picture)
    error = np.abs(read_image(path).astype(int) - picture).max()
    assert error <= (6 if path.suffix == ".JPG" else 0)
    with Image.open(path) as image:
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)
        assert not image.getexif()
    first = path.read_bytes()
    assert write_image(path, picture).read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_writing_fails_by_type_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_image(tmp_path / "a.gif", noise(4, 4))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        write_image(tmp_path / "file" / "a.png", noise(4, 4))
    (tmp_path / "b.png").mkdir()
    with pytest.raises(StorageError):
        write_image(tmp_path / "b.png", noise(4, 4))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.png", "file"]


def test_area_of_whole_blocks_is_their_mean() -> None:
    picture = noise(12, 20)
    mean = picture.reshape(4, 3, 5, 4, 3).mean(axis=(1, 3))
    assert np.array_equal(resize(picture, (4, 5), method="area"), np.rint(mean))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_area_keeps_the_mean(height: int, width: int, rows: int, columns: int) -> None:
    picture = noise(height, width, seed=height)
    small = resize(picture, (rows, columns), method="area")
    assert small.shape == (rows, columns, 3)
    assert np.abs(small.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize("method", ["lanczos", "area"])
def test_shrinking_does_not_alias(method: str) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 16, method=method)[:, 2:-2].astype(int) - 128).max() <= 3


def test_resizing_to_the_same_size_changes_nothing() -> None:
    assert np.array_equal(resize(noise(9, 9), 9), noise(9, 9))


def test_the_centre_square_is_cut() -> None:
    picture = noise(5, 8)
    assert np.array_equal(crop_square(picture), picture[:, 1:6])
    assert np.array_equal(crop_square(picture.transpose(1, 0, 2)), picture.transpose(1, 0, 2)[1:6])


def test_tensors_keep_every_level() -> None:
    levels = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    tensor = to_tensor(levels)
    assert tensor.dtype == torch.float32 and tensor.shape == (3, 16, 16)
    assert tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_array(tensor), levels)
    assert np.array_equal(to_array(torch.stack([tensor, -tensor])), np.stack([levels, 255 - levels]))


def test_halves_round_to_even_and_values_outside_are_clamped() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, 126.5]) / 127.5 - 1
    values = torch.cat([values.double().float(), torch.tensor([-7.0, 7.0])])
    stretched = values.reshape(1, 1, 6).expand(3, 1, 6)
    exact = (values + 1) * 127.5
    assert to_array(stretched)[0, :, 0].tolist() == [*np.rint(exact[:4].numpy()), 0, 255]
    assert to_array(torch.zeros(3, 1, 1)).item(0) == 128  # 127.5


def test_arguments_without_a_meaning_are_named(tmp_path: Path) -> None:
    picture = noise(8, 8)
    for wrong in ([[1]], picture.astype(float), picture[..., 0], picture[:0]):
        with pytest.raises(UsageError, match="is no picture to write"):
            write_image(tmp_path / "a.png", wrong)  # type: ignore[arg-type]
    for wrong in (None, 7, picture):
        with pytest.raises(UsageError, match="is not a picture file"):
            read_image(wrong)  # type: ignore[arg-type]
    for size in (0, -4, 10**7, "8", 2.5):
        with pytest.raises(UsageError, match="cannot have the size"):
            resize(picture, (size, 8))  # type: ignore[arg-type]
    assert resize(picture, np.int64(4)).shape == (4, 4, 3)
    with pytest.raises(UsageError, match="no colour"):
        read_image(encode(picture, "PNG"), matte="white")  # type: ignore[arg-type]
