"""The pipeline users call: photo -> faces -> align -> code -> style model -> picture."""

from .batch import FileReport, stylize_files
from .inversion import Encoding
from .pipeline import Portrait, Portraits, Sample, Stylizer

__all__ = ["Encoding", "FileReport", "Portrait", "Portraits", "Sample", "Stylizer", "stylize_files"]
