"""StyleCLIP: against a CLIP whose answer is known, and against a small random one from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.edit import TextEdit, edit_by_text
from portraitist.edit.clip import paper, released
from portraitist.errors import NonFinite, UsageError
from portraitist.io.clip_files import load_clip
from portraitist.io.model_file import Model
from portraitist.spaces import WPlus, Z, truncate
from tests.io.tiny_clip import save_clip

CODE = WPlus(torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(2)))
SHORT = replace(paper(), steps=30)


class Colours:
    """A CLIP that sees nothing but the mean colour, and knows three words for it."""

    words = ("red", "green", "blue")

    def embed_image(self, images: Tensor) -> Tensor:
        return F.normalize(images.mean((2, 3)) + 2, dim=1)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([torch.eye(3)[self.words.index(text)] for text in texts])


def colour(model: Model, code: WPlus) -> Tensor:
    with torch.no_grad():
        return Colours().embed_image(model.generator.synthesize(code))[0]


@pytest.mark.parametrize("word", Colours.words)
def test_the_drawing_comes_near_to_the_text(tiny_model: Model, word: str) -> None:
    edited = edit_by_text(tiny_model.generator, CODE, Colours(), word, settings=replace(SHORT, l2_weight=0))
    k = Colours.words.index(word)
    assert colour(tiny_model, edited.code)[k] > colour(tiny_model, CODE)[k] + 0.05
    assert edited.history.shape == (30, 1) and edited.history[-1] < edited.history[0] - 0.05
    torch.testing.assert_close(edited.history[0, 0], 1 - colour(tiny_model, CODE)[k])


def test_strengths_0_and_1_are_start_and_end_bit_for_bit(tiny_model: Model) -> None:
    edited = edit_by_text(tiny_model.generator, CODE, Colours(), "red", settings=SHORT)
    assert torch.equal(edited.at(0).data, CODE.data) and torch.equal(edited.at(1).data, edited.code.data)
    # The paper's alpha = 2 is a strength of 3: w + 2 (w - w_s).
    expected = edited.code.data + 2 * (edited.code.data - CODE.data)
    torch.testing.assert_close(edited.at(3).data, expected)
    assert colour(tiny_model, edited.at(1))[0] > colour(tiny_model, edited.at(0))[0]


def test_the_penalty_keeps_the_code_near(tiny_model: Model) -> None:
    def far(weight: float) -> float:
        settings = replace(SHORT, l2_weight=weight)
        edited = edit_by_text(tiny_model.generator, CODE, Colours(), "blue", settings=settings)
        return float((edited.code.data - CODE.data).norm())

    assert far(0) > far(0.1) > far(10) and far(10) < 0.1 * far(0)


def test_the_first_step_of_the_gradient_is_that_of_the_loss(tiny_model: Model) -> None:
    """One step of Adam without ramps moves every entry by the learning rate against the gradient's sign."""
    settings = TextEdit(steps=1, ramp_up=0, ramp_down=0, learning_rate=0.01)
    edited = edit_by_text(tiny_model.generator, CODE, Colours(), "green", settings=settings)
    free = CODE.data.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(Colours().embed_image(tiny_model.generator.synthesis(free))[0, 1], free)
    moving = gradient.abs() > 1e-5
    assert moving.float().mean() > 0.5
    step = (edited.code.data - CODE.data)[moving]
    torch.testing.assert_close(step, 0.01 * gradient.sign()[moving], rtol=2e-3, atol=1e-5)


def test_codes_of_a_batch_do_not_see_each_other(tiny_model: Model) -> None:
    two = WPlus(torch.cat([CODE.data, -CODE.data]))
    together = edit_by_text(tiny_model.generator, two, Colours(), "red", settings=replace(SHORT, steps=5))
    alone = edit_by_text(tiny_model.generator, CODE, Colours(), "red", settings=replace(SHORT, steps=5))
    torch.testing.assert_close(together.code.data[:1], alone.code.data, rtol=1e-3, atol=1e-4)


def test_from_text_leaves_alone_what_the_texts_share(tiny_model: Model) -> None:
    """The goal is the first drawing plus blue minus green, so that red may stay as it is."""
    seen: list[Tensor] = []

    class Watched(Colours):
        def embed_image(self, images: Tensor) -> Tensor:
            seen.append(super().embed_image(images))
            return seen[-1]

    settings = replace(SHORT, steps=1)
    edited = edit_by_text(tiny_model.generator, CODE, Watched(), "blue", from_text="green", settings=settings)
    first = seen[0][0].detach()
    goal = F.normalize(first + torch.tensor([0.0, -1.0, 1.0]), dim=0)
    torch.testing.assert_close(edited.history[0, 0], 1 - first @ goal)


def test_the_released_preset_shows_clip_truncated_drawings(tiny_model: Model) -> None:
    assert released().truncation == 0.7 and released().l2_weight == 0.004 and paper().l2_weight == 0.008
    generator = tiny_model.generator
    edited = edit_by_text(generator, CODE, Colours(), "red", settings=replace(released(), steps=1))
    seen = colour(tiny_model, truncate(CODE, generator.mean, 0.7))
    torch.testing.assert_close(edited.history[0, 0], 1 - seen[0])
    assert torch.equal(edited.start.data, CODE.data)


def test_the_generator_is_left_alone_and_the_steps_are_told(tiny_model: Model) -> None:
    digest, told = tiny_model.digest, []
    settings = replace(SHORT, steps=3)
    edit_by_text(
        tiny_model.generator, CODE, Colours(), "red", settings=settings, progress=lambda *step: told.append(step)
    )
    assert tiny_model.digest == digest and told == [(1, 3), (2, 3), (3, 3)]
    assert all(p.grad is None for p in tiny_model.generator.parameters())


def test_a_code_that_still_knows_where_it_came_from_may_be_edited(tiny_model: Model) -> None:
    mapped = tiny_model.generator.map(Z.sample(1, 16, torch.Generator().manual_seed(0)))
    assert mapped.data.requires_grad
    edited = edit_by_text(tiny_model.generator, mapped, Colours(), "red", settings=replace(SHORT, steps=2))
    assert not edited.code.data.requires_grad and torch.equal(edited.at(0).data, mapped.data)


def test_an_edit_that_diverges_says_so(tiny_model: Model) -> None:
    class Broken(Colours):
        def embed_image(self, images: Tensor) -> Tensor:
            return super().embed_image(images) * float("nan")

    with pytest.raises(NonFinite, match="diverged"):
        edit_by_text(tiny_model.generator, CODE, Broken(), "red", settings=replace(SHORT, steps=2))


@pytest.mark.parametrize("change", [{"steps": 0}, {"learning_rate": 0}, {"l2_weight": -1}])
def test_settings_without_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        replace(paper(), **change)  # type: ignore[arg-type]


def test_the_whole_path_with_a_clip_from_a_folder(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    clip = load_clip(save_clip(tmp_path))
    edited = edit_by_text(tiny_model.generator, CODE, clip, "a smile", settings=replace(SHORT, steps=60))
    assert edited.history[-1] < edited.history[0] - 0.05
    again = edit_by_text(tiny_model.generator, CODE, clip, "a smile", settings=replace(SHORT, steps=60))
    assert torch.equal(again.code.data, edited.code.data)
    with torch.no_grad():
        styled = [tiny_style.generator.synthesize(edited.at(s)) for s in (0.0, 1.5)]
    assert not torch.equal(*styled)
