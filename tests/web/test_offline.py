"""The offline page in Chromium without a network: it draws what the command draws, as a file or from a server."""

from __future__ import annotations

import base64
import functools
import http.server
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from portraitist.data import write_image
from portraitist.data.images import Pixels
from portraitist.export.offline import write_page
from portraitist.faces import Landmarks, align
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.stylize import ByEncoder, PhotoPainter, Stylizer
from tests.stylize.tiny_encoders import make_encoder
from tests.web.conftest import pixels
from tests.web.test_page import check_rules, downloaded, says, send, until

pytest.importorskip("onnxruntime", reason="needs portraitist[export]")
pytestmark = pytest.mark.xdist_group("machine")
SMALL = PainterAnatomy((8, 8, 8), 1, 5.0)
Open = Callable[[str], Any]


@dataclass(frozen=True)
class Made:
    """A page, what paints as it does, and a photo."""

    page: Path
    painter: PhotoPainter
    photo: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("offline")
    torch.manual_seed(0)
    network = new_painter(SMALL).eval()
    torch.nn.init.normal_(network.paint.bias, std=0.3)
    torch.nn.init.normal_(network.field.weight, std=0.1)
    stored = StoredPainter(network, PainterHeader(SMALL, side=64, name="oily", licence="CC0-1.0", credit="Nobody"))
    file = save_painter(folder / "painter.safetensors", stored)
    write_image(folder / "me at home.png", astronaut())
    return Made(write_page(folder / "page", painters=[file]), PhotoPainter(stored), folder / "me at home.png")


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens the page; at the end, nothing beyond its folder was asked for, and there was no error."""
    outside: list[str] = []
    faults: list[str] = []

    def opened(address: str) -> Any:
        is_file = address.startswith("file:")
        context = browser.new_context(offline=is_file, permissions=["camera"], accept_downloads=True)
        page = context.new_page()
        page.set_default_timeout(60_000)
        own = (address.rpartition("/")[0] + "/", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else outside.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
        page.goto(address)
        return page

    yield opened
    found = [*outside], [*faults]  # what closing meets counts for nothing: the service has gone
    for context in browser.contexts:
        context.close()
    assert found == ([], [])


def apart(one: Pixels, other: Pixels) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def canvas(page: Any) -> Pixels:
    """Return the photo beneath the newest picture."""
    address = page.evaluate("document.querySelector('.compare canvas').toDataURL('image/png')")
    return pixels(base64.b64decode(address.partition(",")[2]))


def draw(page: Any, name: str) -> Pixels:
    page.click("#draw")
    page.get_by_role("link", name=f"Download {name}", exact=True).first.wait_for()
    says(page, "Done.")
    return pixels(downloaded(page, name))


def test_opened_as_a_file_it_draws_what_the_command_draws(made: Made, open_page: Open, tmp_path: Path) -> None:
    page = open_page(made.page.as_uri())
    assert page.locator("#draw").is_disabled()
    page.set_input_files("#file", made.photo)
    says(page, "1 face was found.", "#faces-found")
    says(page, "Ready.")
    check_rules(page)

    # By the painter: its crop, its picture, and at no strength the photo.
    says(page, re.compile("Drawn by a painter"), "#method")
    (face,) = made.painter.stylize(made.photo).faces
    found = draw(page, "me at home.oily.png")
    assert apart(canvas(page), face.aligned.image) < 1 and apart(found, face.picture()) < 1.5
    assert apart(face.picture()[::4, ::4], face.aligned.image) > 5
    box = page.locator(".compare img").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    slider = page.get_by_label("Compare me at home.oily.png: how much of the photo is shown")
    slider.focus()
    page.keyboard.press("End")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.compare img')).clipPath") == "inset(0px 0px 0px 100%)"
    )
    page.focus("#strength")
    page.keyboard.press("Home")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download all as a ZIP").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None and archive.namelist() == ["me at home.oily.png"]
    page.get_by_role("button", name="Remove all pictures").click()
    assert page.locator("#results").is_hidden()
    still = draw(page, "me at home.oily.png")
    assert apart(still[2::4, 2::4], face.aligned.image) < apart(found[2::4, 2::4], face.aligned.image) / 2

    assert page.get_by_role("listitem").count() == 3 and "CC0-1.0: Nobody" in page.locator("#terms").inner_text()
    check_rules(page)
    page.screenshot(path=tmp_path / "page.png", full_page=True)

    # Drop, camera, a file that is no photo, an aligned face.
    page.get_by_role("button", name="Use the camera").click()
    until(page, "document.getElementById('video').videoWidth > 0")
    check_rules(page)
    page.get_by_role("button", name="Take the picture").click()
    says(page, re.compile("No face was found"), "#faces-found")
    assert page.locator("#draw").is_disabled()
    page.get_by_label("The photo is an aligned square face already").check()
    assert draw(page, "camera.oily.png").shape == (256, 256, 3)
    (tmp_path / "text.jpg").write_text("no photo")
    page.set_input_files("#file", tmp_path / "text.jpg")
    says(page, re.compile("Save the picture as PNG, JPEG or WebP"), "#problem")
    send(page, "drop", made.photo.read_bytes())
    says(page, "Ready.")
    assert page.locator("#problem").is_hidden() and page.locator("#draw").is_enabled()

    # The keyboard reaches all of it in the order of sight.
    page.focus("#file")
    reached = ["file"]
    while "draw" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert len(reached) < 20
    assert reached == ["file", "camera-open", "aligned", "style", "strength", "draw"]


@pytest.mark.slow
def test_a_style_is_drawn_by_a_code_at_any_strength(
    made: Made, open_page: Open, tmp_path: Path, models_folder: Path, tiny_model: Model, tiny_style: Model
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))
    page = open_page(write_page(tmp_path / "page", styles=["wild"]).as_uri())
    page.set_input_files("#file", made.photo)
    says(page, "Ready.")
    says(page, re.compile("from a code of the face"), "#method")
    for strength in (0.5, 1.0):
        page.evaluate("value => { find('strength').value = value; }", str(strength))
        found = draw(page, "me at home.wild.png")
        by_encoder = ByEncoder(make_encoder(tiny_model))
        stylizer = Stylizer(tiny_model, {"wild": tiny_style}, inversion=by_encoder, strength=strength, detail=0)
        assert apart(found, stylizer.stylize(made.photo).faces[0].pictures["wild"]) < 2
        page.get_by_role("button", name="Remove all pictures").click()


@pytest.mark.parametrize(("side", "place"), [(40, (60, 50)), (300, (170, 120)), (60, (150, 12))])
def test_faces_are_cut_out_as_the_command_cuts_them(
    made: Made, open_page: Open, side: int, place: tuple[int, int]
) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    photo = np.kron(coarse, np.ones((10, 10, 1), np.uint8))
    points = np.array([(0.38, 0.48), (0.62, 0.46), (0.5, 0.6), (0.42, 0.7), (0.58, 0.71)]) * side + place - side / 2
    crop = align(photo, Landmarks.from_points(points), 64).image
    page = open_page(made.page.as_uri())
    found = page.evaluate(
        """([width, height, text, four]) => {
            const data = Uint8ClampedArray.from(atob(text), (c) => c.charCodeAt(0));
            return Array.from(aligned({ width, height, data }, four, 64).data);
        }""",
        [400, 300, base64.b64encode(photo.tobytes()).decode(), points[[0, 1, 3, 4]].tolist()],
    )
    assert apart(np.array(found, dtype=np.uint8).reshape(64, 64, 3), crop) < 0.5 and crop.std() > 20


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_of_files_will_do(made: Made, open_page: Open) -> None:
    handler = functools.partial(_Silent, directory=str(made.page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            page = open_page(f"http://127.0.0.1:{server.server_port}/index.html")
            page.set_input_files("#file", made.photo)
            says(page, "Ready.")
            assert draw(page, "me at home.oily.png").shape == (256, 256, 3)
        finally:
            server.shutdown()
            thread.join(20)
