from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from portraitist.data.images import to_array, write_image
from portraitist.errors import BadImage, NoFaceFound, UsageError
from portraitist.faces import BlazeFinder, FixedPoints, Landmarks, ffhq_quad
from portraitist.invert import Projection, portrait
from portraitist.io import catalogue, registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.generator import with_low_rows
from portraitist.stylize import ByOptimisation, Portraits, Stylizer
from portraitist.stylize.crops import opened
from tests.conftest import make_model, restyled

Pixels = npt.NDArray[np.uint8]
# Left eye, right eye, nose, left and right corner of the mouth of scikit-image's astronaut, by eye.
ASTRONAUT = np.array([(204, 102), (247, 104), (225, 120), (203, 139), (245, 141)])
SMALL = np.array([(40, 400), (60, 400), (50, 410), (42, 418), (58, 418)])
ONE = FixedPoints((Landmarks.from_points(ASTRONAUT),))
TWO = FixedPoints((Landmarks.from_points(SMALL), Landmarks.from_points(ASTRONAUT)))

MakeStylizer = Callable[..., Stylizer]


@pytest.fixture(scope="session")
def photo() -> Pixels:
    return np.asarray(astronaut())


@pytest.fixture(scope="session")
def other_style(tiny_model: Model) -> Model:
    return restyled(tiny_model, "calm", seed=2)


@pytest.fixture(scope="session")
def make(tiny_model: Model, tiny_style: Model, other_style: Model) -> MakeStylizer:
    def build(**options: object) -> Stylizer:
        known: dict[str, object] = {"finder": ONE, "inversion": ByOptimisation(replace(portrait(), steps=3))}
        return Stylizer(tiny_model, {"wild": tiny_style, "calm": other_style}, **known | options)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def redrawn(make: MakeStylizer, photo: Pixels) -> Portraits:
    return make(finder=TWO).stylize(photo)


def test_every_face_is_redrawn_in_every_style_largest_first(redrawn: Portraits) -> None:
    assert len(redrawn.faces) == 2
    large, small = redrawn.faces
    assert np.allclose(large.aligned.quad, ffhq_quad(Landmarks.from_points(ASTRONAUT)))
    assert np.allclose(small.aligned.quad, ffhq_quad(Landmarks.from_points(SMALL)))
    for face in redrawn.faces:
        assert list(face.pictures) == ["wild", "calm"] and tuple(face.code.data.shape) == (1, 6, 16)
        assert all(p.shape == (256, 256, 3) and p.dtype == np.uint8 for p in face.pictures.values())
        assert face.aligned.image.shape == (16, 16, 3)
        assert not np.array_equal(face.pictures["wild"], face.reconstruction)


def test_a_face_does_not_depend_on_its_company(make: MakeStylizer, photo: Pixels, redrawn: Portraits) -> None:
    stylizer = make(finder=TWO)
    for which in ("largest", 1, 2):
        (alone,) = stylizer.stylize(photo, which=which).faces  # type: ignore[arg-type]
        among = redrawn.faces[which - 1 if isinstance(which, int) else 0]
        assert np.array_equal(alone.pictures["wild"], among.pictures["wild"])
        assert torch.equal(alone.code.data, among.code.data)


def test_the_picture_is_what_the_style_draws_of_the_code(redrawn: Portraits, tiny_style: Model) -> None:
    face = redrawn.faces[0]
    with torch.no_grad():
        drawn = to_array(tiny_style.generator.synthesize(face.code)[0])
    enlarged = np.asarray(Image.fromarray(drawn).resize((256, 256), Image.Resampling.LANCZOS))
    assert np.array_equal(face.pictures["wild"], enlarged)


def test_strength_goes_from_base_to_style(make: MakeStylizer, photo: Pixels, redrawn: Portraits) -> None:
    face = redrawn.faces[0]
    none = make(strength=0.0).stylize(photo).faces[0]
    assert np.array_equal(none.pictures["wild"], face.reconstruction)
    assert np.array_equal(none.pictures["calm"], none.reconstruction)
    full = make(strength=1.0).stylize(photo).faces[0]
    assert np.array_equal(full.pictures["wild"], face.pictures["wild"])
    half = make(strength=0.5).stylize(photo).faces[0].pictures["wild"].astype(float)
    ends = [p.astype(float) for p in (face.reconstruction, face.pictures["wild"])]
    apart = np.abs(ends[0] - ends[1]).mean()
    assert 0 < np.abs(half - ends[0]).mean() < apart and 0 < np.abs(half - ends[1]).mean() < apart


