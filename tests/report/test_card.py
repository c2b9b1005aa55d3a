from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from portraitist.data import to_array
from portraitist.errors import StorageError
from portraitist.report import card as card_module
from portraitist.report.card import Card, Moment, Neighbours, plots_of, write_card
from portraitist.report.curves import draw_curve
from portraitist.report.sections import LIGHT, Plot, Theme

VOID = {"meta", "link", "img", "source", "br"}
HOSTILE = '</title><script src="http://evil.example/x.js">alert(1)</script> & "\u202equoted\ud800\x00'
EMPTY = Card("", "", None, (), (), None, "", None, {}, {}, (), "", "")


class Page(HTMLParser):
    """What a page holds; unbalanced tags fail."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def images(self, alt: str = "") -> list[Image.Image]:
        found = [a for tag, a in self.tags if tag == "img" and re.search(alt, a["alt"] or "")]
        return [Image.open(io.BytesIO(base64.b64decode((a["src"] or "").partition(",")[2]))) for a in found]

    def headings(self) -> int:
        return sum(tag == "h2" for tag, _ in self.tags)


def pictures(count: int = 4, side: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def full() -> Card:
    stats = [
        {"images": 100.0 * i, "loss_d": 1.3, "loss_g": 0.8 + 0.01 * i, "r1": 0.1, "ada_p": 0.02 * i}
        for i in range(1, 11)
    ]
    for line in stats[1::2]:
        line |= {"held_out": 0.05 / line["images"] * 100, "held_out_spread": 0.004, "likeness": 0.875}
    near = Neighbours(pictures(3), pictures(3, seed=1), (0.75, 0.25, 0.5), 0.375, False, "Nothing was copied.")
    return Card(
        "mine",
        "freeze_sg",
        pictures(seed=9),
        tuple(Moment(i * 200, pictures(seed=i)) for i in range(6)),
        stats,
        600,
        "It scored best.",
        near,
        {"Wall time": "3 min"},
        {"batch": 16},
        ("Few exemplars.",),
        "CC0-1.0",
        "An artist",
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a full card, rendered once."""
    return write_card(tmp_path_factory.mktemp("card") / "run", full())


def test_a_card_says_what_it_was_told(written: Path) -> None:
    assert written.name == "report.html"
    read = Page(written)
    for words in (
        *(
            "mine",
            "freeze_sg",
            "Kept: the model after 600 images of 1,000 seen",
            "The copy alarm is silent.",
            "no alarm",
        ),
        *(
            "0.00833 ± 0.004",
            "0.875",
            "It scored best.",
            "Nothing was copied.",
            "Few exemplars.",
            "3 min",
            "batch",
            "16",
        ),
        *("CC0-1.0", "An artist", "0.25 apart, suspiciously near", "0.5 apart", "0.75 apart"),
    ):
        assert words in read.text, words
    assert read.text.index("Few exemplars.") < read.text.index("It scored best.")
    assert "0.5 apart, " not in read.text


def test_the_page_shows_the_very_pixels_and_frames_the_chosen_moment(written: Path) -> None:
    card = full()
    read = Page(written)
    for moment in card.moments:
        shown = read.images(rf"Code \d after {moment.images} images|Code \d after {moment.images:,} images")
        assert np.array_equal(np.stack([np.asarray(i) for i in shown]), to_array(moment.pictures))
    frames = [(a["class"] or "").split() for tag, a in read.tags if tag == "figure" and a.get("class")]
    assert [f for f in frames if f[0] == "strip"] == [["strip"]] * 3 + [["strip", "framed"]] + [["strip"]] * 2
    assert "600 imageskept" in read.text


def test_the_large_faces_are_those_of_the_model_that_was_kept(written: Path) -> None:
    kept = full().kept
    assert kept is not None
    shown = [a for tag, a in Page(written).tags if tag == "img" and a.get("alt") == "A sample"][: len(kept)]
    drawn = [Image.open(io.BytesIO(base64.b64decode((a["src"] or "").partition(",")[2]))) for a in shown]
    assert np.array_equal(np.stack([np.asarray(i) for i in drawn]), to_array(kept))


def test_the_nearest_pair_comes_first(tmp_path: Path) -> None:
    near = Neighbours(pictures(3), pictures(3, seed=1), (float("nan"), 0.75, 0.5), 0.375, False, "")
    read = Page(write_card(tmp_path, replace(EMPTY, neighbours=near)))
    for alt, wanted in (("^A sample$", near.samples), ("^The exemplar nearest", near.exemplars)):
        shown = np.stack([np.asarray(i) for i in read.images(alt)])
        assert np.array_equal(shown, to_array(wanted[[2, 1, 0]]))


def test_an_alarm_is_told_at_the_top(tmp_path: Path) -> None:
    card = full()
    assert card.neighbours is not None
    read = Page(write_card(tmp_path, replace(card, neighbours=replace(card.neighbours, alarm=True))))
    assert "It copies exemplars." in read.text and "silent" not in read.text
    assert ("div", {"class": "bad"}) in read.tags


def test_the_curves_are_there_for_light_and_dark_and_are_told_in_words(written: Path) -> None:
    read = Page(written)
    curves = read.images("over images")
    assert [i.size for i in curves] == [(880, 480)] * 4
    assert sum(tag == "source" and a["media"] == "(prefers-color-scheme: dark)" for tag, a in read.tags) == 4
    assert len(read.images("discriminator 1.3 to 1.3, generator 0.81 to 0.9")) == 1
    assert not any("Software" in i.info for i in curves)


