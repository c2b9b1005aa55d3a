"""Real trainers that tests may kill; they fork from a process that has loaded the program, and so start at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["portraitist.cli.train", "portraitist.runs.finetune", "portraitist.report.card"])


class Trainer:
    """A running ``portraitist`` with some words; ``log`` is a folder for what it prints."""

    def __init__(self, words: list[str], log: Path) -> None:
        """Start it."""
        log.mkdir(parents=True, exist_ok=True)
        self._printed = [log / name for name in ("out.txt", "errors.txt")]
        self._process = _SERVER.Process(target=command, args=(words, self._printed))
        self._process.start()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end: the exit code, or the signal below zero, and what it printed on both outputs."""
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        out, errors = (path.read_text(encoding="utf-8") if path.exists() else "" for path in self._printed)
        return code, out, errors

    def wait_for(self, found: Callable[[], bool]) -> None:
        """Wait until it has done something."""
        deadline = time.monotonic() + 120
        while not found():
            assert self._process.exitcode is None, self.finish()
            assert time.monotonic() < deadline
            time.sleep(0.02)


def command(words: list[str], printed: list[Path]) -> None:
    """Be the command line."""
    for number, path in enumerate(printed, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    import torch

    from portraitist.cli.main import main

    torch.set_num_threads(1)
    sys.argv = ["portraitist", *words]
    main()
