"""Pickles of other programs, read without running anything they ask for.

Opening a StyleGAN pickle the usual way executes Python source stored in it. Here the only names a file may call are
those of a short list, each bound to a function of this module: tensors and arrays are rebuilt from checked sizes,
objects become inert records of their class name and attributes, source text stays text.

    opened = open_pickle(Path("network.pkl"))
    opened.tree["G_ema"].state["_init_kwargs"]
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import BadModel, PortraitistError, UntrustedFile
from .opening import DAMAGED, open_sized, read_bytes, read_head, refuse_other_files, zip_index


@dataclass
class Record:
    """An object of a foreign class as plain data; nothing of that class runs."""

    name: str = ""
    state: dict[str, Any] = field(default_factory=dict)

    def accept(self, state: object) -> None:
        """Take the attributes that the pickle stores."""
        if not isinstance(state, dict):
            raise BadModel(f"The pickled {self.name} has no named attributes.", DAMAGED)
        self.state = state


class Network(Record):
    """A network of TensorFlow StyleGAN."""

    def __init__(self) -> None:
        super().__init__("dnnlib.tflib.network.Network")


@dataclass
class Array:
    """A numpy array; ``values`` is set once the pickle has told its contents."""

    values: npt.NDArray[Any] | None = None

    def accept(self, state: object) -> None:
        """Take shape, type and contents from numpy's state tuple."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Number):
            raise BadModel("an array of the pickle is malformed.", DAMAGED)
        flat = np.frombuffer(_bytes(state[4]), state[2].numpy)
        self.values = flat.reshape(_sizes(state[1]), order="F" if state[3] else "C")


@dataclass
class Number:
    """A numeric type of numpy."""

    code: str
    order: str = "="

    def accept(self, state: object) -> None:
        """Take the byte order from numpy's state tuple."""
        if isinstance(state, tuple) and len(state) > 1:
            self.order = state[1] if isinstance(state[1], str) else "="

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type itself; only numbers are possible."""
        return np.dtype(self.code).newbyteorder(self.order if self.order in "<>" else "=")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Numbers:
    """The storage of a tensor."""

    content: torch.UntypedStorage
    dtype: torch.dtype


class Fields(dict[str, Any]):
    """A dictionary of NVIDIA's own class."""

    def __init__(self) -> None:
        super().__init__()  # filled by the pickle's own steps, which look at the keys


@dataclass(frozen=True)
class Opened:
    """A pickle that has been read."""

    tree: Any
    content: bytes
    """The file."""
    spans: dict[int, tuple[int, int]]
    """Where in the file the storage of a tensor lies: its data pointer to the start and end of the embedded bytes."""


def open_pickle(path: Path) -> Opened:
    """Read a pickle with the names of the list only.

    Raises:
        UntrustedFile: The file asks for anything else; the message names it.
        BadModel: The file is not a pickle, or it is damaged.
    """
    content = read_bytes(path)
    refuse_other_files(path, content[:512])
    reader = _Reader(content)
    try:
        tree = reader.load()
    except PortraitistError as error:
        raise type(error)(f"{path}: {error.message}", error.cure) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise BadModel(f"{path} cannot be read as a pickle ({type(error).__name__}).", DAMAGED) from error
    return Opened(tree, content, reader.spans)


def open_torch(path: Path) -> Any:
    """Read a file of ``torch.save`` as tensors and plain values; ``argparse.Namespace`` alone is allowed besides.

    Raises:
        UntrustedFile: The file asks for anything else; the message names it.
        BadModel: The file is not of this kind, or it is damaged.
    """
    refuse_other_files(path, read_head(path, 512))
    if zipfile.is_zipfile(path):
        _scan(io.BytesIO(zip_index(path, LARGEST_INDEX)), 1)
    else:
        with open_sized(path) as file:
            _scan(file, OLD_PICKLES)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            open_pickle(path)  # names what a plain pickle asks for
        raise _refusal(path, str(error)) from error
    except Exception as error:  # as above
        raise BadModel(f"{path} cannot be read as a PyTorch file ({type(error).__name__}).", DAMAGED) from error
    check_tensors(tree, path.name)
    return tree


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_tensors(tree: Any, source: str) -> None:
    """Refuse tensors that hold other than plain numbers, or show more numbers than they hold, wherever they lie.

    Raises:
        BadModel: There is such a tensor; or containers are nested deeper than in any checkpoint.
    """
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    seen: set[int] = set()  # a container may lie in many places, or in itself
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Tensor):
            _check_tensor(value, source)
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            if depth > DEEPEST:
                raise BadModel(f"{source} nests its content more than {DEEPEST} deep.", DAMAGED)
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, Mapping) else value)]


