"""Scores of pictures and of models: how near to a style, how near to the base, and whether exemplars are copied.

Every number is measured with features that the caller chooses; name them (``Features.name``, ``digest``) beside it.
"""

from .comparison import Comparison, Result, compare_inversions
from .copies import CopyReport, copy_test
from .distribution import (
    Neighbourhoods,
    energy_distance,
    frechet_distance,
    frechet_interval,
    kernel_subsets,
    neighbourhoods,
)
from .features import described, pooled, titled
from .inversion import (
    Overlap,
    ms_ssim,
    ms_ssim_scales,
    overlap,
    prior_codes,
    ssim,
    tsne,
)
from .inversion_report import check_inversion_report, write_inversion_report
from .kernel import Interval, kernel_distance, kernel_interval
from .models import distance_matrix, likeness, model_distance, structure_distance
from .pairs import diversity, identity_kept, pair_distance, path_length

__all__ = [
    "Comparison",
    "CopyReport",
    "Interval",
    "Neighbourhoods",
    "Overlap",
    "Result",
    "check_inversion_report",
    "compare_inversions",
    "copy_test",
    "described",
    "distance_matrix",
    "diversity",
    "energy_distance",
    "frechet_distance",
    "frechet_interval",
    "identity_kept",
    "kernel_distance",
    "kernel_interval",
    "kernel_subsets",
    "likeness",
    "model_distance",
    "ms_ssim",
    "ms_ssim_scales",
    "neighbourhoods",
    "overlap",
    "pair_distance",
    "path_length",
    "pooled",
    "prior_codes",
    "ssim",
    "structure_distance",
    "titled",
    "tsne",
    "write_inversion_report",
]
