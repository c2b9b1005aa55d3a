"""Perceptual studies: which of several drawings of a photo people like best, asked by a page, scored here.

AgileGAN (Song et al. 2021, Table 1) asks a hundred people for the best of five drawings. The page is written by
``report.study``; it knows pictures by marks that say nothing, and only the key beside it says who drew which.

    key = read_key(Path("study/key.json"))
    for found in scores(key, read_answers([Path("answers-1.json"), Path("answers-2.json")], key)):
        print(found.ask, found.raters, found.methods[0].name, found.methods[0].share)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from ..errors import BadData
from ..files import open_regular, parse_json
from .choices import Bounded, choice_scores, wilson

LARGEST_FILE = 64 << 20
FEW_RATERS = 5
"""Fewer raters speak for themselves only."""
KEY_FILE = "key.json"

File = TypeVar("File")


@dataclass(frozen=True)
class Question:
    """A photo, and the drawings of it that one question shows."""

    photo: str
    """Its name."""
    options: dict[str, str]
    """Mark of a drawing on the page -> the method that drew it."""


@dataclass(frozen=True)
class StudyKey:
    """What the page of a study does not say."""

    digest: str
    """Of the study: of its pictures, as the page shows them, and of what it asks."""
    asks: tuple[str, ...]
    """What is asked about every question."""
    methods: dict[str, str]
    """Method -> where its drawings came from."""
    questions: tuple[Question, ...]
    seed: int
    format: Literal[1] = 1
    kind: Literal["study-key"] = "study-key"

    def encoded(self) -> bytes:
        """Return the file, as :func:`read_key` reads it."""
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Answer:
    """What one person chose."""

    question: Annotated[int, Field(ge=0)]
    ask: Annotated[int, Field(ge=0)]
    shown: tuple[str, ...]
    """Marks, in the order in which they stood."""
    chosen: str
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How long it took."""


@dataclass(frozen=True)
class Answers:
    """What the page saves: the answers of one session, that is, of one person."""

    study: str
    """Digest of the study."""
    session: str
    answers: tuple[Answer, ...]
    format: Literal[1] = 1
    kind: Literal["study-answers"] = "study-answers"


@dataclass(frozen=True)
class MethodScore:
    """One method, by all answers to one thing that was asked."""

    name: str
    shown: int
    """Answers whose question showed it."""
    chosen: int
    share: Bounded
    """Chosen / shown; see ``choices.ChoiceScores.shares``."""
    strength: Bounded
    """On the logarithmic scale of Bradley and Terry; see ``choices.ChoiceScores.strengths``."""


@dataclass(frozen=True)
class StudyScore:
    """All methods, the best first, by the answers to one thing that was asked."""

    ask: str
    methods: tuple[MethodScore, ...]
    raters: int
    answers: int
    design_effect: float
    places: tuple[Bounded, ...]
    """Share of the answers that chose what stood first, second, ...; of questions with as many drawings as most."""
    place_preferred: bool
    """Whether one of these shares is not that of chance: at a level of 5 % for all of them together (Bonferroni)."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What keeps the numbers from meaning what they seem to."""
        found = []
        if self.raters < FEW_RATERS:
            found.append(f"{self.raters} raters speak for themselves only; ask {FEW_RATERS} or more.")
        if self.place_preferred:
            found.append("Raters preferred a place on the page, whatever stood there.")
        return tuple(found)


def digest_of(pictures: Sequence[bytes], *asked: object) -> str:
    """Return the digest of a study, of its pictures as files in the order of the page, and of what it asks and how."""
    whole = hashlib.sha256(json.dumps(asked).encode())
    for picture in pictures:
        whole.update(hashlib.sha256(picture).digest())
    return whole.hexdigest()


def read_key(path: Path) -> StudyKey:
    """Read the key of a study.

    Raises:
        BadData: It cannot be read, or is something else.
    """
    return _read(path, _KEY, "the key of a study", "`portraitist evaluate study` writes it as key.json.")


