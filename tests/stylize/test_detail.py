"""The detail stage in pictures: off, it leaves no trace; on, it takes from the photo, whatever found the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from portraitist.data.images import resize, write_image
from portraitist.detail import Look, Medium
from portraitist.detail.look import POINTS
from portraitist.errors import PortraitistError, UsageError
from portraitist.faces import AlignedFace, Face, FixedPoints, Landmarks
from portraitist.faces.background import portrait_mask
from portraitist.invert import portrait
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.stylize import Appearance, ByOptimisation, Portraits, Stylizer, stylize_files
from portraitist.stylize.choices import Options
from portraitist.stylize.crops import as_aligned_face
from portraitist.stylize.detailed import CloseFace, DetailStage
from portraitist.stylize.interpolation import mixed
from tests.conftest import make_model, restyled
from tests.detail.test_look import full, same
from tests.stylize.test_pipeline import ASTRONAUT, ONE, Pixels

Make = Callable[..., Stylizer]
SHORT = ByOptimisation(replace(portrait(), steps=2))
GENTLE = replace(full(), medium=Medium(edges=1, own=0.4))
TWICE = replace(full(1), medium=Medium(own=0.2))


class Finder:
    """Finds these faces, or fails."""

    def __init__(self, found: list[Face] | PortraitistError) -> None:
        self.found = found

    def __repr__(self) -> str:
        return "Finder()"

    def find(self, image: Pixels) -> list[Face]:
        if isinstance(self.found, PortraitistError):
            raise self.found
        return self.found


@pytest.fixture(scope="session")
def bare(tiny_model: Model, tiny_style: Model) -> dict[str, Model]:
    return {"wild": tiny_style, "calm": restyled(tiny_model, "calm", seed=2)}


@pytest.fixture(scope="session")
def seeing(bare: dict[str, Model]) -> dict[str, Model]:
    return {"wild": replace(bare["wild"], look=GENTLE), "calm": bare["calm"]}


@pytest.fixture(scope="session")
def make(tiny_model: Model, seeing: dict[str, Model]) -> Make:
    def build(styles: dict[str, Model] = seeing, **options: object) -> Stylizer:
        known: dict[str, object] = {"finder": ONE, "inversion": SHORT}
        return Stylizer(tiny_model, styles, **known | options)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def photo() -> Pixels:
    return np.asarray(astronaut())


@pytest.fixture(scope="session")
def small(photo: Pixels) -> Pixels:
    """An aligned face."""
    return np.ascontiguousarray(photo[20:220, 125:325])


@pytest.fixture(scope="session")
def redrawn(make: Make, photo: Pixels) -> Portraits:
    return make().stylize(photo)


@pytest.fixture(scope="session")
def plain(make: Make, bare: dict[str, Model], photo: Pixels) -> Portraits:
    return make(bare).stylize(photo)


def apart(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_without_detail_the_picture_is_that_of_a_style_without_a_look(
    make: Make, bare: dict[str, Model], photo: Pixels, plain: Portraits
) -> None:
    off = make(detail=0)
    portraits = off.stylize(photo)
    for style in ("wild", "calm"):
        assert np.array_equal(portraits.faces[0].pictures[style], plain.faces[0].pictures[style])
        assert np.array_equal(portraits.pasted(style), plain.pasted(style))
    assert off.settings == make(bare).settings and portraits.faces[0].aligned.closeup is None
    assert not portraits.faces[0].covered


def test_the_whole_stage_brings_the_picture_nearer_to_the_photo(redrawn: Portraits, plain: Portraits) -> None:
    (face,), (drawn,) = redrawn.faces, plain.faces
    assert face.aligned.closeup is not None and torch.equal(face.code.data, drawn.code.data)
    near = face.aligned.closeup.image
    assert near.shape == (256, 256, 3)
    assert apart(face.pictures["wild"], near) < 0.5 * apart(drawn.pictures["wild"], near)
    assert apart(face.pictures["wild"], near) > 2
    # A style without a look among those with one is drawn from its code alone.
    assert np.array_equal(face.pictures["calm"], drawn.pictures["calm"]) and set(face.covered) == {"wild"}
    assert np.array_equal(face.reconstruction, drawn.reconstruction)


def test_half_of_the_detail_lies_between(make: Make, photo: Pixels, redrawn: Portraits, plain: Portraits) -> None:
    half = make(detail=0.5).stylize(photo).faces[0].pictures["wild"]
    ends = [p.faces[0].pictures["wild"].astype(float) for p in (redrawn, plain)]
    assert np.abs(half - sum(ends) / 2).max() <= 1


@pytest.mark.parametrize("amount", [-0.1, 1.01, float("nan")])
def test_an_amount_that_is_none_is_refused(make: Make, amount: float) -> None:
    with pytest.raises(UsageError, match=r"detail .* is not in \[0, 1\]"):
        make(detail=amount)


def test_drawings_that_a_style_inverts_are_redrawn_by_their_codes_alone(
    make: Make, bare: dict[str, Model], seeing: dict[str, Model], small: Pixels
) -> None:
    with_looks, without = make(source=seeing["wild"]), make(bare, source=bare["wild"])
    found, wanted = (s.stylize(small, aligned=True).faces[0] for s in (with_looks, without))
    assert np.array_equal(found.pictures["wild"], wanted.pictures["wild"])
    assert with_looks.settings == without.settings


def test_sizes_of_pictures_and_of_what_they_are_made_at(make: Make, photo: Pixels, redrawn: Portraits) -> None:
    stylizer = make({"wild": _wild(make)})
    drawn = {size: stylizer.stylize(photo, size=size).faces[0] for size in (16, 256, 512, 700)}
    for size, side in ((16, 256), (256, 256), (512, 512), (700, 512)):
        closeup = drawn[size].aligned.closeup
        assert closeup is not None and closeup.image.shape == (side, side, 3)
        assert drawn[size].pictures["wild"].shape == (size, size, 3)
    whole = redrawn.faces[0].pictures["wild"]
    assert np.array_equal(drawn[256].pictures["wild"], whole)
    assert np.array_equal(drawn[16].pictures["wild"], resize(whole, 16))
    assert np.array_equal(drawn[700].pictures["wild"], resize(drawn[512].pictures["wild"], 700))
    assert apart(resize(drawn[512].pictures["wild"], 256), whole) < 3


def _wild(make: Make) -> Model:
    return replace(restyled(make().base, "wild"), look=GENTLE)


@pytest.mark.parametrize(("resolution", "side"), [(16, 256), (512, 512), (1024, 512)])
def test_a_close_up_is_as_large_as_what_the_model_draws(photo: Pixels, resolution: int, side: int) -> None:
    """A model of 512 pixels and more drew pictures that were made at 256 and enlarged."""
    base = make_model(resolution=resolution)
    stylizer = Stylizer(base, {"wild": replace(restyled(base, "wild"), look=GENTLE)}, finder=ONE)
    (crop,) = stylizer.crops(photo, "largest", 16)
    assert crop.closeup is not None and crop.closeup.image.shape == (side, side, 3)


def test_a_face_can_be_redrawn_without_a_new_inversion(make: Make, photo: Pixels, redrawn: Portraits) -> None:
    face, stylizer = redrawn.faces[0], make()
    again = stylizer.redraw(face.aligned, code=face.code)
    assert np.array_equal(again.pictures["wild"], face.pictures["wild"])
    (crop,) = stylizer.crops(photo, "largest", 16)
    assert np.array_equal(stylizer.redraw(crop, code=face.code).pictures["wild"], face.pictures["wild"])


def test_a_crop_without_a_close_up_is_drawn_from_its_code(make: Make, redrawn: Portraits, plain: Portraits) -> None:
    face = redrawn.faces[0]
    crop = replace(face.aligned, closeup=None)
    again = make().redraw(crop, code=face.code)
    assert np.array_equal(again.pictures["wild"], plain.faces[0].pictures["wild"]) and not again.covered


def test_what_lies_outside_the_person_stays_byte_for_byte(redrawn: Portraits, photo: Pixels) -> None:
    face, pasted = redrawn.faces[0], redrawn.pasted("wild")
    covered = face.covered["wild"]
    y, x = np.mgrid[0.5:512.5, 0.5:512.5]
    inverse = np.linalg.inv(face.aligned.matrix) / 16
    u, v = (inverse[row, 0] * x + inverse[row, 1] * y + inverse[row, 2] for row in (0, 1))
    inside = (np.minimum(u, v) >= 0) & (np.maximum(u, v) < 1)
    rows, columns = ((np.clip(k, 0, 0.999) * 256).astype(int) for k in (v, u))
    # The largest cover near a pixel: the mask is interpolated.
    near = np.max([np.roll(covered, (dy, dx), (0, 1)) for dy in (-3, 0, 3) for dx in (-3, 0, 3)], axis=0)
    empty = ~inside | (near[rows, columns] < 1e-3)
    assert (empty & inside).sum() > 500  # of the square too
    assert np.array_equal(pasted[empty], photo[empty])
    person = inside & (covered[rows, columns] > 0.99)
    assert (pasted[person] != photo[person]).any(axis=-1).mean() > 0.8


def test_the_person_covers_where_the_face_was_and_where_it_is(redrawn: Portraits) -> None:
    face = redrawn.faces[0]
    assert face.aligned.closeup is not None
    before, covered = portrait_mask(face.aligned.closeup.image), face.covered["wild"]
    assert covered.shape == (256, 256) and (covered >= before).all() and covered.max() <= 1


def points(count: int) -> Landmarks:
    """A face like the astronaut's, by so many points."""
    left, right, nose, *mouth = ASTRONAUT.astype(float)
    if count == 5:
        return Landmarks.from_points(ASTRONAUT)
    every = np.tile(nose, (count, 1)) + np.random.default_rng(0).normal(0, 12, (count, 2))
    rows = {
        68: ((range(36, 42), left), (range(42, 48), right), ((48,), mouth[0]), ((54,), mouth[1])),
        478: (
            ((33, 160, 158, 133, 153, 144), left),
            ((362, 385, 387, 263, 373, 380), right),
            ((61,), mouth[0]),
            ((291,), mouth[1]),
        ),
    }
    for which, place in rows[68 if count == 68 else 478]:
        every[list(which)] = place
    return Landmarks.from_points(every)


