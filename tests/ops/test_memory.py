from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from portraitist.ops import at_once, keep_heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_blocks_stay_with_the_process() -> None:
    code = (
        "import re, torch; from portraitist.ops import keep_heap; told = keep_heap();"
        "held = lambda: int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1]) >> 10;"
        "before = held(); block = torch.ones(64 << 20, dtype=torch.uint8); del block;"
        "print(told, held() - before > 48)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAITIST_NO_HEAP", "1")
    assert keep_heap() is False


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_heap() is False


def test_images_at_once_hold_no_more_pixels_than_at_64() -> None:
    assert [at_once(32, side) for side in (16, 64, 128, 256, 512, 1024)] == [32, 32, 8, 2, 1, 1]
    assert all(at_once(64, side) * side**2 == 64 * 64**2 for side in (64, 128, 256))