def read_answers(paths: Sequence[Path], key: StudyKey) -> list[Answers]:
    """Read answers to a study; of several files of one session the longest counts.

    Raises:
        BadData: One cannot be read, is of another study, or does not fit its questions.
    """
    sessions: dict[str, Answers] = {}
    for path in paths:
        found = _read(path, _ANSWERS, "a file of answers", "The page of a study saves them.")
        if found.study != key.digest:
            raise BadData(
                f"{path.name} holds answers to another study (digest {found.study[:12]}, not {key.digest[:12]}).",
                "Score it with the key that was written with its page.",
            )
        if wrong := _misfit(found, key):
            raise BadData(f"{path.name} does not fit the study: {wrong}.", "Use the file as the page saved it.")
        before = sessions.get(found.session)
        if before is None or len(found.answers) > len(before.answers):
            sessions[found.session] = found
    return list(sessions.values())


def scores(key: StudyKey, sessions: Sequence[Answers]) -> list[StudyScore]:
    """Score the methods, by each thing that was asked and answered.

    Raises:
        BadData: Nothing was answered.
    """
    found = [_scored(key, sessions, ask) for ask in range(len(key.asks))]
    if not any(found):
        raise BadData("The files hold no answer.", "Let somebody answer.")
    return [score for score in found if score is not None]


def _scored(key: StudyKey, sessions: Sequence[Answers], ask: int) -> StudyScore | None:
    given = [(rater, a) for rater, session in enumerate(sessions) for a in session.answers if a.ask == ask]
    if not given:
        return None
    names = list(key.methods)
    drawn_by = [key.questions[a.question].options for _, a in given]
    shown = np.array([[name in options.values() for name in names] for options in drawn_by])
    chosen = np.array([names.index(options[a.chosen]) for options, (_, a) in zip(drawn_by, given, strict=True)])
    raters, questions = np.array([r for r, _ in given]), np.array([a.question for _, a in given])
    found = choice_scores(shown, chosen, raters, questions)
    methods = [
        MethodScore(name, int(shown[:, k].sum()), int((chosen == k).sum()), found.shares[k], found.strengths[k])
        for k, name in enumerate(names)
    ]
    wide = max(len(a.shown) for _, a in given)
    places = [a.shown.index(a.chosen) for _, a in given if len(a.shown) == wide]
    return StudyScore(
        ask=key.asks[ask],
        methods=tuple(sorted(methods, key=lambda m: -m.strength.value)),
        raters=len({rater for rater, _ in given}),
        answers=len(given),
        design_effect=found.design_effect,
        places=tuple(wilson(places.count(k), len(places)) for k in range(wide)),
        place_preferred=_prefers(places, wide),
    )


def _prefers(places: Sequence[int], count: int) -> bool:
    """Tell whether one of ``count`` places, of which there are two at least, was chosen otherwise than by chance."""
    level = 0.05 / (count if count > 2 else 1)  # the shares of two places are one number
    n = len(places)
    chances = [comb(n, k) * (count - 1) ** (n - k) / count**n for k in range(n + 1)]  # binomial
    tails = (min(sum(chances[: hits + 1]), sum(chances[hits:])) for hits in map(places.count, range(count)))
    return any(2 * tail < level for tail in tails)


def _misfit(found: Answers, key: StudyKey) -> str:
    """Return what of answers the study cannot have brought about; nothing of those that fit."""
    seen = set()
    for answer in found.answers:
        if answer.question >= len(key.questions) or answer.ask >= len(key.asks):
            return f"there is no question {answer.question + 1}"
        options = key.questions[answer.question].options
        if sorted(answer.shown) != sorted(options) or answer.chosen not in options:
            return f"question {answer.question + 1} shows other drawings"
        if (where := (answer.question, answer.ask)) in seen:
            return f"question {answer.question + 1} is answered twice"
        seen.add(where)
    return ""


def _check_key(key: StudyKey) -> None:
    marks = [mark for question in key.questions for mark in question.options]
    drawn_by = {name for question in key.questions for name in question.options.values()}
    if len(set(marks)) < len(marks) or not drawn_by <= key.methods.keys() or not key.asks or len(key.methods) < 2:
        raise ValueError("its questions do not fit its methods")


_KEY, _ANSWERS = TypeAdapter(StudyKey), TypeAdapter(Answers)


def _read(path: Path, kind: TypeAdapter[File], what: str, source: str) -> File:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError("it is too large")
        found = kind.validate_python(parse_json(content))
        if isinstance(found, StudyKey):
            _check_key(found)
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}.", "Check its path and permissions.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadData(f"{path.name} is not {what} ({place}: {first['msg']}).", source) from None
    except ValueError as error:
        raise BadData(f"{path.name} is not {what} ({error}).", source) from None
    return found
