"""Scores of pictures and of models: how near to a style, how near to the base, and whether exemplars are copied.

Every number is measured with features that the caller chooses; name them (``Features.name``, ``digest``) beside it.
"""

from .comparison import Comparison, Result, compare_inversions
from .copies import CopyReport, copy_test
from .features import pooled
from .inversion import (
    Overlap,
    energy_distance,
    frechet_distance,
    ms_ssim,
    ms_ssim_scales,
    overlap,
    prior_codes,
    ssim,
    tsne,
)
from .inversion_report import check_inversion_report, write_inversion_report
from .kernel import Interval, kernel_distance, kernel_interval
from .models import likeness, model_distance, structure_distance

__all__ = [
    "Comparison",
    "CopyReport",
    "Interval",
    "Overlap",
    "Result",
    "check_inversion_report",
    "compare_inversions",
    "copy_test",
    "energy_distance",
    "frechet_distance",
    "kernel_distance",
    "kernel_interval",
    "likeness",
    "model_distance",
    "ms_ssim",
    "ms_ssim_scales",
    "overlap",
    "pooled",
    "prior_codes",
    "ssim",
    "structure_distance",
    "tsne",
    "write_inversion_report",
]
