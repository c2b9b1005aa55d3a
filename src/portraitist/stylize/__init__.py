"""The pipeline users call: photo -> faces -> align -> code -> style model -> picture."""

from .appearance import Appearance, Reference
from .batch import FileReport, stylize_files
from .inversion import Encoding
from .pipeline import Portrait, Portraits, Sample, Stylizer
from .translate import PictureTranslator

__all__ = [
    "Appearance",
    "Encoding",
    "FileReport",
    "PictureTranslator",
    "Portrait",
    "Portraits",
    "Reference",
    "Sample",
    "Stylizer",
    "stylize_files",
]
