"""``portraitist stylize --cluster``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.cli.refusals import refuse_paths
from portraitist.data.images import write_image
from portraitist.errors import UsageError
from tests.cli.conftest import Run
from tests.stylize.test_cluster import address as address
from tests.stylize.test_cluster import contents, pytestmark

__all__ = ["pytestmark"]


def test_a_folder_is_drawn_by_workers_as_it_is_here(run: Run, tmp_path: Path, address: str) -> None:
    write_image(tmp_path / "photos" / "me.png", np.asarray(astronaut()))
    words = ("stylize", tmp_path / "photos", "--style", "toon3d", "-o")
    code, lines, errors = run(*words, tmp_path / "there", "--cluster", address)
    assert (code, lines[0].partition(";")[0]) == (0, "1 done, 0 skipped, 0 failed"), errors
    code, lines, errors = run(*words, tmp_path / "there")
    assert (code, lines[0].partition(";")[0]) == (0, "0 done, 1 skipped, 0 failed"), errors
    assert run(*words, tmp_path / "here")[0] == 0
    assert contents(tmp_path / "here") == contents(tmp_path / "there") != {}


def test_an_address_is_no_folder(run: Run) -> None:
    for place in ("s3://bucket/photos", "gs://b/x", "https://example.org/photos"):
        code, _, errors = run("stylize", place, "-o", "out")
        assert code == 2 and f"{place} is an address, and nothing is downloaded" in errors
        code, _, errors = run("stylize", "photos", "-o", place)
        assert code == 2 and f"{place} is an address" in errors


def test_where_an_address_belongs_it_passes() -> None:
    refuse_paths({"cluster": "tcp://10.0.0.1:8786", "credit": "https://example.org/me", "licence": "https://x.org/l"})
    with pytest.raises(UsageError, match="is an address"):
        refuse_paths({"base": "https://example.org/faces.safetensors"})