def test_mixing_leaves_the_models_as_they_were(make: MakeStylizer, tiny_model: Model, tiny_style: Model) -> None:
    before = (tiny_model.digest, tiny_style.digest)
    make(strength=0.5)
    assert (tiny_model.digest, tiny_style.digest) == before


def test_pasting_touches_only_the_faces(redrawn: Portraits, photo: Pixels) -> None:
    pasted = redrawn.pasted("wild")
    y, x = np.mgrid[0.5:512.5, 0.5:512.5]
    outside = np.ones((512, 512), bool)
    for face in redrawn.faces:
        inverse = np.linalg.inv(face.aligned.matrix)
        u, v = (inverse[row, 0] * x + inverse[row, 1] * y + inverse[row, 2] for row in (0, 1))
        outside &= (np.minimum(u, v) < -0.05) | (np.maximum(u, v) > 16.05)
    assert 0.1 < outside.mean() < 0.95
    assert np.array_equal(pasted[outside], photo[outside])
    assert (pasted[~outside] != photo[~outside]).mean() > 0.5
    assert not np.array_equal(pasted, redrawn.pasted("calm"))


def test_a_sheet_has_a_row_per_face(redrawn: Portraits) -> None:
    # Crop, reconstruction and two styles at 64 pixels, with gaps of 8.
    assert redrawn.sheet(64).shape == (128, 4 * 64 + 3 * 8, 3)


def test_the_same_photo_in_any_form_gives_the_same_pictures(make: MakeStylizer, photo: Pixels, tmp_path: Path) -> None:
    path = write_image(tmp_path / "Ein Föto.png", photo)
    stylizer = make()
    forms = [photo, path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())]
    pictures = [stylizer.stylize(form).faces[0].pictures["wild"] for form in forms]  # type: ignore[arg-type]
    assert all(np.array_equal(pictures[0], p) for p in pictures[1:])
    again = make().stylize(path).faces[0].pictures["wild"]
    assert np.array_equal(pictures[0], again)


def test_threads_change_a_picture_by_rounding_at_most(make: MakeStylizer, photo: Pixels) -> None:
    one = make().stylize(photo).faces[0]
    torch.set_num_threads(2)
    try:
        two = make().stylize(photo).faces[0]
    finally:
        torch.set_num_threads(1)
    # Sums over channels are split among threads, so that the last bits of large networks may differ.
    assert np.abs(one.pictures["wild"].astype(int) - two.pictures["wild"]).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 64), (64, 41), (16, 16)])
def test_an_aligned_photo_is_taken_as_it_is(make: MakeStylizer, photo: Pixels, height: int, width: int) -> None:
    crop = photo[:height, :width]
    stylizer = make(finder=FixedPoints(()))  # nothing would be found
    (face,) = (portraits := stylizer.stylize(crop, aligned=True)).faces
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    centre = crop[top : top + side, left : left + side]
    assert np.array_equal(
        face.aligned.image, np.asarray(Image.fromarray(centre).resize((16, 16), Image.Resampling.LANCZOS))
    )
    pasted = portraits.pasted("wild")
    assert pasted.shape == crop.shape and (pasted != crop).any()
    assert np.array_equal(pasted[:top], crop[:top]) and np.array_equal(pasted[:, :left], crop[:, :left])


def test_the_size_of_the_pictures_can_be_chosen(make: MakeStylizer, photo: Pixels) -> None:
    stylizer = make()
    assert stylizer.stylize(photo, size=48).faces[0].pictures["wild"].shape == (48, 48, 3)
    assert stylizer.stylize(photo, size=16).faces[0].reconstruction.shape == (16, 16, 3)


def test_no_face_is_a_typed_error(make: MakeStylizer, photo: Pixels) -> None:
    with pytest.raises(NoFaceFound, match="No face was found"):
        make(finder=FixedPoints(())).stylize(photo)
    for which in (0, 3, -1):
        with pytest.raises(NoFaceFound, match=f"no face {which}; 2 were found"):
            make(finder=TWO).stylize(photo, which=which)
    with pytest.raises(UsageError, match="'both' does not select faces"):
        make().stylize(photo, which="both")  # type: ignore[arg-type]
    with pytest.raises(BadImage):
        make().stylize(b"not a picture")
    for wrong in (photo.astype(np.float32), photo[..., 0], photo[:0]):
        with pytest.raises(UsageError, match="uint8 H x W x 3"):
            make().stylize(wrong, aligned=True)  # type: ignore[arg-type]


