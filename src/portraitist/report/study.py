"""The page of a perceptual study: one file that asks which drawing of a photo is best, offline, in any browser.

    pool = paired(Path("photos"), {"ours": Path("drawn"), "theirs": Path("others.zip")})
    write_study(Path("study"), pool, Layout(per_rater=10))

The page names no method, and no file: drawings have marks that are drawn by chance, all have the same side and format,
and the key that says who drew which is a file of its own. Answers stay in the browser until they are saved as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..data.images import Pixels, encode_image, read_image, resize
from ..data.sources import ImageSource, open_source
from ..errors import BadData, UsageError
from ..evaluate.study import KEY_FILE, Question, StudyKey, digest_of
from ..files import refuse_existing, write_bytes
from .template import render

PAGE = "study.html"
DEFAULT_ASK = "Which drawing is the best portrait of this person?"
SIDE = 256
FORMAT = ".jpg"
MOST_METHODS = 9
"""Keys 1 to 9 choose."""
_NAMED = 5
"""Names in a message."""


@dataclass(frozen=True)
class Pool:
    """Photos, and a drawing of each by every method."""

    photos: ImageSource
    drawings: Mapping[str, ImageSource]
    """By method."""
    pairs: Mapping[str, Mapping[str, str]]
    """Name of a photo -> method -> name of its drawing."""
    places: Mapping[str, str]
    """Method -> where its drawings lie."""


@dataclass(frozen=True)
class Layout:
    """How a study asks."""

    asks: Sequence[str] = (DEFAULT_ASK,)
    """What is asked about every photo."""
    show: int | None = None
    """Drawings a question; all methods when None. With fewer, photos take turns through all choices of so many."""
    per_rater: int | None = None
    """Photos that one person is asked about, drawn for each; all when None."""
    side: int = SIDE
    """Longer side of all pictures, pixels."""
    seed: int = 0
    """Of marks and of choices of methods."""
    exemplars: Sequence[Pixels] = field(default_factory=tuple)
    """Pictures of the style, shown above every question."""


def paired(photos: Path, folders: Mapping[str, Path], *, common: bool = False) -> Pool:
    """Find the drawings of photos by their names: ``me.png`` and ``me.toon3d.jpg`` are drawings of ``me.jpg``.

    Args:
        photos: Folder or zip.
        folders: Method -> folder or zip of its drawings.
        common: Take the photos that every method has drawn; else each must have drawn each, and nothing else.

    Raises:
        BadData: A drawing is missing, of no photo, or one of two of a photo; or no photo is left.
    """
    source = open_source(photos, SIDE)
    stems = _stems(source.names, photos)
    drawings = {name: open_source(folder, SIDE) for name, folder in folders.items()}
    found: dict[str, dict[str, str]] = {name: {} for name in stems.values()}
    for method, drawn in drawings.items():
        of_none = []
        for name in drawn.names:
            photo = stems.get(_photo_of(name, stems))
            if photo is None:
                of_none.append(name)
            elif (other := found[photo].setdefault(method, name)) != name:
                raise BadData(
                    f"{folders[method]} holds two drawings of {photo}: {other} and {name}.", "Keep one of them there."
                )
        if of_none and not common:
            raise BadData(
                f"{folders[method]} holds drawings of no photo: {_listed(of_none)}.",
                "Name drawings like their photos, or take what all have in common with --common.",
            )
        missing = [photo for photo, drawn_by in found.items() if method not in drawn_by]
        if missing and not common:
            raise BadData(
                f"{folders[method]} has no drawing of {_listed(missing)}.",
                "Draw them, or ask about what all have in common with --common.",
            )
    pairs = {photo: drawn_by for photo, drawn_by in found.items() if len(drawn_by) == len(folders)}
    if not pairs:
        raise BadData("No photo was drawn by all methods.", "Name drawings like their photos: me.png of me.jpg.")
    return Pool(source, drawings, pairs, {name: str(folder) for name, folder in folders.items()})


def write_study(out: Path, pool: Pool, layout: Layout | None = None, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write the page of a study and its key.

    Args:
        out: Folder for both.
        pool: The pictures.
        layout: How to ask.
        overwrite: Replace an earlier study; answers to it can then be scored no more.

    Returns:
        The page and the key.

    Raises:
        UsageError: A file exists, or the layout does not fit the methods.
        BadImage: A picture cannot be read.
        StorageError: The files cannot be written.
    """
    layout = layout or Layout()
    files = out / PAGE, out / KEY_FILE
    for file in files:
        refuse_existing(file, overwrite)
    _check(pool, layout)
    chance = random.Random(layout.seed)
    questions, pictures = [], []
    for photo, methods in _asked(pool, layout, chance):
        options = {f"{chance.getrandbits(48):012x}": method for method in methods}
        questions.append(Question(photo, options))
        pictures.append(_encoded(pool.photos, photo, layout.side))
        pictures += [_encoded(pool.drawings[m], pool.pairs[photo][m], layout.side) for m in options.values()]
    key = StudyKey(
        digest=digest_of(pictures, list(layout.asks), layout.per_rater),
        asks=tuple(layout.asks),
        methods=dict(pool.places),
        questions=tuple(questions),
        seed=layout.seed,
    )
    script = render("study.js")
    page = render("study.html", script=script, hash=_hash(script), study=_shown(key, pictures, layout))
    write_bytes(files[0], page.encode(), overwrite=overwrite)
    write_bytes(files[1], key.encoded(), overwrite=overwrite)
    return files