@pytest.mark.parametrize("count", [5, 68, 468, 478])
def test_any_scheme_of_points_will_do(make: Make, photo: Pixels, count: int, plain: Portraits) -> None:
    stylizer = make({"wild": _wild(make)}, finder=Finder([Face.around(points(count), 1.0)]))
    (face,) = stylizer.stylize(photo).faces
    near = face.aligned.closeup
    assert near is not None and near.landmarks is not None and near.landmarks.full is not None
    assert len(near.landmarks.full) == count
    assert apart(face.pictures["wild"], near.image) < 0.6 * apart(plain.faces[0].pictures["wild"], near.image)


@pytest.mark.parametrize("count", [5, 68, 468, 478])
def test_points_move_as_the_mesh_says(count: int) -> None:
    look = replace(Look.neutral(), shape=torch.arange(2 * POINTS).view(POINTS, 2) / 1e5)
    known = points(count).transformed(np.diag([1 / 512, 1 / 512, 1]))
    frame = CloseFace(np.zeros((8, 8, 3), np.uint8), known, np.ones((8, 8), np.float32)).frame(look)
    assert tuple(frame.person.shape) == (1, 1, 8, 8)
    assert np.allclose(frame.parts, [known.left_eye, known.right_eye, (known.mouth_left + known.mouth_right) / 2])
    if count > 400:
        assert known.full is not None
        assert np.allclose(frame.points, known.full[:POINTS]) and torch.equal(frame.shift, look.shape)
    else:  # eyes and corners of the mouth alone, each by the mean of what its points move by
        assert np.allclose(frame.points, known.four)
        eye = look.shape[[33, 160, 158, 133, 153, 144]].mean(dim=0)
        assert torch.allclose(frame.shift[0], eye) and torch.allclose(frame.shift[3], look.shape[291])


