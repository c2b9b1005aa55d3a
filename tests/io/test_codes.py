from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portraitist.errors import BadModel, UsageError
from portraitist.io.codes import KEY, load_codes, save_codes
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
    with pytest.raises(BadModel, match="no file of codes"):
        load_codes(path)


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(BadModel, match="no file of codes"):
        load_codes(path)
    save_codes(path, W(torch.zeros(1, 8)), "x")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadModel, match="no file of codes"):
        load_codes(path)
