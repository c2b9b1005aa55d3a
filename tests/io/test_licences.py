"""Joint terms: what all files ask for, each named once."""

from __future__ import annotations

import pytest

from portraitist.io.headers import About
from portraitist.io.licences import joint_licence, joint_terms


@pytest.mark.parametrize(
    ("first", "second", "joint"),
    [
        ("MIT", "MIT", "MIT"),
        ("MIT", "CC0-1.0", "MIT AND CC0-1.0"),
        ("MIT AND CC0-1.0", "CC0-1.0", "MIT AND CC0-1.0"),
        ("CC0-1.0", "MIT AND CC0-1.0", "CC0-1.0 AND MIT"),
        ("MIT OR CC0-1.0", "MIT OR CC0-1.0", "MIT OR CC0-1.0"),
        ("MIT", "GPL-3.0-only OR MIT AND CC0-1.0", "MIT AND (GPL-3.0-only OR MIT AND CC0-1.0)"),
        ("MIT AND (GPL-3.0-only OR CC0-1.0)", "MIT", "MIT AND (GPL-3.0-only OR CC0-1.0)"),
        ("Zlib AND (MIT AND ISC OR CC0-1.0)", "Zlib", "Zlib AND (MIT AND ISC OR CC0-1.0)"),
        ("", "MIT", ""),
        ("MIT", "", ""),
        ("", "", ""),
    ],
)
def test_the_terms_of_both(first: str, second: str, joint: str) -> None:
    assert joint_licence(first, second) == joint


def test_the_terms_of_several_files() -> None:
    files = [About(licence="MIT", credit="A"), About(licence="CC0-1.0"), About(licence="MIT", credit="B")]
    assert joint_terms(files[:1]) == ("MIT", "A")
    assert joint_terms(files) == ("MIT AND CC0-1.0", "A; B")
    assert joint_terms([*files, About(credit="C")]) == ("", "A; B; C")
