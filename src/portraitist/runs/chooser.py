"""Learn what chooses the path of a multi-path style for a face: a logistic regression on the latents of the encoder.

    stored = learn_chooser(ImageSet.open("photos.zip", 64, labels="labels.csv"), ["gender"], base, encoder)
    save_chooser("faces-chooser.safetensors", stored, half=True)

Folds of photos that a fit has not seen set the margin; the figures are those of photos of their own, where there are
such, and else of the folds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..data import ImageSet
from ..data.labels import UNKNOWN, column_named
from ..errors import BadData, UsageError, require
from ..io.chooser_files import StoredChooser, unlearned
from ..io.encoder_files import StoredEncoder
from ..io.headers import About, Choice, ChooserHeader
from ..io.model_file import Model, generator_digest, lineage
from ..networks.encoder import Encoder

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]
Line = tuple[Values, Values]
"""Weight [values, size] and bias [values] of a linear layer."""
BATCH = 64
KEYS = ("weight", "bias")
LEAST = 20
"""Photos of a value, below which nothing is learned of it."""


@dataclass(frozen=True)
class Fit:
    """Settings of the regression."""

    strength: float = 1e-3
    """Inverse weight of the squared weights against the sum over photos (``C`` of scikit-learn)."""
    folds: int = 5
    wanted: float = 0.99
    """Accuracy of the faces that it chooses for; the margin is the least at which the folds have it."""

    def __post_init__(self) -> None:
        if not 0 < self.strength < math.inf:
            raise UsageError(f"The setting strength is above 0, not {self.strength}.")
        if not 2 <= self.folds <= LEAST:
            raise UsageError(f"The setting folds is 2 to {LEAST}, not {self.folds}.")
        if not 0 < self.wanted <= 1:
            raise UsageError(f"The setting wanted is a share above 0, at most 1, not {self.wanted}.")


def learn_chooser(
    photos: ImageSet,
    attributes: Sequence[str],
    base: Model,
    encoder: StoredEncoder,
    *,
    held_out: ImageSet | None = None,
    fit: Fit | None = None,
    about: About | None = None,
) -> StoredChooser:
    """Learn to choose among the values of attributes that photos are labelled with.

    Args:
        photos: Aligned photos with labels; those labelled ``unknown`` are left out.
        attributes: Columns of the labels.
        base: The model that the encoder belongs to.
        encoder: Whose latents the chooser takes.
        held_out: Other photos with the same labels, for the figures; the folds' are taken when None.
        fit: Settings.
        about: Name, description, terms and credit to note.

    Raises:
        UsageError: There is no such column, or scikit-learn is not installed.
        BadData: A value has fewer than 20 photos, or none is known of the other photos.
    """
    require("Learning a chooser", "evaluate", "sklearn")
    if not attributes:
        raise UsageError("No attribute is named.", "Name columns of the labels with --by.")
    fit = fit or Fit()
    seen = _latents(photos, encoder.encoder)
    other = None if held_out is None else _latents(held_out, encoder.encoder)
    choices, lines = [], {}
    for attribute in attributes:
        labels, known = _labels(photos, attribute)
        pairs, own = seen[known], labels[known]
        values = _values(own, attribute)
        shares = _of_folds(pairs, own, values, fit)
        margin = _margin(shares, own, values, fit.wanted)
        lines[attribute] = _fitted(pairs, own, values, fit)
        if held_out is not None and other is not None:
            own, known = _labels(held_out, attribute)
            known &= np.isin(own, values)
            if not known.any():
                raise BadData(
                    f"None of the {len(held_out)} other photos is labelled with a {attribute} of {', '.join(values)}.",
                    "Use the words of the photos that are learned from.",
                )
            own, shares = own[known], _shares(lines[attribute], other[known][:, 0])
        choices.append(_choice(attribute, values, margin, len(pairs), shares, own))
    anatomy = encoder.encoder.anatomy
    told = {} if about is None else {key: getattr(about, key) for key in ("name", "description", "licence", "credit")}
    settings = {"base": encoder.digest, "data": {"count": len(photos), "digest": photos.digest}, "device": "cpu"}
    header = ChooserHeader(
        choices=tuple(choices),
        rows=1 if anatomy.kind == "vae" else anatomy.rows,
        dim=anatomy.dim,
        encoder_name=encoder.header.name,
        encoder_digest=encoder.digest,
        base_name=base.header.name,
        base_digest=generator_digest(base),
        lineage=[lineage(2 * len(photos), settings)],
        training=asdict(fit) | {"figures_of": "folds" if held_out is None else "other photos"},
        **told,
    )
    chooser = unlearned(header)
    state = {
        f"layers.{a}.{k}": torch.from_numpy(v) for a, pair in lines.items() for k, v in zip(KEYS, pair, strict=True)
    }
    chooser.load_state_dict(state)
    return StoredChooser(chooser.eval(), header)


@torch.no_grad()
def _latents(photos: ImageSet, encoder: Encoder) -> Values:
    """Return the latents of photos and of their mirror images, [N, 2, rows * dim]."""
    found = []
    for part in torch.arange(len(photos)).split(BATCH):
        each = [photos.batch(part, torch.full((len(part),), mirrored)) for mirrored in (False, True)]
        found.append(torch.stack([encoder(images).mu.flatten(1) for images in each], dim=1))
    return np.asarray(torch.cat(found).numpy(), dtype=np.float64)


def _labels(photos: ImageSet, attribute: str) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the value of each photo, and which are known."""
    column = column_named(photos.attributes, attribute)
    if column is None:
        raise UsageError(
            f"The labels have no column '{attribute}'.", f"Columns: {', '.join(photos.attributes) or 'none'}."
        )
    labels = np.array(photos.attributes[column])
    return labels, labels != UNKNOWN


