"""The face networks give what they gave in the format that they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from skimage.data import astronaut

from portraitist.faces.blaze import boxes_of, outputs_of
from portraitist.faces.networks import FOLDER, Name, network_named

LITERT = json.loads(Path(__file__).with_name("litert.json").read_text(encoding="utf-8"))
"""What LiteRT gives for the face of the astronaut; by scripts/make_face_networks.py."""
NAMES: tuple[Name, ...] = get_args(Name)


def face(side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(astronaut()).crop((96, 0, 352, 256)).resize((side, side), 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_gives_what_litert_gives(name: Name) -> None:
    found = outputs_of(network_named(name), [face(network_named(name).side)])
    assert len(found) == len(LITERT[name])
    for output, numbers in zip(found, LITERT[name], strict=True):
        kept = output.numpy().ravel()[:: output.numel() // 40 | 1]
        assert max(numbers) > min(numbers) or output.numel() == 1
        assert np.abs(kept - numbers).max() < 1e-4 * max(1, np.abs(numbers).max())


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_read_one_by_one_or_together(name: Name) -> None:
    network = network_named(name)
    one, other = face(network.side), np.ascontiguousarray(face(network.side)[:, ::-1])
    both = outputs_of(network, [one, other])
    for k, picture in enumerate((one, other)):
        for alone, together in zip(outputs_of(network, [picture]), both, strict=True):
            scale = float(alone.abs().max())
            assert torch.allclose(alone[0], together[k], rtol=0, atol=1e-5 * max(1, scale))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_names_its_licence_and_where_it_comes_from(name: Name) -> None:
    with safe_open(FOLDER / f"{name}.safetensors", framework="np") as file:
        header = file.metadata()
    assert header["licence"] == "Apache-2.0" and "mediapipe 0.10.14" in header["lineage"]


def test_a_network_comes_frozen_and_leaves_random_numbers_alone() -> None:
    network_named.cache_clear()
    state = torch.get_rng_state()
    network = network_named("near")
    assert torch.equal(torch.get_rng_state(), state) and network is network_named("near")
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_places_that_see_one_face_make_one_box() -> None:
    network = network_named("near")
    square = face(network.side)
    (boxes,) = boxes_of(network, [square], 0.5)
    assert len(boxes) == 1 and boxes[0].score > 0.8
    assert np.abs(boxes[0].centre - (0.505, 0.46)).max() < 0.04 and 0.25 < boxes[0].side < 0.5
    assert abs(boxes[0].tilt) < 0.15
    turned = np.asarray(Image.fromarray(square).rotate(-20, Image.Resampling.BICUBIC))
    assert boxes_of(network, [turned], 0.5)[0][0].tilt - boxes[0].tilt == pytest.approx(np.radians(20), abs=0.12)
    assert boxes_of(network, [np.zeros_like(square)], 0.5) == [[]] and boxes_of(network, [], 0.5) == []
