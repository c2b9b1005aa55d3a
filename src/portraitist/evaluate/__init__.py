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
from .features import embed, metric_name, pooled_features
from .flicker import Flicker
from .inversion import (
    Overlap,
    ms_ssim,
    ms_ssim_scales,
    overlap,
    prior_codes,
    ssim,
    tsne,
)
from .kernel import Interval, kernel_distance, kernel_interval
from .models import distance_matrix, layout_similarity, model_distance, structure_distance
from .pairs import diversity, identity_similarity, pair_distance, path_length
from .picture_baselines import baselines
from .picture_signals import eye_difference, sharpness
from .pictures import PictureMeasures, PictureScorer, measure_pictures
from .recognition import Recognition, recognition

__all__ = [
    "Comparison",
    "CopyReport",
    "Flicker",
    "Interval",
    "Neighbourhoods",
    "Overlap",
    "PictureMeasures",
    "PictureScorer",
    "Recognition",
    "Result",
    "baselines",
    "compare_inversions",
    "copy_test",
    "distance_matrix",
    "diversity",
    "embed",
    "energy_distance",
    "eye_difference",
    "frechet_distance",
    "frechet_interval",
    "identity_similarity",
    "kernel_distance",
    "kernel_interval",
    "kernel_subsets",
    "layout_similarity",
    "measure_pictures",
    "metric_name",
    "model_distance",
    "ms_ssim",
    "ms_ssim_scales",
    "neighbourhoods",
    "overlap",
    "pair_distance",
    "path_length",
    "pooled_features",
    "prior_codes",
    "recognition",
    "sharpness",
    "ssim",
    "structure_distance",
    "tsne",
]
