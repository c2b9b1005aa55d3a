"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Keep the tests' numbers independent of the machine's core count."""
    torch.set_num_threads(1)


@pytest.fixture
def shared() -> Path:
    """The folder of real images and other programs' golden files; tests that need it skip without it."""
    folder = Path(os.environ.get("PORTRAITIST_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the folder of shared data (PORTRAITIST_SHARED)")
    return folder
