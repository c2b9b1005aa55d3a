"""Song et al. 2021, "AgileGAN": its tables, its ablations and what its figures show, on the models at hand."""

from __future__ import annotations

from portraitist.errors import UsageError
from portraitist.report.markdown import BLANK

from ..published import AGILEGAN
from ..study import Study
from . import embeddings, expressions, methods, paths, prior

LEAST_PHOTOS = 3


def reproduce(study: Study) -> list[str]:
    """Measure, and return the lines of the page."""
    if study.photos is None or len(study.photos) < LEAST_PHOTOS:
        raise UsageError("AgileGAN's table is of photos.", f"Give {LEAST_PHOTOS} aligned faces at least with --photos.")
    codes = embeddings.all_codes(study)
    return [
        f"## AgileGAN ({AGILEGAN})",
        BLANK,
        *methods.section(study, codes),
        *embeddings.section(study, codes),
        *prior.section(study),
        *expressions.section(study),
        *paths.section(study),
    ]
