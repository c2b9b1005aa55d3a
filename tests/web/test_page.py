"""The page in Chromium, with no network but the service: every control used once, and axe-core's rules."""

from __future__ import annotations

import base64
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from portraitist import Stylizer
from portraitist.data.images import resize
from portraitist.io import registry
from portraitist.io.model_file import Model, save_pack
from tests.conftest import restyled
from tests.stylize.test_pipeline import TWO
from tests.web.conftest import Gate, MakeApp, listening, pixels

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.xdist_group("machine")
Open = Callable[..., Any]
USED = """
window.used = new Set();
for (const kind of ["click", "input", "change"]) {
    addEventListener(kind, ({ target }) => used.add(target.id || target.name || String(target.className)), true);
}
"""
"""Keeps which controls were used."""


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.open.set()
    return gate


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens pages that may reach the service alone; at the end, none has tried more or met an error."""
    outside: list[str] = []
    faults: list[str] = []

    def opened(address: str, path: str = "/", **options: Any) -> Any:
        context = browser.new_context(permissions=["camera"], accept_downloads=True, **options)

        def only_service(route: Any) -> None:
            if route.request.url.startswith((address, "blob:")):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        context.route("**/*", only_service)
        context.add_init_script(USED)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        # That an answer is a refusal is told in the console too.
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" and "status of" not in m.text else None)
        page.goto(address + path)
        return page

    yield opened
    found = [*outside], [*faults]  # what closing meets counts for nothing: the service has gone
    for context in browser.contexts:
        context.close()
    assert found == ([], [])


def check_rules(page: Any) -> None:
    """Find no violation of axe-core's rules, in light and in dark."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, options={"preload": False})  # it would load styles, which the offline page forbids
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found.response["violations"]] == []


def says(page: Any, text: str | re.Pattern[str], place: str = "#status") -> None:
    playwright.expect(page.locator(place)).to_have_text(text, timeout=120_000)