def _check_tensor(tensor: Tensor, source: str) -> None:
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise BadModel(f"{source} holds a tensor that is sparse, quantised, nested or without numbers.", PLAIN)
    if tensor.dtype not in (*FLOATS, *WHOLE):
        raise BadModel(f"{source} holds a tensor of {kind}.", PLAIN)
    if tensor.numel() * tensor.element_size() > max(tensor.untyped_storage().nbytes(), REPEATED):
        raise BadModel(f"{source} holds a tensor of {tuple(tensor.shape)} that repeats fewer numbers.", PLAIN)


REPEATED = 1 << 20
"""Bytes that a tensor may show by repeating few numbers, as the mean of w in every row; a trap shows gigabytes."""
PLAIN = "Save it again with plain tensors of 16, 32 or 64 bits."
DEEPEST = 64
"""Levels of containers in a file; optimisers have the most, six."""


class _Guarded(pickle._Unpickler):
    """The pure-Python unpickler: it trusts no length in the file, and each of its steps can be replaced.

    What becomes a key must be a number, a text or a short tuple of these: to hash tuples in tuples may take for ever.
    """

    stack: list[Any]

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()  # type: ignore[misc]

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()  # type: ignore[misc]

    def load_additems(self) -> None:
        _check_keys(self.stack)
        super().load_additems()  # type: ignore[misc]

    def load_frozenset(self) -> None:
        _check_keys(self.stack)
        super().load_frozenset()  # type: ignore[misc]

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
    }


def _check_keys(keys: Iterable[Any]) -> None:
    for key in keys:
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) > 8 or not all(part is None or isinstance(part, str | bytes | int | float) for part in parts):
            raise BadModel("the pickle has keys that are neither numbers nor texts.", DAMAGED)


class _Scan(_Guarded):
    """Walks through a pickle that PyTorch is about to read, with a stand-in for every object."""

    def find_class(self, module: str, name: str) -> Any:
        return _StandIn

    def persistent_load(self, pid: Any) -> Any:
        return _StandIn()

    def load_reduce(self) -> None:
        self.stack[-2:] = [_StandIn()]

    def load_build(self) -> None:
        self.stack.pop()

    dispatch: ClassVar[dict[int, Any]] = {
        **_Guarded.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.BUILD[0]: load_build,
    }


