"""Train the models that ship with the package, from the images that docs/models.md names.

Each stage is an ordinary run folder: stopped at any moment, the same command continues it bit for bit (on the CPU, with
as many threads). A stage whose run is finished is not trained again.

    python scripts/make_models.py --data DATA --runs runs/models
    python scripts/make_models.py --data DATA --runs runs/models --images 975000 --device cuda
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from portraitist.data import ImageSet
from portraitist.detail import MEDIA, SIDE
from portraitist.errors import NothingLearned, UsageError
from portraitist.evaluate.held_out import known_parts, parts_of
from portraitist.faces import finder_named
from portraitist.io import catalogue, registry
from portraitist.io.chooser_files import save_chooser
from portraitist.io.encoder_files import load_encoder, save_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.headers import About, EncoderHeader, Header, read_header
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Model, load_model, save_model, save_pack
from portraitist.io.painter_files import load_painter
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
from portraitist.networks.encoder import small
from portraitist.networks.painter_anatomy import PainterAnatomy
from portraitist.ops.colour import are_grey
from portraitist.ops.memory import keep_heap
from portraitist.recipes import compose, from_scratch
from portraitist.runs.chooser import learn_chooser
from portraitist.runs.encoder import EncoderOptions, train_encoder
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.looks import levelled, look_of, people_of
from portraitist.runs.painter import PainterOptions, distill
from portraitist.runs.painter_pack import compared, save_with_painter
from portraitist.runs.source import Source
from portraitist.stylize import Stylizer
from portraitist.stylize.mixture import Mixture
from portraitist.stylize.teacher import StyleTeacher, painter_header
from portraitist.train.encoder import agilegan
from portraitist.train.painter import PainterTraining
from portraitist.train.painter_terms import AdversarialTerm, ColourTerm, FeatureTerm, IdentityTerm
from portraitist.train.spec import Training

log = logging.getLogger("portraitist")

FREE_PHOTOS = "SFHQ (Copyright (c) 2022 David Beniaguev), MIT; SD3 faces, CC0"
PHOTOS = (
    "One Million Impressions faces (Peterson, Uddenberg, Griffiths, Todorov, Suchow 2022, PNAS, "
    f"doi 10.1073/pnas.2115228119), CC BY-NC-SA 4.0; {FREE_PHOTOS}"
)
ARTFLOW = (
    "Images by artflow.ai (https://artflow.ai), CC BY 4.0, via github.com/initiative-sh/artflow-portraits; modified"
)

GENDERS = ("female", "male")


@dataclass(frozen=True)
class Style:
    """A style that ships: its exemplars, and what they are."""

    name: str
    folder: str
    description: str
    medium: str = "smooth"
    """What photos are redrawn with (``portraitist.detail.MEDIA``)."""
    shape: float = 1.6
    """How far the parts of a face move towards the exemplars'."""
    strokes: float = 0.5
    """How much its painter listens to what knows the exemplars, beside its teacher."""
    colour: float = 0.0
    """How much its painter keeps the photo's colours of areas."""
    balanced: tuple[str, ...] = ()
    """Values of ``gender`` that its painter's exemplars are shown equally often by."""
    painted: bool = True
    """Whether it gets a painter."""
    paths: tuple[str, ...] = ()
    """A generator for each of these values of ``gender`` in the set's labels; one for all when empty."""


STYLES = (
    Style("toon3d", "style_toon3d", "3-D cartoon heads", colour=6.0, balanced=GENDERS),
    Style("anime", "style_anime", "digital painting with a touch of anime", shape=1.4, strokes=0.12),
    Style("oil", "style_oil", "oil paint and broad brushes", "brush", strokes=0.4, balanced=GENDERS),
    Style(
        "charcoal", "style_charcoal", "charcoal, ink and graphite drawings", "dry", 1.3, strokes=0.1, balanced=GENDERS
    ),
    Style("toon3d-paths", "style_toon3d", "3-D cartoon heads, women and men apart", paths=GENDERS, painted=False),
)


@dataclass(frozen=True)
class Family:
    """A base and the models that belong to it."""

    base: str
    description: str
    licence: str
    """Of the base, its encoder and chooser."""
    styles_licence: str
    credit: str
    """Of what the base learned from."""
    styles: tuple[Style, ...]
    licences: tuple[str, ...] = ()
    """Only photos under these; all, when empty."""
    chooser: bool = True
    """Whether something learns to choose the paths of its styles."""


