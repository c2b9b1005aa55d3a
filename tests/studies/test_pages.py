"""The commands of the studies: every page has one, and wrong use is one line."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from portraitist.cli.main import app
from portraitist.evaluate import Interval
from studies import recipes, reproduction
from studies.__main__ import PAGES, main
from studies.study import Run
from studies.verdict import judgement

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
COMMANDS = sorted(set(re.findall(r"^ {4}python -m studies (.+?)$", TEXT, re.MULTILINE)))


@pytest.mark.parametrize("name", (*PAGES, *reproduction.PAPERS))
def test_every_study_explains_its_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    told = "PAPER" if name in reproduction.PAPERS else name
    assert stopped.value.code == 0 and f"python -m studies {told}" in capsys.readouterr().out


def test_every_page_of_a_study_names_its_command() -> None:
    for name in PAGES:
        text = (ROOT / "docs" / "results" / f"{name}.md").read_text(encoding="utf-8")
        assert f"`python -m studies {name}`" in text, name


@pytest.mark.parametrize("line", COMMANDS)
def test_every_documented_command_of_a_paper_can_be_parsed(line: str) -> None:
    evaluate = get_command(app).commands["evaluate"]  # type: ignore[attr-defined]
    given = evaluate.commands["reproduce"].make_context("reproduce", shlex.split(line)).params
    assert given["paper"] in reproduction.PAPERS and given["out"]


def test_commands_are_documented() -> None:
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("arguments", [[], ["toonify"], ["ui2i", "-o", "out", "--data", ".", "--base", "nobody"]])
def test_wrong_use_is_said_in_a_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        sys.exit(main(arguments))
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_recipes_are_compared_on_runs_of_different_names() -> None:
    runs = list(recipes.runs(recipes.SEEDS))
    names = [run.name for run in runs]
    assert len(set(names)) == len(names) == 63
    assert recipes.fine("oil", 0) == Run("oil", "freeze_fc", 0, part="matrix")


def test_a_difference_within_two_errors_is_unclear() -> None:
    assert judgement(Interval(1.0, 0.5), 1) == "unclear"
    assert (judgement(Interval(1.1, 0.5), 1), judgement(Interval(1.1, 0.5), -1)) == ("holds", "fails")
