"""Many at a time, bad ones among them: every request is answered, rightly, and memory stays as it was."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from portraitist.web import Limits
from tests.web.conftest import MakeApp, listening

pytestmark = pytest.mark.xdist_group("machine")

CLIENTS, EACH, WARM = 20, 10, 3
STATUS = Path("/proc/self/status")
GROWTH = 48 << 20
"""Bytes by which memory may grow; the photos and pictures of the load together are some 150 MB."""


def resident() -> int:
    lines = STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) << 10


def cut_off(address: str, photo: bytes) -> None:
    """Send half a photo and hang up."""
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /stylize HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(photo)}\r\n\r\n"
        connection.sendall(head.encode() + photo[: len(photo) // 2])


def patient(ask: httpx2.Client, path: str, photo: bytes, turned_away: list[int]) -> httpx2.Response:
    """Ask until there is a place in the queue."""
    while True:
        response = ask.post(path, content=photo)
        if response.status_code != 503:
            return response
        assert int(response.headers["retry-after"]) >= 1
        turned_away.append(1)
        time.sleep(random.uniform(0.02, 0.1))


def one_client(address: str, photo: bytes, expected: dict[str, bytes], number: int, count: int) -> Counter[str]:
    answers: Counter[str] = Counter()
    dice, turned_away = random.Random(number), list[int]()
    with httpx2.Client(base_url=address, timeout=60, verify=False) as ask:
        for _ in range(count):
            kind = dice.choice(["draw", "draw", "draw", "job", "job", "text", "cut", "host", "large", "parameter"])
            style = dice.choice([*expected])
            path = f"?style={style}&face=1&strength=0.5&size=64"
            if kind == "draw":
                response = patient(ask, f"/stylize{path}", photo, turned_away)
                assert response.status_code == 200 and response.content == expected[style]
            elif kind == "job":
                id = patient(ask, f"/jobs{path}", photo, turned_away).json()["id"]
                if dice.random() < 0.3:
                    assert ask.delete(f"/jobs/{id}").status_code == 204
                    assert ask.get(f"/jobs/{id}").status_code == 404
                else:
                    with ask.stream("GET", f"/jobs/{id}/events") as stream:
                        last = [line for line in stream.iter_lines() if line.startswith("event")][-1]
                    assert last == "event: done"
                    picture = ask.get(f"/jobs/{id}/pictures/portrait.{style}.png")
                    assert picture.content == expected[style]
            elif kind == "text":
                assert patient(ask, "/stylize", b"no photo" * 1000, turned_away).status_code == 422
            elif kind == "cut":
                cut_off(address, photo)
            elif kind == "host":
                refused = ask.post("/stylize", content=photo, headers={"Host": "evil.example"})
                assert refused.status_code == 400
            elif kind == "large":
                assert patient(ask, "/stylize", photo * 8, turned_away).status_code == 413
            else:
                assert patient(ask, "/stylize?strength=9", photo, turned_away).status_code == 422
            answers[kind] += 1
    answers["turned away"] = len(turned_away)
    return answers


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")
def test_two_hundred_requests_of_twenty_clients(make_app: MakeApp, photo: bytes) -> None:
    limits = Limits(waiting=6, upload_bytes=len(photo) * 4)
    with (
        listening(make_app(limits=limits)) as address,
        httpx2.Client(base_url=address, timeout=60, verify=False) as ask,
    ):
        expected = {
            style: ask.post(f"/stylize?style={style}&face=1&strength=0.5&size=64", content=photo).content
            for style in ("wild", "calm")
        }
        assert len({*expected.values()}) == 2

        def load(seed: int, count: int) -> Counter[str]:
            with ThreadPoolExecutor(CLIENTS) as clients:
                work = [clients.submit(one_client, address, photo, expected, seed + k, count) for k in range(CLIENTS)]
                return sum((done.result(120) for done in work), Counter())

        load(1000, WARM)  # threads, connections and arenas of memory that stay
        before = resident()
        answers = load(0, EACH)
        grown = resident() - before
        refused = answers.pop("turned away")
        assert sum(answers.values()) == CLIENTS * EACH
        assert refused > 0, "the queue was never full"
        assert grown < GROWTH, f"memory grew by {grown >> 20} MiB"
        deadline = time.monotonic() + 60
        while ask.get("/health").json()["waiting"]:  # those cut off have given up their places
            assert time.monotonic() < deadline
            time.sleep(0.05)
