"""Why the codes of encoders lie off the prior: what AgileGAN's Sec. 3.2 wants of them, taken apart."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.evaluate import prior_codes
from portraitist.evaluate.distribution import energy_distance
from portraitist.io.encoder_files import StoredEncoder
from portraitist.report.markdown import BLANK, bullets, prose, table

from ..inverted import digest_of, file_name
from ..study import Study

BATCH = 50
PRIOR = 2000
KEYS = ("directions", "common", "between rows", "energy", "energy, a sample")
PRIOR_ROW = "*the prior Z+*"
PHOTOS, DRAWN = "photos", "drawn by the base"

Spread = dict[str, float | None]


def section(study: Study) -> list[str]:
    """Return the lines about the latents of every variational encoder, and of the prior."""
    encoders = {name: stored for name, stored in study.encoders.items() if stored.encoder.anatomy.kind != "w+"}
    if not encoders:
        return []
    found = {
        (what, name): _measured(study, what, name, stored)
        for what in (PHOTOS, DRAWN)
        for name, stored in encoders.items()
    }
    for what in (PHOTOS, DRAWN):
        found[what, PRIOR_ROW] = _of_prior(study, what)
    heads = ["directions ↑", "common part ↓", "between rows", "energy ↓", "energy, a sample ↓"]
    body = [[what, name, *_cells(values)] for (what, name), values in found.items()]
    return [
        "### Why codes lie off the prior (Sec. 3.2)",
        BLANK,
        *prose(
            f"""Of the mean latents [rows, {study.base.generator.anatomy.z_dim}] of {len(_pictures(study, PHOTOS))}
            photos, and of as many pictures that the base draws of random latents as it draws to be measured
            ({study.samples}). *Directions*: how many the latents of a row spread over, (Σλ)² / Σλ² of their
            covariance, mean over rows. *Common part*: share of their energy that is the same for all pictures.
            *Between rows*: cosine of the latents of two rows of a picture. *Energy*: unbiased energy distance of the
            codes in W+ to {PRIOR} of the prior; *a sample*: of a draw from each posterior in place of its mean. The
            prior's row is of as many draws."""
        ),
        *table(["", "encoder", *heads], body),
        *bullets(_sentences(found, list(encoders))),
    ]


def spread(latents: Tensor) -> Spread:
    """Return how latents [N, rows, dim] are spread: over how many directions, about what, and alike in what rows."""
    count, rows, _ = latents.shape
    centre = latents.mean(0)
    each = []
    for row in range(rows):
        values = torch.linalg.svdvals(latents[:, row] - centre[row]).square()
        each.append(float(values.sum() ** 2 / values.square().sum()))
    unit = F.normalize(latents, dim=2)
    cosines = torch.einsum("nrd,nsd->nrs", unit, unit).mean(0)
    apart = (cosines.sum() - cosines.trace()) / max(rows * (rows - 1), 1)
    return {
        "directions": sum(each) / rows,
        "common": float(centre.square().sum() * count / latents.square().sum()),
        "between rows": float(apart) if rows > 1 else None,
    }


def _pictures(study: Study, what: str) -> Tensor:
    assert study.photos is not None
    return study.photos if what == PHOTOS else study.faces


def _measured(study: Study, what: str, name: str, stored: StoredEncoder) -> Spread:
    pictures = _pictures(study, what)
    mark = digest_of(pictures)

    @torch.no_grad()
    def measure() -> Spread:
        encoder, base = stored.encoder.to(study.device), study.base.generator
        parts = [encoder(part.to(study.device)) for part in torch.split(pictures, BATCH)]
        means = torch.cat([part.mu for part in parts])
        prior = prior_codes(base, PRIOR)
        found = spread(means.cpu()) | {"energy": energy_distance(encoder.styles_of(means, base).cpu(), prior)}
        found["energy, a sample"] = None
        if parts[0].logvar is not None:
            random = torch.Generator().manual_seed(0)
            drawn = torch.cat([part.sample(random)[0] for part in parts])
            found["energy, a sample"] = energy_distance(encoder.styles_of(drawn, base).cpu(), prior)
        return found

    about = {"encoder": stored.digest, "pictures": mark}
    found: Spread = study.cached(file_name(f"prior-{what}-{name}"), about, measure)
    return found


def _of_prior(study: Study, what: str) -> Spread:
    base, count = study.base.generator, len(_pictures(study, what))
    random = torch.Generator().manual_seed(1)
    latents = torch.randn(count, base.anatomy.rows, base.anatomy.z_dim, generator=random)
    found = spread(latents)
    found["energy"] = energy_distance(prior_codes(base, count, seed=1), prior_codes(base, PRIOR))
    return found


def _cells(values: Spread) -> list[Any]:
    digits = {"directions": 1}
    return ["" if (value := values.get(key)) is None else f"{value:.{digits.get(key, 2)}f}" for key in KEYS]


def _sentences(found: dict[tuple[str, str], Spread], names: list[str]) -> list[str]:
    prior = found[DRAWN, PRIOR_ROW]["directions"]
    widest = max(names, key=lambda name: found[DRAWN, name]["directions"] or 0)
    nearest = min(names, key=lambda name: found[PHOTOS, name]["energy"] or 0)
    sampled = [
        (before, after)
        for name in names
        if (after := found[PHOTOS, name]["energy, a sample"]) is not None
        and (before := found[PHOTOS, name]["energy"]) is not None
    ]
    nearer = sum(after < before for before, after in sampled)
    return [
        f"A row of the prior spreads over {prior:.0f} directions, one of the encoders' at most over "
        f"{found[DRAWN, widest]['directions']:.1f} ({widest}). The mapping network sees nothing of a latent but its "
        "direction, so the codes fill a small part of the prior.",
        f"A sample of the posterior, whose noise fills the other directions, is nearer to the prior than its mean with "
        f"{nearer} of {len(sampled)} encoders.",
        f"Of the mean codes of photos those of {nearest} lie nearest (energy {found[PHOTOS, nearest]['energy']:.2f}).",
    ]
