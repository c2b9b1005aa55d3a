from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portraitist.errors import BadData, BadModel, UsageError
from portraitist.io.codes import KEY, load_as_wplus, load_codes, load_known, save_codes
from portraitist.io.model_file import Model, generator_digest
from portraitist.spaces import Code, W, WPlus, Z, ZPlus

RANDOM = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    "code",
    [
        Z.sample(2, 8, RANDOM),
        ZPlus.sample(2, 4, 8, RANDOM),
        W(torch.randn(1, 8, generator=RANDOM)),
        WPlus(torch.randn(3, 4, 8, generator=RANDOM)),
        W(torch.randn(1, 8, generator=RANDOM)).broadcast(4),  # a view, not contiguous
    ],
)
def test_codes_come_back_with_their_space_and_generator(tmp_path: Path, code: Code) -> None:
    path = tmp_path / "c.safetensors"
    save_codes(path, code, "abc")
    found, generator = load_codes(path)
    assert type(found) is type(code) and torch.equal(found.data, code.data) and generator == "abc"
    with pytest.raises(UsageError, match="exists already"):
        save_codes(path, code, "abc")
    save_codes(path, code, "xyz", overwrite=True)
    assert load_codes(path)[1] == "xyz"


@pytest.mark.parametrize(
    "header",
    [
        {},
        {KEY: "{"},
        {KEY: "[]"},
        {KEY: '"W"'},
        {KEY: json.dumps({"space": "W"})},
        {KEY: json.dumps({"space": ["W"], "generator": "x"})},
        {KEY: json.dumps({"space": "Q", "generator": "x"})},
        {KEY: json.dumps({"space": "W+", "generator": "x"})},  # the tensor has two axes
    ],
)
def test_files_that_hold_no_codes_are_refused(tmp_path: Path, header: dict[str, str]) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"codes": torch.zeros(2, 8)}, path, metadata=header or None)
    with pytest.raises(BadModel, match="cannot be read as a file of codes"):
        load_codes(path)


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(BadModel, match="cannot be read as a file of codes"):
        load_codes(path)
    save_codes(path, W(torch.zeros(1, 8)), "x")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadModel, match="cannot be read as a file of codes"):
        load_codes(path)


def test_one_changed_bit_or_word_of_a_file_of_codes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_codes(path, W(torch.ones(1, 8)), "abcdef")
    whole = path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b"abcdef", b"abcdeg")):
        path.write_bytes(damaged)
        with pytest.raises(BadModel, match="its digest does not fit"):
            load_codes(path)


def test_a_code_of_any_space_becomes_one_of_w_plus(tmp_path: Path, tiny_model: Model) -> None:
    generator, digest = tiny_model.generator, generator_digest(tiny_model)
    rows, path = generator.anatomy.rows, tmp_path / "c.safetensors"
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(2))
    w = generator.styles(z)[:, 0].detach()
    wanted = WPlus(w[:, None].expand(1, rows, 16))
    for code in (Z(z), ZPlus(z[:, None].expand(1, rows, 16)), W(w), wanted):
        save_codes(path, code, digest, overwrite=True)
        assert torch.allclose(load_as_wplus(path, tiny_model).data, wanted.data, atol=1e-6)
    for wrong, words in (
        ((W(torch.zeros(2, 16)), digest), "holds 2 codes"),
        ((W(w), "another"), "codes of another base"),
        ((W(torch.zeros(1, 5)), ""), "does not fit 'tiny'"),
    ):
        save_codes(path, *wrong, overwrite=True)
        with pytest.raises(BadModel, match=words):
            load_as_wplus(path, tiny_model)


@pytest.mark.parametrize("value", [torch.full((1, 8), torch.nan), torch.zeros(1, 8, dtype=torch.int64)])
def test_codes_that_are_no_finite_numbers_are_refused(tmp_path: Path, value: torch.Tensor) -> None:
    header = {KEY: json.dumps({"space": "W", "generator": ""})}
    save_file({"codes": value}, tmp_path / "codes.safetensors", metadata=header)
    with pytest.raises(BadModel, match="finite"):
        load_codes(tmp_path / "codes.safetensors")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(BadModel, match="pipe"):
        load_codes(tmp_path / "pipe.safetensors")


def test_codes_of_a_folder_of_photos_are_read_by_photo(tmp_path: Path, tiny_model: Model) -> None:
    sizes, mine = tiny_model.generator.anatomy, generator_digest(tiny_model)
    stems = {"a.jpg": "a", "sub/a.jpg": "sub/a", "b.jpg": "b.jpg", "b.png": "b.png"}  # b keeps its suffix
    codes = {name: WPlus(torch.randn(1, sizes.rows, sizes.w_dim, generator=RANDOM)) for name in stems}
    (tmp_path / "sub").mkdir()
    for name, stem in stems.items():
        save_codes(tmp_path / f"{stem}.code.safetensors", codes[name], mine)
    found = load_known(tmp_path, list(stems), tiny_model)
    assert list(found) == list(stems) and all(torch.equal(found[name], codes[name].data[0]) for name in stems)
    assert list(load_known(tmp_path, ["b.jpg"], tiny_model)) == ["b.jpg"]  # its b.png has been left out since
    upper = {"C.jpg": "C.jpg", "c.png": "c.png"}
    for stem in upper.values():
        save_codes(tmp_path / f"{stem}.code.safetensors", codes["a.jpg"], mine)
    assert list(load_known(tmp_path, list(upper), tiny_model)) == list(upper)
    with pytest.raises(BadData, match=r"1 of 2 pictures have no code in .*, such as d\.jpg"):
        load_known(tmp_path, ["a.jpg", "d.jpg"], tiny_model)
    save_codes(tmp_path / "a.code.safetensors", codes["a.jpg"], "f" * 64, overwrite=True)
    with pytest.raises(BadModel, match="codes of another base"):
        load_known(tmp_path, ["a.jpg"], tiny_model)
