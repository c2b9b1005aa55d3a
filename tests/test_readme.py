"""README and docs tell the truth: their commands, options, extras, targets, modules and names exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib

import pytest
from typer.main import get_command

import portraitist
from portraitist.cli.main import app
from tests.conftest import REPOSITORY as ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Lines that end in a backslash go on.
PAGES = "\n".join(re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")) for path in FILES)
FENCED = "\n".join(re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", PAGES, re.MULTILINE | re.DOTALL))
LINES = {*re.findall(r"^ {4}(\S.*)$", PAGES, re.MULTILINE), *FENCED.splitlines()}
INLINE = {found for found in re.findall(r"`([^`\n]+)`", PAGES) if not re.search(r"\.\.\.|…", found)}
# A table shows options as inline code after the name of their command.
COMMANDS = sorted(
    {re.sub(r"\s+#.*", "", line).removeprefix("portraitist ") for line in LINES if line.startswith("portraitist ")}
    | {found.removeprefix("portraitist ") for found in INLINE if found.startswith("portraitist ")}
)
COMMAND = get_command(app)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 100 and len(FILES) > 30


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line: str) -> None:
    words = shlex.split(line)
    command = COMMAND
    while commands := getattr(command, "commands", None):
        # A page may speak of a group of commands, and of its own options.
        if not words or words[0].startswith("-"):
            break
        assert words[0] in commands
        command = commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert [w for w in words if re.match(r"--?[a-z]", w) and w.partition("=")[0] not in {*known, "--help"}] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^ {4})make ([a-z]+)", PAGES, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_extra_and_every_module_exists() -> None:
    extras = {name for found in re.findall(r"portraitist\[([a-z,]+)\]", PAGES) for name in found.split(",")}
    assert extras and extras <= PROJECT["optional-dependencies"].keys()
    modules = set(re.findall(r"python3? -m ([a-z_.]+)", PAGES)) - {"pip", "venv"}
    assert {"studies", "benchmarks.larger"} <= modules
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("script", sorted(set(re.findall(r"\bscripts/[a-z_]+\.(?:py|sh)", PAGES))))
def test_every_script_exists(script: str) -> None:
    assert (ROOT / script).is_file()


def test_public_names_can_be_imported_and_the_version_is_in_the_changelog() -> None:
    for name in portraitist.__all__:
        assert getattr(portraitist, name) is not None
    assert f"## {portraitist.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    with pytest.raises(AttributeError):
        portraitist.nothing_of_that_name


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in FILES])
def test_every_page_is_finished_and_its_links_hold(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "@@" not in text and "TODO" not in text
    for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(link).is_file(), link


def test_usage_lists_what_json_shows_of_results() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/portraitist/cli").glob("*.py")]
    keys = {
        keyword.arg
        for source in sources
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "note"
        for keyword in call.keywords
    }
    usage = (ROOT / "docs/usage.md").read_text(encoding="utf-8")
    table = usage.partition("results of their own:")[2].partition("- `-q`")[0]
    assert len(keys) > 8 and keys - set(re.findall(r"`([a-z_]+)`", table)) == set()
