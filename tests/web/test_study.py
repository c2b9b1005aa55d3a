"""The page of a study in Chromium, opened as a file: who answers it sees no method, and the answers can be scored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portraitist.data import write_image
from portraitist.evaluate.study import read_answers, read_key, scores
from portraitist.report.study import Layout, paired, write_study
from tests.web.test_page import check_rules, until

COLOURS = {"secretly-red": (220, 30, 30), "secretly-green": (30, 200, 30), "secretly-blue": (40, 40, 220)}
PHOTOS = 4
PICK = """(wanted) => {
    const colours = [...document.querySelectorAll("#options img")].map((image) => {
        const canvas = document.createElement("canvas");
        canvas.getContext("2d").drawImage(image, 0, 0, 1, 1);
        return canvas.getContext("2d").getImageData(0, 0, 1, 1).data;
    });
    const place = colours.findIndex((c) => c.slice(0, 3).indexOf(Math.max(...c.slice(0, 3))) === wanted);
    return place + 1;
}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for k in range(PHOTOS):
        write_image(folder / "photos" / f"person{k}.png", np.full((40, 30, 3), 40 * k, np.uint8))
        for method, colour in COLOURS.items():
            write_image(folder / method / f"person{k}.{method}.png", np.full((16 + k, 16, 3), colour, np.uint8))
    pool = paired(folder / "photos", {method: folder / method for method in COLOURS})
    exemplars = (np.full((20, 20, 3), 128, np.uint8),)
    layout = Layout(("Which is best?", "Which is <nearest> to the person?"), per_rater=3, side=48, exemplars=exemplars)
    write_study(folder / "study", pool, layout)
    return folder / "study"


@pytest.fixture
def page(browser: Any, study: Path) -> Any:
    page = browser.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((study / "study.html").as_uri())
    yield page
    page.close()
    assert not wrong and all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def answered(page: Any, wanted: int) -> None:
    """Choose the drawing of a colour by its number key, once the pictures are there."""
    until(page, 'document.querySelectorAll("#options img").length === 3')
    until(page, '[...document.querySelectorAll("#options img")].every((image) => image.complete && image.naturalWidth)')
    before = page.inner_text("#place")
    page.keyboard.press(str(page.evaluate(PICK, wanted)))
    until(
        page, f'document.getElementById("asking").hidden || document.getElementById("place").textContent !== "{before}"'
    )


def saved(page: Any, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click("#save")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_answers_by_keys_are_kept_saved_and_scored(page: Any, study: Path, tmp_path: Path) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    check_rules(page)
    assert page.inner_text("#place") == "Question 1 of 6" and page.inner_text("#ask") == "Which is best?"
    answered(page, 0)
    assert page.inner_text("#ask") == "Which is <nearest> to the person?"
    answered(page, 1)
    page.keyboard.press("Backspace")
    assert page.inner_text("#place") == "Question 2 of 6"
    answered(page, 2)
    order = page.evaluate('[...document.querySelectorAll("#options img")].map((image) => image.src)')
    page.reload()
    assert page.inner_text("#start") == "Go on where you stopped"
    page.click("#start")
    assert page.inner_text("#place") == "Question 3 of 6"
    assert page.evaluate('[...document.querySelectorAll("#options img")].map((image) => image.src)') == order
    for k in range(4):
        answered(page, 0 if k % 2 == 0 else 2)
    until(page, '!document.getElementById("done").hidden')
    check_rules(page)
    assert page.is_disabled("#next")
    first = saved(page, tmp_path)
    page.click("#next")
    assert page.inner_text("#start") == "Begin"
    page.click("#start")
    for k in range(6):
        answered(page, k % 3)
    second = saved(page, tmp_path)
    assert json.loads(second.read_text()).keys() == {"format", "kind", "study", "session", "answers"}
    key = read_key(study / "key.json")
    sessions = read_answers([first, second], key)
    best, nearest = scores(key, sessions)
    assert (best.answers, best.raters, best.methods[0].name) == (6, 2, "secretly-red")
    assert {m.name: m.chosen for m in nearest.methods} == {"secretly-red": 1, "secretly-green": 1, "secretly-blue": 4}
    assert all(len({a.question for a in s.answers}) == 3 for s in sessions)


def test_nothing_on_the_page_says_who_drew_what(page: Any, study: Path) -> None:
    text = (study / "study.html").read_text(encoding="utf-8")
    assert not re.search("secretly|person[0-9]", text)
    page.click("#start")
    until(page, '[...document.querySelectorAll("#options img")].every((image) => image.complete && image.naturalWidth)')
    names = page.evaluate('[...document.querySelectorAll("#options img")].map((i) => [i.naturalWidth, i.alt])')
    widths = {round(48 * 16 / (16 + k)) for k in range(PHOTOS)}
    assert {width for width, _ in names} <= widths and {alt for _, alt in names} == {""}
    buttons = page.locator("#options button")
    assert [buttons.nth(k).inner_text() for k in range(3)] == ["Drawing 1", "Drawing 2", "Drawing 3"]


def test_drawings_change_places_from_person_to_person(page: Any, study: Path) -> None:
    found = set()
    for _ in range(6):
        page.evaluate("localStorage.clear()")
        page.reload()
        page.click("#start")
        until(page, '[...document.querySelectorAll("#options img")].every((image) => image.complete)')
        found.add(page.evaluate(PICK, 0))
    assert len(found) > 1
