"""The command line in this process."""

from __future__ import annotations

import logging
import sys
from typing import Protocol

import pytest

from portraitist.cli.main import main


class Run(Protocol):
    """Run the command line with some words: exit code, lines on stdout, and stderr."""

    def __call__(self, *words: object) -> tuple[int, list[str], str]: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)

    def run(*words: object) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["portraitist", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        done = capsys.readouterr()
        assert "Traceback" not in done.err
        return int(ended.value.code or 0), done.out.splitlines(), done.err

    return run
