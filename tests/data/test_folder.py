from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portraitist.data import BatchOrder, ImageSet
from portraitist.data.images import crop_square, read_image, resize, to_tensor, write_image
from portraitist.data.labels import column_named
from portraitist.errors import BadData, BadImage, UsageError
from tests.data.made_files import encode, moving_webp, noise, scene


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def pictures() -> dict[str, bytes]:
    names = ["men/b.png", "women/a.png", "women/c.png", "women/deep/d.png"]
    return {name: encode(noise(16, 16, seed), "PNG") for seed, name in enumerate(names)}


def test_a_folder_is_sorted_and_decoded(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    images = ImageSet.open(write(tmp_path, {**pictures, "notes.txt": b"", ".hidden.png": b""}), 16)
    assert images.names == tuple(sorted(pictures)) and images.left_out == () and len(images) == 4
    for index, name in enumerate(images.names):
        expected = read_image(pictures[name]).transpose(2, 0, 1)
        assert images[index].dtype == torch.uint8 and np.array_equal(images[index].numpy(), expected)


def test_images_can_be_read_again_at_another_size(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    images = ImageSet.open(write(tmp_path, pictures), 8)
    again = list(images.decoded_at(16))
    assert len(again) == 4 and all(
        np.array_equal(p, read_image(pictures[n])) for p, n in zip(again, images.names, strict=True)
    )
    part = images.subset([2, 0])
    chosen = [read_image(pictures[images.names[k]]) for k in (2, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(part.decoded_at(16), chosen, strict=True))
    assert images[0].shape == (3, 8, 8)  # as before
    (tmp_path / images.names[1]).write_bytes(b"x")
    with pytest.raises(BadImage):
        list(images.decoded_at(16))


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_batch_is_mirrored_and_scaled(tmp_path: Path, pictures: dict[str, bytes], cache_bytes: int) -> None:
    images = ImageSet.open(write(tmp_path, pictures), 16, cache_bytes=cache_bytes)
    batch = images.batch(torch.tensor([2, 0, 2]), torch.tensor([False, True, True]))
    expected = [to_tensor(read_image(pictures[images.names[index]])) for index in (2, 0, 2)]
    assert batch.dtype == torch.float32 and batch.shape == (3, 3, 16, 16)
    assert torch.equal(batch, torch.stack([expected[0], expected[1].flip(-1), expected[2].flip(-1)]))


def test_what_a_caller_writes_into_an_image_stays_his(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    images = ImageSet.open(write(tmp_path, pictures), 16)
    before = images.batch(torch.tensor([0]), torch.tensor([False]))
    images[0].zero_()
    images.batch(torch.tensor([0]), torch.tensor([True])).zero_()
    assert torch.equal(images.batch(torch.tensor([0]), torch.tensor([False])), before)


def test_pictures_are_cut_and_resized(tmp_path: Path) -> None:
    write(tmp_path, {"wide.png": encode(scene(32, 48), "PNG")})
    for method in ("lanczos", "area"):
        image = ImageSet.open(tmp_path, 8, method=method)[0]
        expected = resize(crop_square(scene(32, 48)), 8, method=method)
        assert np.array_equal(image.numpy().transpose(1, 2, 0), expected)


def test_bad_files_are_listed_and_the_rest_is_used(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    bad = {
        "cut.png": encode(noise(16, 16), "PNG")[:-30],
        "empty.jpg": b"",
        "moving.webp": moving_webp(),
        "text.png": b"hello",
        "tiny.png": encode(noise(4, 16), "PNG"),
        "wide.png": encode(noise(16, 17), "PNG"),
    }
    images = ImageSet.open(write(tmp_path, {**pictures, **bad}), 16, fit="refuse")
    assert images.names == tuple(sorted(pictures))
    assert [(name, kind) for name, kind, _ in images.left_out] == [
        ("cut.png", "truncated"),
        ("empty.jpg", "empty"),
        ("moving.webp", "animated"),
        ("text.png", "not-an-image"),
        ("tiny.png", "too-small"),
        ("wide.png", "not-square"),
    ]
    assert all(name in reason for name, _, reason in images.left_out)
    good = ImageSet.open(write(tmp_path / "good", pictures), 16)
    assert all(torch.equal(images[index], good[index]) for index in range(4))


def test_too_few_images_are_an_error_that_says_why(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    write(tmp_path, {**pictures, "text.png": b"hello"})
    with pytest.raises(BadData, match=r"4 usable images, 5 are needed.*text\.png"):
        ImageSet.open(tmp_path, 16, at_least=5)
    with pytest.raises(BadData):
        ImageSet.open(write(tmp_path / "none", {"a.txt": b""}), 16)
    for path in (tmp_path / "missing", tmp_path / "text.png"):
        with pytest.raises(BadData):
            ImageSet.open(path, 16)


def test_the_digest_follows_names_and_pixels_alone(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    folder = ImageSet.open(write(tmp_path / "folder", pictures), 16)
    packed = ImageSet.open(pack(tmp_path / "set.zip", pictures), 16, cache_bytes=0)
    assert folder.digest == packed.digest and len(folder.digest) == 64
    assert folder.digest == folder.subset(range(4)).digest
    name = folder.names[0]
    renamed = {name + ".png" if n == name else n: data for n, data in pictures.items()}
    changed = {**pictures, name: encode(noise(16, 16, 99), "PNG")}
    others = [ImageSet.open(pack(tmp_path / f"{i}.zip", files), 16) for i, files in enumerate([renamed, changed])]
    digests = [folder.digest, folder.select("men").digest, *(other.digest for other in others)]
    assert len(set(digests)) == 4


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_sub_folders_are_attributes(tmp_path: Path, pictures: dict[str, bytes], cache_bytes: int) -> None:
    images = ImageSet.open(write(tmp_path, pictures), 16, cache_bytes=cache_bytes)
    assert images.attributes == {"folder": ("men", "women", "women", "women/deep")}
    women = images.select("women")
    assert women.names == ("women/a.png", "women/c.png") and women.attributes == {"folder": ("women", "women")}
    assert torch.equal(women[1], images[2])
    last = women.subset([1])
    assert torch.equal(last.batch(torch.tensor([0]), torch.tensor([False])), to_tensor(noise(16, 16, 2))[None])
    with pytest.raises(BadData, match="men, women"):
        images.select("children")


def test_a_label_file_gives_attributes(tmp_path: Path) -> None:
    files = {f"{name}.png": encode(noise(8, 8, seed), "PNG") for seed, name in enumerate("abc")}
    table = tmp_path / "labels.csv"
    table.write_text("file,gender,group\na.png,male,kids\nb.png,female,\nnobody.png,male,men\n", encoding="utf-8-sig")
    images = ImageSet.open(write(tmp_path / "set", files), 8, labels=table)
    assert images.attributes["gender"] == ("male", "female", "unknown")
    assert images.attributes["group"] == ("kids", "unknown", "unknown")
    assert images.select("kids").names == ("a.png",)
    assert images.select("unknown", by="gender").names == ("c.png",)
    with pytest.raises(BadData, match="different images in gender, group"):
        images.select("unknown")


@pytest.mark.parametrize("table", ["name,x\na.png,1\n", "file,x\nother.png,1\n", "", 'file,x\n"a.png,1\n', None])
def test_unusable_label_files_are_errors(tmp_path: Path, table: str | None) -> None:
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    write(tmp_path, {"a.png": encode(noise(8, 8), "PNG")})
    with pytest.raises(BadData):
        ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv")


TABLE = [("file", "hair"), ("a.png", "dark"), ("b.png", "light")]


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(map(",".join, TABLE)).encode(),
        "\r\n".join(map(";".join, TABLE)).encode(),
        "\n".join(map("\t".join, TABLE)).encode(),
        "\n".join(map("\t".join, TABLE)).encode("utf-16"),
        "\n".join(map(",".join, TABLE)).encode("utf-8-sig"),
        ("sep=;\n" + "\n".join(map(";".join, TABLE))).encode(),
        "\n".join(map(",".join, TABLE)).replace("file", "File").encode(),
        "\n".join(map(",".join, TABLE)).replace("a.png", "./a.png").encode(),
        "\n".join(map("|".join, TABLE)).encode("utf-16"),
        "\r\n\r\n".join(map(" ; ".join, TABLE)).encode(),
        "\n".join(map(",".join, TABLE)).replace(".png", "").encode(),
        "\n".join(map(",".join, TABLE)).replace("a.png", "A.PNG").encode(),
        "\n".join(map(",".join, [*TABLE, TABLE[1]])).encode(),
    ],
)
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path: Path, content: bytes) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_bytes(content)
    assert ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv").attributes["hair"] == ("dark", "light")


def test_an_attribute_is_named_in_any_case(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write_image(tmp_path / f"{name}.png", np.full((8, 8, 3), i, np.uint8))
    (tmp_path / "labels.csv").write_text("File,Hair,hue\na.png,dark,1\nb.png,light,2\n")
    images = ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv")
    assert images.select("dark", by="hair").names == ("a.png",)
    with pytest.raises(BadData, match="is no attribute"):
        images.select("dark", by="hue")
    assert column_named(["Hair", "HAIR"], "hair") is None and column_named(["Hair", "hair"], "hair") == "hair"


def test_what_fitting_does_to_pictures_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, sides in {"a": (64, 64), "b": (64, 65), "c": (64, 200), "d": (20, 20), "e": (20, 90)}.items():
        write_image(tmp_path / f"{name}.png", np.zeros((*sides, 3), np.uint8))
    with caplog.at_level("INFO", "portraitist"):
        ImageSet.open(tmp_path, 32)
    assert "2 of the 5 pictures are cropped to a square" in caplog.text
    assert "2 of the 5 pictures are enlarged to 32" in caplog.text


def test_two_lines_that_differ_about_a_picture_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_text("file,hair\na.png,dark\n./a.png,light\n")
    with pytest.raises(BadData, match=r"gives a\.png two lines that differ"):
        ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv")


def test_labels_of_no_picture_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_text("file,hair\na.png,dark\nc.png,light\n")
    ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv")
    assert "labels.csv names 1 pictures that are not there, such as c.png" in caplog.text


def test_pictures_without_a_label_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "abcd":
        write_image(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_text("\n".join(map(",".join, TABLE)))
    (tmp_path / "dataset.json").write_text('{"labels": [["a.png", 1], ["b.png", 2], ["c.png", 2]]}')
    images = ImageSet.open(tmp_path, 8, labels=tmp_path / "labels.csv")
    assert images.attributes["hair"] == ("dark", "light", "unknown", "unknown")
    assert "labels.csv has no label for 2 of the 4 pictures" in caplog.text
    assert "dataset.json has no label for 1 of the 4 pictures" in caplog.text


def test_dataset_json_labels_are_attributes_or_vectors(tmp_path: Path) -> None:
    names = ["00000/img00000000.png", "00000/img00000001.png"]
    files = {name: encode(noise(8, 8, seed), "PNG") for seed, name in enumerate(names)}

    def packed(labels: object) -> ImageSet:
        content = json.dumps({"labels": labels}).encode()
        return ImageSet.open(pack(tmp_path / "set.zip", {**files, "dataset.json": content}), 8)

    plain = packed(None)
    assert plain.attributes == {} and plain.vectors is None
    numbered = packed([[names[1], 3], [names[0], 0]])
    assert numbered.attributes == {"label": ("0", "3")} and numbered.vectors is None
    vectors = packed([[names[1], [0.5, 1.0]], [names[0], [0.25, -1.0]]])
    assert vectors.vectors is not None and vectors.vectors.tolist() == [[0.25, -1.0], [0.5, 1.0]]
    assert vectors.subset([1]).vectors.tolist() == [[0.5, 1.0]]  # type: ignore[union-attr]
    for broken in (7, [["a"]], [[names[0], [1.0]], [names[1], [1.0, 2.0]]]):
        with pytest.raises(BadData):
            packed(broken)
    unpacked = write(tmp_path / "folder", {**files, "dataset.json": b'{"labels": [["00000/img00000000.png", 4]]}'})
    assert ImageSet.open(unpacked, 8).attributes == {"label": ("4", "unknown")}


def test_a_split_is_seeded_disjoint_and_whole(tmp_path: Path) -> None:
    files = {f"{index:02d}.png": encode(noise(8, 8, index), "PNG") for index in range(20)}
    images = ImageSet.open(write(tmp_path, files), 8)
    rest, held = images.split(0.2, seed=3)
    assert len(held) == 4 and sorted(rest.names + held.names) == list(images.names)
    assert [part.names for part in images.split(0.2, seed=3)] == [rest.names, held.names]
    assert images.split(0.2, seed=4)[1].names != held.names
    assert len(images.split(0.01, at_least=3)[1]) == 3
    for wrong in (0.0, 1.0):
        with pytest.raises(BadData):
            images.split(wrong, at_least=0)


def test_the_order_fits_the_set(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    folder = write(tmp_path, pictures)
    images = ImageSet.open(folder, 16)
    for mirror in (False, True):
        indices, flips = BatchOrder(len(images), 400, 0, mirror).at(0)
        assert sorted(set(indices.tolist())) == [0, 1, 2, 3] and bool(flips.any()) is mirror
        assert images.batch(indices, flips).shape == (400, 3, 16, 16)


def test_real_sets_open_whole(shared: Path) -> None:
    images = ImageSet.open(shared / "data" / "style_toon3d", 32, labels=shared / "data" / "labels_style_toon3d.csv")
    assert len(images) == 244 and not images.left_out
    assert len(images.select("women", by="group")) == 178
    assert ImageSet.open(shared / "data" / "test_unaligned", 32).left_out == ()


@pytest.mark.parametrize("wrong", [{"resolution": -1}, {"resolution": 0}, {"resolution": "16"}, {"path": None}])
def test_arguments_without_a_meaning_are_named(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError):
        ImageSet.open(**{"path": tmp_path, "resolution": 8, **wrong})
    with pytest.raises(UsageError, match="fit='pad'"):
        ImageSet.open(tmp_path, 8, fit="pad")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no share"):
        ImageSet.open(tmp_path, 8).split(float("nan"))