def _shown(key: StudyKey, pictures: Sequence[bytes], layout: Layout) -> dict[str, object]:
    """Return what the page knows."""
    rest = iter(map(_address, pictures))
    questions = []
    for question in key.questions:
        photo = next(rest)
        # Sorted by mark, drawings stand in an order that says nothing.
        options = sorted({mark: next(rest) for mark in question.options}.items())
        questions.append({"photo": photo, "options": [{"mark": mark, "picture": picture} for mark, picture in options]})
    exemplars = [_address(encode_image(_fitted(picture, layout.side), FORMAT)) for picture in layout.exemplars]
    per_rater = layout.per_rater or len(questions)
    return {
        "digest": key.digest,
        "asks": key.asks,
        "perRater": per_rater,
        "questions": questions,
        "exemplars": exemplars,
    }


def _asked(pool: Pool, layout: Layout, chance: random.Random) -> list[tuple[str, list[str]]]:
    """Return photos, and the methods whose drawings are shown of each, in an order drawn by chance."""
    methods = list(pool.drawings)
    turns: list[tuple[str, ...]] = []
    found = []
    for photo in sorted(pool.pairs):
        if not turns:
            turns = list(itertools.combinations(methods, layout.show or len(methods)))
            chance.shuffle(turns)
        shown = list(turns.pop())
        chance.shuffle(shown)
        found.append((photo, shown))
    chance.shuffle(found)
    return found


def _check(pool: Pool, layout: Layout) -> None:
    count = len(pool.drawings)
    if count < 2:
        raise UsageError(f"{count} method cannot be compared.", "Name the folders of two or more.")
    if not 2 <= (layout.show or count) <= min(count, MOST_METHODS):
        raise UsageError(
            f"A question cannot show {layout.show or count} of {count} drawings.",
            f"Show 2 to {min(count, MOST_METHODS)} with --show.",
        )
    if layout.per_rater is not None and not 1 <= layout.per_rater <= len(pool.pairs):
        raise UsageError(
            f"Nobody can be asked about {layout.per_rater} of {len(pool.pairs)} photos.", "Ask about fewer."
        )
    if not layout.asks or any(not ask.strip() for ask in layout.asks) or len(set(layout.asks)) < len(layout.asks):
        raise UsageError("A study asks something, and each thing once.", "Give other words to --ask.")


def _stems(names: Sequence[str], where: Path) -> dict[str, str]:
    """Return the names of photos by what stands before their suffix."""
    found: dict[str, str] = {}
    for name in names:
        if (other := found.setdefault(_stem(name), name)) != name:
            raise BadData(f"{where} holds {other} and {name}, whose drawings have one name.", "Rename one of them.")
    if not found:
        raise BadData(f"{where} holds no picture.", "Name a folder or zip of photos.")
    return found


def _photo_of(drawing: str, stems: Mapping[str, str]) -> str:
    """Return the stem of the photo that a drawing is of: its own, or what stands before one of its points."""
    stem = _stem(drawing)
    while stem not in stems and "." in PurePosixPath(stem).name:
        stem = stem.rpartition(".")[0]
    return stem


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _encoded(source: ImageSource, name: str, side: int) -> bytes:
    return encode_image(_fitted(read_image(source.read(name), name=name), side), FORMAT)


def _fitted(picture: Pixels, side: int) -> Pixels:
    """Return a picture whose longer side is ``side``."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    return resize(picture, (max(1, round(height * scale)), max(1, round(width * scale))))


def _address(content: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _hash(script: str) -> str:
    """Return what the content security policy of a page calls its one script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
