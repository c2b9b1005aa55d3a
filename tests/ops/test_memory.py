from __future__ import annotations

import sys

import pytest

from portraitist.ops import keep_heap


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAITIST_NO_HEAP", "1")
    assert keep_heap() is False


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_heap() is False
