"""Which path of a style draws a face where nobody says it, and that nothing tells."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.data.images import Pixels
from portraitist.errors import BadImage, UsageError
from portraitist.io import catalogue, registry
from portraitist.io.chooser_files import StoredChooser, save_chooser, unlearned
from portraitist.io.headers import Choice, ChooserHeader
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.stylize import Stylizer, stylize_files
from portraitist.stylize.choices import Options
from tests.conftest import restyled
from tests.stylize.tiny_encoders import make_encoder

TOLD = re.compile(r"\b(wo)?men\b")


def pictures() -> tuple[Pixels, Pixels]:
    """Return two faces, as far as a chooser of tests is concerned."""
    rng = np.random.default_rng(0)
    first, second = (np.clip(rng.normal(level, 40, (16, 16, 3)), 0, 255).astype(np.uint8) for level in (60, 190))
    return first, second


def chooser_of(base: Model, scale: float, margin: float = 0.6) -> StoredChooser:
    """Return a chooser that tells the first of the pictures from the second; with a ``scale`` of 0 it never decides."""
    encoder = make_encoder(base)
    with torch.no_grad():
        images = torch.from_numpy(np.stack(pictures())).permute(0, 3, 1, 2).float() / 127.5 - 1
        first, second = encoder.encoder(images).mu.flatten(1).double()
    apart = first - second
    weight = scale * apart / (apart @ apart)
    choice = Choice("group", ("men", "women"), margin, 100, 50, 0.9, 0.8, 0.99)
    header = ChooserHeader(
        choices=(choice,),
        rows=encoder.encoder.anatomy.rows,
        dim=encoder.encoder.anatomy.dim,
        name="who",
        licence="CC0-1.0",
        encoder_name="hvae",
        encoder_digest=encoder.digest,
        base_digest=generator_digest(base),
    )
    chooser = unlearned(header)
    bias = -weight @ (first + second) / 2
    state = {"weight": torch.stack([weight, -weight]), "bias": torch.stack([bias, -bias])}
    chooser.load_state_dict({f"layers.group.{name}": value.float() for name, value in state.items()})
    return StoredChooser(chooser, header)


@pytest.fixture
def both(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Model:
    """Make a style with two paths, the encoder of its base, and a chooser known."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    other = restyled(tiny_model, "both", seed=5)
    pack = save_pack(tmp_path / "p.safetensors", {"women": tiny_style, "men": other}, tiny_model)
    registry.add(pack, name="both")
    registry.add_encoder(make_encoder(tiny_model))
    know(chooser_of(tiny_model, 20.0), tmp_path)
    return tiny_model


def know(chooser: StoredChooser, folder: Path) -> None:
    registry.add(save_chooser(folder / "c.safetensors", chooser, half=True, overwrite=True), overwrite=True)


def drawn(photo: Pixels, attribute: str | None) -> Pixels:
    stylizer = Stylizer.load(["both"], attribute=attribute)
    return stylizer.stylize(photo, aligned=True).faces[0].pictures["both"]


def test_each_face_chooses_its_path(both: Model) -> None:
    first, second = pictures()
    for attribute in (None, "auto"):
        assert np.array_equal(drawn(first, attribute), drawn(first, "men"))
        assert np.array_equal(drawn(second, attribute), drawn(second, "women"))
    assert not np.array_equal(drawn(first, "men"), drawn(first, "women"))


def test_faces_of_one_batch_choose_each_for_itself(both: Model) -> None:
    photos = pictures()
    stylizer = Stylizer.load(["both"], detail=0)
    for found, photo in zip(stylizer.batch(photos, aligned=True, batch_size=2), photos, strict=True):
        alone = stylizer.stylize(photo, aligned=True).faces[0].pictures["both"]
        assert np.abs(found.faces[0].pictures["both"].astype(int) - alone).max() <= 2


def test_a_mixture_goes_along_the_path_too(both: Model) -> None:
    photo = pictures()[0]
    alike = [
        Stylizer.load(["both:0.5"], attribute=attribute).stylize(photo, aligned=True).faces[0].pictures["both-0.5"]
        for attribute in (None, "men")
    ]
    assert np.array_equal(*alike)


def test_below_the_margin_it_refuses_and_lists_the_paths(both: Model, tmp_path: Path) -> None:
    know(chooser_of(both, 0.0), tmp_path)
    photo = pictures()[0]
    stylizer = Stylizer.load(["both"])
    with pytest.raises(BadImage, match="--attribute: women, men") as error:
        stylizer.stylize(photo, aligned=True)
    assert error.value.kind == "path"
    left_out: list[str] = []
    assert not list(stylizer.batch([photo], aligned=True, on_error=lambda _, e: left_out.append(str(e)))) and left_out


def test_without_a_chooser_the_attribute_must_be_named(both: Model) -> None:
    catalogue.remove("who")
    for attribute in (None, "auto"):
        with pytest.raises(UsageError, match="women, men"):
            Stylizer.load(["both"], attribute=attribute)


def test_codes_and_pictures_that_are_no_photos_choose_nothing(both: Model) -> None:
    stylizer = Stylizer.load(["both"])
    with pytest.raises(UsageError, match="--attribute"):
        stylizer.draw(stylizer.generators["both"], stylizer.base.generator.mean)
    with pytest.raises(UsageError, match="women, men"):
        Stylizer.load(["both"], source="both", attribute="auto")


def test_nothing_tells_what_was_chosen(both: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder's files, names, report, log and settings are the same words whichever path draws."""
    caplog.set_level(logging.DEBUG)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, picture in zip("ab", pictures(), strict=True):
        Image.fromarray(picture).save(photos / f"{name}.png")
    stylizer = Stylizer.load(["both"])
    lines = stylize_files(
        stylizer, photos, tmp_path / "out", Options(aligned=True, sheet=True), report=tmp_path / "r.json"
    )
    assert [line.status for line in lines] == ["done", "done"]
    first, second = json.loads((tmp_path / "r.json").read_text())["photos"]
    assert first.keys() == second.keys() and first["outputs"] != second["outputs"]
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    texts = [str(path.relative_to(tmp_path)) for path in written] + [(tmp_path / "r.json").read_text(), caplog.text]
    texts += [json.dumps(stylizer.settings), *(Path(p).read_bytes().decode("latin-1") for p in written)]
    assert len(written) >= 4 and not any(TOLD.search(text) for text in texts)
