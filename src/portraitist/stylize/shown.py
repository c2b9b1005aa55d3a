"""Pictures that can be saved and shown: what the results of all that redraws photos have in common.

portraits = Stylizer.from_pretrained("toon3d").stylize("me.jpg")
portraits.save("me.png")            # or a folder
portraits.image.size                # of Pillow
portraits.show()
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from ..data.images import Pixels, encode_image
from ..data.suffixes import WRITABLE
from ..errors import UsageError
from ..files import refuse_existing, write_bytes

STEM = "portrait"
"""What the names of pictures begin with that are saved into a folder."""


class Shown:
    """Pictures by name, of which the first stands for all."""

    @abstractmethod
    def named(self) -> Mapping[str, Pixels]:
        """Return all pictures under what tells their files apart, such as ``face2.toon3d``."""

    @property
    def image(self) -> Image.Image:
        """The first picture (of the largest face, in the first style), as Pillow has it."""
        return Image.fromarray(next(iter(self.named().values())))

    def save(self, path: Path | str, *, overwrite: bool = False) -> list[Path]:
        """Write all pictures.

        Args:
            path: A picture file (``.png``, ``.jpg`` or ``.webp``), which takes the picture if there is one alone; of
                several each gets a name of its own, ``me.toon3d.png`` for ``me.png``, as on the command line. Or a
                folder, where the names begin with ``portrait``.
            overwrite: Replace existing files.

        Returns:
            The files written.

        Raises:
            UsageError: A file exists, or pictures cannot end so.
            BadImage: The format has no room for so many pixels.
            StorageError: The disk is full, read-only or gone.
        """
        path, pictures = Path(path), self.named()
        if os.path.isdir(path) or not path.suffix:
            path = path / f"{STEM}.png"
            single = False
        else:
            single = len(pictures) == 1
        if path.suffix.lower() not in WRITABLE:
            raise UsageError(f"Pictures cannot end in '{path.suffix}'.", f"Use one of {', '.join(sorted(WRITABLE))}.")
        files = {
            path if single else path.with_name(f"{path.stem}.{end}{path.suffix}"): p for end, p in pictures.items()
        }
        for file in files:
            refuse_existing(file, overwrite)
        for file, pixels in files.items():
            write_bytes(file, encode_image(pixels, file.suffix), overwrite=overwrite)
        return list(files)

    def show(self) -> None:
        """Open the first picture in the system's viewer."""
        self.image.show()

    def _repr_png_(self) -> bytes:
        """Show the first picture in a notebook."""
        return encode_image(next(iter(self.named().values())), ".png")


def with_faces(faces: list[Mapping[str, Pixels]]) -> dict[str, Pixels]:
    """Return the pictures of several faces, the largest first, under the names of files."""
    return {
        end if number == 1 else f"face{number}.{end}": picture
        for number, pictures in enumerate(faces, 1)
        for end, picture in pictures.items()
    }
