"""``portraitist models``: the list by licence, and models passed on through a folder or a server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.io import registry
from portraitist.io.hub import INDEX
from portraitist.io.model_file import Model, save_model, save_pack
from tests.cli.conftest import Run
from tests.conftest import make_model
from tests.io.file_server import serving


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Path:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    return models_folder


def test_the_list_by_licence_says_what_it_leaves_out(run: Run, known: Path, tmp_path: Path, tiny_style: Model) -> None:
    def listed(licence: str) -> tuple[list[str], list[str]]:
        code, lines, _ = run("models", "--licence", licence)
        assert code == 0
        told = [line for line in lines if line.startswith("left out")]
        return [line.split()[0] for line in lines[: -2 - len(told)]], told

    assert listed("permissive") == (["tiny", "wild"], [])
    bound = make_model(seed=4, name="bound")
    bound = replace(bound, header=replace(bound.header, licence="CC-BY-NC-SA-4.0"))
    registry.add(save_model(tmp_path / "c.safetensors", bound))
    free = replace(bound, header=replace(tiny_style.header, name="free"))  # but its base is not
    registry.add(save_pack(tmp_path / "f.safetensors", free, bound))
    bare = replace(bound, header=replace(bound.header, name="bare", licence=""))
    registry.add(save_model(tmp_path / "d.safetensors", bare))
    told = "left out: 3 others (CC-BY-4.0, CC-BY-NC-SA-4.0, licence unknown)"
    assert listed("Permissive") == (["tiny", "wild"], [told])
    assert listed("cc0-1.0")[0] == ["tiny"] and listed("CC-BY-4.0")[0] == ["free", "wild"]
    assert listed("MIT")[0] == []
    found = json.loads(run("models", "--licence", "cc0-1.0", "--json")[1][-1])
    assert [entry["name"] for entry in found["models"]] == ["tiny"] and found["left_out"] == 4
    for before in (("--licence", "MIT"), ("--json",)):
        code, _, err = run("models", *before, "show", "tiny")
        assert code == 2 and f"{before[0]} before show" in err


def test_models_pass_through_a_folder(
    run: Run, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared = tmp_path / "shared"
    code, (line,), _ = run("models", "push", "tiny", shared, "-q")
    assert code == 0 and line.startswith(f"tiny: CC0-1.0, {shared}/tiny-")
    code, (line,), _ = run("models", "push", "wild", shared, "--json")
    (pushed,) = json.loads(line)["models"]
    assert code == 0 and pushed["base_name"] == "tiny" and "pushing wild" in caplog.text
    assert "portraitist stylize me.jpg --style wild" in (shared / pushed["file"]).with_suffix(".md").read_text()
    assert len(json.loads((shared / INDEX).read_text())["models"]) == 2
    monkeypatch.setenv("PORTRAITIST_MODELS", str(tmp_path / "other"))
    code, lines, _ = run("models", "pull", shared, "wild", "-q")
    assert (code, lines) == (0, [f"{name}: {tmp_path / 'other' / name}.safetensors" for name in ("tiny", "wild")])
    code, (line,), _ = run("models", "pull", shared, "--json")
    assert code == 0 and json.loads(line)["models"] == [] and "wild is here already" in caplog.text
    code, _, err = run("models", "pull", shared, "oil")
    assert code == 2 and "It lists: tiny, wild" in err


@pytest.mark.xdist_group("machine")
def test_models_pass_through_a_server_that_asks_for_credentials(
    run: Run, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        server.answer = lambda handler: handler.headers["Authorization"] != "Basic secret" and handler.plain(401)
        code, _, err = run("models", "push", "tiny", server.url)
        assert code == 5 and "401 (Unauthorized)" in err and "--header" in err
        assert run("models", "push", "tiny", server.url, "--header", "Authorization: Basic secret")[0] == 0
        monkeypatch.setenv("PORTRAITIST_MODELS", str(tmp_path / "other"))
        pull = ("models", "pull", server.url, "-v", "--header-from")
        code, _, err = run(*pull, "MY_SERVER")
        assert code == 2 and "MY_SERVER is not set" in err
        monkeypatch.setenv("MY_SERVER", "Authorization: Basic secret")
        code, lines, err = run(*pull, "MY_SERVER")
        assert code == 0 and lines[0].startswith("tiny: ") and "secret" not in err
    assert run("models", "pull", "ftp://host")[0] == run("models", "pull", tmp_path, "--header", "A: 1")[0] == 2
