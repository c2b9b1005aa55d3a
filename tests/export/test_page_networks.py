"""The networks of the offline page: at full strength the style's, at none the photo or the base, and those of faces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portraitist.errors import UsageError
from portraitist.export.graph import session
from portraitist.export.offline import FINDERS, MARK, write_page
from portraitist.export.page_networks import StrongPainter, StrongStyle
from portraitist.export.wired import wired_to_onnx
from portraitist.faces.networks import Name, network_named
from portraitist.io.model_file import Model
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.stylize.mixture import mixed

pytest.importorskip("onnxruntime", reason="needs portraitist[export]")
SMALL = PainterAnatomy((4, 4, 4), 0, 5.0)


def test_a_painter_at_every_strength() -> None:
    torch.manual_seed(0)
    painter = new_painter(SMALL).eval()
    torch.nn.init.normal_(painter.paint.bias, std=0.3)
    torch.nn.init.constant_(painter.field.bias, 3.0)
    network, photos = StrongPainter(painter), torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        painted = painter(photos)
        none, half, full = (network(photos, torch.tensor([s])) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, photos)
    torch.testing.assert_close(full, painted.image.clamp(-1, 1))
    # The field moves all by 3 pixels, so half the strength moves photo and paint by half of that.
    field = painted.field * 0.5
    assert field.mean().item() == pytest.approx(1.5, abs=0.2)
    assert (half - full).abs().mean() > 0.05 and (half - none).abs().mean() > 0.05


def test_a_style_at_every_strength(tiny_model: Model, tiny_style: Model) -> None:
    network = StrongStyle(tiny_model.generator, tiny_style.generator)
    with torch.no_grad():
        codes = tiny_model.generator.styles(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
        for strength in (0.0, 0.4, 1.0, 1.3):
            due = mixed(tiny_model.generator, [(tiny_style.generator, strength)]).synthesis(codes).clamp(-1, 1)
            torch.testing.assert_close(network(codes, torch.tensor([strength])), due, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", list(FINDERS))
def test_the_networks_of_faces(name: Name) -> None:
    network = network_named(name)
    content = wired_to_onnx(network, FINDERS[name])
    pixels = torch.rand(2, 3, network.side, network.side, generator=torch.Generator().manual_seed(0))
    for count in (1, 2):
        found = session(content).run(FINDERS[name], {"pixels": pixels[:count].numpy()})
        for one, due in zip(found, network(pixels[:count]), strict=True):
            torch.testing.assert_close(torch.from_numpy(one), due, atol=1e-5 * float(due.abs().max()), rtol=0)


def test_what_is_wrong_is_said(tmp_path: Path, models_folder: Path) -> None:
    stored = StoredPainter(new_painter(SMALL).eval(), PainterHeader(SMALL, side=32, name="mine"))
    painter = save_painter(tmp_path / "p.safetensors", stored)
    with pytest.raises(UsageError, match="no style"):
        write_page(tmp_path / "page")
    with pytest.raises(UsageError, match="called 'mine'"):
        write_page(tmp_path / "page", painters=[painter, painter])
    with pytest.raises(UsageError, match="no model 'none'"):
        write_page(tmp_path / "page", styles=["none"])
    assert not (tmp_path / "page").exists()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / MARK).write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write_page(tmp_path / "page", painters=[painter])
