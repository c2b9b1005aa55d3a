"""Teacher's pictures: drawn once, found again, drawn anew where they are damaged, never mixed up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import ImageSet, write_image
from portraitist.data.images import Pixels
from portraitist.data.teacher import INDEX, TeacherPictures
from portraitist.errors import BadData, BadImage, UsageError
from tests.conftest import smooth_pictures


class Negative:
    """Draws the negative, counts how often, and refuses pictures whose first value is in ``refused``."""

    def __init__(self, digest: str = "a", refused: tuple[int, ...] = ()) -> None:
        self.digest, self.refused, self.drawn = digest, refused, 0

    def draw(self, photo: Pixels) -> Pixels:
        if int(photo[0, 0, 0]) in self.refused:
            raise BadImage("No face was found.", kind="no-face")
        self.drawn += 1
        return 255 - photo


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    return smooth_pictures(tmp_path / "photos")


def filled(folder: Path, photos: ImageSet, teacher: Negative) -> TeacherPictures:
    found = TeacherPictures(folder, 32, teacher)
    for index in found.missing(photos):
        found.draw(photos[index])
    return found


def test_photos_are_drawn_once_and_paired(photos: ImageSet, tmp_path: Path) -> None:
    teacher = Negative()
    found = filled(tmp_path / "t", photos, teacher)
    pairs = found.pairs(photos)
    assert teacher.drawn == 10 and len(pairs) == 10 and found.missing(photos) == []
    photo, drawing = pairs.batch(torch.tensor([3, 7]), torch.tensor([False, True]))
    torch.testing.assert_close(drawing, -photo)
    torch.testing.assert_close(photo[1], photos.batch(torch.tensor([7]), torch.tensor([True]))[0])
    again = Negative()
    few = TeacherPictures(tmp_path / "t", 32, again).pairs(photos.subset([8, 2]))
    assert again.drawn == 0 and torch.equal(few.drawings, 255 - torch.stack([photos[8], photos[2]]))


def test_what_was_cut_off_or_damaged_is_drawn_again(
    photos: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path / "t", photos.subset(range(6)), Negative())
    index, files = tmp_path / "t" / INDEX, sorted((tmp_path / "t").glob("*.png"))
    index.write_bytes(index.read_bytes()[:-20])  # the last line
    write_image(files[0], np.zeros((32, 32, 3), np.uint8))
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:100])
    teacher = Negative()
    found = TeacherPictures(tmp_path / "t", 32, teacher)
    assert len(found.missing(photos)) == 5
    caplog.clear()
    pairs = found.pairs(photos)
    damaged = sum("drawn again" in message for message in caplog.messages)
    assert damaged in (2, 3) and teacher.drawn == 5 + damaged  # one of the three may be that of the lost line
    assert torch.equal(pairs.drawings, 255 - torch.stack([photos[k] for k in range(10)]))
    after = Negative()
    TeacherPictures(tmp_path / "t", 32, after).pairs(photos)
    assert after.drawn == 0


def test_photos_that_cannot_be_drawn_are_left_out_and_not_tried_again(photos: ImageSet, tmp_path: Path) -> None:
    refused = (int(photos[4][0, 0, 0]),)
    filled(tmp_path / "t", photos, Negative(refused=refused))
    teacher = Negative(refused=refused)
    found = TeacherPictures(tmp_path / "t", 32, teacher)
    kept = [k for k in range(10) if int(photos[k][0, 0, 0]) not in refused]
    assert found.missing(photos) == [] and found.pairs(photos).photos.names == photos.subset(kept).names
    assert teacher.drawn == 0
    with pytest.raises(BadData, match="none of the photos"):
        found.pairs(photos.subset([4]))


def test_pictures_of_another_teacher_are_refused(photos: ImageSet, tmp_path: Path) -> None:
    filled(tmp_path / "t", photos, Negative())
    for other in (TeacherPictures(tmp_path / "t", 32, Negative("b")), TeacherPictures(tmp_path / "t", 64, Negative())):
        with pytest.raises(UsageError, match="another teacher or at another size"):
            other.pairs(photos)


def test_processes_that_begin_at_once_read_a_whole_index(photos: ImageSet, tmp_path: Path) -> None:
    meeting = threading.Barrier(4)

    def missing(rank: int) -> list[int]:
        found = []
        for time in range(50):
            drawn = TeacherPictures(tmp_path / str(time), 32, Negative())
            meeting.wait(60)
            found.append(len(drawn.missing(photos.subset([0]))))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(missing, range(4))) == [[1] * 50] * 4