FAMILIES = {
    family.base: family
    for family in (
        Family(
            "faces",
            "faces of people who do not exist",
            licence="CC-BY-NC-SA-4.0",
            styles_licence="CC-BY-NC-SA-4.0",
            credit=PHOTOS,
            styles=STYLES,
        ),
        Family(
            "faces-open",
            "faces of people who do not exist, for products too",
            licence="MIT",
            styles_licence="CC-BY-4.0",
            credit=FREE_PHOTOS,
            styles=tuple(
                replace(style, name=f"{style.name}-open", description=f"{style.description}, for products too")
                for style in STYLES
                if style.name in ("toon3d", "charcoal")
            ),
            licences=("MIT", "CC0-1.0"),
            chooser=False,
        ),
    )
}


def candidates(resolution: int) -> dict[str, Training]:
    """Return the recipes that each style is tried with.

    FreezeFC with the blocks up to a quarter of the resolution at rest was a third one: it kept most of the layout, and
    drew patches of colour where the head at rest and the style's colours disagree.
    """
    return {name: compose(name, resolution) for name in ("freeze_fc", "freeze_sg")}


# There are 1,699 photos only, so half of each batch is drawn by the base; the persons of a quarter are compared,
# because that is what costs most. The paper's weight of the divergence, 5e-4, is for 18 rows of 512; these codes are 10
# of 128, and with it little of the photo is left in them.
ENCODER = replace(agilegan(), images=200_000, samples=0.5, identity_part=0.25, kl_weight=5e-5)


# A painter learns what faces are only once: the others start from that of the first style.
PAINTER = PainterTraining(
    images=12_000,
    batch=4,
    photos=1_000,
    learning_rate=1e-3,
    decay_from=0.4,
    ema_images=600,
    identity=IdentityTerm(0.05),
    adversarial=AdversarialTerm(0.0),
)
FURTHER_PAINTERS = 6_000
"""Images of each painter after the first."""
STAGES = ["base", "styles", "encoder", "chooser", "painters"]
WHAT = [*STAGES, *(style.name for family in FAMILIES.values() for style in family.styles)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos_256.zip and style_*/")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"), help="folder for the run folders")
    parser.add_argument("--out", type=Path, default=catalogue.bundled_folder(), help="where the model files go")
    parser.add_argument(
        "--base", default="faces", choices=FAMILIES, help="the base, whose styles and encoder come along"
    )
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=1536)
    parser.add_argument("--channel-cap", type=int, default=128)
    parser.add_argument("--warm-up", type=int, default=25_536, help="images of the base before augmentation begins")
    parser.add_argument(
        "--images", type=int, nargs="+", default=[174_464, 200_000], help="images of the base's further stages"
    )
    parser.add_argument("--style-images", type=int, default=8_000, help="most images of a style")
    parser.add_argument("--encoder-images", type=int, default=ENCODER.images, help="images of the encoder")
    parser.add_argument("--encoder-from", type=Path, help="an encoder of an earlier base to go on from")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--only", nargs="+", choices=WHAT, help="what to make (default: every stage); the rest is loaded"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")
    parser.add_argument("--threads", type=int, default=0, help="threads of PyTorch; its own choice when 0")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keep_heap()
    if options.threads:
        torch.set_num_threads(options.threads)
    family = FAMILIES[options.base]
    stages = [stage for stage in STAGES if stage != "chooser" or family.chooser]
    options.only = options.only or stages
    if strange := {*options.only} - {*stages, *(style.name for style in family.styles)}:
        parser.error(f"{', '.join(sorted(strange))}: not made for {family.base}")
    makes_base = "base" in options.only
    base = make_base(family, options) if makes_base else load_model(options.out / f"{family.base}.safetensors")
    for style in family.styles:
        if {"styles", style.name} & set(options.only):
            make_style(style, family, base, options)
    if "encoder" in options.only:
        make_encoder(family, base, options)
    if "chooser" in options.only:
        make_chooser(family, base, options)
    if "painters" in options.only:
        make_painters(family, options)


def photos_of(family: Family, options: argparse.Namespace, side: int) -> ImageSet:
    """Return the photos that a family may learn from."""
    photos = ImageSet.open(options.data / "photos_256.zip", side, labels=options.data / "photos_256.csv")
    under = photos.attributes["licence"]
    return photos.subset([k for k, licence in enumerate(under) if not family.licences or licence in family.licences])