def test_a_face_that_was_aligned_before_needs_no_finder(make: Make, small: Pixels, bare: dict[str, Model]) -> None:
    style = {"wild": _wild(make)}
    finders = (FixedPoints(()), ONE, Finder([]))
    drawn = [make(style, finder=finder).stylize(small, aligned=True).faces[0] for finder in finders]
    without = make(bare).stylize(small, aligned=True).faces[0].pictures["wild"]
    near = drawn[0].aligned.closeup
    assert near is not None and np.array_equal(near.image, resize(small, 256))
    assert apart(drawn[0].pictures["wild"], near.image) < apart(without, near.image)
    for face in drawn[1:]:
        assert np.array_equal(face.pictures["wild"], drawn[0].pictures["wild"])


def test_points_found_in_an_aligned_face_are_used(make: Make, small: Pixels) -> None:
    style = {"wild": _wild(make)}
    low = Landmarks.from_points([(90, 150), (150, 150), (120, 170), (100, 190), (140, 190)])
    found, template = (
        make(style, finder=Finder(faces)).stylize(small, aligned=True).faces[0].pictures["wild"]
        for faces in ([Face.around(low, 1.0)], [])
    )
    assert apart(found, template) > 0.3


def test_points_are_in_parts_of_the_close_up(small: Pixels) -> None:
    face = as_aligned_face(small, 64)
    low = Landmarks.from_points([(16, 24), (48, 24), (32, 32), (20, 48), (44, 48)])
    stage = DetailStage(1.0, lambda: Finder([Face.around(low, 1.0)]))
    assert np.allclose(stage.face(face).landmarks.four, np.array([(16, 24), (48, 24), (20, 48), (44, 48)]) / 64)
    known = AlignedFace(face.image, face.quad, face.matrix, low.transformed(np.diag([0.5, 0.5, 1])))
    assert np.allclose(stage.face(known).landmarks.left_eye, np.array([8, 12]) / 64)  # what is known is not looked for


