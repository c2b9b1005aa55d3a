"""Segments of a video that is being written: each is whole, or it is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from portraitist.video.segments import Mark, Packet, Parts, Segment

SEGMENT = Segment(
    [Packet(b"abcd", 0, 1, True), Packet(b"efg", 1, 1, False)], Mark(2, 1, 7), {"x": np.ones(3)}, {"n": 2}
)


def test_a_damaged_segment_is_drawn_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "o.mp4", "0123")
    parts.write(0, SEGMENT)
    parts.write(1, SEGMENT)
    assert parts.finished()[0] == 2 and list(parts.packets()) == [*SEGMENT.packets, *SEGMENT.packets]
    (path,) = sorted(parts.folder.iterdir())[1:]
    whole = path.read_bytes()
    for place in (0, 30, whole.index(b'"counts'.replace(b'"', b'\\"')) + 12, len(whole) - 60, len(whole) - 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert parts.read(1) is None and parts.finished()[0] == 1, place
    for size in (0, 8, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert parts.read(1) is None


def test_the_name_of_a_video_may_be_as_long_as_names_may_be(tmp_path: Path) -> None:
    for out in (tmp_path / ("写" * 83 + ".mp4"), tmp_path / ("v" * 251 + ".mp4"), tmp_path / "[a].mp4"):
        parts = Parts(out, "0123")
        parts.write(0, SEGMENT)
        assert parts.finished()[0] == 1
        parts.remove_all()
        assert list(tmp_path.iterdir()) == []
