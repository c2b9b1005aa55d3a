"""The training of painters: each loss on constructed cases, whose parameters move, a teacher is learned, resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.errors import NonFinite, UsageError
from portraitist.losses.painting import ViewSettings
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.feature_discriminator import FeatureDiscriminator
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.networks.patch_discriminator import PatchPanel
from portraitist.networks.translator_anatomy import PanelAnatomy
from portraitist.train.loop import WHOLE, Share, fit
from portraitist.train.painter import Distillation, PainterState, PainterTraining
from portraitist.train.painter_terms import (
    AdversarialTerm,
    ColourTerm,
    ConsistencyTerm,
    FeatureTerm,
    IdentityTerm,
    PainterSample,
    PainterStep,
    PerceptualTerm,
    PixelTerm,
    SmoothnessTerm,
)

ANATOMY = PainterAnatomy((8, 8, 12), 1, 6.0)
TINY = PainterTraining(
    images=48,
    batch=4,
    seed=3,
    side=32,
    learning_rate=1e-3,
    panel=PanelAnatomy((3,), 4),
    perceptual=PerceptualTerm(crop=16),
    adversarial=AdversarialTerm(crop=16),
    feature_discriminator=FeatureTerm(crop=16),
    consistency=ConsistencyTerm(part=0.5),
)


class Colours:
    """Features, and persons, are colours."""

    name = "colours"
    digest = "c"

    def taps(self, images: Tensor) -> list[Tensor]:
        return [images, torch.nn.functional.avg_pool2d(images, 4)]

    def embed(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)))


LOOKS = PerceptualDistance(Colours())


class Shapes:
    """Photos of squares; the teacher exchanges two channels and moves everything by two pixels."""

    def __init__(self, batch: int = 4, side: int = 32) -> None:
        self.batch, self.side = batch, side

    def at(self, step: int) -> PainterSample:
        random = torch.Generator().manual_seed(step)
        coarse = torch.rand(2 * self.batch, 3, 4, 4, generator=random) * 1.6 - 0.8
        pictures = torch.nn.functional.interpolate(coarse, size=self.side, mode="bilinear")
        photos, exemplars = pictures.chunk(2)
        return PainterSample(photos, photos[:, [1, 0, 2]].roll(2, -1), exemplars.sign() * 0.9)


def start(training: PainterTraining = TINY) -> PainterState:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        painter, panel = new_painter(ANATOMY), PatchPanel(training.panel)
    fitted = FeatureDiscriminator.fitted(Colours(), Shapes().at(0).exemplars, 7)
    return PainterState(painter, panel, training, fitted if training.feature_discriminator.weight else None)


def step_of(sample: PainterSample, state: PainterState | None = None, share: Share = WHOLE) -> PainterStep:
    state = state or start()
    return PainterStep(sample, state.painter, state.panel, LOOKS, Colours(), state.heads, Colours(), share=share)


def still(painter: torch.nn.Module) -> None:
    """Make a painter that draws the photo itself."""
    for p in (*painter.field.parameters(), *painter.paint.parameters()):
        p.data.zero_()


def run(training: PainterTraining = TINY, stop_at: int = 0, state: PainterState | None = None) -> PainterState:
    state = state or start(training)
    reports = state.__dict__.setdefault("reports", [])

    def on_step(state: PainterState, report: dict[str, Tensor]) -> bool:
        reports.append({k: float(v) for k, v in report.items()})
        return state.images == stop_at

    return fit(state, Distillation(training, Shapes(training.batch), LOOKS, Colours()), on_step)


def test_what_draws_as_the_teacher_has_no_loss_of_it() -> None:
    state, photos = start(), Shapes().at(0).photos
    still(state.painter)
    same = step_of(PainterSample(photos, photos, photos), state)
    torch.testing.assert_close(same.painted.image, photos, atol=1e-5, rtol=0)
    for term in (PixelTerm(), PerceptualTerm(crop=16), SmoothnessTerm(), IdentityTerm()):
        assert abs(term(same).detach()) < 1e-5, term.name
    # What is looked up beyond the rim is another mirror image in either order, so only nearly.
    assert ConsistencyTerm()(same).detach() < 1e-4
    lighter = step_of(PainterSample(photos, photos + 0.25, photos), state)
    torch.testing.assert_close(PixelTerm()(lighter), torch.tensor(0.25), atol=1e-5, rtol=0)
    opposite = step_of(PainterSample(photos, -photos, photos), state)
    # Unit vectors that point the opposite way differ by 4, at every place and in both taps.
    torch.testing.assert_close(PerceptualTerm(crop=16)(opposite), torch.tensor(4.0), atol=1e-3, rtol=0)


def test_the_loss_of_identity_is_one_minus_the_cosine() -> None:
    state = start()
    red, green = torch.zeros(2, 2, 3, 32, 32)
    red[:, 0], green[:, 1] = 0.5, 0.5
    step = step_of(PainterSample(red, red, red), state)
    step.__dict__["painted"] = state.painter(red)._replace(image=green)
    torch.testing.assert_close(IdentityTerm()(step), torch.tensor(1.0))


def test_colours_may_be_lighter_or_darker_but_no_others() -> None:
    state, photos = start(), Shapes().at(0).photos / 2

    def colour(image: Tensor, area: int = 16) -> Tensor:
        step = step_of(PainterSample(photos, photos, photos), state)
        step.__dict__["painted"] = state.painter(photos)._replace(image=image)
        return ColourTerm(1.0, area)(step)

    torch.testing.assert_close(colour(photos + 0.25), torch.tensor(0.0))
    # 0.3 more red is 0.0897 more luminance (Rec. 601), which is taken off all channels.
    redder = photos + torch.tensor([0.3, 0.0, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(colour(redder), torch.tensor((0.2103 + 2 * 0.0897) / 3))
    # Strokes of opposite colours leave the mean of an area as it is.
    strokes = torch.tensor([0.3, -0.3]).repeat(16).view(1, 1, 1, 32) * torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(colour(photos + strokes), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert colour(photos + strokes, area=1) > 0.1


def test_smoothness_sees_the_field() -> None:
    state, sample = start(), Shapes().at(0)
    step = step_of(sample, state)
    ramp = torch.arange(32.0).expand(4, 2, 32, 32) * 0.1
    step.__dict__["painted"] = state.painter(sample.photos)._replace(field=ramp)
    torch.testing.assert_close(SmoothnessTerm()(step), torch.tensor(0.01))


def test_a_constant_judge_gives_the_values_of_the_hinge() -> None:
    training, term = replace(TINY, panel=PanelAnatomy((3,), 4, attentive=False)), AdversarialTerm(crop=16, policy="")
    state = start(training)
    last = state.panel.members[0].last
    last.weight.data.zero_()
    last.bias.data.fill_(0.25)  # the score of every patch of every picture
    step, fakes = step_of(Shapes().at(0), state), torch.zeros(4, 3, 16, 16)
    torch.testing.assert_close(term.of_panel(step, fakes), torch.tensor(0.75 + 1.25))
    torch.testing.assert_close(term(step), torch.tensor(-0.25))
    assert set(step.report) == {"score_real", "score_fake"}
    logistic = replace(term, gan_loss="logistic")
    torch.testing.assert_close(logistic(step), torch.tensor(1 + 2.71828**-0.25).log(), atol=1e-5, rtol=0)


def test_the_panel_sees_the_crops_that_the_painter_was_judged_by() -> None:
    state, seen = start(), []
    objective = Distillation(replace(TINY, adversarial=AdversarialTerm(crop=16, policy="")), Shapes(), LOOKS)
    (sample,) = objective.begin(state)
    state.panel.register_forward_pre_hook(lambda panel, inputs: seen.append(inputs[0].detach()))
    for phase in objective.phases:
        phase.loss(state, sample, 0, WHOLE)
    assert_crops(sample, *seen)


def test_the_heads_see_the_crops_that_the_painter_was_judged_by() -> None:
    state, seen, term = start(), [], FeatureTerm(crop=16, policy="")
    objective = Distillation(replace(TINY, feature_discriminator=term), Shapes(), LOOKS)
    (sample,) = objective.begin(state)
    state.heads.heads[0].register_forward_pre_hook(lambda head, inputs: seen.append(inputs[0].detach()))
    for phase in objective.phases:
        phase.loss(state, sample, 0, WHOLE)
    # The first map is the picture itself, over the size that it was fitted to.
    assert_crops(sample, *(x * state.heads.scale[0] for x in seen))


def test_heads_that_are_sure_of_nothing_give_the_logistic_loss_at_0() -> None:
    state, term = start(), FeatureTerm(crop=16, detail=0.5)
    for head in (*state.heads.heads, state.heads.detail):
        head[-1].weight.data.zero_()
        head[-1].bias.data.zero_()
    step, fakes = step_of(Shapes().at(0), state), torch.zeros(4, 3, 16, 16)
    torch.testing.assert_close(term(step), torch.tensor(1.5 * 0.693147))  # softplus(0), and half of it for detail
    torch.testing.assert_close(term.of_heads(step, fakes), torch.tensor(2 * 0.693147))


def assert_crops(sample: PainterSample, by_painter: Tensor, real: Tensor, fake: Tensor) -> None:
    """Check that both saw the same of the drawing, and crops of the exemplars."""
    assert torch.equal(by_painter, fake) and fake.shape == (4, 3, 16, 16)
    for exemplar, crop in zip(sample.exemplars, real, strict=True):  # each crop is somewhere in its exemplar
        places = exemplar.unfold(1, 16, 1).unfold(2, 16, 1)  # [3, 17, 17, 16, 16]
        assert torch.isclose(places, crop[:, None, None]).all((-1, -2)).all(0).any()


def test_phases_move_their_own_networks_and_the_average_follows() -> None:
    before = {k: v.clone() for k, v in start().tensors().items()}
    state = run(stop_at=8)
    after = state.tensors()
    moved = "P.stem.weight", "P.field.weight", "D.members.0.last.weight", "F.detail.0.weight", "average.stem.weight"
    for name in moved:
        assert not torch.equal(before[name], after[name]), name
    assert state.reports[0].keys() >= {"loss", "loss_d", "loss_f", *(t.name for t in TINY.terms(Colours()))}
    without = run(replace(TINY, adversarial=AdversarialTerm(weight=0.0)), stop_at=8)
    assert torch.equal(without.tensors()["D.members.0.last.weight"], before["D.members.0.last.weight"])
    assert "loss_d" not in without.reports[0]
    plain = run(replace(TINY, feature_discriminator=FeatureTerm(weight=0.0)), stop_at=4)
    assert "loss_f" not in plain.reports[0] and not any(name.startswith("F.") for name in plain.tensors())


@pytest.mark.recipe
def test_a_teacher_is_learned() -> None:
    training = replace(TINY, images=1_600, batch=8, learning_rate=3e-3)
    state = run(training)
    first, last = state.reports[0], state.reports[-1]
    assert last["pixels"] < first["pixels"] / 3 and last["perceptual"] < first["perceptual"] / 3
    sample = Shapes(16).at(10_000)
    with torch.no_grad():
        painted = state.average(sample.photos)
    assert (painted.image - sample.drawings).abs().mean() < 0.4 * (sample.photos - sample.drawings).abs().mean()


def test_it_resumes_bit_for_bit() -> None:
    whole = run()
    half = run(stop_at=24)
    tensors, counters = {k: v.clone() for k, v in half.tensors().items()}, half.counters()
    again = start()
    again.restore(tensors, counters)
    run(state=again)
    assert again.images == whole.images == 48 and again.reports == whole.reports[6:]
    assert all(torch.equal(v, again.tensors()[k]) for k, v in whole.tensors().items())


def test_learning_rates_fall_in_a_straight_line() -> None:
    assert [TINY.falling(k) for k in (0, 24, 36, 48)] == [1, 1, 0.5, 0]
    assert replace(TINY, decay_from=1.0).falling(47) == 1
    state = start()
    state.slow(0.5)
    rates = {role: o.optimiser.param_groups[0]["lr"] for role, o in state.optimisers.items()}
    assert rates == {"P": 5e-4, "D": 2e-4, "F": 5e-4}


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    class Broken(Shapes):
        def at(self, step: int) -> PainterSample:
            found = super().at(step)
            return replace(found, drawings=found.drawings / (0.0 if step == 2 else 1.0))

    state = start()
    with pytest.raises(NonFinite, match=r"the painter is (nan|inf) after 8 images"):
        fit(state, Distillation(TINY, Broken(), LOOKS), lambda state, report: False)
    assert all(v.isfinite().all() for v in state.tensors().values())


BAD: dict[str, Callable[[], object]] = {
    "side": lambda: replace(TINY, side=60),
    "a teacher to compare": lambda: replace(TINY, pixels=PixelTerm(0.0), perceptual=PerceptualTerm(0.0)),
    "held-out pictures": lambda: replace(TINY, patience=2, held_out=0.0),
    "shares from 0 to 1": lambda: replace(TINY, decay_from=1.5),
    "images must be": lambda: replace(TINY, images=0),
    "panel_rate must be": lambda: replace(TINY, panel_rate=0.0),
    "smoothness.weight": lambda: SmoothnessTerm(-1.0),
    "colour.area": lambda: ColourTerm(1.0, 0),
    "consistency.part": lambda: ConsistencyTerm(part=0.0),
    "adversarial.crop": lambda: AdversarialTerm(crop=8),
    "perceptual.crop": lambda: PerceptualTerm(crop=8),
    "feature_discriminator.crop": lambda: FeatureTerm(crop=8),
    "feature_discriminator.rate": lambda: FeatureTerm(rate=0.0),
    "gan_loss": lambda: AdversarialTerm(gan_loss="least squares"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("part", BAD)
def test_settings_that_make_no_training_are_refused(part: str) -> None:
    with pytest.raises(UsageError, match="pixels" if part == "side" else part):
        BAD[part]()


def test_settings_that_only_fail_later_are_refused_at_once() -> None:
    for term in (AdversarialTerm, FeatureTerm):
        with pytest.raises(UsageError, match="policy: unknown augmentation 'colour'"):
            term(policy="color,colour")
        term(policy="")
    with pytest.raises(UsageError, match=r"consistency\.views\.zoom must be a number"):
        ConsistencyTerm(views=ViewSettings(zoom=float("nan")))
