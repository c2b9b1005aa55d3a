"""Photos through a translator: the background, the group, the attention maps, folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from portraitist.data import read_image, write_image
from portraitist.data.images import resize, to_array, to_tensor
from portraitist.errors import BadImage, NoFaceFound, UsageError
from portraitist.faces import FixedPoints, Landmarks, ffhq_quad, finder_named
from portraitist.faces.align import photo2cartoon_quad
from portraitist.faces.background import cut_out, face_oval, person_or_oval
from portraitist.io import registry
from portraitist.io.translator_files import FILE, StoredTranslator, described, save_translator, without_trainers
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.translator_anatomy import PanelAnatomy, cyclegan, munit, ugatit
from portraitist.stylize import Appearance, Reference, stylize_files
from portraitist.stylize.choices import Options
from portraitist.stylize.crops import as_aligned_face
from portraitist.stylize.paths import PathRule
from portraitist.stylize.translate import PictureTranslator, heat_map, onto_white

SMALL = replace(ugatit(16, 4, light=True), blocks=1)


def stored(groups: tuple[str, ...] = ("women", "men")) -> StoredTranslator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        count = len(groups) if groups[1:] else 0
        system = TranslatorSystem.new(SMALL, PanelAnatomy((3,), 4, groups=count), groups)
        for p in system.to_drawing.branches.parameters():
            p.data += 0.1 * torch.randn(p.shape)
    return StoredTranslator(system, described(system))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:  # type: ignore[type-arg]
    return astronaut()


def artist(**options: object) -> PictureTranslator:
    points = Landmarks.from_points([(195.0, 108.0), (248.0, 106.0), (223.0, 135.0), (200.0, 160.0), (246.0, 159.0)])
    given: dict[str, object] = {"group": "women", "finder": FixedPoints((points,)), **options}
    return PictureTranslator(stored(), **given)  # type: ignore[arg-type]


def test_the_background_is_white_before_and_after(photo) -> None:  # type: ignore[no-untyped-def]
    (face,) = artist().stylize(photo).faces
    assert face.drawing.shape == (256, 256, 3) and face.group == "women" and face.mask is not None
    behind, person = face.mask < 0.01, face.mask > 0.99
    assert behind.sum() > 1000 and (face.drawing[behind] >= 252).all() and (face.aligned.image[behind] >= 252).all()
    assert (face.drawing[person] < 252).any()
    (kept,) = artist(keep_background=True).stylize(photo).faces
    assert kept.mask is None and (kept.drawing[behind] < 252).any()


def test_a_face_is_pasted_before_its_own_background(photo) -> None:  # type: ignore[no-untyped-def]
    found = artist().stylize(photo)
    pasted = found.pasted()
    changed = (pasted != photo).any(-1)
    assert pasted.shape == photo.shape and changed[100:160, 195:250].mean() > 0.9 and not changed[300:].any()


def test_a_group_draws_with_its_branch_and_depends_on_nothing_else(photo) -> None:  # type: ignore[no-untyped-def]
    drawn = {g: artist(group=g, keep_background=True).stylize(photo).faces[0].drawing for g in ("women", "men")}
    assert not np.array_equal(drawn["women"], drawn["men"])
    again = artist(group="men", keep_background=True)
    again.stylize(photo[:, ::-1].copy(), aligned=True)
    assert np.array_equal(again.stylize(photo).faces[0].drawing, drawn["men"])


def test_the_group_must_be_named_or_the_classifier_asked(photo) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=r"must be named.*or auto"):
        artist(group="")
    with pytest.raises(UsageError, match="no group 'kids'"):
        artist(group="kids")
    with pytest.raises(UsageError, match="Nothing predicts"):
        PictureTranslator(without_trainers(stored(("women", "robots"))), group="auto")
    with pytest.raises(UsageError, match="must be named") as told:
        PictureTranslator(without_trainers(stored(("women", "robots"))))
    assert "auto" not in str(told.value.cure)
    assert PictureTranslator(stored(("women",))).group == "women"
    with torch.no_grad():
        unsure = artist(group="auto", keep_background=True)
        head = unsure.system.of_photos.head  # type: ignore[union-attr]
        head.bias.copy_(torch.tensor([-0.5, 0.0]))  # type: ignore[union-attr]
        with pytest.raises(BadImage, match="women 38%, men 62%"):  # of two, one is always above a half
            unsure.stylize(photo)
        head.bias.copy_(torch.tensor([-1.0, 0.0]))  # type: ignore[union-attr]
        assert unsure.stylize(photo).faces[0].group == "men"
        head.bias.copy_(torch.tensor([9.0, 0.0]))  # type: ignore[union-attr]
        assert unsure.stylize(photo).faces[0].group == "women"


def test_an_unsure_classifier_refuses(photo) -> None:  # type: ignore[no-untyped-def]
    three = PictureTranslator(stored(("women", "men", "kids")), group="auto", keep_background=True)
    with pytest.raises(BadImage, match=r"not sure of the group \(women 33%, men 33%, kids 33%\).*--group"):
        three.stylize(photo, aligned=True)


def test_without_a_classifier_a_chooser_predicts_the_group(photo, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    slim = without_trainers(stored(("men", "kids", "women")))
    with pytest.raises(UsageError, match=r"or auto"):
        PictureTranslator(slim)
    chosen = PictureTranslator(slim, group="auto")
    monkeypatch.setattr(PathRule, "margin", 0.8)
    (face,) = chosen.stylize(photo, which="largest").faces
    assert face.group == "women"
    named = PictureTranslator(slim, group="women")
    assert np.array_equal(named.stylize(photo, which="largest").faces[0].drawing, face.drawing)
    assert chosen.settings["chooser"] == registry.load_chooser_of(registry.load("faces"), ("men",))[0].digest  # type: ignore[index]
    assert "chooser" not in named.settings and "chooser" not in artist(group="auto").settings
    monkeypatch.setattr(PathRule, "margin", 1.1)
    with pytest.raises(BadImage, match=r"not sure enough.*--group") as told:
        chosen.stylize(photo, which="largest")
    assert told.value.kind == "group" and "women" not in str(told.value)


def test_a_chooser_knows_no_other_framing_than_its_own() -> None:
    slim = without_trainers(stored())
    header = replace(slim.header, framing="photo2cartoon")
    with pytest.raises(UsageError, match="Nothing predicts"):
        PictureTranslator(replace(slim, header=header), group="auto")


def test_what_learned_from_grey_drawings_draws_in_grey(photo, many: StoredTranslator) -> None:  # type: ignore[no-untyped-def]
    random = Appearance(1)
    coloured, grey = (
        PictureTranslator(
            replace(many, header=replace(many.header, grey=grey)), keep_background=True, appearance=random
        )
        .stylize(photo, aligned=True)
        .faces[0]
        for grey in (False, True)
    )
    assert np.ptp(coloured.drawing.astype(int), axis=2).max() > 3
    for drawn, shown in zip(coloured.named().values(), grey.named().values(), strict=True):
        assert np.ptp(shown.astype(int), axis=2).max() == 0
        wanted = drawn @ np.array([0.299, 0.587, 0.114])  # of channels that were rounded before they were enlarged
        assert np.abs(wanted - shown[..., 0]).max() <= 2.5 and not np.array_equal(drawn, shown)


def test_a_classifier_sees_photos_at_the_side_it_learned_at(photo) -> None:  # type: ignore[no-untyped-def]
    anatomy = replace(cyclegan(16, 4), blocks=1)
    system = TranslatorSystem.new(anatomy, PanelAnatomy((3,), 4, False, groups=2), ("women", "men"))
    artist = PictureTranslator(StoredTranslator(system, described(system)), group="auto", keep_background=True)
    seen: list[tuple[int, ...]] = []
    artist.system.of_photos.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))  # type: ignore[union-attr]
    artist.system.of_photos.head.bias.data = torch.tensor([9.0, 0.0])  # type: ignore[union-attr]
    drawn: list[tuple[int, ...]] = []
    artist.system.to_drawing.register_forward_hook(lambda _, given, __: drawn.append(tuple(given[0].shape)))
    assert artist.stylize(photo, aligned=True).faces[0].group == "women"
    assert seen == [(1, 3, 16, 16)] and drawn == [(1, 3, 32, 32)] and artist.side == 32
    assert artist.settings["side"] == 32


def test_the_stages_are_shown_as_far_as_they_are_known(photo) -> None:  # type: ignore[no-untyped-def]
    found = artist(keep_background=True).stylize(photo)
    assert len(found.faces[0].stages) == 5 and found.sheet().shape == (256, 5 * 256 + 4 * 8, 3)
    slim = PictureTranslator(without_trainers(stored()), group="men", keep_background=True)
    assert len(slim.stylize(photo, aligned=True).faces[0].stages) == 3
    plain = TranslatorSystem.new(replace(cyclegan(16, 4), blocks=1), PanelAnatomy((3,), 4, False), ("all",))
    plainly = PictureTranslator(StoredTranslator(plain, described(plain)), keep_background=True)
    (face,) = plainly.stylize(photo, aligned=True).faces
    assert len(face.stages) == 3 and face.stages[1] is face.drawing  # the photo again comes last


@pytest.fixture(scope="module")
def many() -> StoredTranslator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        system = TranslatorSystem.new(replace(munit(16, 4), blocks=1), PanelAnatomy((3,), 4, False), ("all",))
    return StoredTranslator(system, described(system))


def test_appearances_by_seed_and_of_references(photo, many: StoredTranslator) -> None:  # type: ignore[no-untyped-def]
    drawing = resize(photo[:300, 80:380, ::-1].copy(), 64)
    look = Appearance(2, (Reference("sunset", drawing, aligned=True),))
    one = PictureTranslator(many, keep_background=True, appearance=look, seed=4)
    assert one.further == ("random1", "random2", "sunset")
    (face,) = one.stylize(photo, aligned=True).faces
    pictures = [face.picture("", name) for name in ("", *one.further)]
    assert all(not np.array_equal(a, b) for k, a in enumerate(pictures) for b in pictures[:k])
    assert list(face.named()) == ["drawing", "random1", "random2", "sunset"] and len(face.stages) == 6
    plain = PictureTranslator(many, keep_background=True).stylize(photo, aligned=True)
    assert np.array_equal(plain.faces[0].drawing, face.drawing)  # the mean appearance, whatever is beside it
    fewer = PictureTranslator(many, keep_background=True, appearance=Appearance(1), seed=4)
    assert np.array_equal(fewer.stylize(photo, aligned=True).faces[0].picture("", "random1"), pictures[1])
    other = PictureTranslator(many, keep_background=True, appearance=Appearance(1), seed=5)
    assert not np.array_equal(other.stylize(photo, aligned=True).faces[0].picture("", "random1"), pictures[1])
    assert len({str(t.settings) for t in (one, fewer, other)}) == 3
    # The reference is encoded by the translator that draws in its domain.
    worn = many.system.to_drawing.path("all").appearance_of(to_tensor(resize(drawing, 16))[None])
    with torch.no_grad():
        seen = to_tensor(resize(as_aligned_face(photo, 256).image, 16))[None]
        wanted = resize(to_array(many.system.to_drawing(seen, "all", worn).image[0]), 256)
    assert np.abs(wanted.astype(int) - pictures[3]).max() <= 1
    pasted = one.stylize(photo, aligned=True)
    assert not np.array_equal(pasted.pasted("", "random1"), pasted.pasted())


def test_one_appearance_is_all_that_other_translators_have() -> None:
    with pytest.raises(UsageError, match="kind ugatit draws a photo in one way"):
        PictureTranslator(stored(), group="men", appearance=Appearance(1))


def test_photo2cartoon_sees_faces_as_it_was_taught(photo) -> None:  # type: ignore[no-untyped-def]
    theirs = stored(("women",))
    theirs = replace(theirs, header=replace(theirs.header, framing="photo2cartoon"))
    (face,) = PictureTranslator(theirs, keep_background=True).stylize(photo).faces
    (usual,) = PictureTranslator(stored(("women",)), keep_background=True).stylize(photo).faces
    (found,) = finder_named().find(photo)
    assert np.allclose(face.aligned.quad, photo2cartoon_quad(found.landmarks))
    assert np.allclose(usual.aligned.quad, ffhq_quad(found.landmarks))
    with pytest.raises(BadImage, match="outline of the face"):  # five points have none
        PictureTranslator(theirs, finder=artist()._finder).stylize(photo)


def test_heat_is_where_the_attention_is() -> None:
    attention = torch.zeros(4, 4)
    attention[0, 0] = 5
    drawn = heat_map(torch.zeros(3, 32, 32), attention)
    assert drawn.shape == (32, 32, 3)
    hot, cold = drawn[2, 2].astype(int), drawn[28, 28].astype(int)
    assert hot[0] > hot[2] + 50 and cold[2] > cold[0] + 50
    flat = heat_map(torch.zeros(3, 32, 32), torch.ones(4, 4))
    assert np.ptp(flat.reshape(-1, 3), axis=0).max() == 0


def test_faces_that_are_not_there(photo) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NoFaceFound, match="--aligned"):
        artist(finder=FixedPoints(())).stylize(photo)
    with pytest.raises(NoFaceFound, match="no face 2; 1 were"):
        artist().stylize(photo, which=2)


def test_a_folder_is_drawn_and_finished_pictures_are_skipped(photo, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", resize(photo, 64))
    write_image(tmp_path / "in" / "b.png", resize(photo[:, ::-1].copy(), 64))
    (tmp_path / "in" / "c.png").write_bytes(b"no picture")
    save_translator(tmp_path / "mine" / FILE, stored())
    one = PictureTranslator.load(tmp_path / "mine", group="men", keep_background=True)
    assert one.name == "mine"
    options, report = Options(aligned=True, sheet=True), tmp_path / "out" / "report.json"
    first = stylize_files(one, tmp_path / "in", tmp_path / "out", options, report=report)
    assert [line.status for line in first] == ["done", "done", "failed"]
    assert first[0].outputs == ["a.mine.png", "a.sheet.png"]
    alone = one.stylize(tmp_path / "in" / "b.png", aligned=True).faces[0].drawing
    assert np.array_equal(read_image(tmp_path / "out" / "b.mine.png"), alone)
    again = stylize_files(one, tmp_path / "in", tmp_path / "out", options, report=report)
    assert [line.status for line in again] == ["skipped", "skipped", "failed"]
    assert len(json.loads(report.read_text())["photos"]) == 3
    women = PictureTranslator.load(tmp_path / "mine", group="women", keep_background=True)
    redone = stylize_files(women, tmp_path / "in", tmp_path / "out", options, report=report)
    assert [line.status for line in redone] == ["done", "done", "failed"]


def test_of_several_faces_those_are_put_on_white_that_stand_out() -> None:
    photo = np.asarray(astronaut())
    (face,) = finder_named("").find(photo)
    wall = np.full_like(photo, 90)
    points = face.landmarks
    names = ("left_eye", "right_eye", "mouth_left", "mouth_right")
    moved = {name: np.add(getattr(points, name), (photo.shape[1], 0)) for name in names}
    beside = Landmarks(**moved)
    cut = onto_white(64, FixedPoints((points, beside)))
    (kept,) = cut(np.concatenate([photo, wall], 1), "two.png")
    assert (kept.image[:8, -8:] > 240).mean() > 0.7 and kept.image[112:160, 96:160].mean() < 230
    with pytest.raises(NoFaceFound, match="No person stands out"):
        onto_white(64, FixedPoints((points,)))(wall, "wall.png")


def test_where_nobody_is_found_a_face_is_drawn_in_its_oval() -> None:
    wall = np.full((256, 256, 3), 90, np.uint8)
    oval = person_or_oval(wall)
    assert np.array_equal(oval, face_oval(256)) and 0.1 < oval.mean() < 0.6
    with pytest.raises(NoFaceFound):
        cut_out(wall)
