"""A group's translator as ONNX draws what it draws here, whatever the batch."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from portraitist.errors import UsageError
from portraitist.io.translator_onnx import export_onnx
from portraitist.networks.branches import BranchedTranslator, TranslatorSystem
from portraitist.networks.translator import cyclegan, photo2cartoon, ugatit

KINDS = (
    replace(photo2cartoon(64, 4), blocks=1),
    replace(ugatit(16, 4), blocks=1),
    replace(cyclegan(16, 4), blocks=1),
)


@pytest.mark.parametrize("anatomy", KINDS, ids=lambda a: a.kind)
def test_it_draws_the_same_at_any_batch(  # type: ignore[no-untyped-def]
    anatomy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    system = TranslatorSystem(BranchedTranslator(anatomy, ("women", "men"))).eval()
    with torch.no_grad():
        for p in system.to_drawing.branches[1].parameters():
            p.add_(0.05 * torch.randn(p.shape))
    path = export_onnx(tmp_path / "men.onnx", system, "men")
    assert not caplog.records
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count)) * 2 - 1
        photos = torch.nn.functional.interpolate(coarse, size=anatomy.resolution, mode="bilinear")
        (found,) = session.run(["drawings"], {"photos": photos.numpy()})
        with torch.no_grad():
            wanted, other = (system.to_drawing(photos, group).image for group in ("men", "women"))
        torch.testing.assert_close(torch.from_numpy(found), wanted, atol=1e-4, rtol=0)
        assert (wanted - other).abs().max() > 1e-2
    with pytest.raises(UsageError, match="exists"):
        export_onnx(path, system, "men")
    with pytest.raises(UsageError, match="no group"):
        export_onnx(tmp_path / "kids.onnx", system, "kids")
