"""The README tells the truth: its commands, options, targets and names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import portraitist
from portraitist.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join([README, *(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md")))])
COMMANDS = sorted(
    set(re.findall(r"^ {4}portraitist (.+?)(?:\s{2,}#.*|\s#.*)?$", re.sub(r"\\\n\s*", "", PAGES), re.MULTILINE))
)


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_of_the_readme_exists(line: str) -> None:
    words = shlex.split(line)
    command = get_command(app)
    while commands := getattr(command, "commands", None):
        name = words.pop(0) if words else ""
        if name not in commands:
            assert command.invoke_without_command and not words, name  # type: ignore[attr-defined]
            break
        command = commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert [w for w in words if re.match(r"--?[a-z]", w) and w not in known] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)", README))))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_every_file_that_the_readme_links_exists(link: str) -> None:
    assert (ROOT / link).is_file(), link


def test_public_names_can_be_imported_and_the_version_is_in_the_changelog() -> None:
    for name in portraitist.__all__:
        assert getattr(portraitist, name) is not None
    assert f"## {portraitist.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    with pytest.raises(AttributeError):
        portraitist.nothing_of_that_name


@pytest.mark.parametrize("page", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")))
def test_every_page_is_finished_and_its_links_hold(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "@@" not in text and "TODO" not in text
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(link).is_file(), link
