"""``portraitist serve`` as people start it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data.images import write_image
from tests.cli.conftest import Run

pytestmark = pytest.mark.xdist_group("machine")


@contextmanager
def started(*words: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the program; give the address that it prints."""
    command = [sys.executable, "-m", "portraitist", "serve", "--port", "0", *words]
    pipe = subprocess.PIPE
    # Whoever runs the tests in the background may have SIGINT ignored, which children inherit.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment}, preexec_fn=heard
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def test_a_photo_is_drawn_as_on_the_command_line_and_nothing_is_left(run: Run, tmp_path: Path) -> None:
    me = write_image(tmp_path / "me.png", np.asarray(astronaut()))
    code, lines, _ = run("stylize", me, "--style", "toon3d", "-o", tmp_path / "out", "--paste-back")
    assert code == 0
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # As many threads as here: on some processors the last bit depends on how many there are.
    with started("--style", "toon3d", TMPDIR=str(temporary), OMP_NUM_THREADS="1") as (address, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        fields = {"paste_back": "true"}
        with httpx2.Client(base_url=address, timeout=60) as ask:
            response = ask.post("/stylize", files={"photo": me.read_bytes()}, data=fields)
            assert response.status_code == 200 and response.content == Path(lines[0]).read_bytes()
            assert "server" not in response.headers
            assert [style["name"] for style in ask.get("/styles").json()["styles"]] == ["toon3d"]
        assert not [*temporary.iterdir()]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130 and out == "" and "Traceback" not in err


def test_beyond_this_machine_a_token_is_asked() -> None:
    with started("--host", "0.0.0.0", "--style", "toon3d") as (address, _):
        found = re.fullmatch(r"http://0\.0\.0\.0:(\d+)/#token=([A-Za-z0-9_-]{32})", address)
        assert found
        here = f"http://127.0.0.1:{found[1]}/styles"
        assert httpx2.get(here).status_code == 401
        assert httpx2.get(here, headers={"Authorization": f"Bearer {found[2]}"}).status_code == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--style", "nobody"], "nobody"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1, port 8765"),
        (["--port", "70000"], "--port"),
        (["--detector", "nobody"], "no face detector 'nobody'"),
        (["--max-upload", "0"], "--max-upload"),
    ],
)
def test_mistakes_are_named_before_anything_is_served(run: Run, words: list[str], says: str) -> None:
    code, lines, err = run("serve", *words)
    assert code == 2 and says in err and lines == []


def test_a_taken_port_and_a_short_token_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "--port", taken.getsockname()[1])
    assert code == 2 and "Give another --port" in err
    monkeypatch.setenv("PORTRAITIST_TOKEN", "short")
    code, _, err = run("serve", "--port", 0)
    assert code == 2 and "at least 16" in err


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_the_cure_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package or name.startswith("portraitist.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = run("serve")
    assert code == 2 and "pip install 'portraitist[web]'" in err and package in err
