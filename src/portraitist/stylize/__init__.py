"""The pipeline users call: photo -> faces -> align -> code -> style model -> picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from ..data.folder_run import FileReport as FileReport
    from .appearance import Appearance as Appearance
    from .appearance import Reference as Reference
    from .batch import stylize_files as stylize_files
    from .discovery import photos as photos
    from .inversion import ByEncoder as ByEncoder
    from .inversion import ByOptimisation as ByOptimisation
    from .inversion import Inversion as Inversion
    from .inverted import invert_files as invert_files
    from .painter import PhotoPainter as PhotoPainter
    from .pipeline import Stylizer as Stylizer
    from .portraits import Portrait as Portrait
    from .portraits import Portraits as Portraits
    from .portraits import Sample as Sample
    from .redraw import Redrawer as Redrawer
    from .redraw import Redrawn as Redrawn
    from .translate import PictureTranslator as PictureTranslator

__getattr__ = lazily(
    __name__,
    {
        "Appearance": "appearance",
        "ByEncoder": "inversion",
        "ByOptimisation": "inversion",
        "FileReport": ".data.folder_run",
        "Inversion": "inversion",
        "PhotoPainter": "painter",
        "PictureTranslator": "translate",
        "Portrait": "portraits",
        "Portraits": "portraits",
        "Redrawer": "redraw",
        "Redrawn": "redraw",
        "Reference": "appearance",
        "Sample": "portraits",
        "Stylizer": "pipeline",
        "invert_files": "inverted",
        "photos": "discovery",
        "stylize_files": "batch",
    },
)
__all__ = [
    "Appearance",
    "ByEncoder",
    "ByOptimisation",
    "FileReport",
    "Inversion",
    "PhotoPainter",
    "PictureTranslator",
    "Portrait",
    "Portraits",
    "Redrawer",
    "Redrawn",
    "Reference",
    "Sample",
    "Stylizer",
    "invert_files",
    "photos",
    "stylize_files",
]