def make_base(family: Family, options: argparse.Namespace) -> Model:
    """Train the base of a family and put it in place in half precision."""
    photos = photos_of(family, options, options.resolution)
    channels = channels_for(options.resolution, base=options.channel_base, cap=options.channel_cap)
    generator = GeneratorAnatomy(options.resolution, channels, z_dim=128, w_dim=128, mapping_layers=4)
    source = Source(generator=generator, discriminator=DiscriminatorAnatomy(options.resolution, channels))
    about = Header(
        generator,
        name=family.base,
        description=f"{family.description}, {options.resolution} px",
        licence=family.licence,
        credit=family.credit,
    )
    # About twice the rule: there are few photos for a base.
    plain = replace(from_scratch(options.resolution), r1_gamma=0.2 * (options.resolution / 64) ** 2)
    told = TrainOptions(about=about, device=options.device, quiet=options.quiet)
    # The augmentation slows the first steps, when the discriminator cannot overfit yet. Each later stage begins from
    # the averaged generator of the one before.
    first = replace(plain, augment="none", images=options.warm_up, seed=1)
    path = train(photos, options.runs / f"{family.base}-warm-up", source, first, told)
    for k, images in enumerate(options.images, 2):
        training = replace(plain, images=images, seed=k)
        run = options.runs / f"{family.base}-{k - 1}"
        path = train(photos, run, Source(base=load_model(path)), training, told)
        # Half precision after every stage: any of them may be the one that ships, and styles must fit what ships.
        path = save_model(run.with_suffix(".safetensors"), load_model(path), half=True, overwrite=True)
    shipped = save_model(options.out / f"{family.base}.safetensors", load_model(path), half=True, overwrite=True)
    registry.record_digest(shipped)
    return load_model(shipped)


def make_style(style: Style, family: Family, base: Model, options: argparse.Namespace) -> None:
    """Fine-tune one style by each recipe and put the best pack in place in half precision."""
    tried = {}
    for recipe in recipes_of(style, options):
        try:
            tried[recipe] = train_style(style, family, recipe, base, options)
        except NothingLearned as reason:
            log.warning("%s, %s: %s", style.name, recipe, reason)
    if not tried:
        raise NothingLearned(f"No recipe taught {style.name}.", "Show more images (--style-images).")
    name = best({name: read_header(pack).metrics for name, pack in tried.items()})
    log.info("%s: %s", style.name, name)

    exemplars = ImageSet.open(
        options.data / style.folder, options.resolution, labels=options.data / f"labels_{style.folder}.csv"
    )
    parts = parts_of(read_header(tried[name]), exemplars)
    seen = parts.trained or parts.held_out
    how = MEDIA[style.medium], finder_named()
    look = look_of(seen.decoded_at(SIDE), *how, shape=style.shape, people=people_of(seen))
    drawn = {
        path: load_model(tried[name], find_base=lambda header: base, attribute=path) for path in style.paths or (None,)
    }
    look = levelled(look, base, list(drawn.values()), registry.load_encoder_of(base))
    models = {path: replace(model, look=look) for path, model in drawn.items()}
    packed = {path: model for path, model in models.items() if path is not None} or models[None]
    pack = save_pack(options.out / f"{style.name}.safetensors", packed, base, half=True, overwrite=True)
    registry.record_digest(pack)


def recipes_of(style: Style, options: argparse.Namespace) -> dict[str, Training]:
    """Return what a style is trained with: every recipe, or the one with paths."""
    if not style.paths:
        return candidates(options.resolution)
    return {"freeze_fc+multipath": compose("freeze_fc+multipath", options.resolution, paths=style.paths)}


def train_style(style: Style, family: Family, name: str, base: Model, options: argparse.Namespace) -> Path:
    """Fine-tune the base by one recipe, until held-out exemplars say stop, and return the pack."""
    labels = options.data / f"labels_{style.folder}.csv" if style.paths else None
    exemplars = ImageSet.open(options.data / style.folder, options.resolution, labels=labels)
    training = replace(recipes_of(style, options)[name], images=options.style_images, seed=1)
    about = Header(
        base.generator.anatomy,
        name=style.name,
        description=style.description,
        licence=family.styles_licence,
        credit=f"{ARTFLOW}. Fine-tuned from {family.base}: {family.credit}",
    )
    told = TrainOptions(
        recipe=name, attribute="gender" if style.paths else "", about=about, device=options.device, quiet=options.quiet
    )
    run = options.runs / f"{style.name}-{re.sub('[^a-z0-9]+', '_', name)}"
    return train(exemplars, run, Source(base=base), training, told).with_name("style.safetensors")


