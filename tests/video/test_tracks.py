"""Who is who: through a crossing, a short absence, a long one, and a stop of the run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from portraitist.data.images import Pixels
from portraitist.faces import FaceFinder
from portraitist.video.tracks import Track, Tracker, overlap

from .made_videos import BLUE, RED, Disc, DiscFinder, FollowingFinder, scene

FINDERS = [DiscFinder(), FollowingFinder()]


def crossing(k: int) -> Pixels:
    """Two people walk through one another's place; red passes in front."""
    return scene([(240 - 5 * k, 60, 18, BLUE), (40 + 5 * k, 62, 18, RED)], 280, 120)


def colours(frame: Pixels, tracks: Iterable[Track]) -> dict[int, str]:
    """Number of each track that is seen -> the colour at its nose."""
    found = {}
    for track in tracks:
        if track.lost == 0:
            x, y = track.points.mean(axis=0).astype(int)
            found[track.number] = "red" if frame[y, x, 0] > frame[y, x, 2] else "blue"
    return found


@pytest.mark.parametrize("finder", FINDERS, ids=["searching", "following"])
def test_two_people_who_cross_are_never_taken_for_one_another(finder: FaceFinder) -> None:
    tracker, seen = Tracker(finder), []
    for k in range(41):
        tracker.step(crossing(k), 1 / 30)
        seen.append(colours(crossing(k), tracker.tracks))
    first = seen[0]
    assert len(first) == 2 and tracker.count == 2 and any(len(each) == 1 for each in seen)
    for each in seen:
        assert all(first[number] == colour for number, colour in each.items())
    assert seen[-1] == first


@pytest.mark.parametrize("finder", FINDERS, ids=["searching", "following"])
def test_people_who_stop_before_one_another_and_turn_back_keep_their_tracks(finder: FaceFinder) -> None:
    def meeting(k: int) -> Pixels:
        t = 20 - abs(20 - k)
        return scene([(210 - 4 * t, 60, 18, BLUE), (60 + 4 * t, 60, 18, RED)], 280, 120)

    tracker = Tracker(finder)
    tracker.step(meeting(0), 1 / 30)
    first = colours(meeting(0), tracker.tracks)
    for k in range(1, 41):
        tracker.step(meeting(k), 1 / 30)
        now = colours(meeting(k), tracker.tracks)
        assert all(first[number] == colour for number, colour in now.items())
    assert len(now) == 2 and tracker.count == 2


def test_a_person_who_is_away_for_a_moment_is_the_same_and_after_a_while_another() -> None:
    def run(away: int) -> Tracker:
        tracker = Tracker(FollowingFinder())
        for k in range(10):
            tracker.step(scene([(40 + k, 32, 14, RED)]), 1 / 30)
        for _ in range(away):
            tracker.step(scene([]), 1 / 30)
        for k in range(6):
            tracker.step(scene([(44 + k, 32, 14, RED)]), 1 / 30)
        return tracker

    assert [t.number for t in run(8).tracks] == [1] and [t.number for t in run(40).tracks] == [2]


def test_a_lost_face_fades_where_its_motion_takes_it() -> None:
    tracker = Tracker(FollowingFinder())
    for k in range(20):
        (track,) = tracker.step(scene([(20 + 2 * k, 32, 12, RED)]), 1 / 30)
    at, shown = track.steady.mean(axis=0)[0], []
    for _ in range(6):
        tracker.step(scene([]), 1 / 30)
        shown.append(track.shown)
    assert track.steady.mean(axis=0)[0] > at + 8
    assert shown == sorted(shown, reverse=True) and 0.5 < shown[0] < 1 and shown[-1] == 0
    assert tracker.step(scene([]), 1 / 30) == []


def test_people_come_when_they_come_the_largest_first() -> None:
    tracker = Tracker(FollowingFinder())
    people: list[list[int]] = []
    for k in range(14):
        discs: list[Disc] = [(24, 32, 12, RED)] + ([(70, 32, 18, BLUE)] if k > 3 else [])
        people.append([track.number for track in tracker.step(scene(discs), 1 / 30)])
    assert people[3] == [1] and people[-1] == [2, 1]


def test_a_resumed_tracker_goes_on_as_if_it_had_not_been_stopped() -> None:
    whole, tracker = Tracker(FollowingFinder()), Tracker(FollowingFinder())
    for k in range(30):
        whole.step(crossing(k), 1 / 30)
        if k == 19:  # one of the two is hidden
            state = {name: np.array(value) for name, value in tracker.state().items()}
            tracker = Tracker(FollowingFinder())
            tracker.resume(state)
        tracker.step(crossing(k), 1 / 30)
    ends = [{k: v.tolist() for k, v in one.state().items()} for one in (whole, tracker)]
    assert ends[0] == ends[1] and len(whole.tracks) == 2


def test_overlap_of_boxes() -> None:
    box = np.array([[0.0, 0.0], [2.0, 2.0]])
    assert overlap(box, box) == 1 and overlap(box, box + 5) == 0
    assert overlap(box, box + np.array([1, 0])) == pytest.approx(1 / 3)