def test_wrong_arguments_are_named(make: MakeStylizer, photo: Pixels) -> None:
    """Fault II-8: raw Python errors through the public API."""
    stylizer = make()
    for size in (-5, 0, "256", 2.5):
        with pytest.raises(UsageError, match="cannot have the size"):
            stylizer.stylize(photo, aligned=True, size=size)  # type: ignore[arg-type]
    for wrong in (None, [photo, photo], torch.zeros(3, 8, 8)):
        with pytest.raises(UsageError, match=r"is not a photo.*Give a path"):
            stylizer.stylize(wrong)  # type: ignore[arg-type]
    portraits = stylizer.stylize(photo[:64, :64], aligned=True)
    for style, rendering in (("nope", ""), ("wild", "sample1")):
        with pytest.raises(UsageError, match=r"no picture of.*Styles: wild, calm"):
            portraits.pasted(style, rendering)
    with pytest.raises(UsageError, match=r"Styles are a list.*Write \['wild'\]"):
        Stylizer.load("wild")
    for styles in (3, [3], [None]):
        with pytest.raises(UsageError, match="no list of styles"):
            Stylizer.load(styles)  # type: ignore[arg-type]
    for wrong in ({"strength": "a"}, {"strength": float("nan")}, {"device": "gpu"}):
        with pytest.raises(UsageError, match=r"is no number|no device"):
            make(**wrong)
    drawn = stylizer.stylize(Image.fromarray(photo[:64, :64]), aligned=True).faces[0].pictures["wild"]
    assert np.array_equal(drawn, portraits.faces[0].pictures["wild"])


def test_a_picture_of_pillow_is_read_as_its_file_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 16, 4), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise).save(tmp_path / "alpha.png", exif=turned)
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(noise[..., :3]).quantize(8).save(tmp_path / "palette.png", transparency=3)
    Image.fromarray(noise).convert("LA").save(tmp_path / "grey.png")
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            pixels, opacity = opened(image)
        wanted, kept = opened(path)
        assert np.array_equal(pixels, wanted), path.name
        assert np.array_equal(opacity, kept) if kept is not None else opacity is None
    for mode in ("CMYK", "1"):
        assert opened(Image.new(mode, (5, 7)))[0].shape == (7, 5, 3)


