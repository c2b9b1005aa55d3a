"""``portraitist evaluate study``: pictures matched by name, answers scored, and what does not fit refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from portraitist.data import write_image
from portraitist.evaluate.study import Answer, Answers, StudyKey, _prefers, read_key
from tests.cli.conftest import Run

METHODS = {"ours": 0.6, "theirs": 0.3, "others": 0.1}
PHOTOS = 8


@pytest.fixture
def run(run: Run) -> Run:
    """The command line below ``portraitist evaluate study``."""
    return partial(run, "evaluate", "study")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for k in range(PHOTOS):
        write_image(tmp_path / "photos" / f"p.{k}.jpg", np.full((9, 8, 3), 20 * k, np.uint8))
        for place, method in enumerate(METHODS):
            name = f"p.{k}.png" if place else f"p.{k}.toon.png"
            write_image(tmp_path / method / name, np.full((8, 8, 3), 80 * place + k, np.uint8))
    return tmp_path


@pytest.fixture
def made(run: Run, pictures: Path) -> Path:
    folders = [pictures / method for method in METHODS]
    code, lines, _ = run(*folders, "--photos", pictures / "photos", "-o", pictures / "study", "--side", 32, "--seed", 3)
    assert code == 0 and lines[0].startswith("8 photos, 3 methods")
    return pictures / "study"


def answers_of(key: StudyKey, name: str, seed: int) -> Answers:
    """Let somebody choose methods by their chances."""
    random = np.random.default_rng(seed)
    given = []
    for number, question in enumerate(key.questions):
        shown = tuple(random.permutation(list(question.options)).tolist())
        chances = np.array([METHODS[question.options[mark]] for mark in shown])
        given.append(Answer(number, 0, shown, str(random.choice(shown, p=chances / chances.sum())), 1.5))
    return Answers(key.digest, name, tuple(given))


def write(path: Path, answers: Answers) -> Path:
    path.write_text(json.dumps(asdict(answers)))
    return path


def test_shares_and_strengths_of_simulated_raters_are_recovered(run: Run, made: Path) -> None:
    key = read_key(made / "key.json")
    files = [write(made / f"answers-{k}.json", answers_of(key, f"rater{k}", k)) for k in range(30)]
    code, lines, _ = run("--score", *files, "--json")
    (score,) = json.loads(lines[-1])["scores"]
    assert code == 0 and [m["name"] for m in score["methods"]] == list(METHODS) and score["warnings"] == []
    truth = np.log(list(METHODS.values()))
    for method, share, strength in zip(score["methods"], METHODS.values(), truth - truth.mean(), strict=True):
        assert method["share"]["low"] < share < method["share"]["high"] and method["shown"] == 30 * PHOTOS
        assert method["strength"]["low"] < strength < method["strength"]["high"]
    code, lines, _ = run("--score", files[0], "--key", made / "key.json")
    assert code == 0 and lines[2].startswith("| method | shown |") and "1 raters speak for themselves" in lines[-1]


def test_of_a_session_that_was_saved_twice_the_longer_file_counts(run: Run, made: Path) -> None:
    whole = answers_of(read_key(made / "key.json"), "one", 0)
    half = write(made / "early.json", replace(whole, answers=whole.answers[:3]))
    _, lines, _ = run("--score", write(made / "late.json", whole), half, "--json")
    assert json.loads(lines[-1])["scores"][0]["answers"] == PHOTOS


def test_the_same_seed_writes_the_same_study_and_another_one_another(run: Run, made: Path, pictures: Path) -> None:
    words = [pictures / m for m in METHODS] + ["--photos", pictures / "photos", "--side", 32]
    for seed in (3, 4):
        run(*words, "-o", pictures / f"again{seed}", "--seed", seed)
    pages = [(folder / "study.html").read_bytes() for folder in (made, pictures / "again3", pictures / "again4")]
    assert pages[0] == pages[1] != pages[2]
    code, _, err = run(*words, "-o", made)
    assert code == 2 and "exists" in err and (made / "study.html").read_bytes() == pages[0]


def test_with_fewer_drawings_a_question_all_pairs_take_turns(run: Run, pictures: Path) -> None:
    folders = [pictures / m for m in METHODS]
    run(*folders, "--photos", pictures / "photos", "-o", pictures / "pairs", "--show", 2)
    pairs = [tuple(sorted(q.options.values())) for q in read_key(pictures / "pairs" / "key.json").questions]
    counts = [pairs.count(pair) for pair in set(pairs)]
    assert len(counts) == 3 and max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: replace(a, study="0" * 64), "answers to another study"),
        (lambda a: replace(a, answers=(*a.answers, a.answers[0])), "answered twice"),
        (lambda a: replace(a, answers=(replace(a.answers[0], chosen="no"),)), "shows other drawings"),
        (lambda a: replace(a, answers=(replace(a.answers[0], question=99),)), "no question 100"),
        (lambda a: replace(a, answers=()), "hold no answer"),
        (lambda a: replace(a, kind="study-key"), "is not a file of answers"),
    ],
)
def test_answers_that_do_not_fit_are_refused(run: Run, made: Path, change: object, told: str) -> None:
    whole = answers_of(read_key(made / "key.json"), "one", 0)
    path = write(made / "bad.json", change(whole))  # type: ignore[operator]
    code, lines, err = run("--score", path)
    assert code == 3 and told in err and not lines


def test_pictures_that_do_not_match_are_told(run: Run, pictures: Path) -> None:
    folders = [pictures / m for m in METHODS]
    rest = ["--photos", pictures / "photos", "-o", pictures / "study"]
    (pictures / "theirs" / "p.3.png").unlink()
    code, _, err = run(*folders, *rest)
    assert code == 3 and "theirs has no drawing of p.3.jpg" in err and "--common" in err
    write_image(pictures / "ours" / "stranger.png", np.zeros((8, 8, 3), np.uint8))
    assert "holds drawings of no photo: stranger.png" in run(*folders, *rest)[2]
    code, lines, _ = run(*folders, *rest, "--common")
    assert code == 0 and lines[0].startswith("7 photos")
    write_image(pictures / "ours" / "p.1.oil.png", np.zeros((8, 8, 3), np.uint8))
    assert "two drawings of p.1.jpg: p.1.oil.png and p.1.toon.png" in run(*folders, *rest, "--common")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ours", "--photos", "photos", "-o", "s"], "1 method cannot be compared"),
        (["ours", "theirs"], "needs photos and a folder"),
        (["ours", "ours", "--photos", "photos", "-o", "s"], "Two methods are called 'ours'"),
        (["ours", "theirs", "--photos", "photos", "-o", "s", "--show", "3"], "cannot show 3 of 2"),
        (["ours", "theirs", "--photos", "photos", "-o", "s", "--per-rater", "9"], "asked about 9 of 8 photos"),
        (["ours", "theirs", "--photos", "photos", "-o", "s", "--ask", "a", "--ask", "a"], "each thing once"),
        (["ours", "theirs", "--photos", "photos", "-o", "s", "--key", "k.json"], "--key is of scoring"),
        (["--score", "a.json", "--photos", "photos"], "--photos is of writing"),
        (["--score", "a.json"], "There is no key.json"),
    ],
)
def test_wrong_use_is_told_with_the_cure(
    run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(pictures)
    code, _, err = run(*words)
    assert code == 2 and told in err and not (pictures / "s").exists()


def test_places_are_preferred_by_raters_who_do_and_seldom_by_chance() -> None:
    random = np.random.default_rng(0)
    for count, answers in ((2, 4), (2, 300), (5, 2), (5, 300), (8, 3), (8, 6), (10, 1), (10, 20)):
        alarms = sum(_prefers(random.integers(count, size=answers).tolist(), count) for _ in range(400))
        assert alarms / 400 < 0.08, (count, answers)
    for count in (2, 5):
        assert _prefers([0] * 100 + random.integers(count, size=200).tolist(), count)
