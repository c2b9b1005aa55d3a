from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from portraitist.train.distributed import SingleProcess
from portraitist.train.signals import Interrupted, graceful_shutdown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_old_handlers_return(number: signal.Signals) -> None:
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    with graceful_shutdown() as asked:
        assert asked.number is None
        os.kill(os.getpid(), number)
        assert asked.number == number
    assert {s: signal.getsignal(s) for s in before} == before


def test_the_handlers_return_after_an_error_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), graceful_shutdown():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = """
import os, signal
from portraitist.train.signals import graceful_shutdown
with graceful_shutdown():
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("too long")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "still here\n")


def test_other_threads_hear_no_signals() -> None:
    seen: list[int | None] = []

    def work() -> None:
        with graceful_shutdown() as asked:
            seen.append(asked.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_being_interrupted_has_the_shells_exit_code() -> None:
    assert (Interrupted(signal.SIGTERM).exit_code, Interrupted(signal.SIGINT).exit_code) == (143, 130)
    assert str(Interrupted(signal.SIGTERM)) == "stopped by SIGTERM; the same command continues"
    assert not isinstance(Interrupted(2), Exception)  # so that no handler of errors takes it for one


class Sending(SingleProcess):
    """A process group of one, to which a signal comes while it exchanges numbers."""

    def all_reduce_max(self, number: int) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return number


def test_a_signal_that_comes_during_the_exchange_is_told_next_time() -> None:
    with graceful_shutdown() as asked:
        assert asked.anywhere(Sending()) is None and asked.number == signal.SIGTERM
        assert asked.anywhere(SingleProcess()) == signal.SIGTERM
