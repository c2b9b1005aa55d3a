"""Photos turned into files of codes, one photo or a folder of them.

lines = invert_files(stylizer, Path("photos"), Path("codes"), report=Path("codes/report.json"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..data.folder_run import FileReport, FolderRun, Made, settings_digest
from ..data.images import encode_image
from ..data.sheet import beside
from ..files import CODE_SUFFIX, INVERTED_SUFFIX
from ..io.codes import encode_codes
from .batch import open_report, read_photo
from .discovery import Photo, photos
from .pipeline import Stylizer


def invert_files(
    stylizer: Stylizer,
    source: Path | Sequence[Photo],
    out: Path,
    *,
    aligned: bool = False,
    overwrite: bool = False,
    report: Path | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> list[FileReport]:
    """Find the code of the largest face of each photo: ``<stem>.code.safetensors`` and ``<stem>.inverted.png``.

    A run that was stopped goes on where it stopped, as of :func:`.batch.stylize_files`.

    Args:
        stylizer: What inverts; it needs no style.
        source: A photo or a folder, or what ``photos`` found there.
        out: Folder for the files.
        aligned: The photos are aligned square faces already.
        overwrite: Do finished photos again, and replace files that no report vouches for.
        report: Where to read and write the report; none when None.
        on_file: Called with the line of each photo.

    Returns:
        One line a photo, in the order of names.

    Raises:
        UsageError: There is no photo, or the report is a file of something else.
        StorageError: The disk is full, read-only or gone; what was done is in the report.
    """
    chosen = photos(source, out) if isinstance(source, Path) else source
    work = _Inverting(stylizer, {photo.name: photo for photo in chosen}, aligned)
    settings = settings_digest([stylizer.settings, aligned, "invert"])
    known = None if report is None else open_report(report, out)
    run = FolderRun(out, work, settings, known, overwrite=overwrite)
    return run.over(list(work.photos), lambda name: read_photo(work.photos[name]), on_file)


class _Inverting:
    """The work of a run: one photo in, its code and a picture out."""

    def __init__(self, stylizer: Stylizer, photos: Mapping[str, Photo], aligned: bool) -> None:
        self.stylizer, self.photos, self.aligned = stylizer, photos, aligned

    def planned(self, name: str) -> list[str]:
        return [f"{self.photos[name].stem}{end}" for end in (CODE_SUFFIX, INVERTED_SUFFIX)]

    def make(self, name: str, data: bytes) -> Made:
        (face,) = self.stylizer.stylize(data, which="largest", aligned=self.aligned).faces
        picture = beside([face.aligned.image, face.reconstruction], face.reconstruction.shape[0])
        contents = encode_codes(face.code, self.stylizer.base_digest), encode_image(picture, ".png")
        return Made(1, dict(zip(self.planned(name), contents, strict=True)))

    def is_current(self, line: FileReport) -> bool:
        return line.outputs == self.planned(line.source)
