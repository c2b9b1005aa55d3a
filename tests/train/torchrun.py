"""Several processes by torchrun; they fork from one that has loaded the program, and so start at once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
LOADED = ["lightning_fabric", "torch.distributed.run", "portraitist.cli.train", "portraitist.runs.finetune"]


def torchrun(script: Path, *words: object, log: Path) -> BaseProcess:
    """Start torchrun with two processes of a script.

    Args:
        script: What each process runs, as ``__main__``.
        words: Given to it.
        log: The file of all that they print.

    Returns:
        torchrun itself: 0 is its exit code where all processes ended well.
    """
    _SERVER.set_forkserver_preload(LOADED)
    process = _SERVER.Process(target=_launch, args=(script, list(map(str, words)), log))
    process.start()
    return process


def ended(process: BaseProcess, seconds: float) -> int | None:
    """Wait for the exit code; none comes of a process that goes on."""
    process.join(seconds)
    return process.exitcode


def _launch(script: Path, words: list[str], log: Path) -> None:
    """Be torchrun."""
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in LOADED:
        __import__(name)
    from torch.distributed.run import main

    sys.argv = ["torchrun"]
    two = ("--standalone", "--nproc-per-node", "2", "--run-path", "--start-method", "fork")
    main([*two, str(script), *words])
