from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from portraitist.data import ImageSet, images, sources
from portraitist.data.sources import ZipSource, open_source, parse_labels
from portraitist.errors import BadData, BadImage
from tests.data.made_files import encode, noise

PICTURE = encode(noise(16, 16), "PNG")


def pack(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_names_that_point_out_of_the_zip_are_left_out(tmp_path: Path) -> None:
    unsafe = ["../up.png", "/absolute.png", "a/../../b.png", "C:/drive.png", "..\\windows.png"]
    path = pack(tmp_path / "set.zip", ("good.png", PICTURE), *((name, PICTURE) for name in unsafe))
    images = ImageSet.open(path, 16)
    assert images.names == ("good.png",)
    assert sorted(name for name, _, _ in images.left_out) == sorted(name.replace("\\", "/") for name in unsafe)
    assert {kind for _, kind, _ in images.left_out} == {"unsafe-name"}
    assert [file.name for file in tmp_path.rglob("*")] == ["set.zip"]


def windows_zip(path: Path, *names: str) -> Path:
    members = [(zipfile.ZipInfo(name), PICTURE) for name in names]
    for (member, _), name in zip(members, names, strict=True):
        member.filename = name  # as programs of Windows write it, which zipfile would mend
    return pack(path, *members)


def test_folders_of_a_zip_may_be_parted_as_windows_parts_them(tmp_path: Path) -> None:
    images = ImageSet.open(windows_zip(tmp_path / "set.zip", "men\\a.png", "women\\b.png", "women\\old\\c.png"), 16)
    assert images.names == ("men/a.png", "women/b.png", "women/old/c.png") and images.left_out == ()
    assert images.attributes["folder"] == ("men", "women", "women/old")
    with pytest.raises(BadData, match=r"has men/a\.png twice"):
        ZipSource(windows_zip(tmp_path / "two.zip", "men\\a.png", "men/a.png"))


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    assert ZipSource(windows_zip(tmp_path / "set.zip", "", "good.png")).names == ["good.png"]


def test_links_and_nested_zips_are_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    nested = pack(tmp_path / "inner.zip", ("x.png", PICTURE)).read_bytes()
    members = [(link, b"/etc/passwd"), ("inner.zip", nested), ("inner.png", nested), ("good.png", PICTURE)]
    images = ImageSet.open(pack(tmp_path / "set.zip", *members, ("__MACOSX/._good.png", b"")), 16)
    assert images.names == ("good.png",)
    assert [(name, kind) for name, kind, _ in images.left_out] == [
        ("inner.png", "format"),
        ("link.png", "not-an-image"),
    ]
    assert images.left_out[1][2] == "link.png is a link."


def test_duplicate_names_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "set.zip", ("a.png", PICTURE), ("a.png", PICTURE))
    with pytest.raises(BadData, match=r"a\.png twice"):
        ZipSource(path)


def test_encrypted_zips_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", ("a.png", PICTURE))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(BadData, match="encrypted"):
        ZipSource(path)


def test_a_failed_checksum_leaves_one_picture_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", ("a.png", PICTURE), ("b.png", encode(noise(16, 16, 1), "PNG")))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    path.write_bytes(data)
    images = ImageSet.open(path, 16)
    assert images.names == ("b.png",)
    assert images.left_out[0][:2] == ("a.png", "truncated") and "CRC" in images.left_out[0][2]


def test_caps_on_ratio_count_and_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = pack(tmp_path / "bomb.zip", ("a.png", bytes(20 << 20)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadData, match="200 to 1"):
        ZipSource(bomb)
    many = pack(tmp_path / "many.zip", *((f"{index}.png", PICTURE) for index in range(12)))
    monkeypatch.setattr(sources, "MAX_TOTAL", 11 * len(PICTURE))
    with pytest.raises(BadData, match="unpacks to more"):
        ZipSource(many)
    monkeypatch.setattr(sources, "MAX_MEMBERS", 11)
    with pytest.raises(BadData, match="12 members"):
        ZipSource(many)


def test_a_directory_of_a_million_members_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    claim = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 10**6, 10**6, 80 * 10**6, 0)
    path.write_bytes(record + struct.pack("<IIQI", 0x07064B50, 0, 0, 1) + claim)
    with pytest.raises(BadData, match="1000000 members"):
        ZipSource(path)


def test_a_size_that_lies_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", len(PICTURE) - 1)
    source = ZipSource(pack(tmp_path / "set.zip", ("a.png", PICTURE)))
    with pytest.raises(BadImage) as caught:
        source.read("a.png")
    assert caught.value.kind == "too-large"


@pytest.mark.parametrize("cut", [1, 10, 22, 40, 60])
def test_cut_zips_are_no_source(tmp_path: Path, cut: int) -> None:
    path = pack(tmp_path / "set.zip", ("a.png", PICTURE))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BadData):
        open_source(path, 16)


def test_unicode_and_spaces_in_names(tmp_path: Path) -> None:
    names = ["Ärger & Spaß.png", "日本/絵 1.png", "a'b;c.png"]
    images = ImageSet.open(pack(tmp_path / "a set.zip", *((name, PICTURE) for name in names)), 16)
    assert images.names == tuple(sorted(names)) and not images.left_out


def test_labels_that_are_no_json_name_the_place() -> None:
    with pytest.raises(BadData, match="line 1, column"):
        parse_labels(b'{"labels": [["a.png", 0],]}', "dataset.json")


def test_two_labels_of_one_picture_are_refused() -> None:
    assert parse_labels(b'{"labels": [["a.png", 0], ["a.png", 0]]}', "dataset.json") == {"a.png": 0}
    with pytest.raises(BadData, match=r"a\.png two labels"):
        parse_labels(b'{"labels": [["a.png", 0], ["a.png", 1]]}', "dataset.json")