def _values(labels: Labels, attribute: str) -> tuple[str, ...]:
    """Return what an attribute can be.

    Raises:
        BadData: A value has too few photos, or there are not two.
    """
    values, counts = np.unique(labels, return_counts=True)
    if len(values) < 2 or counts.min() < LEAST:
        raise BadData(
            f"'{attribute}' has {len(values)} values, the rarest with {min(counts, default=0)} photos; two values or "
            f"more with {LEAST} photos each are needed.",
            "Bring more labelled photos, or name another column.",
        )
    return tuple(map(str, values))


def _fitted(pairs: Values, labels: Labels, values: Sequence[str], fit: Fit) -> Line:
    """Fit the regression to photos and their mirror images; weight and bias are those of plain latents."""
    from sklearn.linear_model import LogisticRegression

    rows = pairs.reshape(-1, pairs.shape[-1])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    model = LogisticRegression(C=fit.strength, max_iter=500).fit((rows - mean) / spread, np.repeat(labels, 2))
    assert list(model.classes_) == list(values)
    # Of two values scikit-learn keeps the difference.
    two = len(values) == 2
    weight = np.concatenate([-model.coef_ / 2, model.coef_ / 2]) if two else model.coef_
    bias = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2]) if two else model.intercept_
    weight = weight / spread
    return weight, bias - weight @ mean


def _shares(line: Line, rows: Values) -> Values:
    """Return how much speaks for each value, [N, values]."""
    weight, bias = line
    logits = rows @ weight.T + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Values = odds / odds.sum(axis=1, keepdims=True)
    return found


def _of_folds(pairs: Values, labels: Labels, values: Sequence[str], fit: Fit) -> Values:
    """Return the shares of each photo by a fit that has seen neither it nor its mirror image."""
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(pairs), len(values)))
    for seen, unseen in StratifiedKFold(fit.folds, shuffle=True, random_state=0).split(pairs[:, 0], labels):
        found[unseen] = _shares(_fitted(pairs[seen], labels[seen], values, fit), pairs[unseen, 0])
    return found


def _margin(shares: Values, labels: Labels, values: Sequence[str], wanted: float) -> float:
    """Return the least share of the likeliest value, in hundredths, from which on the wanted part is right."""
    best, right = shares.max(axis=1), _right(shares, labels, values)
    for margin in np.arange(0.5, 1.0, 0.01).round(2):
        beyond = best >= margin
        if beyond.any() and right[beyond].mean() >= wanted:
            return float(margin)
    return 0.99


def _right(shares: Values, labels: Labels, values: Sequence[str]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.array(values)[shares.argmax(axis=1)] == labels
    return found


def _choice(
    attribute: str, values: tuple[str, ...], margin: float, learned_from: int, shares: Values, labels: Labels
) -> Choice:
    right, beyond = _right(shares, labels, values), shares.max(axis=1) >= margin
    return Choice(
        attribute=attribute,
        values=values,
        margin=margin,
        learned_from=learned_from,
        held_out=len(labels),
        accuracy=float(right.mean()),
        chosen=float(beyond.mean()),
        chosen_accuracy=float(right[beyond].mean()) if beyond.any() else 0.0,
    )
