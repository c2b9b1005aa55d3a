"""The study of translators: who is measured, by which branch, at which sides."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import write_image
from portraitist.errors import NoFaceFound, UsageError
from portraitist.io.translator_files import StoredTranslator, described, save_translator
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.features import Features
from portraitist.networks.translator_anatomy import PanelAnatomy, cyclegan
from portraitist.stylize.crops import as_aligned_face
from studies import translators
from tests.train.test_translator_training import Colours

NAMES = tuple(f"{k}.png" for k in range(8))


def saved(path: Path, groups: tuple[str, ...]) -> Path:
    torch.manual_seed(0)
    system = TranslatorSystem.new(replace(cyclegan(16, 4), blocks=1), PanelAnatomy((3,), 4, False), groups)
    header = replace(described(system), name=path.stem)
    return save_translator(path, StoredTranslator(system, header))


@pytest.mark.recipe
def test_each_translator_is_measured_at_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: Features
) -> None:
    random = np.random.default_rng(0)
    for name in NAMES:
        picture = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8)
        write_image(tmp_path / "drawings" / "women" / name, picture)
    with zipfile.ZipFile(tmp_path / "people.zip", "w") as archive:
        for name in NAMES:
            archive.write(tmp_path / "drawings" / "women" / name, name)
    groups = ("women", "men", "women", "men", "women", "men", "elderly", "women")
    lines = ["file,group", *(f"{name},{group}" for name, group in zip(NAMES, groups, strict=True))]
    (tmp_path / "people.csv").write_text("\n".join(lines), encoding="utf-8")
    hidden = iter([False] * 7 + [True])

    def stands_out(picture: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        if next(hidden):
            raise NoFaceFound("Nobody stands out.")
        return picture

    monkeypatch.setattr(translators, "cut_out", stands_out)
    monkeypatch.setattr(translators, "load_identity", lambda path: Colours())
    monkeypatch.setattr(translators, "load_features", lambda path: features)
    several, one = (
        saved(tmp_path / "several.safetensors", ("women", "men")),
        saved(tmp_path / "one.safetensors", ("all",)),
    )
    drawings, shown = tmp_path / "drawings", Path("shown")
    monkeypatch.setattr(translators, "shown_people", lambda folder, count: [np.full((256, 256, 3), 90, np.uint8)])
    monkeypatch.setattr(
        translators, "onto_white", lambda side, finder: lambda picture, _: [as_aligned_face(picture, side)]
    )
    translators.main(
        [
            *("--photos", str(tmp_path / "people.zip"), "--labels", str(tmp_path / "people.csv"), "--count", "8"),
            *("--translator", f"{several}={drawings}", "--translator", f"{one}={drawings}"),
            *("--identity", "i", "--features", "f", "--shown", str(shown), "--out", str(tmp_path)),
        ]
    )
    text = (tmp_path / "translators.md").read_text(encoding="utf-8")
    assert "6 people, each by the branch of their group: women, men." in text and "\n7 people.\n" in text
    assert text.count("| at 16 pixels |") == text.count("| at 32 pixels |") == text.count("| nothing |") == 2
    assert (tmp_path / "translators.png").exists()


def test_a_folder_without_drawings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no drawings"):
        translators.drawings_of(tmp_path)
