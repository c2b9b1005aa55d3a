"""A service over tiny models: in this process, or on a port of this machine."""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from skimage.data import astronaut
from starlette.testclient import TestClient

from portraitist.data.images import Pixels, encode_image, read_image
from portraitist.faces import Face, FaceFinder
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.web import Limits, Studio, create_app
from portraitist.web.guard import Guard
from tests.conftest import restyled
from tests.stylize.test_pipeline import TWO
from tests.stylize.tiny_encoders import make_encoder

CHROMIUM = os.environ.get("PORTRAITIST_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    *"--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --disable-component-update".split(),
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
ADDRESS = "http://127.0.0.1:8765"
MakeApp = Callable[..., Guard]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a network beyond this machine; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, on PATH or named in PORTRAITIST_CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; a test opens contexts of its own, which share nothing."""
    with chromium() as found:
        yield found


class Gate:
    """A finder that finds what another finds, once it may."""

    def __init__(self, finder: FaceFinder = TWO) -> None:
        self.finder, self.entered, self.open = finder, threading.Event(), threading.Event()

    def find(self, image: Pixels) -> list[Face]:
        self.entered.set()
        assert self.open.wait(30)
        return self.finder.find(image)


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base, two styles of it and its encoder, as models with names."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add(save_pack(tmp_path / "c.safetensors", restyled(tiny_model, "calm", seed=2), tiny_model))
    registry.add_encoder(make_encoder(tiny_model))


@pytest.fixture
def make_app(known: None) -> MakeApp:
    """Builds services; ``finder`` is the studio's, the rest as of ``create_app``."""

    def build(*, finder: FaceFinder = TWO, limits: Limits | None = None, **more: object) -> Guard:
        studio = Studio(finder=finder, limits=limits)
        return create_app(studio, limits=limits, **more)  # type: ignore[arg-type]

    return build


@pytest.fixture
def client(make_app: MakeApp) -> Iterator[TestClient]:
    with TestClient(make_app(), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="session")
def photo() -> bytes:
    return encode_image(np.asarray(astronaut()), ".jpg")


@contextmanager
def listening(app: Guard) -> Iterator[str]:
    """Serve on a free port from a thread; give the address."""
    config = uvicorn.Config(
        app, port=0, log_config=None, log_level="warning", ws="none", lifespan="on", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def pixels(content: bytes) -> Pixels:
    return read_image(io.BytesIO(content))
