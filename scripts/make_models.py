"""Train the models that ship with the package, from the images that docs/models.md names.

Each stage is an ordinary run folder: stopped at any moment, the same command continues it bit for bit (on the CPU, with
as many threads). A stage whose run is finished is not trained again.

    python scripts/make_models.py --data DATA --runs runs/models
    python scripts/make_models.py --data DATA --runs runs/models --images 400000 --device cuda   # a longer base
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from portraitist.data import ImageSet
from portraitist.io import registry
from portraitist.io.encoder_files import EncoderHeader, load_encoder, save_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Header, Model, load_model, save_model, save_pack
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
from portraitist.networks.encoder import small
from portraitist.ops.memory import keep_heap
from portraitist.recipes import compose, from_scratch
from portraitist.recipes.encoder import EncoderSettings, train_encoder
from portraitist.recipes.run import Settings, Source, train
from portraitist.train.encoder import agilegan

LICENCE = "CC-BY-NC-SA-4.0"
PHOTOS = (
    "One Million Impressions faces (Peterson, Uddenberg, Griffiths, Todorov, Suchow 2022, PNAS, "
    "doi 10.1073/pnas.2115228119), CC BY-NC-SA 4.0; SFHQ (Copyright (c) 2022 David Beniaguev), MIT; SD3 faces, CC0"
)
ARTFLOW = (
    "Images by artflow.ai (https://artflow.ai), CC BY 4.0, via github.com/initiative-sh/artflow-portraits; modified"
)


@dataclass(frozen=True)
class Style:
    """A style that ships: its exemplars, what they are, and how it is trained."""

    name: str
    folder: str
    description: str
    rests_upto: int
    """Resolution of the generator up to which blocks rest: the shape of head and hair is drawn there."""


STYLES = (
    Style("toon3d", "style_toon3d", "3-D cartoon heads", rests_upto=16),
    Style("charcoal", "style_charcoal", "charcoal, ink and graphite drawings", rests_upto=16),
)

# There are 1,699 photos only, so half of each batch is drawn by the base; the persons of a quarter are compared,
# because that is what costs most. The paper's weight of the divergence, 5e-4, is for 18 rows of 512; these codes are 10
# of 128, and with it little of the photo is left in them. First the encoder learns to see, then to keep near the prior.
ENCODER = replace(agilegan(), samples=0.5, identity_part=0.25)
SEE = replace(ENCODER, images=132_128, kl_weight=5e-5)
SETTLE = replace(ENCODER, images=24_000, kl_weight=5e-5, centre_weight=5e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos_256.zip and style_*/")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"), help="folder for the run folders")
    parser.add_argument("--out", type=Path, default=registry.bundled_folder(), help="where the model files go")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=1536)
    parser.add_argument("--channel-cap", type=int, default=128)
    parser.add_argument("--images", type=int, default=200_000, help="images of the base in all")
    parser.add_argument("--warm-up", type=int, default=25_536, help="images of the base before augmentation begins")
    parser.add_argument("--style-images", type=int, default=6_000, help="images of each style")
    parser.add_argument("--encoder-images", type=int, default=SEE.images, help="images of the encoder's first stage")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="threads of PyTorch; its own choice when 0")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keep_heap()
    if options.threads:
        torch.set_num_threads(options.threads)
    base = make_base(options)
    for style in STYLES:
        make_style(style, base, options)
    make_encoder(base, options)


def make_base(options: argparse.Namespace) -> Model:
    """Train the base of faces and put it in place in half precision."""
    photos = ImageSet.open(options.data / "photos_256.zip", options.resolution, mirror=True)
    channels = channels_for(options.resolution, base=options.channel_base, cap=options.channel_cap)
    generator = GeneratorAnatomy(options.resolution, channels, z_dim=128, w_dim=128, mapping_layers=4)
    discriminator = DiscriminatorAnatomy(options.resolution, channels)
    about = Header(
        generator,
        name="faces",
        description=f"faces of people who do not exist, {options.resolution} px",
        licence=LICENCE,
        credit=PHOTOS,
    )
    # About twice the rule: there are few photos for a base.
    settings = replace(from_scratch(options.resolution), r1_gamma=0.2 * (options.resolution / 64) ** 2)
    # The augmentation slows the first steps, when the discriminator cannot overfit yet.
    first = replace(settings, augment="none", images=options.warm_up, seed=1)
    sizes = Source(generator=generator, discriminator=discriminator)
    warm = train(photos, options.runs / "faces-warm-up", sizes, first, Settings(about=about, device=options.device))
    rest = replace(settings, images=options.images - options.warm_up, seed=2)
    source = Source(base=load_model(warm))
    path = train(photos, options.runs / "faces", source, rest, Settings(about=about, device=options.device))
    # Styles are trained from the base as it ships, rounded to half precision, so that their packs fit it exactly.
    shipped = save_model(options.out / "faces.safetensors", load_model(path), half=True, overwrite=True)
    registry.record_digest(shipped)
    return load_model(shipped)


def make_style(style: Style, base: Model, options: argparse.Namespace) -> None:
    """Fine-tune one style and put its pack in place in half precision."""
    exemplars = ImageSet.open(options.data / style.folder, options.resolution, mirror=True)
    recipe = compose("freeze_fc", options.resolution)
    rests = replace(recipe.rests, generator_upto=style.rests_upto)
    training = replace(recipe, images=options.style_images, seed=1, rests=rests)
    about = Header(
        base.generator.anatomy,
        name=style.name,
        description=style.description,
        licence=LICENCE,
        credit=f"{ARTFLOW}. Fine-tuned from faces: {PHOTOS}",
    )
    run = options.runs / style.name
    path = train(exemplars, run, Source(base=base), training, Settings(about=about, device=options.device))
    pack = save_pack(options.out / f"{style.name}.safetensors", load_model(path), base, half=True, overwrite=True)
    registry.record_digest(pack)


def make_encoder(base: Model, options: argparse.Namespace) -> None:
    """Train the encoder of the base and put it in place in half precision.

    Two networks that are not shipped judge it: SqueezeNet how alike pictures look, MobileFaceNet who is who.
    """
    photos = ImageSet.open(options.data / "photos_256.zip", options.resolution, mirror=True)
    sizes = small(base.generator.anatomy, "hvae")
    weights = options.data / "weights"
    told = EncoderSettings(
        about=EncoderHeader(
            sizes,
            name="faces-hvae",
            description="photos to codes of faces: AgileGAN's hierarchical variational encoder",
            licence=LICENCE,
            credit=PHOTOS,
        ),
        looks=PerceptualDistance(load_features(weights / "squeezenet1_1_imagenet_mxnet.npz")),
        persons=load_identity(weights / "mobilefacenet.pt"),
        device=options.device,
    )
    first = replace(SEE, images=options.encoder_images)
    seen = train_encoder(photos, options.runs / "faces-hvae-first", base, sizes, first, told)
    told = replace(told, start=load_encoder(seen))
    path = train_encoder(photos, options.runs / "faces-hvae", base, sizes, SETTLE, told)
    shipped = save_encoder(options.out / "faces-hvae.safetensors", load_encoder(path), half=True, overwrite=True)
    registry.record_digest(shipped)


if __name__ == "__main__":
    main()
