"""Groups of options: shared values, and a help that shows them under their names."""

from __future__ import annotations

import re

import pytest
import typer
from typer.main import get_command

from portraitist.cli import groups
from portraitist.cli.main import app
from portraitist.errors import UsageError


def sections(*words: str) -> dict[str, str]:
    """Return the help of a command, by section."""
    command, context = get_command(app), None
    for word in words:
        context = typer.Context(command, parent=context, info_name=word)
        command = command.commands[word]  # type: ignore[attr-defined]
    text = command.get_help(typer.Context(command, parent=context, info_name=words[-1]))
    parts = re.split(r"^(\w[\w ]*):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_help_shows_options_by_group() -> None:
    found = sections("stylize")
    assert list(found) == [
        "Arguments",
        "Options",
        "Style",
        "Appearance",
        "Faces",
        "Inversion",
        "Output",
        "Painter and camera",
        "General",
    ]
    assert "--refine" in found["Inversion"] and "--overwrite" in found["Output"] and "--detector" in found["Faces"]
    assert "--seed" in found["Options"] and "--style" in found["Style"]


def test_help_speaks_plainly() -> None:
    """Lists of commands fit their lines, and types are called what people call them."""
    for group in ("evaluate", "edit", "translate", "models"):
        assert "..." not in sections(group)["Commands"]
    top = get_command(app)
    assert "..." not in top.get_help(typer.Context(top, info_name="portraitist")).partition("Commands:")[2]
    options = "".join(sections("stylize").values())
    assert (
        "--strength <number>" in options and "--reference <path>" in options and "--style, --to-style <text>" in options
    )
    assert not re.search(r"<(str|int|float|list|Path)", options)


@pytest.mark.parametrize("words", [("edit", "apply"), ("edit", "text"), ("edit", "video")], ids=" ".join)
def test_commands_that_share_a_group_show_the_same_options(words: tuple[str, ...]) -> None:
    expected = sections("edit", "apply")
    assert {name: sections(*words)[name] for name in ("Style", "Inversion", "Run")} == {
        name: expected[name] for name in ("Style", "Inversion", "Run")
    }


def test_a_group_may_have_other_defaults_in_one_command() -> None:
    assert "[default: largest]" in re.sub(r"\s+", " ", sections("translate", "run")["Faces"])
    assert "[default: all]" in re.sub(r"\s+", " ", sections("stylize")["Faces"])


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(UsageError, match="no face detector 'haar'"):
        groups.Faces(detector="haar").finder()