def until(page: Any, expression: str) -> None:
    """Wait until an expression holds; Playwright's own way needs ``eval``, which the page forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


def drawn(page: Any, count: int) -> None:
    """Draw, and wait until so many pictures are there."""
    page.click("#draw")
    says(page, f"Done: {count} picture{'s' if count > 1 else ''}.")


def downloaded(page: Any, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=f"Download {name}", exact=True).first.click()
    assert waiting.value.suggested_filename == name
    return Path(waiting.value.path()).read_bytes()


def send(page: Any, kind: str, photo: bytes) -> None:
    """Paste or drop a photo."""
    page.evaluate(
        """([kind, text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], `${kind}.jpg`, { type: "image/jpeg" }));
            const more = { bubbles: true, cancelable: true };
            const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, ...more })
                : new DragEvent("drop", { dataTransfer: data, ...more });
            document.body.dispatchEvent(event);
        }""",
        [kind, base64.b64encode(photo).decode()],
    )


def test_every_control_does_what_it_says(
    make_app: MakeApp, gate: Gate, open_page: Open, tmp_path: Path, photo: bytes, tiny_model: Model
) -> None:
    me = tmp_path / "me at home.jpg"
    me.write_bytes(photo)
    both = {name: restyled(tiny_model, "both", seed=seed) for seed, name in enumerate(("women", "men"), 3)}
    registry.add(save_pack(tmp_path / "both.safetensors", both, tiny_model))
    with listening(make_app(finder=gate)) as address, httpx2.Client(base_url=address, timeout=60) as ask:
        page = open_page(address)

        # Styles, with thumbnails; nothing can be drawn without a photo.
        until(page, "[...document.querySelectorAll('#styles img')].filter((i) => i.naturalWidth).length === 3")
        assert (
            page.get_by_role("checkbox", name="calm").is_checked()
            and not page.get_by_role("checkbox", name="wild").is_checked()
        )
        assert page.locator("#draw").is_disabled() and page.locator("#mix").is_disabled()
        check_rules(page)

        # A photo from a file; its faces, by name and in the picture.
        page.set_input_files("#file", me)
        says(page, "2 faces were found.", "#faces-found")
        page.get_by_label("Face 2").check()
        assert page.locator("#stage polygon.chosen").count() == 1
        page.locator("#stage polygon").first.click()
        assert page.get_by_label("Face 1").is_checked()

        # One style, one face; the file is what the service gives to others.
        drawn(page, 1)
        direct = ask.post("/stylize?style=calm&face=1", content=photo).content
        assert downloaded(page, "me at home.calm.png") == direct

        # A style with a path for each attribute.
        page.get_by_role("checkbox", name="both").check()
        page.get_by_role("checkbox", name="calm").uncheck()
        page.get_by_label("Path of styles that have several").select_option("men")
        drawn(page, 1)
        direct = ask.post("/stylize?style=both&attribute=men&face=1", content=photo).content
        assert downloaded(page, "me at home.both.png") == direct
        page.get_by_role("button", name="Remove all pictures").click()
        page.get_by_role("checkbox", name="calm").check()
        page.get_by_role("checkbox", name="both").uncheck()
        drawn(page, 1)

        # The photo beneath it is the square of the face, where the picture is.
        portrait = Stylizer.load(["calm"], finder=TWO).stylize(photo, which=1).faces[0]
        address_of = "document.querySelector('.compare canvas').toDataURL('image/png')"
        beneath = pixels(base64.b64decode(page.evaluate(address_of).partition(",")[2]))
        expected = portrait.aligned.image
        assert beneath.shape == (256, 256, 3)
        assert np.abs(resize(beneath, 16, method="area").astype(int) - expected.astype(int)).mean() < 6
        slider = page.get_by_label("Compare me at home.calm.png: how much of the photo is shown")
        slider.focus()
        page.keyboard.press("End")
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.compare img')).clipPath")
            == "inset(0px 0px 0px 100%)"
        )

        # Strength and refinement, by keyboard, with live progress.
        page.focus("#strength")
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        says(page, "0.80", "#strength-value")
        page.focus("#detail")
        for _ in range(2):
            page.keyboard.press("ArrowLeft")
        says(page, "0.90", "#detail-value")
        page.focus("#refine")
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        says(page, "200", "#refine-value")
        page.evaluate("""() => {
            window.told = [];
            const status = document.getElementById("status");
            new MutationObserver(() => told.push(status.textContent)).observe(status, { childList: true });
        }""")
        drawn(page, 1)
        told = page.evaluate("told")
        assert "Sending the photo." in told
        steps = [
            int(found[1]) for text in told if (found := re.fullmatch(r"Drawing 1 face: step (\d+) of 200\.", text))
        ]
        assert len(steps) > 3 and steps == sorted(steps) and steps[-1] == 200
        direct = ask.post("/stylize?style=calm&face=1&strength=0.8&detail=0.9&refine=200", content=photo).content
        assert downloaded(page, "me at home.calm.png") == direct
        page.focus("#refine")
        page.keyboard.press("Home")

        # A mixture.
        page.get_by_role("checkbox", name="wild").check()
        page.get_by_label("Mix the chosen styles into one").check()
        page.get_by_label("Weight of wild").fill("0.25")
        page.get_by_label("Weight of calm").fill("0.5")
        drawn(page, 1)
        direct = ask.post("/stylize?style=calm:0.5%2Bwild:0.25&face=1&strength=0.8&detail=0.9", content=photo).content
        assert downloaded(page, "me at home.calm-0.5+wild-0.25.png") == direct
        page.get_by_label("Mix the chosen styles into one").uncheck()

        # All faces in both styles, a sheet, another size and format; then back into the photo.
        page.get_by_label("All faces").check()
        page.get_by_label("Also draw a sheet of all stages").check()
        page.get_by_label("Size").select_option("512")
        page.get_by_label("Format").select_option("WebP")
        drawn(page, 5)
        assert pixels(downloaded(page, "me at home.face2.wild.webp")).shape == (512, 512, 3)
        assert page.get_by_alt_text("Sheet of all stages").count() == 1
        page.get_by_label("Also draw a sheet of all stages").uncheck()
        page.get_by_label("Put the faces back into the photo").check()
        drawn(page, 2)
        assert page.evaluate("document.querySelector('.compare canvas').width") == 512
        check_rules(page)
        page.screenshot(path=tmp_path / "page.png", full_page=True)

        # All of them at once, as a ZIP of the same files.
        saved = page.locator("#pictures figcaption").all_inner_texts()[::-1]
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download all as a ZIP").click()
        assert waiting.value.suggested_filename == "portraits.zip"
        with zipfile.ZipFile(waiting.value.path()) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert len(set(names)) == len(saved) and set(names) >= set(saved)
            assert {"me at home.calm.png", "me at home.calm (2).png"} <= set(names)
            assert archive.read(saved[-1]) == downloaded(page, saved[-1])

        # Cancelling.
        gate.open.clear()
        page.click("#draw")
        says(page, "Looking for faces.")
        page.click("#cancel")
        gate.open.set()
        says(page, "Cancelled.")

        # Paste, drop, and the camera.
        for kind in ("paste", "drop"):
            send(page, kind, photo)
            says(page, "Ready.")
            drawn(page, 2)
            assert page.get_by_role("link", name=f"Download {kind}.wild.pasted.webp").count() == 1
        page.get_by_role("button", name="Use the camera").click()
        until(page, "document.getElementById('video').videoWidth > 0")
        check_rules(page)
        page.get_by_role("button", name="Close").click()
        assert page.evaluate("document.getElementById('video').srcObject") is None
        page.get_by_role("button", name="Use the camera").click()
        until(page, "document.getElementById('video').videoWidth > 0")
        page.get_by_role("button", name="Take the picture").click()
        says(page, "Ready.")
        page.get_by_label("The photo is an aligned square face already").check()
        drawn(page, 2)

        # What the browser cannot show, the service shows.
        page.get_by_label("The photo is an aligned square face already").uncheck()
        scan = tmp_path / "scan.tif"
        Image.fromarray(pixels(photo)).save(scan)
        page.set_input_files("#file", scan)
        says(page, "Ready.")
        until(page, "document.getElementById('photo').naturalWidth === 512")
        drawn(page, 2)
        assert page.get_by_role("link", name="Download scan.wild.pasted.webp").count() == 1

        # What goes wrong is said, and the next try works.
        (tmp_path / "text.jpg").write_text("no photo")
        page.set_input_files("#file", tmp_path / "text.jpg")
        says(page, re.compile("Save the picture as PNG, JPEG or WebP"), "#problem")
        assert page.locator("#draw").is_disabled()
        page.set_input_files("#file", me)
        says(page, "Ready.")
        assert page.locator("#problem").is_hidden()
        page.get_by_role("button", name="Remove all pictures").click()
        assert page.locator("#pictures figure").count() == 0 and page.locator("#results").is_hidden()
        controls = """[...document.querySelectorAll("button, input, select, a")]
            .map((control) => control.id || control.name || control.className)"""
        there = set(page.evaluate(controls)) | {"download"}
        assert len(there) > 20 and there - set(page.evaluate("[...used]")) == set()


def test_the_keyboard_reaches_everything_in_the_order_of_sight(
    make_app: MakeApp, gate: Gate, open_page: Open, tmp_path: Path, photo: bytes
) -> None:
    (tmp_path / "me.jpg").write_bytes(photo)
    with listening(make_app(finder=gate)) as address:
        page = open_page(address)
        page.set_input_files("#file", tmp_path / "me.jpg")
        says(page, "Ready.")
        page.evaluate("document.activeElement.blur()")
        reached = []
        while "draw" not in reached:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
            assert len(reached) < 30
        assert reached == [
            *(
                "file",
                "camera-open",
                "all",
                "aligned",
                "calm",
                "wild",
                "strength",
                "detail",
                "refine",
                "paste-back",
                "sheet",
            ),
            *("size", "format", "draw"),
        ]
        page.keyboard.press("Enter")
        says(page, "Done: 2 pictures.")
        assert page.get_by_role("status").count() == 1 and page.get_by_role("progressbar").count() == 0


def test_the_token_comes_with_the_address_and_leaves_it(make_app: MakeApp, open_page: Open) -> None:
    token = "a-token-of-some-length"
    with listening(make_app(token=token)) as address:
        page = open_page(address)
        says(page, re.compile("The token is missing or wrong"), "#problem")
        page = open_page(address, f"/#token={token}")
        for _ in range(2):
            page.get_by_role("checkbox", name="wild").wait_for()
            assert page.url == f"{address}/"
            page.reload()
