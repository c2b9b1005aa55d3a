"""Looks that take back what a style draws into one side of all faces."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from portraitist.detail import Look, Medium
from portraitist.io.encoder_files import StoredEncoder
from portraitist.io.model_file import Model
from portraitist.runs.looks import _lean, levelled
from tests.conftest import restyled
from tests.stylize.tiny_encoders import make_encoder

OWN = 0.4


@pytest.fixture
def lopsided(tiny_model: Model) -> Model:
    """Make a style that draws the left side of all faces darker: its constant input does so."""
    style = restyled(tiny_model, "lopsided", seed=5)
    with torch.no_grad():
        style.generator.synthesis.const[:, :, :2] += 0.2
    return style


@pytest.mark.parametrize("encodes", [False, True])
def test_what_leans_to_one_side_is_taken_back(tiny_model: Model, lopsided: Model, encodes: bool) -> None:
    encoder: StoredEncoder | None = make_encoder(tiny_model) if encodes else None
    shift = torch.rand(3, 16, 1, generator=torch.Generator().manual_seed(0)).expand(3, 16, 16)
    plain = replace(Look.neutral(), shift=shift, medium=Medium(own=OWN))
    look = levelled(plain, tiny_model, [lopsided], encoder)
    before = OWN * _lean(plain, tiny_model, lopsided, encoder)
    # Colours of the person move by the shift; the style's own drawing enters by what it does beyond that.
    moved = (look.shift - look.shift.flip(-1)) / 2
    after = moved + OWN * _lean(look, tiny_model, lopsided, encoder)
    assert float(before.abs().max()) > 0.5
    assert float(after.abs().mean()) < 0.3 * float(before.abs().mean())  # blurs at the rim of the face leave some
    assert torch.allclose(look.shift + look.shift.flip(-1), 2 * shift, atol=1e-4)  # what is common to both sides stays
    assert torch.allclose(levelled(look, tiny_model, [lopsided], encoder).shift, look.shift, atol=1e-4)


def test_a_style_without_a_drawing_of_its_own_keeps_its_look(tiny_model: Model, lopsided: Model) -> None:
    look = levelled(Look.neutral(), tiny_model, [lopsided])
    assert torch.equal(look.shift, Look.neutral().shift)
