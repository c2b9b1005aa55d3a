"""What a teacher draws of photos: drawn once, kept without loss in a folder, each picture with its digest.

    drawn = TeacherPictures(Path("runs/painter/teacher"), 256, teacher)
    for index in drawn.missing(photos):
        drawn.draw(photos[index])
    pairs = drawn.pairs(photos)
    photo, drawing = pairs.batch(indices, flips)

The folder holds a PNG for each photo, named by the digest of its pixels, and ``index.jsonl``: a line about the teacher,
then one for each picture. A picture counts when its line is there, so a drawing that was cut off is drawn again; one
whose pixels are not those of its line is drawn again too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import BadData, BadImage, StorageError, UsageError
from ..files import parse_json, read_regular, write_bytes
from .folder import ImageSet
from .images import Pixels, read_image, write_image

INDEX = "index.jsonl"
log = logging.getLogger("portraitist")


class Teacher(Protocol):
    """What draws an aligned photo."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that determines its pictures, beside the photo."""

    def draw(self, photo: Pixels) -> Pixels:
        """Draw an aligned photo ``uint8 [R, R, 3]``, at the same size.

        Raises:
            BadImage: It cannot draw this photo.
        """


@dataclass(frozen=True)
class Pairs:
    """Photos, and what a teacher has drawn of each."""

    photos: ImageSet
    drawings: Tensor
    """``uint8 [N, 3, R, R]``, in the order of the photos."""

    def __len__(self) -> int:
        return len(self.photos)

    def batch(self, indices: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """Return photos and drawings at ``indices``, both mirrored where ``flips``: [N, 3, R, R] each in [-1, 1]."""
        drawings = self.drawings[indices]
        drawings[flips] = drawings[flips].flip(-1)
        return self.photos.batch(indices, flips), drawings.float().div_(127.5).sub_(1)


class TeacherPictures:
    """The pictures of one teacher in a folder; several processes may fill it together."""

    def __init__(self, folder: Path, side: int, teacher: Teacher) -> None:
        """Choose the folder.

        Args:
            folder: Where the pictures are, or will be.
            side: Of photos and pictures, in pixels.
            teacher: What draws.
        """
        self.folder, self.side, self.teacher = folder, side, teacher

    def missing(self, photos: ImageSet) -> list[int]:
        """Return the indices of photos that have not been drawn.

        Raises:
            UsageError: The folder holds pictures of another teacher or another size.
        """
        known, found = self._index(), []
        for index in range(len(photos)):
            digest = _digest(photos[index])
            if digest not in known:
                known[digest] = {}  # of equal photos the first is drawn
                found.append(index)
        return found

    def draw(self, photo: Tensor) -> Tensor | None:
        """Draw a photo ``uint8 [3, R, R]`` and keep the picture, of the same shape; None where it cannot be drawn.

        Raises:
            StorageError: The folder cannot be written.
        """
        digest = _digest(photo)
        try:
            picture = self.teacher.draw(np.ascontiguousarray(photo.permute(1, 2, 0).numpy()))
        except BadImage as error:
            self._note({"photo": digest, "failed": error.message})
            return None
        planes = _planes(picture)
        write_image(self._path(digest), picture)
        self._note({"photo": digest, "picture": _digest(planes)})
        return planes

    def pairs(self, photos: ImageSet) -> Pairs:
        """Return photos with their pictures; what is missing or damaged is drawn, what cannot be drawn left out.

        Raises:
            BadData: Nothing is left.
            UsageError: As :meth:`missing`.
        """
        known, kept, drawings = self._index(), [], []
        for index in range(len(photos)):
            photo = photos[index]
            digest = _digest(photo)
            if "failed" in known.get(digest, {}):
                continue
            picture = self._read(digest, known[digest]["picture"]) if digest in known else None
            picture = self.draw(photo) if picture is None else picture
            if picture is not None:
                kept.append(index)
                drawings.append(picture)
        if not kept:
            raise BadData("The teacher could draw none of the photos.", "Give aligned photos of faces.")
        if len(kept) < len(photos):
            log.warning("the teacher could not draw %d of %d photos", len(photos) - len(kept), len(photos))
        return Pairs(photos.subset(kept), torch.stack(drawings))

    def _read(self, digest: str, wanted: str) -> Tensor | None:
        """Return a picture as ``uint8 [3, R, R]``; None where it is not the one that was drawn."""
        try:
            planes = _planes(read_image(self._path(digest)))
        except BadImage:
            planes = torch.empty(0, dtype=torch.uint8)
        if _digest(planes) == wanted:
            return planes
        log.warning("the teacher's picture %s is missing or damaged; it is drawn again", self._path(digest).name)
        return None

    def _index(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each photo, by the digest of its pixels."""
        path = self.folder / INDEX
        if not path.exists():
            with suppress(UsageError):  # another process was sooner; each writes it whole, so that none reads a part
                write_bytes(path, json.dumps({"teacher": self.teacher.digest, "side": self.side}).encode())
        try:
            about, *lines = [_parsed(line) for line in read_regular(path).splitlines() if line] or [{}]
        except OSError as error:
            raise StorageError(f"Cannot read {path}: {error.strerror}.", f"Remove {self.folder}.") from error
        if about != {"teacher": self.teacher.digest, "side": self.side}:
            raise UsageError(
                f"The pictures in {self.folder} were drawn by another teacher or at another size.",
                f"Train into a new folder, or remove {self.folder}.",
            )
        whole = [line for line in lines if isinstance(line.get("picture", line.get("failed")), str)]
        return {line["photo"]: line for line in whole if isinstance(line.get("photo"), str)}

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / INDEX).open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(line))  # on a line of its own even where the one before was cut off
        except OSError as error:
            raise StorageError(f"Cannot write to {self.folder}: {error.strerror}.", "Choose another folder.") from error

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest[:32]}.png"


def _digest(planes: Tensor) -> str:
    return hashlib.sha256(planes.contiguous().numpy().tobytes()).hexdigest()


def _planes(picture: Pixels) -> Tensor:
    return torch.tensor(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def _parsed(line: bytes) -> dict[str, Any]:
    """Return a line of the index; empty where it was cut off."""
    try:
        found = parse_json(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
