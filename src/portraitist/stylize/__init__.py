"""The pipeline users call: photo -> faces -> align -> code -> style model -> picture."""

from ..data.folder_run import FileReport
from .appearance import Appearance, Reference
from .batch import photos, stylize_files
from .inversion import ByEncoder, ByOptimisation, Inversion
from .inverted import invert_files
from .painter import PhotoPainter
from .pipeline import Stylizer
from .portraits import Portrait, Portraits, Sample
from .redraw import Redrawer, Redrawn
from .translate import PictureTranslator

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
