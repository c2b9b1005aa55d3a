"""Who is let in, whatever they ask for, and what every answer forbids."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import ADDRESS, MakeApp

TOKEN = "a token of some length"
ASKED = ("/", "/styles", "/health", "/jobs/x/events", "/nothing")


@pytest.fixture
def guarded(make_app: MakeApp) -> Iterator[TestClient]:
    """A service that other machines can reach."""
    app = make_app(token=TOKEN, names=["Portraits.example"], loopback=False)
    with TestClient(app, base_url="http://192.0.2.7:8765") as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "127.9.9.9", "localhost:8765", "LOCALHOST", "[::1]:8765", "[::1]"])
def test_names_of_this_machine_are_served(client: TestClient, host: str) -> None:
    assert client.get("/styles", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    "evil.example 127.0.0.1.evil.example 192.0.2.7:8765 0.0.0.0 localhost.evil.example a@127.0.0.1 127.0.0.1:x "
    "127.0.0.1/x [::1 2130706433 127.1".split(),
)
def test_other_names_are_refused_before_all_else(client: TestClient, host: str) -> None:
    for path in ASKED:
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 400 and response.json()["error"]["kind"] == "host"


def test_a_request_has_one_host(client: TestClient) -> None:
    hosts = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert client.get("/styles", headers=hosts).status_code == 400


def test_beyond_this_machine_addresses_and_allowed_names_are_served(guarded: TestClient) -> None:
    for host in ("192.0.2.7:8765", "portraits.example", "PORTRAITS.EXAMPLE:8765", "127.0.0.1", "[2001:db8::1]:8765"):
        assert guarded.get("/health", headers={"Host": host}).status_code == 200
    assert guarded.get("/health", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (ADDRESS, 422),
        ("http://127.0.0.1:9999", 403),
        ("http://localhost:8765", 403),
        ("http://evil.example", 403),
        ("https://127.0.0.1:8765", 422),
        ("ftp://127.0.0.1:8765", 403),
        ("file://127.0.0.1:8765", 403),
        ("null", 403),
        ("", 403),
        (f"{ADDRESS}/x", 403),
    ],
)
def test_only_the_own_page_may_post(client: TestClient, origin: str, status: int) -> None:
    response = client.post("/stylize", content=b"text", headers={"Origin": origin})
    assert response.status_code == status  # 422: it came through, and is no photo


def test_other_pages_may_link_here_and_no_more(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        navigation = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
        assert client.get("/", headers=navigation).status_code == 200
        assert client.get("/styles", headers=navigation).status_code == 403
        assert client.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
        assert client.post("/stylize", content=b"x", headers=navigation).status_code == 403
    for site in ("same-origin", "none"):
        assert client.get("/styles", headers={"Sec-Fetch-Site": site}).status_code == 200


def test_the_token_is_asked_of_all_but_the_page(guarded: TestClient, photo: bytes) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/health", "/openapi.json"):
        assert guarded.get(path).status_code == 200
    asked = [("GET", "/styles"), ("GET", "/styles/wild/thumbnail"), ("POST", "/stylize"), ("POST", "/faces")]
    asked += [
        ("POST", "/preview"),
        ("POST", "/jobs"),
        ("GET", "/jobs/x"),
        ("DELETE", "/jobs/x"),
        ("GET", "/jobs/x/events"),
        ("GET", "/nothing"),
    ]
    for method, path in asked:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer é"}):
            encoded = {key: value.encode() for key, value in given.items()}
            response = guarded.request(method, path, headers=encoded)
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/styles", headers=headers).status_code == 200
    assert guarded.post("/stylize?style=wild&face=1", content=photo, headers=headers).status_code == 200


def test_every_answer_has_the_headers_of_safety(client: TestClient, photo: bytes) -> None:
    answers = [client.get(path) for path in ASKED] + [client.get("/", headers={"Host": "evil.example"})]
    answers += [client.post("/stylize", content=content) for content in (photo, b"text")]
    assert {answer.status_code for answer in answers} == {200, 400, 404, 422}
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "http" not in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers and "set-cookie" not in answer.headers
