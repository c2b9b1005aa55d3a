"""The command line as a new process is, before PyTorch; each run forks from one that has loaded the commands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

PYTORCH = {"torch", "numpy", "PIL"}
HEAVY = (*PYTORCH, "safetensors", "av", "transformers")
FORKING = """
import json, os, sys, tempfile, time
from portraitist.cli.main import main

heavy, started = json.loads(sys.argv[1]), time.process_time()
for line in sys.stdin:
    files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(3)]
    if not (process := os.fork()):
        for number, file in enumerate(files[:2], start=1):
            os.dup2(file.fileno(), number)
        sys.argv = ["portraitist", *json.loads(line)]
        try:
            main()
        finally:
            print(*[name for name in heavy if name in sys.modules], file=files[2], flush=True)
    _, status, usage = os.wait4(process, 0)
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read())
    *printed, loaded = texts
    seconds = started + usage.ru_utime + usage.ru_stime
    print(json.dumps([os.waitstatus_to_exitcode(status), *printed, loaded.split(), seconds]), flush=True)
"""


class Answer(NamedTuple):
    """What became of one run: its exit code, prints, the heavy packages that it loaded, CPU seconds from the start."""

    code: int
    out: str
    err: str
    loaded: list[str]
    seconds: float


def answers(runs: Sequence[Sequence[str]]) -> list[Answer]:
    """Run the command line with some words, time after time."""
    lines = "".join(json.dumps([*words]) + "\n" for words in runs)
    command = [sys.executable, "-c", FORKING, json.dumps(HEAVY)]
    done = subprocess.run(command, input=lines, env=os.environ, capture_output=True, text=True, check=True)
    found = [Answer(*json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(runs), done.stderr
    return found
