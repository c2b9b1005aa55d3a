"""What a training shows that has gone wrong although all its numbers are finite; told once, with the cure.

Each line of statistics is looked at. What shows in :data:`LINES` of them in a row (10,000 images, as ``tick`` is set)
is a warning, and from then on 1 in the log under ``symptom_NAME``.

    line = {"images": 1000.0, "sign_real": 0.4, "sign_fake": -0.4}
    symptoms = Symptoms()
    line |= symptoms.look(line)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LINES = 5
"""Lines of statistics in a row that a symptom shows in before it is told."""
CERTAIN = 0.98
"""Mean sign of the scores of real images, and minus that of drawn ones: 99 of 100 are judged rightly."""
DEAD = 1e-10
"""Norm of the gradient of all parameters of a role below which it does not move."""
ALIKE = 0.05
"""Deviation of pixels over drawn images, as a share of that over real ones."""
log = logging.getLogger("portraitist")
Line = Mapping[str, float]


@dataclass(frozen=True)
class Symptom:
    """One way in which a training goes wrong."""

    words: str
    cure: str
    shows: Callable[[Line], bool]

    def __str__(self) -> str:
        return f"{self.words} {self.cure}"


def _certain(line: Line) -> bool:
    return line.get("sign_real", 0) >= CERTAIN and line.get("sign_fake", 0) <= -CERTAIN


def _dead(line: Line) -> bool:
    return any(value < DEAD for name, value in line.items() if name.startswith("gradient_"))


def _alike(line: Line) -> bool:
    return line.get("variety", 1) < ALIKE * line.get("variety_real", 1)


SYMPTOMS: Mapping[str, Symptom] = {
    "certain": Symptom(
        "The discriminator tells all drawn images from all real ones, so the generator learns little from it.",
        "Augment what it sees (--set augment=ada), raise r1_gamma, or bring more exemplars.",
        _certain,
    ),
    "dead": Symptom(
        "A network has no gradient any more: it does not learn.",
        "Train into a new folder with a lower learning_rate.",
        _dead,
    ),
    "alike": Symptom(
        "The drawn images are nearly one picture: the generator has collapsed.",
        "Train into a new folder with a lower learning_rate, a higher r1_gamma or more exemplars.",
        _alike,
    ),
}
"""By the name that the log has for each."""


class Symptoms:
    """In how many lines of statistics in a row each symptom has shown; part of a snapshot."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}

    def look(self, line: Line) -> dict[str, float]:
        """Count what a line of statistics shows, and warn where that has lasted.

        Returns:
            What the log notes: 1 for each symptom that has lasted.
        """
        self.lines = {name: self.lines.get(name, 0) + 1 for name, s in SYMPTOMS.items() if s.shows(line)}
        for name in self.told:
            if self.lines[name] == LINES:
                log.warning("AFTER %d IMAGES: %s", line["images"], SYMPTOMS[name])
        return {f"symptom_{name}": 1.0 for name in self.told}

    @property
    def told(self) -> list[str]:
        """The names of those that have lasted."""
        return [name for name, count in self.lines.items() if count >= LINES]

    def restore(self, record: Mapping[str, int]) -> None:
        """Become what :attr:`lines` was."""
        self.lines = dict(record)
