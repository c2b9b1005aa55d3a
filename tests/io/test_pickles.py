"""The restricted reader: what it refuses, how it says so, and that nothing runs."""

from __future__ import annotations

import io
import os
import pickle
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portraitist.errors import BadModel, PortraitistError, UntrustedFile
from portraitist.io.pickles import open_pickle, open_torch

NESTED = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": OrderedDict(n=torch.ones(2, dtype=torch.float64))}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Stateful(Call):
    """Pickles as a call whose result is then given a state."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], state: Any) -> None:
        self.call = function, arguments, state  # type: ignore[assignment]


def written(path: Path, tree: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_and_plain_values_survive(tmp_path: Path, protocol: int) -> None:
    tree = {**NESTED, "set": {1, 2}, "number": np.float64(0.25), "flag": np.bool_(True), "none": None, "x": (1, "é")}
    opened = open_pickle(written(tmp_path / "in.pkl", tree, protocol))
    assert torch.equal(opened.tree["a"], NESTED["a"]) and torch.equal(opened.tree["b"]["n"], NESTED["b"]["n"])
    assert {k: opened.tree[k] for k in ("set", "number", "flag", "none", "x")} == {
        "set": {1, 2},
        "number": 0.25,
        "flag": True,
        "none": None,
        "x": (1, "é"),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i8", "|b1", "<f2"])
def test_arrays_survive(tmp_path: Path, protocol: int, kind: str) -> None:
    values = np.arange(12).reshape(3, 4).astype(kind)
    for array in (values, np.asfortranarray(values), values[:0], np.zeros((), kind)):
        found = open_pickle(written(tmp_path / "in.pkl", [array], protocol)).tree[0].values
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_spans_tell_where_the_numbers_lie(tmp_path: Path) -> None:
    opened = open_pickle(
        written(tmp_path / "in.pkl", {"zero": torch.zeros(3), "same": torch.zeros(3), "a": NESTED["a"]})
    )
    ends = [opened.spans[opened.tree[k].untyped_storage().data_ptr()] for k in ("zero", "same", "a")]
    assert len(set(ends)) == 3
    start, end = ends[2]
    assert opened.content[end - 24 : end] == np.arange(6, dtype="<f4").tobytes() and end - start > 24


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Call(os.system, "true"), "system"),
        (Call(eval, "1"), "eval"),
        (Call(getattr, "x", "upper"), "getattr"),
        (Call(open, "x"), "open"),
        (Call(torch.load, "x"), "torch.serialization.load"),
        (Call(np.load, "x"), "load"),
        (Path("x"), "pathlib"),
        (np.array([print], dtype=object), "'O8'"),
        (Stateful(OrderedDict, (), {"x": 1}), "sets attributes of OrderedDict"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_everything_off_the_list_is_refused_by_name(tmp_path: Path, call: Any, name: str, protocol: int) -> None:
    with pytest.raises(UntrustedFile, match=name) as error:
        open_pickle(written(tmp_path / "in.pkl", {"G": call}, protocol))
    assert "in.pkl" in error.value.message and error.value.exit_code == 7


def test_no_function_of_the_list_can_be_changed(tmp_path: Path) -> None:
    # Push a function of the list, then give it new defaults: the opcode BUILD sets attributes.
    attack = b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\nN}\x8c\x0c__defaults__K\x01\x85s\x86b."
    (tmp_path / "in.pkl").write_bytes(attack)
    with pytest.raises(UntrustedFile, match="sets attributes of function"):
        open_pickle(tmp_path / "in.pkl")


def storage_call(tensor: torch.Tensor, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Call:
    return Call(
        torch._utils._rebuild_tensor_v2,
        torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True),
        offset,
        size,
        stride,
        False,
        OrderedDict(),
    )


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((5,), (1,), 0), ((2, 2), (3, 1), 0), ((4,), (1,), 1), ((2,), (-1,), 1), ((2, 2), (1,), 0)],
)
def test_tensors_beyond_their_numbers_are_refused(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    good = open_pickle(written(tmp_path / "in.pkl", storage_call(torch.arange(4.0), (2, 2), (2, 1)))).tree
    assert good.tolist() == [[0, 1], [2, 3]]
    with pytest.raises(BadModel, match="tensor of the pickle"):
        open_pickle(written(tmp_path / "in.pkl", storage_call(torch.zeros(4), size, stride, offset)))


def test_nested_files_are_held_to_the_same_list(tmp_path: Path) -> None:
    load = torch.storage._load_from_bytes
    for payload, error in (
        (pickle.dumps(Call(os.system, "true")), PortraitistError),
        (b"PK\x03\x04", BadModel),
        (b"", BadModel),
    ):
        with pytest.raises(error):
            open_pickle(written(tmp_path / "in.pkl", Call(load, payload)))
    buffer = io.BytesIO()
    torch.save({"a": Call(os.system, "true")}, buffer, _use_new_zipfile_serialization=False)
    with pytest.raises(UntrustedFile, match="system"):
        open_pickle(written(tmp_path / "in.pkl", Call(load, buffer.getvalue())))


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("call", [Call(os.system, "true"), Call(eval, "1"), Path("x")])
def test_torch_files_are_refused_by_name(tmp_path: Path, call: Any, new: bool) -> None:
    torch.save({"g": call}, tmp_path / "in.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(UntrustedFile, match=r"system|eval|pathlib"):
        open_torch(tmp_path / "in.pt")


@pytest.mark.parametrize("read", [open_pickle, open_torch])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n <!DOCTYPE html><html>Quota exceeded", "web page"),
        (b"\x1f\x8b\x08\x00", "compressed archive"),
        (b"7z\xbc\xaf\x27\x1c", "compressed archive"),
        (b"hello world", "damaged"),
    ],
)
def test_files_often_mistaken_for_models_are_recognised(
    tmp_path: Path, read: Callable[[Path], Any], content: bytes, message: str
) -> None:
    (tmp_path / "in.pkl").write_bytes(content)
    with pytest.raises(BadModel) as error:
        read(tmp_path / "in.pkl")
    assert message in str(error.value)


def test_missing_file_and_foreign_archive(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="Cannot read"):
        open_torch(tmp_path / "none.pt")
    with zipfile.ZipFile(tmp_path / "in.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(1000))
    with pytest.raises(BadModel, match=r"not of torch\.save"):
        open_torch(tmp_path / "in.pt")


def original() -> bytes:
    return pickle.dumps({**NESTED, "array": np.arange(5.0)}, protocol=4)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, len(original()) - 1))
def test_interrupted_downloads_are_bad_models(tmp_path: Path, cut: int) -> None:
    (tmp_path / "in.pkl").write_bytes(original()[:cut])
    with pytest.raises(BadModel):
        open_pickle(tmp_path / "in.pkl")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, len(original()) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_crashes(tmp_path: Path, where: int, value: int) -> None:
    content = bytearray(original())
    content[where] = value
    (tmp_path / "in.pkl").write_bytes(content)
    try:
        open_pickle(tmp_path / "in.pkl")
    except PortraitistError as error:
        assert error.message


def bomb(levels: int = 60) -> bytes:
    """A pickle of tuples in tuples, each twice the one before: 2^levels steps to hash or to print."""
    return b"(t" + b"2\x86" * levels


@pytest.mark.parametrize("read", [open_pickle, open_torch])
@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}" + bomb() + b"K\x01s.",
        b"\x80\x02}(" + bomb() + b"K\x01u.",
        b"\x80\x02(" + bomb() + b"K\x01d.",
        b"\x80\x04\x8f(" + bomb() + b"\x90.",
        b"\x80\x04(" + bomb() + b"\x91.",
        b"\x80\x02ccollections\nOrderedDict\n(]" + b"(" + bomb() + b"K\x01tatR.",
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0x" + bomb() + b"\x86R.",
        b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}X\x0a\0\0\0class_name" + bomb() + b"s\x85R.",
        b"\x80\x02cnumpy\ndtype\n" + bomb() + b"\x85R.",
    ],
)
def test_what_would_take_for_ever_is_refused_at_once(tmp_path: Path, read: Any, content: bytes) -> None:
    (tmp_path / "bomb.pt").write_bytes(content)
    before = time.process_time()
    with pytest.raises(PortraitistError):
        read(tmp_path / "bomb.pt")
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(1 << 17, 1 << 17),
        torch.empty(3, device="meta"),
        torch.eye(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
        torch.zeros(3, dtype=torch.float8_e4m3fn),
    ],
)
def test_tensors_that_are_not_plain_are_refused_before_they_are_used(tmp_path: Path, tensor: torch.Tensor) -> None:
    for place, tree in enumerate(({"g": {"a": tensor}}, {"list": [tensor]}, (tensor,))):
        path = tmp_path / f"{place}.pt"
        torch.save(tree, path)
        with pytest.raises(BadModel):
            open_torch(path)


def test_a_tensor_that_repeats_a_few_numbers_is_read(tmp_path: Path) -> None:
    torch.save({"mean": torch.ones(16).expand(18, 16)}, tmp_path / "mean.pt")
    assert open_torch(tmp_path / "mean.pt")["mean"].shape == (18, 16)


@pytest.mark.parametrize("read", [open_pickle, open_torch])
def test_a_pipe_is_refused_at_once(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(BadModel, match="pipe"):
        read(tmp_path / "pipe.pt")
