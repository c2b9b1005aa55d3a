"""The table of styles, the limits, and what does not stay in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.web import Limits, Studio, Wanted
from portraitist.web.jobs import Job, JobQueue
from portraitist.web.studio import STYLIZERS, Report
from tests.conftest import make_model, restyled
from tests.stylize.test_pipeline import TWO


class Silent:
    """A report that nobody reads."""

    def check(self) -> None: ...

    def found(self, faces: int) -> None: ...

    def step(self, done: int, total: int) -> None: ...


def test_the_table_holds_what_is_named_or_all(known: None, tmp_path: Path, tiny_model: Model) -> None:
    assert list(Studio(finder=TWO).styles) == ["calm", "wild"]
    run = tmp_path / "runs" / "mine"
    save_pack(run / "style.safetensors", restyled(tiny_model, "x", seed=5), tiny_model)
    chosen = Studio([run, "wild"], finder=TWO)
    assert list(chosen.styles) == ["mine", "wild"] == list(chosen.default_styles())
    with pytest.raises(UsageError, match="Two styles have one name"):
        Studio(["wild", registry.find("wild")])
    with pytest.raises(UsageError, match="full model, not a style"):
        Studio(["tiny"])
    with pytest.raises(UsageError, match="nobody"):
        Studio(["nobody"])


def test_without_a_style_there_is_no_studio(models_folder: Path) -> None:
    with pytest.raises(UsageError, match="No style is known"):
        Studio()


def test_styles_of_two_bases_are_served_one_after_the_other(known: None, tmp_path: Path, photo: bytes) -> None:
    other = make_model(seed=7, name="other")
    registry.add(save_model(tmp_path / "o.safetensors", other))
    registry.add(save_pack(tmp_path / "t.safetensors", restyled(other, "theirs"), other))
    studio = Studio(finder=TWO)
    with pytest.raises(UsageError, match="different bases"):
        studio.draw(photo, Wanted(style=("wild", "theirs")), Silent())
    with pytest.raises(UsageError, match="No encoder of 'other' is known"):
        studio.draw(photo, Wanted(style=("theirs",), refine=2), Silent())
    for name in ("wild", "theirs", "wild"):
        assert studio.thumbnail(name)
    assert [*studio.draw(photo, Wanted(style=("wild",), face=1), Silent())] == ["portrait.wild.png"]


def test_few_looks_stay_loaded(known: None, photo: bytes) -> None:
    studio = Studio(finder=TWO)
    for k in range(STYLIZERS + 3):
        studio.draw(photo, Wanted(strength=k / 10, size=16, face=1), Silent())
    held = studio._stylizers
    assert [look.strength for look in held] == [k / 10 for k in range(3, STYLIZERS + 3)]
    assert all(stylizer.base is held[next(iter(held))].base for stylizer in held.values())
    assert all(stylizer.progress is None for stylizer in held.values())


def test_limits_are_positive() -> None:
    with pytest.raises(UsageError, match="The limit waiting cannot be 0"):
        Limits(waiting=0)
    with pytest.raises(UsageError, match="No picture above 512 MiB"):
        Limits(upload_bytes=1 << 30)


@pytest.mark.parametrize("end", ["done", "failed", "broken", "cancelled", "stopped"])
def test_no_photo_outlives_its_job(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """However it ends, and though the job is still remembered."""
    alive: list[weakref.ref[Watched]] = []

    class Watched:
        pass

    def begin(queue: JobQueue) -> Job:
        photo = Watched()
        alive.append(weakref.ref(photo))

        def work(report: Report) -> dict[str, bytes]:
            assert photo is not None
            if end == "failed":
                raise UsageError("No.", "Yes.")
            if end == "broken":
                raise ZeroDivisionError
            if end == "stopped":
                job.stop.set()
                report.check()
            return {"a.png": b"x"}

        with queue.place():
            job = queue.put(work)
        return job

    async def go() -> Job:
        async with JobQueue(Limits()).running() as queue:
            job = begin(queue)
            if end == "cancelled":
                queue.drop(job)
            await asyncio.wait_for(job.over.wait(), 60)
            assert len(queue) == 0
            gc.collect()
            assert [ref() for ref in alive] == [None]
            return job

    job = asyncio.run(go())
    expected = {"broken": "failed", "stopped": "cancelled"}.get(end, end)
    assert job.state == expected
    if end == "broken":
        assert job.failure is not None and job.failure.status == 500 and "report it" in caplog.text
        assert "ZeroDivision" not in str(job.failure.as_json())


def test_of_given_styles_of_two_bases_those_of_the_commoner_are_drawn_unasked(
    known: None, tmp_path: Path, photo: bytes, tiny_model: Model
) -> None:
    other = make_model(seed=7, name="other")
    registry.add(save_model(tmp_path / "o.safetensors", other))
    registry.add(save_pack(tmp_path / "t.safetensors", restyled(other, "theirs"), other))
    registry.add(save_pack(tmp_path / "q.safetensors", restyled(tiny_model, "quiet", seed=2), tiny_model))
    studio = Studio(["theirs", "wild", "quiet"], finder=TWO)
    studio.warm_up()
    assert set(studio.styles) == {"theirs", "wild", "quiet"} and studio.default_styles() == ("wild", "quiet")
    assert [*studio.draw(photo, Wanted(style=("theirs",), face=1), Silent())] == ["portrait.theirs.png"]


def test_an_attribute_that_no_style_has_is_refused(known: None, photo: bytes) -> None:
    with pytest.raises(UsageError, match="no path 'women' in wild"):
        Studio(finder=TWO).draw(photo, Wanted(style=("wild",), attribute="women"), Silent())
