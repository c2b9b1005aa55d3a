"""Every address, what it answers, and what it says of every mistake."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import sys
import tempfile
import threading
import time
import zipfile
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from skimage.data import astronaut
from starlette.testclient import TestClient

from portraitist import Stylizer, stylize_files
from portraitist.data.images import encode_image
from portraitist.faces import FixedPoints
from portraitist.stylize.choices import Options
from portraitist.web import Limits, Studio
from portraitist.web.app import _Service
from portraitist.web.jobs import Job, JobQueue
from portraitist.web.refusals import Failure
from tests.cli.conftest import Run, run
from tests.stylize.test_pipeline import TWO
from tests.web.conftest import ADDRESS, Gate, MakeApp, listening, pixels

pytestmark = pytest.mark.xdist_group("machine")

__all__ = ["run"]

NAMES = ["portrait.calm.png", "portrait.face2.calm.png", "portrait.wild.png", "portrait.face2.wild.png"]


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refusal(response: httpx2.Response, status: int, kind: str) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["kind"] == kind and error["message"] and error["cure"]
    return str(error["message"])


def followed(client: TestClient, id: str) -> list[dict[str, object]]:
    """Return the events of a job, whose names are those of its states."""
    response = client.get(f"/jobs/{id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for part in response.text.strip().split("\n\n"):
        name, data = part.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['state']}"
    return found


@pytest.mark.parametrize("words", [[], ["--strength", "0.6", "--sheet"], ["--refine", "2", "--suffix", ".webp"]])
def test_the_bytes_are_those_of_the_command_line(
    client: TestClient, run: Run, tmp_path: Path, photo: bytes, words: list[str]
) -> None:
    (tmp_path / "portrait.jpg").write_bytes(photo)
    code, lines, _ = run("stylize", tmp_path / "portrait.jpg", "--aligned", "-o", tmp_path / "out", *words)
    assert code == 0
    names = {"--strength": "strength", "--refine": "refine", "--sheet": "sheet", "--suffix": "format"}
    values = {"--sheet": "true", "--strength": "0.6", "--refine": "2", "--suffix": "webp"}
    fields = {names[word]: values[word] for word in words if word in names} | {"aligned": "true"}
    response = client.post("/stylize", files={"photo": photo}, data=fields)
    assert response.headers["content-type"] == "application/zip"
    assert unzipped(response.content) == {Path(line).name: Path(line).read_bytes() for line in lines}
    assert len(lines) == (3 if "--sheet" in words else 2)


def test_every_face_and_paste_back_are_as_for_files(client: TestClient, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "portrait.jpg").write_bytes(photo)
    for paste_back, which in ((False, "all"), (True, "all"), (False, 2)):
        out = tmp_path / f"{paste_back}{which}"
        stylizer = Stylizer.load(["wild:0.5+calm:0.25"], finder=TWO)
        stylize_files(stylizer, tmp_path / "portrait.jpg", out, Options(which=which, paste_back=paste_back, size=64))  # type: ignore[arg-type]
        fields = {"style": "wild:0.5+calm:0.25", "paste_back": str(paste_back), "face": str(which), "size": "64"}
        response = client.post("/stylize", files={"photo": photo}, data=fields)
        files = {path.name: path.read_bytes() for path in out.iterdir()}
        if len(files) == 1:
            assert response.headers["content-type"] == "image/png"
            assert [response.content] == list(files.values())
            (name,) = files
            assert f'filename="{name}"' in response.headers["content-disposition"]
        else:
            assert unzipped(response.content) == files and len(files) == 2


def test_a_photo_may_be_the_body_itself(client: TestClient, photo: bytes) -> None:
    form = client.post("/stylize", files={"photo": photo}, data={"style": "wild", "face": "largest", "format": "jpg"})
    assert form.headers["content-type"] == "image/jpeg" and pixels(form.content).shape == (256, 256, 3)
    for headers in ({"Content-Type": "image/jpeg"}, {"Content-Type": "application/octet-stream"}, {}):
        body = client.post("/stylize?style=wild&face=largest&format=jpg", content=photo, headers=headers)
        assert body.content == form.content


def test_settings_change_the_picture_and_come_back(client: TestClient, photo: bytes) -> None:
    def draw(**fields: str) -> bytes:
        return bytes(client.post("/stylize", files={"photo": photo}, data={"face": "largest", **fields}).content)

    plain = draw(style="wild")
    others = [draw(style="wild", **more) for more in ({"strength": "0"}, {"refine": "3"}, {"size": "64"})]
    others += [draw(style="wild", paste_back="1"), draw(style="calm"), draw(style="wild:0.5+calm:0.5")]
    assert len({plain, *others}) == 7  # more looks than stay loaded
    assert draw(style="wild") == plain


def test_the_faces_of_a_photo(client: TestClient, photo: bytes) -> None:
    found = client.post("/faces", files={"photo": photo}).json()
    assert (found["width"], found["height"]) == (512, 512) and [f["number"] for f in found["faces"]] == [1, 2]
    quad = Stylizer.load(["wild"], finder=TWO).stylize(photo).faces[1].aligned.quad
    assert np.allclose(found["faces"][1]["corners"], quad, atol=0.01)
    assert refusal(client.post("/faces?face=1", content=photo), 422, "usage") == "There is no parameter 'face' here."
    refusal(client.post("/faces", content=b"text"), 422, "not-an-image")


def test_photos_of_phones_are_drawn_and_shown(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels(photo))).save(phone, quality=90)
    shown = client.post("/preview", content=phone.getvalue())
    assert shown.headers["content-type"] == "image/jpeg" and shown.content.startswith(b"\xff\xd8\xff")
    assert np.abs(pixels(shown.content).astype(int) - pixels(photo)).mean() < 4
    assert client.post("/stylize?style=wild&face=1", files={"photo": phone.getvalue()}).status_code == 200
    refusal(client.post("/preview", content=b"text"), 422, "not-an-image")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    response = client.post("/preview", content=phone.getvalue())
    refusal(response, 422, "format")
    assert "pip install 'portraitist[heic]'" in response.json()["error"]["cure"]


def test_a_photo_without_faces(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(finder=FixedPoints(())), base_url=ADDRESS) as client:
        assert client.post("/faces", content=photo).json()["faces"] == []
        response = client.post("/stylize", content=photo)
        assert refusal(response, 422, "no-face") == "No face was found."
        assert "add aligned;" in response.json()["error"]["cure"]  # the parameter, not the option
        assert client.post("/stylize?aligned=true&style=wild", content=photo).status_code == 200


def test_the_styles_and_how_they_look(client: TestClient) -> None:
    found = client.get("/styles").json()
    assert found["limits"] == {"upload_bytes": 64 << 20}
    assert [(s["name"], s["base"], s["licence"], s["default"]) for s in found["styles"]] == [
        ("calm", "tiny", "CC-BY-4.0", True),
        ("wild", "tiny", "CC-BY-4.0", True),
    ]
    drawn = [client.get(style["thumbnail"]) for style in found["styles"] * 2]
    assert all(r.headers["content-type"] == "image/png" for r in drawn)
    assert pixels(drawn[0].content).shape == (128, 128, 3)
    assert drawn[0].content == drawn[2].content != drawn[1].content
    refusal(client.get("/styles/tiny/thumbnail"), 404, "no-style")


def test_health_and_the_page(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"
    for path, kind in {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"}.items():
        response = client.get(path)
        assert response.status_code == 200 and response.headers["content-type"].startswith(kind)
        assert (
            "http://" not in response.text.replace("http://www.w3.org/2000/svg", "") and "https://" not in response.text
        )


def test_the_document_names_what_there_is(client: TestClient, make_app: MakeApp) -> None:
    document = client.get("/openapi.json").json()
    listed = {(path, method) for path, methods in document["paths"].items() for method in methods}
    routes = make_app()._app.routes  # type: ignore[attr-defined]
    there = {(r.path, m.lower()) for r in routes for m in r.methods if m != "HEAD"}
    assert {entry for entry in there if entry[0] not in ("/", "/page.js", "/page.css", "/icon.svg")} == listed
    drawing = document["paths"]["/stylize"]["post"]
    names = [parameter["name"] for parameter in drawing["parameters"]]
    form = drawing["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert [*form] == ["photo", *names] and {"style", "strength", "refine", "face", "paste_back", "format"} <= {*names}
    assert {p["name"]: p for p in drawing["parameters"]}["strength"]["schema"]["maximum"] == 1.5
    assert "$ref" not in json.dumps(document)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"strength": "2"}, "'strength' cannot be '2'"),
        ({"strength": "nan"}, "'strength' cannot be 'nan'"),
        ({"face": "0"}, "'face' cannot be '0'"),
        ({"face": "nose"}, "'face' cannot be 'nose'"),
        ({"size": "5000"}, "'size' cannot be '5000'"),
        ({"refine": "501"}, "'refine' cannot be '501'"),
        ({"format": "gif"}, "'format' cannot be 'gif'"),
        ({"colour": "red"}, "no parameter 'colour'"),
        ({"style": ["wild"] * 9}, "'style' cannot be"),
        ({"style": ["wild", "wild"]}, "Two styles are called 'wild'"),
        ({"style": "nobody"}, "no style 'nobody'"),
        ({"style": "wild:0.5+nobody:0.5"}, "no style 'nobody'"),
        ({"style": "wild:1.6"}, "cannot have the weight 1.6"),
        ({"style": "tiny"}, "no style 'tiny'"),
        ({"face": "3"}, "There is no face 3; 2 were found."),
    ],
)
def test_a_wrong_parameter_is_named(client: TestClient, photo: bytes, fields: dict[str, str], says: str) -> None:
    for address in ("/stylize", "/jobs"):
        response = client.post(address, files={"photo": photo}, data=fields)
        if response.status_code == 202:  # only drawing shows it
            assert says in followed(client, response.json()["id"])[-1]["error"]["message"]  # type: ignore[index]
        else:
            assert response.status_code == 422 and says in response.json()["error"]["message"]


def test_a_parameter_is_given_once(client: TestClient, photo: bytes) -> None:
    response = client.post("/stylize?face=1", files={"photo": photo}, data={"face": "1"})
    assert refusal(response, 422, "usage") == "The parameter 'face' is given twice."


def test_no_style_is_ever_a_path(client: TestClient, models_folder: Path, photo: bytes) -> None:
    for path in (models_folder / "wild.safetensors", "../wild", models_folder):
        response = client.post("/stylize", files={"photo": photo}, data={"style": str(path)})
        assert "There is no style" in refusal(response, 422, "usage")


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 422, "no-photo"),
        (b"some text", 422, "not-an-image"),
        (b"%PDF-1.7" + bytes(100), 422, "format"),
        (encode_image(np.zeros((40, 40, 3), np.uint8), ".png")[:60], 422, "truncated"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0", 413, "too-large"),
    ],
)
def test_what_is_no_photo_is_refused(client: TestClient, content: bytes, status: int, kind: str) -> None:
    if kind == "too-large":  # a whole header, so that its size is read
        import zlib

        chunk = content[12:]
        content += zlib.crc32(chunk).to_bytes(4, "big") + b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
        content += b"\0\0\0\0IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")
    refusal(client.post("/stylize", content=content), status, kind)


def test_other_bodies_are_refused(client: TestClient, photo: bytes) -> None:
    refusal(client.post("/stylize", content=photo, headers={"Content-Type": "text/plain"}), 415, "type")
    refusal(client.post("/stylize", json={"photo": "http://example.org/me.jpg"}), 415, "type")
    refusal(client.post("/stylize", data={"photo": "me.jpg"}), 415, "type")
    refusal(client.post("/stylize", files={"photo": (None, "me.jpg")}), 422, "no-photo")
    refusal(client.post("/stylize", files={"picture": photo}), 422, "no-photo")
    refusal(client.post("/stylize", files=[("photo", photo), ("photo", photo)]), 422, "form")
    refusal(client.post("/stylize", files={"photo": photo}, data={"style": "x" * 5000}), 422, "form")
    refusal(client.post("/stylize", files={"photo": photo}, data={f"f{k}": "x" for k in range(65)}), 422, "form")
    kind = {"Content-Type": "multipart/form-data"}
    refusal(client.post("/stylize", content=b"x", headers=kind), 422, "form")
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    refusal(client.post("/stylize", content=b"--a\r\nnonsense", headers=kind), 422, "form")
    refusal(client.get("/nothing"), 404, "http")
    refusal(client.get("/stylize"), 405, "http")


def test_a_body_that_is_too_large_is_refused(make_app: MakeApp, photo: bytes) -> None:
    limits = Limits(upload_bytes=50_000)
    with TestClient(make_app(limits=limits), base_url=ADDRESS) as client:
        for more in ({"content": photo}, {"files": {"photo": photo}}, {"content": iter([photo] * 4)}):
            refusal(client.post("/stylize", **more), 413, "too-large")  # type: ignore[arg-type]
        refusal(client.post("/stylize", content=b"x", headers={"Content-Length": str(5 << 30)}), 413, "too-large")
        small = encode_image(np.asarray(astronaut())[:64, :64], ".jpg")
        assert client.post("/stylize?aligned=1&style=wild", content=small).status_code == 200


def test_a_photo_never_touches_the_disk(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    large = encode_image(random, ".png")
    assert len(large) > 2 << 20  # beyond what form parsers hold in memory by default
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is no such folder"))
    with pytest.raises(FileNotFoundError):
        tempfile.TemporaryFile()
    response = client.post("/stylize", files={"photo": large}, data={"style": "wild", "face": "1", "size": "16"})
    assert response.status_code == 200


def test_more_pictures_than_fit_are_refused(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(limits=Limits(drawn_pixels=3 * 256**2)), base_url=ADDRESS) as client:
        says = refusal(client.post("/stylize", content=photo), 422, "usage")
        assert says == "4 pictures of 256 pixels a side are more than are drawn at a time."
        assert client.post("/stylize?face=1", content=photo).status_code == 200
    with TestClient(make_app(limits=Limits(kept_bytes=20_000)), base_url=ADDRESS) as client:
        refusal(client.post("/stylize", content=photo), 422, "usage")
        assert client.post("/stylize?size=16", content=photo).status_code == 200


def test_a_job_from_its_beginning_to_its_end(client: TestClient, photo: bytes) -> None:
    begun = client.post("/jobs", files={"photo": photo}, data={"refine": "5"})
    assert begun.status_code == 202
    id = begun.json()["id"]
    assert begun.headers["location"] == f"/jobs/{id}" and len(id) > 20
    told = followed(client, id)
    assert told[-1]["state"] == "done" and told[-1]["pictures"] == NAMES and told[-1]["faces"] == 2
    assert (told[-1]["step"], told[-1]["steps"]) == (5, 5)
    assert client.get(f"/jobs/{id}").json() == told[-1]
    whole = unzipped(client.post("/stylize", files={"photo": photo}, data={"refine": "5"}).content)
    for name in NAMES:
        assert client.head(f"/jobs/{id}/pictures/{name}").status_code == 200  # fetches nothing
        response = client.get(f"/jobs/{id}/pictures/{name}")
        assert response.content == whole[name] and response.headers["content-type"] == "image/png"
        refusal(client.get(f"/jobs/{id}/pictures/{name}"), 404, "no-picture")
    assert client.get(f"/jobs/{id}").json()["pictures"] == []
    refusal(client.get(f"/jobs/{id}/pictures/..%2F..%2Fetc%2Fpasswd"), 404, "http")
    assert client.delete(f"/jobs/{id}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/pictures/x.png")):
        refusal(client.request(method, f"/jobs/{id}{path}"), 404, "no-job")


def test_results_are_dropped_in_time(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(limits=Limits(keep_seconds=1)), base_url=ADDRESS) as client:
        id = client.post("/jobs", content=photo).json()["id"]
        assert followed(client, id)[-1]["state"] == "done"
        deadline = time.monotonic() + 30
        while (answer := client.get(f"/jobs/{id}")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        refusal(answer, 404, "no-job")


def test_the_oldest_results_give_way(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(), base_url=ADDRESS) as client:
        size = len(client.post("/stylize?style=wild&face=1", content=photo).content)
    with TestClient(make_app(limits=Limits(kept_bytes=size * 5 // 2)), base_url=ADDRESS) as client:
        ids = [client.post("/jobs?style=wild&face=1", content=photo).json()["id"] for _ in range(6)]
        for id in ids:
            if client.get(f"/jobs/{id}").status_code == 200:
                followed(client, id)
        there = [client.get(f"/jobs/{id}").status_code for id in ids]
        assert there == [404, 404, 404, 404, 200, 200]


def test_a_drawing_that_takes_too_long_is_stopped(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(limits=Limits(draw_seconds=1.5)), base_url=ADDRESS) as client:
        response = client.post("/stylize?refine=500", content=photo)
        assert refusal(response, 504, "slow") == "The drawing was stopped after 1.5 seconds."
        deadline = time.monotonic() + 60
        while (status := client.post("/stylize?size=16&style=wild", content=photo).status_code) == 504:
            assert time.monotonic() < deadline  # a busy machine may need more than 1.5 seconds for this one too
        assert status == 200


def test_queue_places_cancelling_and_a_full_queue(make_app: MakeApp, photo: bytes) -> None:
    gate = Gate()
    with (
        listening(make_app(finder=gate, limits=Limits(waiting=2))) as address,
        httpx2.Client(base_url=address, timeout=60) as ask,
    ):
        first, second, third = (ask.post("/jobs", content=photo).json()["id"] for _ in range(3) if gate_entered(gate))
        assert [ask.get(f"/jobs/{id}").json()["place"] for id in (first, second, third)] == [0, 1, 2]
        full = ask.post("/jobs", content=photo)
        assert refusal(full, 503, "full") and int(full.headers["retry-after"]) >= 1
        refusal(ask.post("/stylize", files={"photo": photo}), 503, "full")
        assert ask.delete(f"/jobs/{second}").status_code == 204
        assert ask.get(f"/jobs/{third}").json()["place"] == 1
        assert ask.delete(f"/jobs/{first}").status_code == 204  # is drawn just now, and stops at its next step
        told: list[str] = []
        with ask.stream("GET", f"/jobs/{third}/events") as stream:
            gate.open.set()
            told += [line for line in stream.iter_lines() if line.startswith("event")]
        assert told[-1] == "event: done"


def gate_entered(gate: Gate) -> bool:
    """Tell, from the second call on, that the first job has left the queue for the worker."""
    if getattr(gate, "asked", False):
        assert gate.entered.wait(30)
    gate.asked = True  # type: ignore[attr-defined]
    return True


def test_a_request_that_nobody_waits_for_leaves_the_queue(make_app: MakeApp, photo: bytes) -> None:
    gate = Gate()
    with listening(make_app(finder=gate)) as address, httpx2.Client(base_url=address, timeout=60) as ask:
        host, port = urlsplit(address).netloc.split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /stylize HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(photo)}\r\n\r\n"
            connection.sendall(head.encode() + photo)
            assert gate.entered.wait(30)
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{address}/stylize", content=photo, timeout=0.5)
        until_waiting(ask, 0)
        gate.open.set()
        assert ask.post("/stylize?size=16", content=photo, timeout=60).status_code == 200


def until_waiting(ask: httpx2.Client, count: int) -> None:
    deadline = time.monotonic() + 30
    while ask.get("/health").json()["waiting"] != count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slow_upload_is_cut_off_and_gives_up_its_place(make_app: MakeApp, photo: bytes) -> None:
    app = make_app(limits=Limits(waiting=1, upload_seconds=3))
    with listening(app) as address, httpx2.Client(base_url=address, timeout=60) as ask:

        def trickle():  # type: ignore[no-untyped-def]
            yield photo[:1000]
            time.sleep(4.5)
            yield photo[1000:]

        slow: list[httpx2.Response] = []
        post = partial(httpx2.post, f"{address}/stylize", timeout=60)
        thread = threading.Thread(target=lambda: slow.append(post(content=trickle())))
        thread.start()
        until_waiting(ask, 1)
        refusal(post(content=photo), 503, "full")
        thread.join(60)
        refusal(slow[0], 408, "slow")
        assert httpx2.post(f"{address}/stylize?size=16", content=photo, timeout=60).status_code == 200


def test_stopping_the_service_ends_all_that_waits(make_app: MakeApp, photo: bytes) -> None:
    gate = Gate()
    answers: list[object] = []

    def ask(address: str) -> None:
        try:
            answers.append(httpx2.post(f"{address}/stylize", content=photo, timeout=60).status_code)
        except httpx2.HTTPError as error:
            answers.append(error)

    with listening(make_app(finder=gate)) as address:
        threads = [threading.Thread(target=ask, args=[address]) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert gate.entered.wait(30)
        threading.Timer(0.5, gate.open.set).start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(answers) == 3


def test_the_end_reaches_a_follower_who_was_reading(known: None) -> None:
    async def follow() -> list[str]:
        job = Job(lambda report: {})
        service = _Service(Studio(finder=TWO), Limits())
        service.queue = JobQueue(Limits())
        events = service._events(job)
        first = await anext(events)
        job.end(Failure(422, "no-face", "No face was found.", "Use another photo."))  # before the next is asked for
        return [first, *[event async for event in events]]

    first, last = asyncio.run(follow())
    assert first.startswith("event: waiting\n") and last.startswith("event: failed\n")
    assert "No face was found." in last
