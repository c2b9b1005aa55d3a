"""Words that a base knows: directions with plain names, in a file that ships with the base or that a user has made.

    smile = words_of(generator_digest(model)).named("smile")
    print(smile.accuracy)                   # correlation of ratings with what a regression says that has not seen them

The files lie in the folder ``words`` beside the models, bundled or the user's, and are found by the digest of the base.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ..errors import PortraitistError, UsageError
from ..spaces.direction import Direction
from . import catalogue
from .directions import StoredDirections, find_direction, load_directions
from .headers import NAME

log = logging.getLogger("portraitist")

FOLDER = "words"


def words_of(base_digest: str, name: str = "this base") -> StoredDirections:
    """Return the words of a base; the user's count before bundled ones.

    Args:
        base_digest: Of its generator.
        name: What errors call it.

    Raises:
        UsageError: It has none.
    """
    for folder in (catalogue.user_folder() / FOLDER, catalogue.bundled_folder() / FOLDER):
        for path in sorted(folder.glob(f"*{catalogue.SUFFIX}")) if folder.is_dir() else []:
            try:
                found = load_directions(path)
            except PortraitistError as error:
                log.warning("%s: %s", path, error)
                continue
            if found.header.base_digest == base_digest:
                return found
    mine = catalogue.user_folder() / FOLDER / "NAME.safetensors"
    raise UsageError(
        f"'{name}' knows no words: none were learned for its codes.",
        f"Learn them from rated photos, `portraitist edit learn PHOTOS RATINGS.csv --per-row --ridge 5 --base NAME "
        f"-o {mine}`, or move along a file of directions with --direction.",
    )


def direction_of(text: str, base_digest: str, name: str = "this base") -> Direction:
    """Return a direction of a base: of a file, ``FILE:NAME`` or ``FILE`` where it holds one, or a word that it knows.

    Args:
        text: A file counts before a word of its name.
        base_digest: Of its generator.
        name: What errors call it.

    Raises:
        UsageError: There is no such file or word.
        BadModel: The file is damaged, or of another base.
    """
    if NAME.fullmatch(text) and not Path(text).is_file():
        return words_of(base_digest, name).named(text)
    stored, found = find_direction(text)
    stored.check_base(base_digest, name)
    return found
