"""Scores of pictures and of models: how near to a style, how near to the base, and whether exemplars are copied.

Every number is measured with features that the caller chooses; name them (``Features.name``, ``digest``) beside it.
"""

from .copies import CopyReport, copy_test
from .features import pooled
from .kernel import Interval, kernel_distance, kernel_interval
from .models import likeness, model_distance, structure_distance

__all__ = [
    "CopyReport",
    "Interval",
    "copy_test",
    "kernel_distance",
    "kernel_interval",
    "likeness",
    "model_distance",
    "pooled",
    "structure_distance",
]