def test_missing_curves_are_left_out(tmp_path: Path) -> None:
    read = Page(write_card(tmp_path, replace(full(), stats=[{"images": 100.0, "loss_d": 1.0}])))
    assert len(read.images("over images")) == 1 and "Likeness" not in read.text
    read = Page(write_card(tmp_path, replace(full(), stats=[])))
    assert "Curves" not in read.text


def test_words_are_text_and_never_markup(tmp_path: Path) -> None:
    near = replace(full().neighbours, sentence=HOSTILE)  # type: ignore[type-var]
    card = Card(
        *(
            HOSTILE,
            HOSTILE,
            None,
            full().moments,
            full().stats,
            600,
            HOSTILE,
            near,
            {HOSTILE: HOSTILE},
            {HOSTILE: HOSTILE},
        ),
        *((HOSTILE,), HOSTILE, HOSTILE),
    )
    read = Page(write_card(tmp_path, card))
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "iframe", "object", "a", "form"}
    assert sum(tag == "title" for tag, _ in read.tags) == 1
    # Title, heading, recipe, warning, why, sentence, keys and values of two tables, licence and credit.
    assert read.text.count("alert(1)") == 12
    assert "\u202e" not in read.text and "\x00" not in read.text


def test_the_page_asks_for_nothing(written: Path) -> None:
    read = Page(written)
    sources = [v for _, a in read.tags for k, v in a.items() if k in ("src", "srcset", "href", "action", "poster")]
    assert sources and all((v or "").startswith("data:") for v in sources)
    text = written.read_text(encoding="utf-8")
    assert "url(" not in text and "@import" not in text and "http:" not in text and "https:" not in text
    policy = next(a["content"] for tag, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_same_card_gives_the_same_bytes_and_replaces_an_older_one(tmp_path: Path, written: Path) -> None:
    write_card(tmp_path, EMPTY)
    assert write_card(tmp_path, full()).read_bytes() == written.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_each_curve_is_drawn_once_for_light_and_once_for_dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def counted(plot: Plot, theme: Theme) -> bytes:
        drawn.append(f"{plot.curve.title} {theme.paper}")
        return draw_curve(plot, theme, 440, 240)

    monkeypatch.setattr(card_module, "draw_curve", counted)
    write_card(tmp_path, full())
    assert len(drawn) == len(set(drawn)) == 8


def test_a_users_settings_of_matplotlib_change_nothing(tmp_path: Path, written: Path) -> None:
    import matplotlib

    before = written.read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.grid": True, "font.size": 30.0, "savefig.dpi": 50.0}):
        assert write_card(tmp_path, full()).read_bytes() == before
        assert matplotlib.rcParams["font.size"] == 30.0


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"moments": (Moment(0, pictures(0)),)},
        {"moments": (Moment(0, pictures(1)),), "chosen": 5},
        {"moments": (Moment(0, torch.full((2, 3, 8, 8), float("nan"))),)},
        {"stats": [{}]},
        {"stats": [{"images": 0.0, "loss_d": 1.0}]},
        {"stats": [{"images": 8.0, "held_out": 1.0, "held_out_spread": float("nan")}], "chosen": 8},
        {"stats": [{"images": float("nan"), "loss_d": 1.0}, {"images": 1.0, "loss_g": float("inf")}]},
        {"neighbours": Neighbours(pictures(0), pictures(0), (), float("inf"), False, "")},
        {"neighbours": Neighbours(pictures(1), pictures(1), (float("nan"),), float("nan"), True, "Odd.")},
        {"cost": {"": ""}, "settings": {"path": None}},
        {"name": "W" * 3000, "why": "word " * 5000, "warnings": tuple(f"warning {i}" for i in range(200))},
    ],
)
def test_a_card_of_few_parts_is_still_a_card(tmp_path: Path, part: dict[str, object]) -> None:
    read = Page(write_card(tmp_path, replace(EMPTY, **part)))  # type: ignore[arg-type]
    assert "nan" not in read.text
    assert read.headings() <= 2


def test_an_empty_card_says_that_nothing_was_chosen(tmp_path: Path) -> None:
    read = Page(write_card(tmp_path, EMPTY))
    assert "No snapshot was chosen." in read.text and read.headings() == 0 and not read.images()


def test_of_many_moments_the_first_the_last_and_the_chosen_are_shown(tmp_path: Path) -> None:
    many = tuple(Moment(i, pictures(1, 4)) for i in range(90))
    read = Page(write_card(tmp_path, replace(EMPTY, moments=many, chosen=41)))
    told = [re.fullmatch(r"Code 1 after (\d+) images", a.get("alt") or "") for _, a in read.tags]
    shown = [int(t[1]) for t in told if t]
    assert shown == sorted(shown) and {0, 41, 89} <= set(shown) and len(shown) == 11


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    large = torch.zeros(9, 3, 300, 300)
    read = Page(write_card(tmp_path, replace(EMPTY, kept=large, moments=(Moment(0, large),))))
    assert [i.size for i in read.images("^Code")] == [(128, 128)] * 8
    assert [i.size for i in read.images("^A sample$")] == [(256, 256)] * 6


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_card(tmp_path / "file", EMPTY)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["images", "loss_d", "ada_p", "held_out", "held_out_spread"]), st.floats(), max_size=5
        ),
        max_size=4,
    )
)
def test_no_numbers_break_a_curve(stats: list[dict[str, float]]) -> None:
    for plot in plots_of(replace(EMPTY, stats=stats, chosen=3)):
        drawn = Image.open(io.BytesIO(draw_curve(plot, LIGHT, 440, 240)))
        assert drawn.size == (440, 240)
