"""Whatever stops a run over a folder, the next one ends as if nothing had; and no file of somebody else is touched."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portraitist.data import folder_run
from portraitist.data.folder_run import FileReport, FolderRun, Made, RunReport
from portraitist.errors import BadData, BadImage
from portraitist.files import sweep_partial

PICTURES = {"a": b"1", "b": b"bad", "c": b"3"}


class Copies:
    """Makes two files of each picture; some cannot be used."""

    def planned(self, name: str) -> Iterable[str]:
        return [f"{name}.one", f"{name}.two"]

    def make(self, name: str, data: bytes) -> Made:
        if data == b"bad":
            raise BadImage("It is bad.", kind="bad")
        if data == b"bug":
            raise IndexError("a bug")
        if data == b"term":
            os.kill(os.getpid(), signal.SIGTERM)
        return Made(1, {target: data + target.encode(errors="replace") for target in self.planned(name)})

    def is_current(self, line: FileReport) -> bool:
        return line.outputs == list(self.planned(line.source))


def walk(
    out: Path, pictures: dict[str, bytes] | None = None, settings: str = "s", **options: bool
) -> dict[str, FileReport]:
    report = RunReport.open(out / "report.json", out, parse=parse, render=lambda lines: [x.as_json() for x in lines])
    run = FolderRun(out, Copies(), settings, report, **options)
    known = PICTURES if pictures is None else pictures
    return {line.source: line for line in run.over(known, known.__getitem__)}


def parse(content: Any) -> list[FileReport]:
    return [FileReport(**line) for line in content]


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name != "report.json"}


def in_a_process_that_ends(work: Callable[[], object]) -> int:
    """Run in a child, which ends without any clean-up where the work says so; return its exit code."""
    if not (child := os.fork()):
        code = 1
        try:
            work()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[dict[str, bytes]]:
    walk(tmp_path / "whole")
    yield pictures_of(tmp_path / "whole")


def test_every_picture_has_a_line_and_a_second_run_skips_what_is_done(tmp_path: Path) -> None:
    lines = walk(tmp_path / "out")
    assert {name: (line.status, line.kind) for name, line in lines.items()} == {
        "a": ("done", ""),
        "b": ("failed", "bad"),
        "c": ("done", ""),
    }
    assert sorted(files(tmp_path / "out")) == ["a.one", "a.two", "c.one", "c.two", "report.json"]
    assert {x.status for x in walk(tmp_path / "out").values() if not x.kind} == {"skipped"}
    assert walk(tmp_path / "out", keep_failures=True)["b"].status == "skipped"


@pytest.mark.parametrize("call", range(1, 20))
def test_a_run_that_is_killed_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes], call: int
) -> None:
    out, calls = tmp_path / "out", [0]

    def die_at(real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return counted

    def stopped() -> None:
        for name in ("replace", "fsync"):
            monkeypatch.setattr(os, name, die_at(getattr(os, name)))
        walk(out)

    code = in_a_process_that_ends(stopped)
    assert code == (-signal.SIGKILL if call <= 17 else 0), calls
    lines = walk(out)
    assert {name: line.kind for name, line in lines.items()} == {"a": "", "b": "bad", "c": ""}
    assert pictures_of(out) == whole  # no temporary file and no journal either
    assert {x.status for x in walk(out).values() if not x.kind} == {"skipped"}


def test_a_file_that_came_after_the_kill_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"

    def stopped() -> None:
        monkeypatch.setattr(folder_run, "write_bytes", lambda *args, **more: os._exit(9))
        walk(out)

    assert in_a_process_that_ends(stopped) == 9  # the names are noted, no file is written
    (out / "a.two").write_bytes(b"precious")
    lines = walk(out)
    assert lines["a"].kind == "exists" and "--overwrite" in lines["a"].reason
    assert (out / "a.two").read_bytes() == b"precious" and lines["c"].status == "done"
    assert walk(out, overwrite=True)["a"].status == "done" and (out / "a.two").read_bytes() == b"1a.two"


def test_other_settings_replace_own_files_even_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    walk(out)

    def stopped() -> None:
        monkeypatch.setattr(folder_run, "write_bytes", lambda *args, **more: os._exit(9))
        walk(out, settings="t")

    assert in_a_process_that_ends(stopped) == 9
    assert [x.status for x in walk(out, settings="u").values()] == ["done", "failed", "done"]


def test_the_polite_signals_leave_a_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert in_a_process_that_ends(lambda: walk(out, {"a": b"1", "t": b"term", "z": b"3"})) == 143
    assert sorted(files(out)) == ["a.one", "a.two", "report.json"]
    assert [line["source"] for line in json.loads((out / "report.json").read_bytes())] == ["a"]
    assert [x.status for x in walk(out, {"a": b"1", "t": b"2", "z": b"3"}).values()] == ["skipped", "done", "done"]


def test_a_photo_costs_a_line_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, sizes = tmp_path / "out", []
    monkeypatch.setattr(folder_run.RunReport, "close", lambda self: sizes.append(self.journal.stat().st_size))
    for count in (10, 100):
        walk(out / str(count), {f"{k:03}": b"x" for k in range(count)})
    assert not (out / "100" / "report.json").exists()  # until the end
    assert sizes[1] < 10.5 * sizes[0]


def test_a_name_of_any_bytes_is_worked_on_and_reported(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff")
    for status in ("done", "skipped"):
        assert walk(tmp_path / "out", {name: b"1"})[name].status == status
    assert json.loads((tmp_path / "out" / "report.json").read_text("ascii"))[0]["source"] == name


@pytest.mark.parametrize("name", ["\u9854" * 85, "\U0001f600" * 63, "x" * 300])
def test_a_name_that_is_too_long_fails_alone(tmp_path: Path, name: str) -> None:
    lines = walk(tmp_path / "out", {"a": b"1", name: b"2", "z": b"3"})
    assert [lines[n].kind for n in ("a", name, "z")] == ["", "name", ""] and "Rename" in lines[name].reason


@pytest.mark.parametrize("name", ["\u9854" * 78, "\U0001f600" * 60, "x" * 251])
def test_a_name_that_the_file_system_allows_is_written(tmp_path: Path, name: str) -> None:
    assert walk(tmp_path / "out", {name: b"2"})[name].status == "done"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_in_the_way_of_one_picture_does_not_end_the_run(tmp_path: Path, overwrite: bool) -> None:
    pictures = {"a": b"1", "sub/b": b"2", "other/c": b"3", "z": b"4"}
    (tmp_path / "a.one").mkdir()  # a folder where a file should be
    (tmp_path / "sub").write_bytes(b"mine")  # a file where a folder should be
    lines = walk(tmp_path, pictures, overwrite=overwrite)
    assert {name: line.kind for name, line in lines.items()} == {
        "a": "exists",
        "sub/b": "exists",
        "other/c": "",
        "z": "",
    }
    assert (tmp_path / "sub").read_bytes() == b"mine" and "in the way" in lines["a"].reason
    # A picture of its own that somebody has put a folder in place of, too.
    (tmp_path / "z.one").unlink()
    (tmp_path / "z.one").mkdir()
    lines = walk(tmp_path, pictures | {"z": b"5"}, overwrite=overwrite)
    assert lines["z"].kind == "exists" and lines["other/c"].status in ("done", "skipped")


def test_a_bug_in_one_picture_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = walk(tmp_path / "out", {"a": b"bug", "b": b"1"})
    assert (lines["a"].kind, lines["a"].reason, lines["b"].status) == ("error", "IndexError: a bug", "done")
    assert "please report it" in caplog.text
    assert walk(tmp_path / "out", {"a": b"1"}, keep_failures=True)["a"].status == "done"


def test_a_line_that_was_cut_off_in_the_journal_is_passed_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    walk(out)
    (out / ".report.json.journal").write_bytes(b'{"source": "a", "sta')
    assert walk(out)["a"].status == "skipped" and not (out / ".report.json.journal").exists()


@pytest.mark.parametrize("text", ["", '{"a": 1}', '[{"source": 1, "status": ""}]', '[{"source": "a"}]'])
def test_a_file_of_something_else_is_no_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(BadData, match="not the report of an earlier run"):
        walk(tmp_path)


@pytest.mark.parametrize("field", ["outputs", "earlier"])
def test_a_report_cannot_name_files_outside(tmp_path: Path, field: str) -> None:
    line = {"source": "a", "status": "done", field: ["../victim"]}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(json.dumps([line]))
    with pytest.raises(BadData, match="outside"):
        walk(tmp_path / "out")


def test_temporary_files_of_dead_writers_are_swept(tmp_path: Path) -> None:
    def stopped() -> None:
        os.fsync = lambda descriptor: os._exit(9)
        folder_run.write_bytes(tmp_path / "a", b"x")

    assert in_a_process_that_ends(stopped) == 9
    (orphan,) = tmp_path.iterdir()
    mine = orphan.with_name(orphan.name.replace(f"-{orphan.name.split('-')[-2]}-", f"-{os.getpid()}-"))
    mine.write_bytes(b"x")  # of a process that runs
    others = tmp_path / ".notes.part"
    others.write_bytes(b"x")
    sweep_partial(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, others])


if sys.platform == "win32":
    pytest.skip("these tests fork", allow_module_level=True)


@pytest.mark.parametrize(("data", "left"), [(b"bug", ["a.one", "a.two"]), (b"bad", [])])
def test_what_fails_for_now_keeps_what_was_made_before(tmp_path: Path, data: bytes, left: list[str]) -> None:
    walk(tmp_path, {"a": b"1"}, delete_earlier=True)
    assert walk(tmp_path, {"a": data}, "t", delete_earlier=True)["a"].status == "failed"
    assert sorted(pictures_of(tmp_path)) == left
    assert walk(tmp_path, {"a": b"1"}, "t", delete_earlier=True)["a"].status == "done"
