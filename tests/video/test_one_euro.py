"""The One Euro filter: its equations, stillness at rest, promptness in motion."""

from __future__ import annotations

import numpy as np
import pytest

from portraitist.video.one_euro import OneEuro, smoothing


def test_it_follows_the_equations_of_the_paper() -> None:
    filter, random = OneEuro(least=1.2, beta=0.5), np.random.default_rng(0)
    value, speed = None, 0.0
    for x, seconds in zip(random.normal(size=20), random.uniform(0.01, 0.1, 20), strict=True):
        found = filter.step(np.array([[x, 0.0]]), seconds)
        if value is None:
            value = x
        else:  # written out for one number
            rate = 1 / seconds
            a = 1 / (1 + rate / (2 * np.pi * 1.0))
            speed = a * (x - value) * rate + (1 - a) * speed
            a = 1 / (1 + rate / (2 * np.pi * (1.2 + 0.5 * abs(speed))))
            value = a * x + (1 - a) * value
        assert found[0] == pytest.approx([value, 0])


def test_resting_points_become_still_and_moving_ones_hardly_lag() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 5, 2)) * 0.4
    rest, move = OneEuro(), OneEuro()
    still = np.array([rest.step(noise[k], 1 / 30, unit=40.0) for k in range(200)])
    moving = np.array([move.step(noise[k] + 4 * k, 1 / 30, unit=40.0) for k in range(200)])
    steps = np.abs(np.diff(still[50:], axis=0)).mean() / np.abs(np.diff(noise[50:], axis=0)).mean()
    lag = (noise[50:] + 4 * np.arange(50, 200)[:, None, None] - moving[50:]).mean() / 4
    assert steps < 0.35 and 0 < lag < 0.5  # in frames, at three eye distances a second


def test_frames_far_apart_are_smoothed_less() -> None:
    assert smoothing(1.0, 1 / 60) < smoothing(1.0, 1 / 10) < 1
    assert smoothing(2.0, 1 / 30) == pytest.approx(1 / (1 + 30 / (2 * np.pi * 2)))