def best(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Choose a recipe by the report cards.

    Of those that copy no exemplars and come as near to the held-out ones as the nearest, within its standard error, the
    one that keeps most of the layout of the base's faces.
    """
    honest = {name: score for name, score in scores.items() if not score["copies"]["alarm"]} or scores
    nearest = min(honest.values(), key=lambda score: score["held_out"])
    bound = nearest["held_out"] + nearest["held_out_spread"]
    near = {name: score for name, score in honest.items() if score["held_out"] <= bound}
    return max(near, key=lambda name: near[name]["likeness"])


def make_encoder(family: Family, base: Model, options: argparse.Namespace) -> None:
    """Train the encoder of the base and put it in place in half precision.

    Two networks that are not shipped judge it: SqueezeNet how alike pictures look, MobileFaceNet who is who.
    """
    photos = photos_of(family, options, options.resolution)
    sizes = replace(small(base.generator.anatomy, "hvae"), standardised=True)
    weights = options.data / "weights"
    told = EncoderOptions(
        about=EncoderHeader(
            sizes,
            name=f"{family.base}-hvae",
            description=f"photos to codes of {family.base}: AgileGAN's hierarchical variational encoder",
            licence=family.licence,
            credit=family.credit,
        ),
        perceptual=PerceptualDistance(load_features(weights / "squeezenet1_1_imagenet_mxnet.npz")),
        identity=load_identity(weights / "mobilefacenet.pt"),
        start=None if options.encoder_from is None else load_encoder(options.encoder_from),
        device=options.device,
        quiet=options.quiet,
    )
    training = replace(ENCODER, images=options.encoder_images)
    path = train_encoder(photos, options.runs / f"{family.base}-hvae", base, sizes, training, told)
    shipped = save_encoder(
        options.out / f"{family.base}-hvae.safetensors", load_encoder(path), half=True, overwrite=True
    )
    registry.record_digest(shipped)


def make_chooser(family: Family, base: Model, options: argparse.Namespace) -> None:
    """Learn what chooses the paths of styles on the base's encoder, and put it in place in half precision.

    The photos that measure it take no part in the fit, nor in any other model.
    """
    photos, others = (
        ImageSet.open(options.data / f"{name}.zip", options.resolution, labels=options.data / f"labels_{name}.csv")
        for name in ("photos_256", "photos_eval_256")
    )
    about = About(
        name=f"{family.base}-chooser",
        description=f"the path of a multi-path style for a face of {family.base}, by its encoder's latents",
        licence=family.licence,
        credit=family.credit,
    )
    encoder = load_encoder(options.out / f"{family.base}-hvae.safetensors", base=base)
    learned = learn_chooser(photos, ["gender", "group"], base, encoder, held_out=others, about=about)
    shipped = save_chooser(options.out / f"{family.base}-chooser.safetensors", learned, half=True, overwrite=True)
    registry.record_digest(shipped)


def make_painters(family: Family, options: argparse.Namespace) -> None:
    """Distil a painter of each style that gets one, and put it into the style's pack."""
    weights, start = options.data / "weights", None
    perceptual = PerceptualDistance(load_features(weights / "squeezenet1_1_imagenet_mxnet.npz"))
    identity = load_identity(weights / "mobilefacenet.pt")
    photos = photos_of(family, options, PAINTER.side)
    for style in (style for style in family.styles if style.painted):
        pack = options.out / f"{style.name}.safetensors"
        by = Stylizer.load([pack], method="code", device=options.device)
        teacher = StyleTeacher(by, PAINTER.side)
        header, folder = read_header(pack), options.data / style.folder
        exemplars = ImageSet.open(folder, PAINTER.side, labels=options.data / f"labels_{style.folder}.csv")
        known = known_parts(header, ImageSet.open(folder, header.generator.resolution), exemplars)
        if known is None:
            raise UsageError(f"{pack} was not trained on {folder}.", "Make the style first (--only).")
        seen, unseen = known
        anatomy = PainterAnatomy(grey=are_grey(seen.all()))
        about = painter_header(Mixture.find(pack), by, anatomy, name=f"{style.name}-painter")
        told = PainterOptions(
            about=about,
            perceptual=perceptual,
            identity=identity,
            start=start,
            unseen=unseen,
            attribute="gender",
            device=options.device,
            quiet=options.quiet,
        )
        images = PAINTER.images if start is None else FURTHER_PAINTERS
        strokes, colour = FeatureTerm(style.strokes), ColourTerm(style.colour)
        training = replace(PAINTER, images=images, feature_discriminator=strokes, colour=colour, balance=style.balanced)
        run = options.runs / f"{style.name}-painter"
        stored = load_painter(distill(photos, seen, run, teacher, about.painter, training, told))
        found = compared(photos, unseen, run, teacher, training, stored.painter, identity, perceptual.features)
        registry.record_digest(save_with_painter(pack, stored, found, pack, overwrite=True))
        start = start or stored


if __name__ == "__main__":
    main()
