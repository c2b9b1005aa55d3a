"""A setting that a training would not use is refused, whatever is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.data import write_image
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.io.translator_files import save_translator
from portraitist.train.encoder import agilegan, psp
from portraitist.train.painter import PainterTraining
from portraitist.train.spec import Training, refuse_idle
from portraitist.train.translator import TranslatorTraining
from tests.cli.conftest import Run
from tests.fuzz.readers import translator

ENCODER = ["encoder", "train", "photos", "--base", "tiny"]
TRANSLATOR = ["translate", "train", "photos"]
PAINTER = ["distill", "style", "--photos", "photos", "--exemplars", "exemplars"]
TRAIN = ["train", "photos", "--resolution", "16"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*ENCODER, "--kind", "w+", "--set", "kl_weight=1"], "kl_weight has no effect, because codes"),
        ([*ENCODER, "--preset", "psp", "--set", "kl_weight=1"], "kl_weight has no effect, because codes"),
        ([*ENCODER, "--set", "identity_weight=0", "--set", "identity_part=0.5"], "identity_part has no effect"),
        ([*TRANSLATOR, "--preset", "cyclegan", "--set", "attention_weight=1"], "attention_weight has no effect"),
        ([*TRANSLATOR, "--set", "group_weight=2"], "group_weight has no effect, because there is one group"),
        ([*TRANSLATOR, "--from", "t.safetensors", "--set", "init=torch"], "init has no effect"),
        ([*TRANSLATOR, "--from", "t.safetensors", "--set", "initial_share=.5"], "initial_share has no effect"),
        ([*TRANSLATOR, "--from", "t.safetensors", "--size", "64"], "--size is for a new translator"),
        ([*TRANSLATOR, "--from", "t.safetensors", "--own", "1,1"], "--own is for a new translator"),
        ([*PAINTER, "--set", "adversarial.weight=0", "--set", "panel_rate=1"], "panel_rate has no effect"),
        ([*PAINTER, "--set", "perceptual.weight=0", "--set", "perceptual.crop=64"], "perceptual.crop has no effect"),
        (
            [
                *PAINTER,
                "--set",
                "perceptual.weight=0",
                "--set",
                "feature_discriminator.weight=0",
                "--features",
                "f.pth",
            ],
            "A feature network is given",
        ),
        ([*PAINTER, "--set", "ema_ramp=nan"], "ema_ramp must be a number"),
        ([*PAINTER, "--set", "smoothness.weight=inf"], "smoothness.weight must be a number"),
    ],
)
def test_idle_settings_are_refused_before_anything_is_done(
    run: Run,
    models_folder: Path,
    tmp_path: Path,
    tiny_model: Model,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "exemplars"):
        (tmp_path / name).mkdir()
    (tmp_path / "f.pth").touch()
    if "tiny" in words:
        registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    if "t.safetensors" in words:
        save_translator(tmp_path / "t.safetensors", translator())
    code, _, err = run(*words, "-o", "run")
    assert code == 2 and told in err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"augment": "none", "ada_target": 0.5}, "ada_target"),
        ({"r1_gamma": 0.0, "r1_every": 4}, "r1_every"),
        ({"r1_every": 0, "r1_gamma": 5.0}, "r1_gamma"),
        ({"path_weight": 0.0, "path_decay": 0.5}, "path_decay"),
        ({"latents": "z+", "mixing": 0.5}, "mixing"),
        ({"split_upto": 32}, "split_upto"),
    ],
)
def test_settings_of_a_generator_that_others_make_idle(changes: dict[str, object], idle: str) -> None:
    before = Training()
    after = replace(before, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"The setting {idle} has no effect"):
        refuse_idle(before, after, after.idle)
    # What takes the effect away is itself fine, and so is what was there before.
    rest = {name: value for name, value in changes.items() if name != idle}
    refuse_idle(before, replace(before, **rest), replace(before, **rest).idle)  # type: ignore[arg-type]


def test_settings_that_have_an_effect_are_not_idle() -> None:
    refuse_idle(Training(), changed := replace(Training(), ada_target=0.5, r1_gamma=2.0), changed.idle)
    assert Training().idle.keys() == {"split_from", "split_upto"}
    assert replace(Training(), paths=("a", "b")).idle == {}
    assert agilegan().idle(posterior=True) == {} and psp().idle(posterior=False).keys() == {"kl_weight"}
    assert TranslatorTraining().idle(groups=2, attention=True, new=True) == {}
    assert PainterTraining().idle.keys() == {"colour.area"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["stylize", "me.png", "-o", "o", "--appearance-truncation", "0.5"], "is for --appearance random:N"),
        (["stylize", "me.png", "-o", "o", "--appearance-from", "32"], "is for --appearance and --reference"),
        (["stylize", "me.png", "-o", "o", "--reference-aligned"], "is for --reference"),
        (["stylize", "me.png", "-o", "o", "--swap-by", "weights"], "is for --swap"),
        (["stylize", "me.png", "-o", "o", "--method", "painter", "--features", "f.pth"], "a painter draws"),
        (["stylize", "me.png", "-o", "o", "--attribute", "women"], "There is no path 'women' in wild"),
        (["translate", "run", "me.png", "--translator", "e", "-o", "o", "--reference-aligned"], "is for --reference"),
        (["look", "wild", "--exemplars", "e", "--medium", "dry", "--count", "3"], "is for --medium auto"),
        (["look", "wild", "--exemplars", "e", "--medium", "auto", "--photos", "e", "--shape", "2"], "is chosen by"),
        (["page", "-o", "o", "--painter", "p", "--encoder", "e"], "is for --style"),
        (["edit", "video", "me.png", "e.png", "-o", "o.mp4", "--strengths", "0:1"], "is for --direction and --word"),
        (["prepare", "e", "--check", "--overwrite"], "is for writing faces"),
        (["convert", "b.safetensors", "o.safetensors", "--template", "t.pkl"], "is for a .pkl"),
        (["convert", "b.safetensors", "o.safetensors", "--attribute", "women"], "There is no path 'women' in b"),
        (["sample", "tiny", "-o", "o", "--attribute", "women"], "There is no path 'women' in tiny"),
        (
            ["swap", "--low", "tiny", "--high", "wild", "-o", "o.safetensors", "--upto", "8", "--attribute", "women"],
            "no path 'women'",
        ),
    ],
)
def test_options_without_effect_are_refused(
    run: Run,
    models_folder: Path,
    tmp_path: Path,
    tiny_model: Model,
    tiny_style: Model,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model))
    (tmp_path / "e").mkdir()
    write_image(tmp_path / "me.png", np.full((16, 16, 3), 99, np.uint8))
    write_image(tmp_path / "e.png", np.full((16, 16, 3), 99, np.uint8))
    code, _, err = run(*words)
    assert code == 2 and told in err, err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("o")]
