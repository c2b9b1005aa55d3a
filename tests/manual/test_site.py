"""The site of the documents: its links and anchors hold, it loads nothing from outside, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from manual import build as building
from manual.__main__ import main
from manual.build import NAV, build
from manual.recipes import PAGES, overview
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.recipes import RECIPES
from tests.conftest import REPOSITORY
from tests.test_api_surface import surface
from tests.web.conftest import chromium

pytest.importorskip("zensical", reason="needs the extra docs")

MODULES = re.compile(r"^portraitist\.(?:[a-z_0-9]+\.)*(?=[A-Za-z_])")


class Page(HTMLParser):
    """What a page links, loads, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.text: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.anchors |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        elif tag != "a" and not (tag == "link" and found.get("rel") in ("canonical", "next", "prev")):
            self.loads |= {found[key] for key in ("src", "href", "srcset", "data", "poster", "action") if key in found}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("documents") / "site", people=2).parent


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    # The page for what is not found is shown at any address.
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def inside(pages: dict[Path, Page], site: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield (page and address, file, anchor) of all that pages link or load inside the site."""
    for path, page in pages.items():
        for address in page.links | page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            aim = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            aim = aim / "index.html" if aim.is_dir() else aim
            yield f"{path.relative_to(site)}: {address}", aim, unquote(parts.fragment)


def test_every_link_and_every_anchor_holds(pages: dict[Path, Page], site: Path) -> None:
    found = list(inside(pages, site))
    assert len(pages) > 50 and len(found) > 1000
    assert [said for said, aim, _ in found if not aim.is_file()] == []
    assert [said for said, aim, anchor in found if anchor and aim in pages and anchor not in pages[aim].anchors] == []


def test_no_page_loads_anything_from_outside(pages: dict[Path, Page], site: Path) -> None:
    outside = {load for page in pages.values() for load in page.loads if urlsplit(load).scheme not in ("", "data")}
    assert outside == set() and not any(load.startswith("//") for page in pages.values() for load in page.loads)
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert sheets and not any(re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet) for sheet in sheets)


@pytest.mark.slow
def test_pages_that_are_opened_ask_nobody(site: Path) -> None:
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "gallery", "recipes/freeze_sg", "reference/portraitist.stylize", "usage"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_load_state("load")
    assert asked and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_page_is_in_the_navigation_and_nothing_generated_is_missing(pages: dict[Path, Page], site: Path) -> None:
    in_sections = {name for listed in NAV.values() if isinstance(listed, list) for name in listed}
    written = {p.relative_to(REPOSITORY / "docs").as_posix() for p in (REPOSITORY / "docs").rglob("*.md")}
    results = {name for name in written if name.startswith("results/")}
    assert written - results <= in_sections
    assert {name.removesuffix(".md") + ".html" for name in in_sections | results} == {
        path.relative_to(site).as_posix() for path in pages
    }
    for name, recipe in zip(PAGES, RECIPES.values(), strict=True):
        text = " ".join(pages[site / name.replace(".md", ".html")].text)
        assert recipe.use in text and recipe.paper.split(",")[0] in text and "What it changes" in text
    for entry in registry.entries():
        assert (site / "gallery" / f"{entry.name}.png").is_file() == (entry.header.kind == "style-pack")


def test_the_reference_has_every_public_class_and_function(pages: dict[Path, Page]) -> None:
    anchors = set().union(*(page.anchors for page in pages.values()))
    told = {MODULES.sub("", anchor) for anchor in anchors}
    public = {MODULES.sub("", line.partition("(")[0]) for line in surface() if "(" in line}
    assert len(public) > 150 and public - told == set()
    shown = "".join("".join(page.text) for path, page in pages.items() if "reference" in path.parts)
    assert ":func:" not in shown and ":class:" not in shown


def test_the_table_of_recipes_is_that_of_the_registry() -> None:
    assert "\n".join(overview()) in (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["-o", str(tmp_path)]) == 2
    assert "holds something else" in capsys.readouterr().err and (tmp_path / "mine.txt").read_text() == "mine"


def test_a_link_to_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("[that](gone.md)")
    monkeypatch.setattr(building, "ROOT", tmp_path)
    with pytest.raises(UsageError, match=r"docs/page\.md links gone\.md"):
        building.write_pages(tmp_path / "out", 1)
