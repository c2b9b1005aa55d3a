"""A set of images with one size, one range and one layout, whatever it was read from.

Example::

    images = ImageSet.open("drawings/", resolution=64)
    for name, kind, reason in images.left_out:
        print(f"left out {name}: {reason}")
    indices, flips = BatchOrder(len(images), batch=8, seed=0).at(images_seen=0)
    batch = images.batch(indices, flips)  # float32 [8, 3, 64, 64] in [-1, 1]
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch

from ..errors import BadData, BadImage, UsageError
from .images import MAX_SIDE, WHITE, Pixels, crop_square, read_image, resize
from .labels import attributes_of, column_named
from .sampler import BatchOrder
from .sources import ImageSource, open_source

T = TypeVar("T")
log = logging.getLogger("portraitist")

MIN_SIDE = 8
CACHE_BYTES = 4 << 30
_NEARLY_SQUARE = 1.05  # of sides; what is lost of such a picture is not worth a word
_MAX_THREADS = 8  # each may hold a picture of the largest size


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images by index, decoded to ``uint8 [3, R, R]`` in sRGB; open one with ``ImageSet.open``."""

    resolution: int
    names: tuple[str, ...]
    """Relative to the source, sorted, with forward slashes."""
    left_out: tuple[tuple[str, str, str], ...]
    """(name, kind, reason) of every picture that could not be used."""
    attributes: Mapping[str, tuple[str, ...]]
    """Column -> value per image: ``folder``, ``label`` (``dataset.json``), each column of a label file."""
    vectors: torch.Tensor | None
    """``float32 [N, k]`` where ``dataset.json`` labels images with vectors."""
    _digests: tuple[bytes, ...] = field(repr=False)
    _pixels: torch.Tensor | None = field(repr=False)
    _rows: torch.Tensor = field(repr=False)
    _decode: _Decoder = field(repr=False)

    @classmethod
    def open(
        cls,
        path: Path | str,
        resolution: int,
        *,
        labels: Path | str | None = None,
        fit: Literal["crop", "refuse"] = "crop",
        method: Literal["lanczos", "area"] = "lanczos",
        matte: tuple[int, int, int] = WHITE,
        at_least: int = 1,
        cache_bytes: int = CACHE_BYTES,
    ) -> ImageSet:
        """Read and check every picture of a folder (with its sub-folders), a zip, or an LMDB.

        Every picture is decoded once here; the pixels stay in memory when all of them fit into ``cache_bytes``,
        and are decoded again at each use otherwise.

        Args:
            path: The source.
            resolution: Side R of the images, pixels.
            labels: A CSV file with a ``file`` column and one column per attribute, see ``labels.read_table``.
            fit: What happens to pictures that are not square: cut the centre, or leave them out (kind
                ``not-square``).
            method: How pictures are resized, see ``images.resize``.
            matte: The colour that transparent parts show.
            at_least: The fewest usable images that will do.
            cache_bytes: Memory budget of the pixels.

        Raises:
            UsageError: An argument has no meaning.
            BadData: No source, a source that breaks a safety cap, labels that cannot be read, or too few usable
                images.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"A {type(path).__name__} is no place of pictures.", "Give a path.")
        if not isinstance(resolution, int | np.integer) or not 1 <= resolution <= MAX_SIDE:
            raise UsageError(f"Pictures cannot have the side {resolution!r}.", "Give their side in pixels.")
        if fit not in ("crop", "refuse") or method not in ("lanczos", "area"):
            raise UsageError(f"fit={fit!r} or method={method!r} is unknown.", "Use crop or refuse, lanczos or area.")
        source = open_source(Path(path), resolution)
        decode = _Decoder(source, resolution, fit, method, matte)
        names, left_out, digests, pixels = _decode_all(source, decode, resolution, cache_bytes)
        if len(names) < max(1, at_least):
            raise _too_few(path, len(names), max(1, at_least), left_out)
        attributes, vectors = attributes_of(source.labels(), names, None if labels is None else Path(labels))
        return cls(
            resolution=resolution,
            names=tuple(names),
            left_out=tuple(left_out),
            attributes=attributes,
            vectors=vectors,
            _digests=tuple(digests),
            _pixels=pixels,
            _rows=torch.arange(len(names)),
            _decode=decode,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return image ``index`` as ``uint8 [3, R, R]``."""
        if self._pixels is not None:
            return self._pixels[self._rows[index]].clone()
        return _to_planes(self._decode(self.names[index]))

    def batch(self, indices: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
        """Return ``float32 [N, 3, R, R]`` in [-1, 1] of the images at ``indices``, mirrored where ``flips``."""
        if self._pixels is not None:
            pixels = self._pixels[self._rows[indices]]
        else:
            pixels = torch.stack([self[int(index)] for index in indices])
        pixels[flips] = pixels[flips].flip(-1)
        return pixels.float().div_(127.5).sub_(1)

    def all(self) -> torch.Tensor:
        """Return every image in order, ``float32 [N, 3, R, R]`` in [-1, 1]."""
        return self.batch(torch.arange(len(self)), torch.zeros(len(self), dtype=torch.bool))

    @property
    def digest(self) -> str:
        """SHA-256 over names and pixels, equal for equal sets however they are packed."""
        whole = hashlib.sha256(str(self.resolution).encode())
        for name, pixels in zip(self.names, self._digests, strict=True):
            whole.update(hashlib.sha256(name.encode()).digest() + pixels)
        return whole.hexdigest()

    @property
    def picture_digests(self) -> tuple[str, ...]:
        """What tells each picture apart, whatever it is called: the first 16 digits of the SHA-256 of its pixels."""
        return tuple(pixels.hex()[:16] for pixels in self._digests)

    def decoded_at(self, resolution: int) -> Iterator[Pixels]:
        """Yield every image in order at another size, ``uint8 [R, R, 3]``; each is read again.

        Raises:
            BadImage: One cannot be read any more.
        """
        decode = replace(self._decode, resolution=resolution)
        return (decode(name) for name in self.names)

    def select(self, value: str, by: str = "") -> ImageSet:
        """Return the images with the attribute ``value``; ``by`` names the column where several have it.

        Raises:
            BadData: No image has it, or it is ambiguous.
        """
        wanted = column_named(self.attributes, by)
        columns = [c for c, values in self.attributes.items() if value in values and (not by or c == wanted)]
        # The same choice under two names is no ambiguity.
        chosen = {tuple(v == value for v in self.attributes[column]) for column in columns}
        if len(chosen) != 1:
            known = "; ".join(f"{column}: {', '.join(sorted(set(v)))}" for column, v in self.attributes.items())
            what = f"means different images in {', '.join(columns)}" if columns else "is no attribute of these images"
            raise BadData(f"{value!r} {what}.", f"Known are {known or 'none'}.")
        return self.subset([index for index, is_it in enumerate(chosen.pop()) if is_it])

    def split(self, fraction: float, seed: int = 0, at_least: int = 1) -> tuple[ImageSet, ImageSet]:
        """Return (rest, held out): ``fraction`` of the images, but ``at_least`` so many, drawn by ``seed``.

        Raises:
            BadData: Nothing would be left for the first.
            UsageError: The fraction is none.
        """
        if not 0 <= fraction <= 1:
            raise UsageError(f"{fraction!r} is no share of the images.", "Give one from 0 to 1.")
        count = max(at_least, round(fraction * len(self)))
        if not 0 < count < len(self):
            raise BadData(f"Cannot hold out {count} of {len(self)} images.", "Hold out fewer, or bring more images.")
        drawn, _ = BatchOrder(len(self), count, seed, mirror=False).at(0)
        held = set(drawn.tolist())
        rest = [index for index in range(len(self)) if index not in held]
        return self.subset(rest), self.subset(sorted(held))

    def subset(self, indices: Sequence[int]) -> ImageSet:
        """Return the images at ``indices``, in that order."""
        if not indices:
            raise BadData("The chosen part of the set holds no image.", "Choose another part.")
        return replace(
            self,
            names=_pick(self.names, indices),
            attributes={column: _pick(values, indices) for column, values in self.attributes.items()},
            vectors=None if self.vectors is None else self.vectors[list(indices)],
            _digests=_pick(self._digests, indices),
            _rows=self._rows[list(indices)],
        )


@dataclass(frozen=True)
class _Decoder:
    """From a name to ``uint8 [R, R, 3]``."""

    source: ImageSource
    resolution: int
    fit: Literal["crop", "refuse"]
    method: Literal["lanczos", "area"]
    matte: tuple[int, int, int]

    def __call__(self, name: str) -> Pixels:
        return self.fitted(self.read(name))

    def read(self, name: str) -> Pixels:
        """Return a picture as it is.

        Raises:
            BadImage: It cannot be read, or is not to be used.
        """
        picture = read_image(self.source.read(name), name=name, matte=self.matte)
        height, width = picture.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise BadImage(f"{name} is only {width}x{height} pixels.", "Leave it out.", kind="too-small")
        if height != width and self.fit == "refuse":
            raise BadImage(f"{name} is not square ({width}x{height}).", "Cut it, or ask for a crop.", kind="not-square")
        return picture

    def fitted(self, picture: Pixels) -> Pixels:
        """Return it square, at the set's size."""
        return resize(crop_square(picture), self.resolution, method=self.method)


def _pick(values: tuple[T, ...], indices: Sequence[int]) -> tuple[T, ...]:
    return tuple(values[index] for index in indices)


def _decode_all(
    source: ImageSource, decode: _Decoder, resolution: int, cache_bytes: int
) -> tuple[list[str], list[tuple[str, str, str]], list[bytes], torch.Tensor | None]:
    """Decode every picture once; return names, left out, SHA-256 of each image's pixels, and the pixels."""
    shape = (len(source.names), 3, resolution, resolution)
    cached = int(np.prod(shape, dtype=np.int64)) <= cache_bytes
    pixels = torch.empty(shape if cached else (0,), dtype=torch.uint8)

    cropped, enlarged = np.zeros(shape[0], bool), np.zeros(shape[0], bool)

    def one(index: int) -> bytes | BadImage:
        try:
            picture = decode.read(source.names[index])
        except BadImage as error:
            return error
        sides = sorted(picture.shape[:2])
        cropped[index], enlarged[index] = sides[1] > _NEARLY_SQUARE * sides[0], sides[0] < resolution
        planes = _to_planes(decode.fitted(picture))
        if cached:
            pixels[index] = planes
        return hashlib.sha256(planes.numpy().tobytes()).digest()

    # Decoding leaves Python's lock, so threads use the cores.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
        results = list(pool.map(one, range(len(source.names))))
    for count, what in ((cropped.sum(), "are cropped to a square"), (enlarged.sum(), f"are enlarged to {resolution}")):
        if count:
            log.info("%d of the %d pictures %s", count, len(results), what)
    left_out = list(source.refused)
    kept: list[int] = []
    digests: list[bytes] = []
    for index, result in enumerate(results):
        if isinstance(result, BadImage):
            left_out.append((source.names[index], result.kind, result.message))
        else:
            kept.append(index)
            digests.append(result)
    if cached and len(kept) < len(results):
        pixels = pixels[kept]
    return [source.names[index] for index in kept], sorted(left_out), digests, pixels if cached else None


def _to_planes(picture: Pixels) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def _too_few(path: Path | str, usable: int, wanted: int, left_out: list[tuple[str, str, str]]) -> BadData:
    message = f"{path} holds {usable} usable images, {wanted} are needed."
    if left_out:
        message += f" {len(left_out)} were left out, the first because: {left_out[0][2]}"
    return BadData(message, "Add PNG, JPEG or WebP pictures.")
