"""Many appearances of one face: which rows are whose, that the seed decides, and how files are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from portraitist.data.images import to_array, to_tensor, write_image
from portraitist.errors import NoFaceFound, UsageError
from portraitist.invert import Projector, portrait
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.losses.perceptual import default_perceptual
from portraitist.networks import GeneratorAnatomy
from portraitist.networks.anatomy import channels_for
from portraitist.stylize import Appearance, ByEncoder, ByOptimisation, Portrait, Reference, Stylizer, stylize_files
from portraitist.stylize.appearance import random_codes
from portraitist.stylize.choices import Options
from tests.conftest import restyled
from tests.stylize.test_batch import Marked, draw, files
from tests.stylize.test_pipeline import Pixels
from tests.stylize.tiny_encoders import make_encoder

SHORT = replace(portrait(), steps=3)
Make = Callable[..., Stylizer]


@pytest.fixture
def make(tiny_model: Model, tiny_style: Model) -> Make:
    styles = {"wild": tiny_style, "calm": restyled(tiny_model, "calm", 2)}
    known = {"finder": Marked(), "inversion": ByOptimisation(SHORT)}
    return lambda **more: Stylizer(tiny_model, styles, **(known | more))  # type: ignore[arg-type]


def crop(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def only(stylizer: Stylizer, seed: int = 0) -> Portrait:
    return stylizer.stylize(crop(seed), aligned=True, size=16).faces[0]


@given(st.sampled_from([4, 8, 16, 32, 64, 128, 256, 512, 1024]), st.data())
def test_rows_that_feed_the_start_or_more_are_appearance(size: int, data: st.DataObject) -> None:
    anatomy = GeneratorAnatomy(size, channels_for(size, cap=4))
    start = data.draw(st.sampled_from(anatomy.resolutions))
    row = Appearance(start=start).row(anatomy)
    feeds = {layer.row for layer in anatomy.convs if layer.resolution >= start}
    assert min(feeds) == row
    assert all(layer.resolution < start for layer in anatomy.convs if layer.row < row)


@pytest.mark.parametrize("size", [64, 256])
def test_by_default_appearance_begins_after_32_pixels(size: int) -> None:
    assert Appearance().row(GeneratorAnatomy(size, channels_for(size, cap=4))) == 7


@pytest.mark.parametrize(("start", "row"), [(4, 0), (8, 1), (16, 3)])
def test_content_rows_are_the_photos_and_the_rest_a_samples(make: Make, start: int, row: int) -> None:
    stylizer = make(appearance=Appearance(random=3, start=start), seed=5)
    face = only(stylizer)
    assert [sample.name for sample in face.samples] == ["random1", "random2", "random3"]
    assert np.array_equal(face.pictures["wild"], only(make()).pictures["wild"])
    for name, generator in stylizer.generators.items():
        wanted = random_codes(generator, 3, 1.0, seed=5)  # type: ignore[arg-type]
        for sample, code in zip(face.samples, wanted, strict=True):
            drawn = sample.codes[name]
            assert torch.equal(drawn.data[:, :row], face.code.data[:, :row])
            assert torch.equal(drawn.data[:, row:], code.data[:, row:])
            with torch.no_grad():
                assert np.array_equal(sample.pictures[name], to_array(generator.synthesize(drawn)[0]))


def test_samples_are_mapped_from_the_prior_and_pulled_to_the_mean(tiny_model: Model) -> None:
    generator = tiny_model.generator
    z = torch.randn(16, generator=torch.Generator().manual_seed(4))
    (first,) = random_codes(generator, 1, 1.0, seed=4)
    assert torch.equal(first.data, generator.styles(z[None]))
    (mean,) = random_codes(generator, 1, 0.0, seed=4)
    assert torch.equal(mean.data, generator.mean.data)
    assert random_codes(generator, 0, 1.0, seed=4) == []


def test_the_seed_decides_whatever_the_count_and_the_company(make: Make) -> None:
    def pictures(count: int, seed: int, photo: int = 0) -> list[bytes]:
        face = only(make(appearance=Appearance(random=count, start=8), seed=seed), photo)
        return [sample.pictures["wild"].tobytes() for sample in face.samples]

    assert pictures(4, 1)[:2] == pictures(2, 1)
    assert len({*pictures(4, 1), *pictures(4, 2)}) == 8
    stylizer = make(appearance=Appearance(random=2, start=8), seed=1)
    only(stylizer, 3)  # another photo before
    assert [s.pictures["wild"].tobytes() for s in only(stylizer).samples] == pictures(2, 1)


def test_a_reference_is_inverted_in_the_styles_own_generator(make: Make, tiny_model: Model) -> None:
    reference = Reference("sunset", crop(9), aligned=True)
    stylizer = make(appearance=Appearance(references=(reference,), start=8))
    face = only(stylizer)
    target = to_tensor(crop(9))[None]
    codes = {}
    for name, generator in stylizer.generators.items():
        codes[name] = Projector(generator, default_perceptual(tiny_model.discriminator), SHORT).invert(target).code  # type: ignore[arg-type]
        (sample,) = face.samples
        assert sample.name == "sunset"
        assert torch.equal(sample.codes[name].data[:, 1:], codes[name].data[:, 1:])
        assert torch.equal(sample.codes[name].data[:, :1], face.code.data[:, :1])
    assert not torch.equal(codes["wild"].data, codes["calm"].data)


def test_a_reference_is_aligned_as_photos_are(make: Make) -> None:
    photo = draw(1, 6)
    stylizer = make(appearance=Appearance(references=(Reference("other", photo),), start=8))
    cut = stylizer.crops(photo, "largest", 16)[0].image
    aligned = make(appearance=Appearance(references=(Reference("other", cut, aligned=True),), start=8))
    (one,), (two,) = only(stylizer).samples, only(aligned).samples
    assert np.array_equal(one.pictures["wild"], two.pictures["wild"])
    with pytest.raises(NoFaceFound, match=r"in the reference 'wall'.*--reference-aligned"):
        make(appearance=Appearance(references=(Reference("wall", draw(0)),), start=8))


def test_appearances_are_the_styles_own_under_a_swap(make: Make) -> None:
    look = Appearance(random=1, references=(Reference("r", crop(9), aligned=True),), start=8)
    plain, swapped = only(make(appearance=look)), only(make(appearance=look, swap=8))
    for one, two in zip(plain.samples, swapped.samples, strict=True):
        assert torch.equal(one.codes["wild"].data, two.codes["wild"].data)
        assert not np.array_equal(one.pictures["wild"], two.pictures["wild"])


def test_samples_of_the_posterior_and_appearances_go_together(make: Make, tiny_model: Model) -> None:
    encoder = make_encoder(tiny_model)
    look = Appearance(random=2, start=16)
    stylizer = make(inversion=ByEncoder(encoder, samples=2), appearance=look)
    face = only(stylizer)
    assert [s.name for s in face.samples] == ["sample1", "sample2", "random1", "random2"] == list(stylizer.further)
    again = stylizer.redraw(face.aligned, 16, code=face.code)
    assert [s.name for s in again.samples] == ["random1", "random2"]
    for one, two in zip(face.samples[2:], again.samples, strict=True):
        assert np.array_equal(one.pictures["wild"], two.pictures["wild"])


def test_files_are_named_after_the_appearance_and_redone_when_it_changes(make: Make, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write_image(source / "me.png", draw(2, 1))

    def run(look: Appearance, seed: int = 0, **options: object) -> str:
        stylizer = make(appearance=look, seed=seed)
        stylizer.remove("calm")
        wanted = Options(**options)  # type: ignore[arg-type]
        (line,) = stylize_files(stylizer, source, out, wanted, report=out / "report.json")
        return line.status

    look = Appearance(random=1, references=(Reference("a b", crop(9), aligned=True),), start=8)
    assert (run(look), run(look)) == ("done", "skipped")
    ends = ("", ".random1", ".a b")
    assert files(out) == sorted(
        ["report.json", *(f"me{face}.wild{end}.png" for face in ("", ".face2") for end in ends)]
    )
    moved = replace(look, references=(Reference("a b", crop(8), aligned=True),))
    for other in (moved, replace(look, start=16), replace(look, truncation=0.5), replace(look, random=2)):
        assert (run(other), run(other)) == ("done", "skipped")
    assert (run(look, seed=1), run(look, seed=1)) == ("done", "skipped")
    assert run(look, paste_back=True, sheet=True) == "done"
    assert {"me.wild.a b.png", "me.sheet.png"} <= set(files(out))


def test_a_picture_in_the_way_of_an_appearance_is_kept(make: Make, tmp_path: Path) -> None:
    photo = write_image(tmp_path / "me.png", draw(1, 1))
    (tmp_path / "me.wild.random1.png").write_bytes(b"precious")
    (line,) = stylize_files(make(appearance=Appearance(random=1, start=8)), photo, tmp_path, Options())
    assert line.kind == "exists" and (tmp_path / "me.wild.random1.png").read_bytes() == b"precious"
    assert not (tmp_path / "me.wild.png").exists()


def test_what_cannot_be_is_refused(make: Make) -> None:
    reference = Reference("random1", crop(), aligned=True)
    for settings, words in (
        ({"random": -1}, "not possible"),
        ({"random": 101}, "not possible"),
        ({"random": 1, "truncation": 2.0}, "not possible"),
        ({"random": 1, "references": (reference,)}, "Two appearances are called 'random1'"),
    ):
        with pytest.raises(UsageError, match=words):
            Appearance(**settings)
    for start in (64, 12):
        with pytest.raises(UsageError, match=r"no resolution of .* 4, 8, 16 \(--appearance-from\)"):
            make(appearance=Appearance(random=1, start=start))
    make(appearance=Appearance(start=64))  # nothing is asked for
    clash = Appearance(references=(replace(reference, name="sample1"),), start=8)
    with pytest.raises(UsageError, match="Two further pictures are called 'sample1'"):
        make(inversion=ByEncoder(samples=1), appearance=clash)


def test_references_are_inverted_once_for_all_photos(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    write_image(tmp_path / "look.png", crop(9))
    steps: list[int] = []
    stylizer = Stylizer.load(
        ["wild"],
        finder=Marked(),
        inversion=ByOptimisation(SHORT),
        appearance=Appearance(references=(Reference.read(tmp_path / "look.png", aligned=True),), start=8),
        progress=lambda done, of: steps.append(done),
    )
    for seed in range(3):
        assert [s.name for s in only(stylizer, seed).samples] == ["look"]
    assert len(steps) == (3 + 1) * SHORT.steps
