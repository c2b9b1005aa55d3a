"""The pipeline users call: photo -> faces -> align -> code -> style model -> picture."""

from .batch import FileReport, stylize_files
from .pipeline import Portrait, Portraits, Stylizer

__all__ = ["FileReport", "Portrait", "Portraits", "Stylizer", "stylize_files"]
