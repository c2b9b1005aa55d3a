"""--require-licence, and the variable of the environment that asks for it: what names no licence is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data import write_image
from portraitist.errors import NoLicence
from portraitist.io import registry
from portraitist.io.licences import VARIABLE, is_permissive, required, requiring
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.web.studio import Studio
from tests.cli.conftest import Run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_image(tmp_path / "photos" / "me.png", np.asarray(astronaut())[40:200, 150:310])


@pytest.fixture
def base(models_folder: Path, tmp_path: Path, tiny_model: Model) -> Model:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    return tiny_model


def without(model: Model) -> Model:
    return replace(model, header=replace(model.header, licence=" "))


def test_a_style_without_a_licence_is_refused_where_one_is_required(
    run: Run, base: Model, photo: Path, tmp_path: Path, tiny_style: Model
) -> None:
    free = save_pack(tmp_path / "free.safetensors", tiny_style, base)
    bare = save_pack(tmp_path / "bare.safetensors", without(tiny_style), base)
    drawn = ("stylize", photo, "--aligned", "--steps", "1", "--require-licence", "-o", tmp_path / "out", "--style")
    code, _, err = run(*drawn, bare)
    assert code == 3 and "bare.safetensors names no licence" in err and "--licence" in err
    assert not (tmp_path / "out").exists()
    assert run(*drawn, free)[0] == 0
    assert run("sample", bare, "--require-licence", "-o", tmp_path / "s", "--seeds", "1")[0] == 3
    assert run("sample", bare, "-o", tmp_path / "s", "--seeds", "1")[0] == 0  # and nothing of it is left behind
    assert run("models", "add", bare, "--require-licence")[0] == 3
    assert [entry.name for entry in registry.entries()] == ["tiny"]


def test_a_base_without_a_licence_is_named_and_not_called_unknown(
    run: Run, models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    registry.add(save_model(tmp_path / "elsewhere" / "b.safetensors", without(tiny_model)))
    pack = save_pack(tmp_path / "free.safetensors", tiny_style, tiny_model)
    code, _, err = run("sample", pack, "--require-licence", "-o", tmp_path / "s", "--seeds", "1")
    assert code == 3 and "tiny.safetensors names no licence" in err
    assert run("sample", pack, "-o", tmp_path / "s", "--seeds", "1")[0] == 0


def test_convert_notes_the_licence_that_is_required(
    run: Run, models_folder: Path, tmp_path: Path, tiny_model: Model
) -> None:
    bare = save_model(tmp_path / "bare.safetensors", without(tiny_model))
    foreign, new = tmp_path / "f.pt", tmp_path / "new.safetensors"
    assert run("convert", bare, foreign)[0] == 0
    for source in (bare, foreign):  # files of other programs name none
        code, _, err = run("convert", source, new, "--require-licence")
        assert code == 3 and f"{source.name} names no licence" in err and not new.exists()
        assert run("convert", source, new, "--require-licence", "--licence", "CC0-1.0", "--overwrite")[0] == 0
        assert load_model(new).header.licence == "CC0-1.0"
        assert run("sample", new, "--require-licence", "-o", tmp_path / source.stem, "--seeds", "1")[0] == 0
        new.unlink()


def test_the_environment_asks_for_all_commands_and_for_python(
    run: Run, base: Model, tmp_path: Path, tiny_style: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = save_pack(tmp_path / "bare.safetensors", without(tiny_style), base)
    assert not required() and generator_digest(registry.load(bare)) == generator_digest(tiny_style)
    monkeypatch.setenv(VARIABLE, "1")
    assert run("sample", bare, "-o", tmp_path / "s", "--seeds", "1")[0] == 3
    for use in (registry.load, lambda path: Studio([path])):
        with pytest.raises(NoLicence, match="bare"):
            use(bare)
    assert run("models")[0] == 0 and run("models", "show", bare)[0] == 0  # to look at a file is not to use it
    with requiring(False):
        assert registry.load(bare).header.licence == " "
    assert required()
    monkeypatch.setenv(VARIABLE, "0")
    assert not required()


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        *(
            (free, True)
            for free in ("CC0-1.0", "cc0", "CC-BY-4.0", "CC BY 4.0", "CC-BY-3.0-DE", "CC-BY", "MIT", "MIT-0")
        ),
        *((free, True) for free in ("Apache-2.0", "BSD-3-Clause", "BSD", "ISC", "Unlicense", "public domain")),
        *((bound, False) for bound in ("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0", "CC-BY-NC", "GPL-3.0-only")),
        *(
            (unknown, False)
            for unknown in ("", " ", "ask me", "MITRE", "NOT-MIT", "(MIT)", "MIT, but", "AND", "MIT OR")
        ),
        ("MIT AND CC-BY-4.0", True),
        ("MIT AND CC-BY-NC-4.0", False),
        ("GPL-3.0-only OR MIT AND Apache-2.0", True),
        ("GPL-3.0-only OR MIT AND CC-BY-SA-4.0", False),
    ],
)
def test_what_may_be_used_in_products(licence: str, permissive: bool) -> None:
    assert is_permissive(licence) == permissive
