from __future__ import annotations

import numpy as np
import pytest

from portraitist.errors import UsageError
from portraitist.faces import FINDERS, BlazeFinder, finder_named


@pytest.mark.parametrize("name", FINDERS)
def test_every_finder_gives_the_same_list_for_the_same_photo(name: str) -> None:
    wall = np.full((64, 64, 3), 200, np.uint8)
    assert finder_named(name).find(wall) == finder_named(name).find(wall) == []
    with pytest.raises(UsageError):
        finder_named(name).find(wall[..., 0])


def test_the_default_finder_and_unknown_names() -> None:
    assert finder_named() == BlazeFinder() == finder_named("blazeface")
    with pytest.raises(UsageError, match=r"no face detector 'haar'.*Use blazeface"):
        finder_named("haar")