class _StandIn(dict[Any, Any]):
    """Takes whatever a pickle gives to an object."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def append(self, _: object) -> None:
        """Take an item."""

    extend = add = append


LARGEST_INDEX = 64 << 20
"""Bytes of the pickle in a file of ``torch.save``, which holds names and sizes; the numbers lie beside it."""
OLD_PICKLES = 4
"""A file of ``torch.save`` before PyTorch 1.6 begins with so many pickles, of which the last is the content."""


def _scan(file: IO[bytes], count: int) -> None:
    """Refuse a pickle that would keep PyTorch busy for ever; what else is wrong with it, PyTorch says."""
    try:
        for _ in range(count):
            _Scan(file, encoding="latin1").load()
    except PortraitistError:
        raise
    except Exception:
        return


class _Reader(_Guarded):
    """Rebuilds what the list of names allows, and nothing else."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.content = content
        self.spans: dict[int, tuple[int, int]] = {}
        self.cursor = 0

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return self.storage
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UntrustedFile(
                f"the file asks for {module}.{name}, which no StyleGAN2 model needs.",
                "Do not open it with other programs; get the model from its author.",
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise BadModel("the pickle refers to objects outside it.", "Give the whole checkpoint.")

    def load_build(self) -> None:
        """Give state to inert objects only, so that no class or function here can be changed by a file."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Record | Array | Number):
            raise UntrustedFile(f"the file sets attributes of {type(target).__name__}.")
        target.accept(state)

    def storage(self, payload: bytes) -> Numbers:
        """Rebuild the numbers of one tensor from the nested file that holds them, and remember where it lies."""
        if payload[:2] == b"PK":
            raise BadModel("the pickle nests an archive where numbers belong.")
        try:
            storage = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refusal(Path("storage"), str(error)) from error
        if not isinstance(storage, torch.storage.TypedStorage):
            raise BadModel("the pickle nests something else where numbers belong.")
        numbers = storage._untyped_storage
        start = self.content.find(payload, self.cursor)
        if start >= 0:
            self.cursor = start + len(payload)
            self.spans[numbers.data_ptr()] = (start, self.cursor)
        return Numbers(numbers, storage.dtype)

    dispatch: ClassVar[dict[int, Any]] = {**_Guarded.dispatch, pickle.BUILD[0]: load_build}


def _tensor(storage: Numbers, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
    (offset,), size, stride = _sizes([offset]), _sizes(size), _sizes(stride)
    if not isinstance(storage, Numbers) or len(size) != len(stride):
        raise BadModel("a tensor of the pickle is malformed.", DAMAGED)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if math.prod(size) * storage.dtype.itemsize > max(storage.content.nbytes(), REPEATED):
        raise BadModel("a tensor of the pickle repeats fewer numbers than it shows.", DAMAGED)
    if math.prod(size) and last >= storage.content.nbytes() // storage.dtype.itemsize:
        raise BadModel("a tensor of the pickle reaches beyond its numbers.", DAMAGED)
    return torch.empty(0, dtype=storage.dtype).set_(storage.content, offset, size, stride)


def _parameter(data: Tensor, *_: object) -> Tensor:
    return data


def _persistent(meta: dict[str, Any]) -> Record:
    if not isinstance(meta["class_name"], str):
        raise BadModel("an object of the pickle has no name.", DAMAGED)
    record = Record(meta["class_name"])
    record.accept(meta["state"])
    return record


def _number(code: str, *_: object) -> Number:
    if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?(b1|[iu][1248]|f[248])", code):
        raise UntrustedFile(f"the file holds an array of {shown(code)}, not of numbers.")
    return Number(code)


def _scalar(kind: Number, content: bytes) -> float | int | bool:
    value: float | int | bool = np.frombuffer(_bytes(content), kind.numpy, count=1)[0].item()
    return value


def _ordered(pairs: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    pairs = [tuple(pair) for pair in pairs]
    _check_keys(pair[0] for pair in pairs)
    return OrderedDict(pairs)


def _set(items: Iterable[Any] = ()) -> set[Any]:
    items = list(items)
    _check_keys(items)
    return set(items)


def _array(*_: object) -> Array:
    return Array()


def shown(value: object) -> str:
    """Return a short text of a value from a file; of what is nested, the kind alone, since it may have no end."""
    plain = isinstance(value, str | int | float) or value is None
    return repr(value)[:80] if plain else type(value).__name__


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    if not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise UntrustedFile(f"the file asks for the text encoding {shown(encoding)}.")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _bytes(content: bytes | str) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(values)
    if len(sizes) > 8 or any(type(v) is not int or v < 0 for v in sizes):
        raise BadModel("a tensor of the pickle has impossible sizes.", DAMAGED)
    return sizes


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("_codecs", "encode"): _encoded,
    ("dnnlib.util", "EasyDict"): Fields,
    ("dnnlib.tflib.network", "Network"): Network,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("numpy", "dtype"): _number,
    ("numpy", "ndarray"): _array,
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
}


def _refusal(path: Path, message: str) -> PortraitistError:
    """Tell a file that asks for code from one that is merely broken."""
    found = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"<(?:class|function) '?([\w.]+)", message)
    if found:
        return UntrustedFile(
            f"{path} asks for {found[1]}, which no StyleGAN2 model needs.",
            "Do not open it with other programs; get the model from its author.",
        )
    return BadModel(f"{path} cannot be read as a PyTorch file.", DAMAGED)
