"""Photos drawn by a painter: as the network draws them, whatever their place in the photo, and told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import write_image
from portraitist.data.images import to_array, to_tensor
from portraitist.errors import UsageError
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.stylize import PhotoPainter, Redrawer, photos, stylize_files
from portraitist.stylize.choices import Options

SMALL = PainterAnatomy((4, 6, 8), 1, 5.0)


@pytest.fixture
def stored() -> StoredPainter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        painter = new_painter(SMALL).eval()
        torch.nn.init.normal_(painter.paint.bias, std=0.3)  # paints something
    return StoredPainter(painter, PainterHeader(SMALL, side=32, style_name="wild"))


def picture(side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_it_draws_what_the_network_draws(stored: StoredPainter) -> None:
    photo = picture()
    painter: Redrawer = PhotoPainter(stored)
    (face,) = painter.stylize(photo, aligned=True, size=32).faces
    with torch.no_grad():
        wanted = to_array(stored.painter(to_tensor(photo)[None]).image[0])
    assert np.array_equal(face.picture("wild"), wanted) and abs(wanted.astype(int) - photo).mean() > 5
    assert painter.styles == ("wild",) and painter.further == ()
    assert painter.stylize(photo, aligned=True).faces[0].picture("wild").shape == (256, 256, 3)


def test_another_side_is_painted_at_that_side(stored: StoredPainter) -> None:
    photo = picture(64)
    large, small = PhotoPainter(stored, side=64), PhotoPainter(stored)
    with torch.no_grad():
        wanted = to_array(stored.painter(to_tensor(photo)[None]).image[0])
    assert np.array_equal(large.stylize(photo, aligned=True, size=64).faces[0].drawing, wanted)
    assert large.settings != small.settings
    with pytest.raises(UsageError, match="60 pixels"):
        PhotoPainter(stored, side=60)


def test_files_are_written_as_by_every_redrawer(stored: StoredPainter, tmp_path: Path) -> None:
    save_painter(tmp_path / "run" / "painter.safetensors", stored)
    write_image(tmp_path / "me.png", picture(64))
    painter = PhotoPainter.load(tmp_path / "run", name="mine")
    options = Options(aligned=True, paste_back=True, sheet=True, size=64)
    reports = stylize_files(painter, photos(tmp_path / "me.png", tmp_path / "out"), tmp_path / "out", options)
    assert [r.status for r in reports] == ["done"]
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"me.mine.pasted.png", "me.sheet.png"}