def test_styles_of_another_base_are_refused(tiny_model: Model, tiny_style: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'large' belongs to another base than 'tiny'"):
        Stylizer(tiny_model, {"large": make_model(resolution=32)})
    other = make_model(seed=7, name="other")
    pack = save_pack(tmp_path / "p.safetensors", restyled(other, "theirs"), other)
    save_model(tmp_path / "other.safetensors", other)
    with pytest.raises(UsageError, match="'theirs' belongs to another base than 'tiny'"):
        Stylizer(tiny_model, {"theirs": registry.load(pack)})


def test_a_base_without_a_discriminator_says_so(tiny_model: Model, tiny_style: Model, photo: Pixels) -> None:
    base = Model(tiny_model.generator, None, replace(tiny_model.header, discriminator=None))
    with pytest.raises(UsageError, match=r"'tiny' has no discriminator.*--features"):
        Stylizer(base, {"wild": tiny_style}, finder=ONE).stylize(photo)


def test_likeness_can_be_measured_with_other_features(tiny_model: Model, tiny_style: Model, photo: Pixels) -> None:
    base = Model(tiny_model.generator, None, replace(tiny_model.header, discriminator=None))
    other = make_model(seed=7, name="other").discriminator
    assert other is not None
    perceptual = PerceptualDistance(DiscriminatorFeatures(other))
    stylizer = Stylizer(
        base, {"wild": tiny_style}, finder=ONE, perceptual=perceptual, inversion=ByOptimisation(Projection(steps=2))
    )
    assert stylizer.stylize(photo).faces[0].pictures["wild"].shape == (256, 256, 3)
    assert stylizer.settings["perceptual"] == [perceptual.name, perceptual.features.digest]


def test_settings_tell_what_determines_the_pictures(make: MakeStylizer) -> None:
    def of(**options: object) -> str:
        return str(make(**options).settings)

    assert of() == of()
    changed = [of(strength=0.5), of(finder=TWO), of(inversion=ByOptimisation(replace(portrait(), steps=4))), of()]
    assert len(set(changed)) == 4


def test_styles_load_by_name_file_and_run_folder(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, other_style: Model
) -> None:
    with pytest.raises(UsageError, match="No style is known"):
        Stylizer.load()
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    run = tmp_path / "runs" / "mine"
    save_pack(run / "style.safetensors", other_style, tiny_model)
    save_model(run / "model.safetensors", other_style)
    file = save_pack(tmp_path / "from file.safetensors", other_style, tiny_model)
    assert list(Stylizer.load(["wild", run, file]).generators) == ["wild", "mine", "from file"]
    assert list(Stylizer.load().generators) == ["wild"]  # the user's, where nothing is bundled
    for base in ("tiny", run / "model.safetensors"):
        with pytest.raises(UsageError, match="a full model, not a style"):
            Stylizer.load([base])
    with pytest.raises(UsageError, match="Two styles are called 'wild'"):
        Stylizer.load(["wild", models_folder / "wild.safetensors"])


def test_styles_of_different_bases_are_not_loaded_together(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    other = make_model(seed=7, name="other")
    for base, style in ((tiny_model, tiny_style), (other, restyled(other, "theirs"))):
        save_model(models_folder / f"{base.header.name}.safetensors", base)
        save_pack(models_folder / f"{style.header.name}.safetensors", style, base)
    assert list(Stylizer.load(["theirs"]).generators) == ["theirs"]
    with pytest.raises(UsageError, match="different bases"):
        Stylizer.load(["wild", "theirs"])


def test_a_bundled_style_needs_no_name_whatever_the_user_has_added(
    models_folder: Path, tiny_model: Model, tiny_style: Model
) -> None:
    save_model(catalogue.bundled_folder() / "tiny.safetensors", tiny_model)
    save_pack(catalogue.bundled_folder() / "wild.safetensors", tiny_style, tiny_model)
    other = make_model(seed=7, name="other")
    save_model(models_folder / "other.safetensors", other)
    save_pack(models_folder / "theirs.safetensors", restyled(other, "theirs"), other)
    assert list(Stylizer.load().generators) == ["wild"]


def test_of_several_bases_the_one_with_most_styles_needs_no_names(
    models_folder: Path, tiny_model: Model, tiny_style: Model
) -> None:
    other = make_model(seed=7, name="other")
    named = {"wild": (tiny_style, tiny_model), "a": (other, other), "b": (restyled(other, "b", seed=5), other)}
    for name, (style, base) in named.items():
        save_model(catalogue.bundled_folder() / f"{base.header.name}.safetensors", base, overwrite=True)
        save_pack(catalogue.bundled_folder() / f"{name}.safetensors", restyled(style, name), base)
    assert list(Stylizer.load().generators) == ["a", "b"]


def test_the_real_finder_finds_the_astronaut(make: MakeStylizer, photo: Pixels) -> None:
    stylizer = make(finder=BlazeFinder())
    (face,) = stylizer.stylize(photo).faces
    assert np.abs(face.aligned.quad - ffhq_quad(Landmarks.from_points(ASTRONAUT))).max() < 15
    with pytest.raises(NoFaceFound):
        stylizer.stylize(np.full((128, 128, 3), 200, np.uint8))


def test_styles_come_and_go_on_one_base(
    make: MakeStylizer, photo: Pixels, redrawn: Portraits, tiny_style: Model, tiny_model: Model, tmp_path: Path
) -> None:
    stylizer = make()
    face = stylizer.stylize(photo).faces[0]
    inverter, base = stylizer.inverter, tiny_model.digest
    stylizer.remove("calm")
    pack = save_pack(tmp_path / "third.safetensors", restyled(tiny_model, "third", seed=6), tiny_model)
    assert stylizer.add(pack) == "third" and stylizer.add(pack, name="again") == "again"
    assert stylizer.add(tiny_style, name="more") == "more"
    assert list(stylizer.generators) == ["wild", "third", "again", "more"]
    later = stylizer.redraw(face.aligned, code=face.code)
    assert stylizer.inverter is inverter and later.code is face.code and tiny_model.digest == base
    for name in ("wild", "more"):
        assert np.array_equal(later.pictures[name], face.pictures["wild"])
    assert np.array_equal(later.pictures["third"], later.pictures["again"])
    assert not np.array_equal(later.pictures["third"], later.pictures["wild"])
    with pytest.raises(UsageError, match="Two styles are called 'third'"):
        stylizer.add(pack)
    with pytest.raises(UsageError, match=r"No style 'calm' is loaded.*wild, third"):
        stylizer.remove("calm")
    other = make_model(seed=7, name="other")
    theirs = save_pack(tmp_path / "theirs.safetensors", restyled(other, "theirs"), other)
    with pytest.raises(UsageError, match="'theirs' belongs to another base than 'tiny'"):
        stylizer.add(theirs)
    assert list(stylizer.generators) == ["wild", "third", "again", "more"]


def test_a_strength_is_the_weight_of_a_mixture_of_one(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, other_style: Model, photo: Pixels
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    for style in (tiny_style, other_style):
        registry.add(save_pack(tmp_path / f"{style.header.name}.safetensors", style, tiny_model))

    def draw(*styles: str, strength: float = 1.0) -> list[Pixels]:
        inversion = ByOptimisation(replace(portrait(), steps=2))
        stylizer = Stylizer.load(styles, strength=strength, finder=ONE, inversion=inversion)
        return list(stylizer.stylize(photo).faces[0].pictures.values())

    weighed, full, nothing, other = draw("wild:0.5", "wild:1", "wild:0+calm:0", "wild:0+calm:1")
    (weaker,), (plain,), (none,), (calm,) = draw("wild", strength=0.5), draw("wild"), draw("wild:0"), draw("calm")
    for one, two in ((weighed, weaker), (full, plain), (nothing, none), (other, calm)):
        assert np.array_equal(one, two)
    assert not np.array_equal(weighed, plain)
    (half,) = draw("wild:1+calm:0.5", strength=0.5)
    assert np.array_equal(half, draw("calm:0.25+wild:0.5")[0])


def test_freeze_sg_styles_draw_and_mix(
    tiny_model: Model, tiny_style: Model, photo: Pixels, models_folder: Path, tmp_path: Path
) -> None:
    frozen = restyled(replace(tiny_model, generator=with_low_rows(tiny_model.generator, 2)), "frozen", seed=5)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    for style in (tiny_style, frozen):
        registry.add(save_pack(tmp_path / f"{style.header.name}.safetensors", style, tiny_model))
    inversion = ByOptimisation(replace(portrait(), steps=2))
    styles = ["frozen", "frozen:0.5+wild:0.5", "frozen:0"]
    stylizer = Stylizer.load(styles, finder=ONE, inversion=inversion)
    face = stylizer.stylize(photo).faces[0]
    with torch.no_grad():
        drawn = to_array(frozen.generator.synthesize(face.code)[0])
    enlarged = np.asarray(Image.fromarray(drawn).resize((256, 256), Image.Resampling.LANCZOS))
    assert np.array_equal(face.pictures["frozen"], enlarged)
    assert np.array_equal(face.pictures["frozen-0"], face.reconstruction)
    assert not np.array_equal(face.pictures["frozen-0.5+wild-0.5"], face.pictures["frozen"])


def test_the_attribute_chooses_the_path(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, other_style: Model
) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add(
        save_pack(tmp_path / "p.safetensors", {"women": tiny_style, "men": other_style}, tiny_model), name="both"
    )

    def weights(style: str, **options: str) -> dict[str, torch.Tensor]:
        (generator,) = Stylizer.load([style], **options).generators.values()
        return generator.state_dict()

    for attribute, model in (("women", tiny_style), ("men", other_style)):
        found = weights("both", attribute=attribute)
        assert all(torch.equal(found[k], v) for k, v in model.generator.state_dict().items())
    with pytest.raises(UsageError, match="no path 'men' in wild"):
        weights("wild", attribute="men")
    assert weights("wild:0.5+both:0.5", attribute="women").keys() == found.keys()
    for options in ({}, {"attribute": "kids"}):
        with pytest.raises(UsageError, match="women, men"):
            Stylizer.load(["both"], **options)
    assert list(Stylizer.load().generators) == ["wild"]  # a style with paths is of no use without an attribute it has
    with pytest.raises(UsageError, match="no path 'kids' in wild"):
        Stylizer.load(attribute="kids")
    assert set(Stylizer.load(attribute="men").generators) == {"wild", "both"}