def test_settings_change_with_the_detail_and_the_look_alone(
    make: Make, bare: dict[str, Model], seeing: dict[str, Model]
) -> None:
    def of(look: Look | None, detail: float = 1.0) -> str:
        return str(make({"wild": replace(bare["wild"], look=look)}, detail=detail).settings)

    moved = replace(GENTLE, shift=GENTLE.shift + 1)
    told = [of(None), of(GENTLE), of(GENTLE, 0.5), of(TWICE), of(moved), of(replace(GENTLE, medium=TWICE.medium))]
    assert len(set(told)) == 6
    assert of(GENTLE) == told[1] and of(None, 0.5) == of(GENTLE, 0) == of(None)
    assert "detail" not in make(bare).settings and "detail" in make(seeing).settings


def test_files_are_drawn_again_where_the_detail_has_changed(make: Make, small: Pixels, tmp_path: Path) -> None:
    source, out = write_image(tmp_path / "photos" / "me.png", small), tmp_path / "out"
    style = {"wild": _wild(make)}

    def run(**options: object) -> tuple[str, bytes]:
        (line,) = stylize_files(
            make(style, **options), source.parent, out, Options(aligned=True, size=16), report=out / "report.json"
        )
        return line.status, (out / "me.wild.png").read_bytes()

    first = run()
    assert first[0] == "done" and run() == ("skipped", first[1])
    status, content = run(detail=0.5)
    assert status == "done" and content != first[1]
    assert run(detail=0.5) == ("skipped", content)


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, bare: dict[str, Model]) -> dict[str, Model]:
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    styles = {
        "wild": replace(bare["wild"], look=GENTLE),
        "calm": replace(bare["calm"], look=TWICE),
        "blind": restyled(tiny_model, "blind", seed=5),
    }
    for name, style in styles.items():
        registry.add(save_pack(tmp_path / f"{name}.safetensors", style, tiny_model))
    return styles


