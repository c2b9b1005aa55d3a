from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portraitist.errors import BadData, StorageError, UsageError
from portraitist.train.folder import (
    LIBRARIES,
    LOCK,
    SETTINGS,
    check_allowed,
    check_config,
    differences,
    libraries,
    locked,
)


def test_a_folder_is_made_held_and_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "Zoë 1"
    with locked(folder):
        holder = json.loads((folder / LOCK).read_text())
        assert holder["pid"] == os.getpid() and holder["host"] == socket.gethostname()
        with pytest.raises(UsageError, match="Another process trains"), locked(folder):
            pass
        assert (folder / LOCK).exists()  # the one refused did not let go
    assert not (folder / LOCK).exists()
    with pytest.raises(ZeroDivisionError), locked(folder):
        raise ZeroDivisionError
    assert not (folder / LOCK).exists()


def test_a_process_that_lives_is_respected_and_one_that_died_is_not(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from portraitist.train.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="Another process trains"), locked(tmp_path):
            pass
        other.kill()
        other.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def holder(**changes: object) -> str:
    start = Path(f"/proc/{os.getpid()}/stat")
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    known = {"start": start.read_text().rpartition(")")[2].split()[19]} if start.exists() else {"start": ""}
    return json.dumps(mine | known | changes)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"pid": 1}', holder(pid=10**30), holder(pid="x"), holder(pid=None)],
    ids=["empty", "brace", "list", "number", "no start", "large", "word", "none"],
)
def test_a_damaged_lock_is_taken_over(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell when processes started")
def test_a_number_that_went_to_another_process_does_not_count(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(holder(start="1"))
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["start"] != "1"


def test_another_hosts_lock_is_respected(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(holder(host="elsewhere", pid=1))
    with pytest.raises(UsageError, match=r"remove .*lock.json"), locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(StorageError, match="cannot be used"), locked(folder):
            pass


def test_the_same_settings_go_on_and_others_are_refused_by_name(tmp_path: Path) -> None:
    settings = {"images": 100, "batch": 4, "rests": {"mapping": True, "upto": 8}, "channels": (8, 8), "gamma": 0.1}
    check_config(tmp_path, settings, may_change=frozenset({"images"}))
    check_config(tmp_path, settings | {"images": 200}, may_change=frozenset({"images"}))
    assert json.loads((tmp_path / SETTINGS).read_text())["images"] == 200
    changed = settings | {"batch": 8, "rests": {"mapping": True, "upto": 16}, "images": 1}
    with pytest.raises(UsageError) as caught:
        check_config(tmp_path, changed, may_change=frozenset({"images"}))
    assert "batch: 4 -> 8" in str(caught.value) and "rests.upto: 8 -> 16" in str(caught.value)
    assert "images" not in str(caught.value) and "mapping" not in str(caught.value)
    assert json.loads((tmp_path / SETTINGS).read_text())["batch"] == 4
    with pytest.raises(UsageError, match=r"gamma: 0.1 -> None"):
        check_config(tmp_path, {k: v for k, v in settings.items() if k != "gamma"})


def test_a_setting_that_a_later_version_brings_is_added(tmp_path: Path) -> None:
    check_config(tmp_path, {"batch": 4})
    check_config(tmp_path, {"batch": 4, "clever": True})
    with pytest.raises(UsageError, match="clever: True -> False"):
        check_config(tmp_path, {"batch": 4, "clever": False})


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(BadData, match="settings"):
        check_config(tmp_path, {"batch": 4})


MAY = frozenset({LIBRARIES})


def test_other_libraries_are_told_once_and_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert libraries().keys() == {"portraitist", "python", "torch", "numpy", "pillow"} and all(libraries().values())
    before = {"batch": 4, LIBRARIES: libraries() | {"torch": "1.13", "python": "2.7"}}
    check_config(tmp_path, before, may_change=MAY)
    check_config(tmp_path, before, may_change=MAY)
    assert caplog.text == ""
    now = {"batch": 4, LIBRARIES: libraries()}
    check_config(tmp_path, now, may_change=MAY)
    assert f"torch: 1.13 -> {libraries()['torch']}" in caplog.text and "python: 2.7 -> " in caplog.text
    assert "numpy" not in caplog.text and "not bit for bit" in caplog.text
    caplog.clear()
    check_config(tmp_path, now, may_change=MAY)
    assert caplog.text == "" and json.loads((tmp_path / SETTINGS).read_text())[LIBRARIES] == libraries()


def test_a_run_of_a_version_that_recorded_no_libraries_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check_config(tmp_path, {"batch": 4})
    check_config(tmp_path, {"batch": 4, LIBRARIES: libraries()}, may_change=MAY)
    assert caplog.text == ""


def test_settings_that_are_let_through_by_name_are_told_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"rate": 0.1, "gamma": 1.0, "frozen": {"mapping": True, "upto": 8}}
    check_config(tmp_path, settings)
    other = settings | {"rate": 0.01, "frozen": {"mapping": True, "upto": 16}}
    with pytest.raises(UsageError, match=r"frozen.upto: 8 -> 16\)"):  # the other one is let through
        check_config(tmp_path, other, allowed=frozenset({"rate"}))
    with pytest.raises(UsageError, match="--allow"):
        check_config(tmp_path, other, allowed=frozenset({"rate", "frozen.mapping"}))
    assert json.loads((tmp_path / SETTINGS).read_text()) == settings
    check_config(tmp_path, other, allowed=frozenset({"rate", "frozen"}))
    assert "rate: 0.1 -> 0.01" in caplog.text and "frozen.upto: 8 -> 16" in caplog.text
    assert json.loads((tmp_path / SETTINGS).read_text()) == other | {"allowed": ["frozen.upto", "rate"]}
    check_config(tmp_path, other)  # it is the run's own now
    assert json.loads((tmp_path / SETTINGS).read_text())["allowed"] == ["frozen.upto", "rate"]
    with pytest.raises(UsageError, match=r"rate: 0\.01 -> 0\.1"):  # once let through is not for ever
        check_config(tmp_path, settings)


def test_what_cannot_be_let_through_is_refused(tmp_path: Path) -> None:
    settings = {"rate": 0.1, "frozen": {"upto": 8}, "data": {"digest": ""}}
    for name in ("data", "data.digest"):
        with pytest.raises(UsageError, match="cannot go on with another 'data"):
            check_allowed(frozenset({name}), settings, frozenset({"data"}))
    for name in ("rat", "frozen.up", "rate.x", ""):
        with pytest.raises(UsageError, match=f"no setting '{name}'"):
            check_allowed(frozenset({name}), settings, frozenset({"data"}))
    check_allowed(frozenset({"rate", "frozen", "frozen.upto"}), settings, frozenset({"data"}))
    with pytest.raises(UsageError, match="no run in"):
        check_config(tmp_path, settings, allowed=frozenset({"rate"}))


def test_what_was_absent_and_is_there_now_is_another_setting() -> None:
    before: dict[str, object] = {"persons": None, "rate": 1}
    now = {"persons": {"name": "mobilefacenet", "digest": "1"}, "rate": 1}
    assert differences(before, now, frozenset()) == ["persons: None -> {'digest': '1', 'name': 'mobilefacenet'}"]
    assert differences(before, now, frozenset({"persons"})) == []
    assert differences({"sets": {}}, {"sets": {"a": 1}}, frozenset()) == ["sets: {} -> {'a': 1}"]
    assert differences({"sets": {}}, {"sets": {}}, frozenset()) == []
    assert sorted(differences(now, before, frozenset())) == [
        "persons.digest: 1 -> None",
        "persons.name: mobilefacenet -> None",
    ]
