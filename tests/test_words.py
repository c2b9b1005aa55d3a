"""Words that were retired for the field's own do not come back."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

RETIRED = {
    "crew": "process group",
    "umpire": "held-out monitor",
    "clerk": "run recorder",
    "polite_stop": "graceful_shutdown",
    "minds_swap": "supports_feature_swap",
    "kinship": "model compatibility",
    "PlayD": "discriminator loss",
    "PlayG": "generator loss",
    "Forgetful": "a default of Term.update_state",
    "titled": "metric_name",
}
FOLDERS = ("src", "studies", "benchmarks", "scripts", "docs")
TEXTS = [
    *(p for folder in FOLDERS for end in ("py", "md") for p in (REPOSITORY / folder).rglob(f"*.{end}")),
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
]


@pytest.mark.parametrize("word", sorted(RETIRED))
def test_a_retired_word_stays_away(word: str) -> None:
    assert len(TEXTS) > 200
    found = re.compile(rf"\b{word}\b", re.IGNORECASE)
    used = [str(p.relative_to(REPOSITORY)) for p in TEXTS if found.search(p.read_text(encoding="utf-8"))]
    assert not used, f"say {RETIRED[word]}"
