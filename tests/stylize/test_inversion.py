"""The encoder as the way of inversion: when it is taken, what it draws, and that company changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import to_array, to_tensor, write_image
from portraitist.errors import BadModel, NonFinite, UsageError
from portraitist.invert import EncoderInverter, Projector, image2stylegan, in_domain, medoid, portrait, refine
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.losses.perceptual import default_perceptual
from portraitist.stylize import ByEncoder, ByOptimisation, Portrait, Stylizer, stylize_files
from portraitist.stylize.choices import Options
from tests.conftest import make_model
from tests.stylize.test_pipeline import ONE, TWO, Pixels
from tests.stylize.tiny_encoders import make_encoder

Make = Callable[..., Stylizer]


@pytest.fixture
def make(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Make:
    """Builds stylizers of the tiny style, whose base has a known encoder."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))
    return lambda **options: Stylizer.load(["wild"], **({"finder": ONE} | options))


def crop(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def only(stylizer: Stylizer, photo: Pixels | None = None) -> Portrait:
    return stylizer.stylize(crop() if photo is None else photo, aligned=True, size=16).faces[0]


def test_the_known_encoder_of_the_base_is_the_default(make: Make, tiny_model: Model, tiny_style: Model) -> None:
    stylizer, stored = make(), make_encoder(tiny_model)
    face = only(stylizer)
    assert stylizer.encoder is not None and stylizer.encoder.digest == stored.digest
    with torch.no_grad():
        mu = stored.encoder(to_tensor(face.aligned.image)[None]).mu
        code = stored.encoder.styles_of(mu, tiny_model.generator)
        drawn = to_array(tiny_style.generator.synthesis(code)[0])
    assert torch.equal(face.code.data, code) and np.array_equal(face.pictures["wild"], drawn)
    assert face.samples == ()
    for given in ("hvae", registry.find_encoder("hvae"), stored):
        assert np.array_equal(only(make(inversion=ByEncoder(given))).pictures["wild"], drawn)


def test_a_projection_or_a_base_without_encoder_means_optimisation(make: Make, models_folder: Path) -> None:
    short = replace(portrait(), steps=2)
    chosen = make(inversion=ByOptimisation(short))
    assert chosen.encoder is None and isinstance(chosen.inverter, Projector)
    face = only(chosen)
    (models_folder / "hvae.safetensors").unlink()
    without = make(seed=4)
    assert without.encoder is None and isinstance(without.inverter, Projector)
    assert without.inverter.settings == replace(portrait(), seed=4)
    assert torch.equal(only(make(inversion=ByOptimisation(short))).code.data, face.code.data)
    for needs in (ByEncoder(), ByOptimisation(in_domain())):
        with pytest.raises(UsageError, match=r"No encoder of 'tiny' is known.*--encoder"):
            only(make(inversion=needs))


def test_in_domain_begins_at_the_encoder(make: Make, tiny_model: Model) -> None:
    stylizer = make(inversion=ByOptimisation(replace(in_domain(), steps=1)))
    assert torch.equal(only(stylizer).code.data, only(make()).code.data)  # the first code that is looked at
    assert stylizer.encoder is not None


def test_samples_are_seeded_renderings_beside_the_mean(make: Make) -> None:
    mean = only(make())
    faces = {n: only(make(inversion=ByEncoder(samples=n), seed=3)) for n in (2, 4)}
    for n, face in faces.items():
        assert len(face.samples) == n
        assert np.array_equal(face.pictures["wild"], mean.pictures["wild"])
    for one, two in zip(faces[2].samples, faces[4].samples, strict=False):
        assert torch.equal(one.codes["wild"].data, two.codes["wild"].data)
        assert np.array_equal(one.pictures["wild"], two.pictures["wild"])
    assert len({p.tobytes() for p in (mean.pictures["wild"], *(s.pictures["wild"] for s in faces[4].samples))}) == 5
    other = only(make(inversion=ByEncoder(samples=1), seed=4))
    assert not np.array_equal(other.samples[0].pictures["wild"], faces[2].samples[0].pictures["wild"])


def test_the_medoid_is_one_of_the_samples_and_drawn_alone(make: Make, tiny_model: Model) -> None:
    several = only(make(inversion=ByEncoder(samples=4), seed=3))
    best = only(make(inversion=ByEncoder(best="medoid", samples=4), seed=3))
    codes = torch.cat([several.code.data, *(s.codes["wild"].data for s in several.samples)])
    with torch.no_grad():
        number = medoid(tiny_model.generator.synthesis(codes), default_perceptual(tiny_model.discriminator))
    assert best.samples == () and torch.equal(best.code.data[0], codes[number])


def test_refinement_goes_on_from_the_encoders_code(make: Make) -> None:
    mean, refined = only(make()), only(make(inversion=ByEncoder(refine=3)))
    moved = (refined.code.data - mean.code.data).abs()
    # Adam's first steps are no longer than the learning rate: the code is still near the encoder's.
    assert 0 < moved.max() <= 3.1 * refine(3).learning_rate
    inverter = make(inversion=ByEncoder(refine=3)).inverter
    assert isinstance(inverter, EncoderInverter) and inverter.projector is not None
    assert inverter.projector.settings.steps == 3


@pytest.mark.parametrize(
    "encoding", [ByEncoder(samples=2), ByEncoder(best="medoid", samples=3), ByEncoder(refine=3)], ids=repr
)
def test_a_face_does_not_depend_on_company_threads_or_the_way_in(
    make: Make, encoding: ByEncoder, tmp_path: Path
) -> None:
    photo = np.random.default_rng(1).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    two = make(inversion=encoding, finder=TWO).stylize(photo)
    alone = make(inversion=encoding).stylize(photo).faces[0]
    assert len(two.faces) == 2
    torch.set_num_threads(2)
    try:
        threaded = make(inversion=encoding).stylize(photo).faces[0]
    finally:
        torch.set_num_threads(1)
    # Files hold the same bytes as the class gives, whatever was drawn before.
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.png", photo if name == "b" else photo[::-1].copy())
    (_, line) = stylize_files(make(inversion=encoding), tmp_path / "in", tmp_path / "out", Options())
    assert line.outputs == [f"b.wild{end}.png" for end in ("", *(f".sample{k + 1}" for k in range(encoding.pictures)))]
    for face in (alone, threaded):
        assert torch.equal(face.code.data, two.faces[0].code.data)
        pictures = [face.pictures["wild"], *(s.pictures["wild"] for s in face.samples)]
        same = [two.faces[0].pictures["wild"], *(s.pictures["wild"] for s in two.faces[0].samples)]
        assert all(np.array_equal(a, b) for a, b in zip(pictures, same, strict=True))
        for picture, name in zip(pictures, line.outputs, strict=True):
            again = write_image(tmp_path / "again.png", picture)
            assert (tmp_path / "out" / name).read_bytes() == again.read_bytes()


def test_samples_of_every_face_are_written_pasted_and_on_the_sheet(make: Make, tmp_path: Path) -> None:
    photo = write_image(tmp_path / "me.png", crop(2).repeat(32, 0).repeat(32, 1))
    stylizer = make(inversion=ByEncoder(samples=2), finder=TWO)
    (line,) = stylize_files(stylizer, photo, tmp_path / "out", Options(sheet=True))
    ends = ["wild", "wild.sample1", "wild.sample2"]
    assert line.outputs == [f"me{face}.{end}.png" for end in ends for face in ("", ".face2")] + ["me.sheet.png"]
    found = stylizer.stylize(photo)
    assert found.sheet(64).shape == (128, 5 * 64 + 4 * 8, 3)
    (line,) = stylize_files(stylizer, photo, tmp_path / "pasted", Options(paste_back=True))
    assert line.outputs == [f"me.{end}.pasted.png" for end in ends]
    assert not np.array_equal(found.pasted("wild"), found.pasted("wild", "sample1"))
    assert not np.array_equal(found.pasted("wild", "sample2"), found.pasted("wild", "sample1"))


def test_a_folder_of_samples_is_finished_once_and_strangers_stay(make: Make, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for k in range(2):
        write_image(source / f"{k}.png", crop(k))
    out.mkdir()
    (out / "0.wild.sample2.png").write_bytes(b"precious")
    report = out / "report.json"
    options = Options(aligned=True)

    def run(count: int, *, overwrite: bool = False) -> list[str]:
        stylizer = make(inversion=ByEncoder(samples=count))
        lines = stylize_files(stylizer, source, out, replace(options, overwrite=overwrite), report=report)
        return [line.kind or line.status for line in lines]

    assert run(2) == ["exists", "done"]
    assert (out / "0.wild.sample2.png").read_bytes() == b"precious"
    assert run(2, overwrite=True) == ["done", "done"] and run(2) == ["skipped", "skipped"]
    (out / "1.wild.sample1.png").unlink()
    assert run(2) == ["skipped", "done"]
    assert run(1) == ["done", "done"]


def test_the_settings_tell_what_determines_the_pictures(make: Make, tiny_model: Model) -> None:
    other = make_encoder(tiny_model, seed=9)
    ways: list[dict[str, object]] = [
        {},
        {"seed": 1},
        {"inversion": ByEncoder(other)},
        {"inversion": ByEncoder(refine=2)},
        {"inversion": ByEncoder(samples=2)},
        {"inversion": ByEncoder(best="medoid", samples=2)},
        {"inversion": ByOptimisation(portrait())},
        {"inversion": ByOptimisation(in_domain())},
        {"inversion": ByOptimisation(in_domain(), other)},
    ]
    said = [str(make(**way).settings) for way in ways]
    assert len(set(said)) == len(ways)
    assert str(make(inversion=ByEncoder()).settings) == said[0]


def test_ways_that_contradict_each_other_are_refused(make: Make, tiny_model: Model) -> None:
    for projection in (portrait(), image2stylegan()):
        with pytest.raises(UsageError, match="does not use an encoder"):
            ByOptimisation(projection, "hvae")
    with pytest.raises(UsageError, match=r"no encoder 'nobody'.*Known names: hvae"):
        only(make(inversion=ByEncoder("nobody")))
    for wrong, words in (
        ({"best": "most"}, "no choice of codes"),
        ({"refine": -1}, "cannot be negative"),
        ({"best": "medoid", "samples": 1}, "at least 2 samples"),
        ({"samples": 1, "refine": 1}, "cannot be refined"),
    ):
        with pytest.raises(UsageError, match=words):
            ByEncoder(**wrong)  # type: ignore[arg-type]
    plain = make_encoder(tiny_model, "psp", "w+")
    only(make(inversion=ByEncoder(plain)))
    for encoding in (ByEncoder(plain, samples=2), ByEncoder(plain, best="medoid", samples=2)):
        with pytest.raises(UsageError, match=r"'psp' is deterministic.*hvae"):
            only(make(inversion=encoding))


def test_an_encoder_of_another_base_is_refused(make: Make) -> None:
    other = make_model(seed=7, name="other")
    for encoder in ("hvae", make_encoder(make_model(seed=8, name="third"))):
        with pytest.raises(BadModel, match=r"was trained for '(tiny|third)'.*not for 'other'.*encoder of this base"):
            only(Stylizer(other, {}, finder=ONE, inversion=ByEncoder(encoder)))


def test_an_encoder_that_gives_no_numbers_is_reported(make: Make, tiny_model: Model) -> None:
    stored = make_encoder(tiny_model)
    torch.nn.init.constant_(stored.encoder.fc_mu.bias, torch.inf)
    with pytest.raises(NonFinite, match="returned NaN"):
        only(make(inversion=ByEncoder(stored)))