def test_a_mixture_has_the_mixed_look_and_none_where_a_part_has_none(
    known: dict[str, Model], tiny_model: Model, small: Pixels
) -> None:
    stylizer = Stylizer.load(["wild", "wild:0.5+calm:0.25", "wild:0.5+blind:0.5"], finder=ONE, inversion=SHORT)
    (face,) = stylizer.stylize(small, aligned=True).faces
    assert set(face.covered) == {"wild", "wild-0.5+calm-0.25"}
    look = Look.mixed([(GENTLE, 0.5), (TWICE, 0.25)])
    wanted = mixed(tiny_model.generator, [(known["wild"].generator, 0.5), (known["calm"].generator, 0.25)])
    same_by_hand = Stylizer(
        tiny_model, {"wild-0.5+calm-0.25": replace(known["wild"], generator=wanted, look=look)}, finder=ONE
    )
    again = same_by_hand.redraw(face.aligned, code=face.code)
    assert np.array_equal(again.pictures["wild-0.5+calm-0.25"], face.pictures["wild-0.5+calm-0.25"])
    blind = Stylizer.load(["wild:0.5+blind:0.5"], finder=ONE, inversion=SHORT, detail=0)
    alone = blind.redraw(face.aligned, code=face.code).pictures["wild-0.5+blind-0.5"]
    assert np.array_equal(face.pictures["wild-0.5+blind-0.5"], alone)


def test_the_base_itself_has_no_look(known: dict[str, Model], small: Pixels) -> None:
    stylizer = Stylizer.load(["wild", "tiny"], finder=ONE, inversion=SHORT)
    (face,) = stylizer.stylize(small, aligned=True).faces
    assert np.array_equal(face.pictures["tiny"], face.reconstruction) and set(face.covered) == {"wild"}


def test_the_strength_of_a_style_is_that_of_its_look(make: Make, small: Pixels, seeing: dict[str, Model]) -> None:
    half = make(strength=0.5)
    (face,) = half.stylize(small, aligned=True).faces
    generator = mixed(half.base.generator, [(seeing["wild"].generator, 0.5)])
    by_hand = make({"wild": replace(seeing["wild"], generator=generator, look=Look.mixed([(GENTLE, 0.5)]))})
    again = by_hand.redraw(face.aligned, code=face.code)
    assert np.array_equal(again.pictures["wild"], face.pictures["wild"])


def test_further_renderings_take_part_too(make: Make, small: Pixels) -> None:
    stylizer = make({"wild": _wild(make)}, appearance=Appearance(random=2, start=8))
    portraits = stylizer.stylize(small, aligned=True)
    (face,) = portraits.faces
    near = face.aligned.closeup
    assert near is not None
    for sample in face.samples:
        drawn = stylizer.draw(stylizer.generators["wild"], sample.codes["wild"])
        assert apart(sample.pictures["wild"], near.image) < apart(drawn, near.image)
        assert not np.array_equal(sample.pictures["wild"], face.pictures["wild"])
        assert portraits.pasted("wild", sample.name).shape == small.shape


def test_the_same_face_gives_the_same_picture_every_time(make: Make, photo: Pixels, redrawn: Portraits) -> None:
    torch.manual_seed(9)
    assert np.array_equal(make().stylize(photo).faces[0].pictures["wild"], redrawn.faces[0].pictures["wild"])


def test_looks_that_are_stored_draw_as_those_in_memory(known: dict[str, Model], make: Make, small: Pixels) -> None:
    stored = Stylizer.load(["wild"], finder=ONE, inversion=SHORT)
    (face,) = stored.stylize(small, aligned=True).faces
    again = make({"wild": known["wild"]}).redraw(face.aligned, code=face.code)
    assert np.array_equal(again.pictures["wild"], face.pictures["wild"])
    loaded = registry.load("wild").look
    assert loaded is not None and same(loaded, GENTLE)
