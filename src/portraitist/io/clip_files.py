"""CLIP from a folder on this machine, in the layout of Hugging Face; nothing is downloaded, no pickle is read.

The folder holds ``config.json``, ``model.safetensors`` and the files of the tokenizer, as for instance those of
openai/clip-vit-base-patch32.

    clip = load_clip("clip-vit-base-patch32")
    near = clip.embed_image(images) @ clip.embed_text(["a smiling face"]).T
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from ..errors import BadModel, UsageError
from ..files import parse_json, read_regular

# Of all models of OpenAI and OpenCLIP (Radford et al. 2021, released code).
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)

PixelsFor = Literal["clip", "released"]
"""How pictures are made ready: as CLIP was trained, or as the released code of StyleCLIP does it."""


class FolderClip:
    """A CLIP model of transformers, at rest; a ``Clip`` of :mod:`portraitist.edit.clip`."""

    def __init__(self, model: Any, tokenizer: Any, pixels: PixelsFor = "clip") -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.pixels = pixels
        self.side: int = model.config.vision_config.image_size
        self.longest: int = model.config.text_config.max_position_embeddings

    def embed_image(self, images: Tensor) -> Tensor:
        """Return unit vectors [N, D] of images [N, 3, H, W] in [-1, 1], differentiably."""
        ready = box_resized(images, self.side) if self.pixels == "released" else _ready(images, self.side)
        return F.normalize(_vectors(self.model.get_image_features(pixel_values=ready)).float(), dim=1)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors [N, D] of texts; one that is longer than the model reads is cut.

        Raises:
            UsageError: A text is empty.
        """
        if not all(text.strip() for text in texts):
            raise UsageError("A text is empty.", "Say what the picture shall show.")
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.longest, return_tensors="pt"
        )
        device = self.model.device
        with torch.no_grad():
            found = self.model.get_text_features(
                input_ids=tokens["input_ids"].to(device), attention_mask=tokens["attention_mask"].to(device)
            )
        return F.normalize(_vectors(found).float(), dim=1)


def load_clip(folder: Path | str, *, pixels: PixelsFor = "clip", device: str = "cpu") -> FolderClip:
    """Read CLIP from a local folder.

    Args:
        folder: Where its files lie.
        pixels: ``released`` shows it enlarged pixels in [-1, 1] as Cartoon-StyleGAN's code does, without CLIP's mean
            and deviation.
        device: Where it works.

    Raises:
        UsageError: The package is not installed, or there is no such folder.
        BadModel: The folder holds no CLIP that can be read.
    """
    folder = Path(folder)
    if pixels not in get_args(PixelsFor):
        raise UsageError(f"'{pixels}' is no way to show pictures.", f"Use {' or '.join(get_args(PixelsFor))}.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Name the folder that holds CLIP's config.json.")
    _check_files(folder)
    try:
        from transformers import CLIPModel, CLIPTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise UsageError(
            "Editing by text needs the package transformers.", 'Run pip install "portraitist[clip]".'
        ) from error
    # What is missing is an error here, and no table on stderr.
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        _check_sizes(folder)
        loaded: Any = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        # Whatever is wrong with foreign files ends in errors of any kind; to the user all are the same news.
        why = " ".join(str(error).split())[:200]
        raise BadModel(f"{folder} holds no CLIP that can be read ({why}).", "Get its files again.") from error
    finally:
        logging.set_verbosity(before)
    model, told = loaded
    if missing := sorted(told["missing_keys"]) + sorted(map(str, told["mismatched_keys"])):
        raise BadModel(f"The CLIP in {folder} lacks tensors: {missing[:5]}.", "Get its files again.")
    return FolderClip(model.to(device), tokenizer, pixels)


def box_resized(images: Tensor, side: int) -> Tensor:
    """Resize square images by whole steps: pixels repeated, then means of blocks.

    At 256 pixels and a side of 224 they are repeated 7 times and averaged over 8, as StyleCLIP's code does.
    """
    common = math.gcd(images.shape[-1], side)
    repeated = images.repeat_interleave(side // common, 2).repeat_interleave(side // common, 3)
    return F.avg_pool2d(repeated, images.shape[-1] // common)


def _check_files(folder: Path) -> None:
    wanted = ["config.json", "model.safetensors"]
    if not (folder / "tokenizer.json").is_file():
        wanted += ["vocab.json", "merges.txt"]  # without them transformers makes a tokenizer that knows no word
    for name in wanted:
        if not (folder / name).is_file():
            raise BadModel(
                f"{folder} has no {name}.", "Get all files of the model, or save it and its tokenizer there again."
            )


def _check_sizes(folder: Path) -> None:
    """Refuse a description of other sizes than the tensors have, before a network of its sizes is made.

    Raises:
        ValueError: There are more parameters than numbers in the file, more layers than any CLIP has, or other shapes.
    """
    from transformers import CLIPConfig, CLIPModel

    described = parse_json(read_regular(folder / "config.json"))
    parts = [described.get(part) or {} for part in ("text_config", "vision_config")]
    if any(int(part.get("num_hidden_layers", 0)) > MOST_LAYERS for part in parts):
        raise ValueError(f"config.json asks for more than {MOST_LAYERS} layers")
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in CLIPModel(CLIPConfig(**described)).state_dict().items()}
    with safe_open(folder / "model.safetensors", "pt") as file:
        held = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    if sum(map(math.prod, wanted.values())) > 2 * sum(map(math.prod, held.values())):
        raise ValueError("config.json asks for more than the tensors of the file")
    if other := [name for name, shape in wanted.items() if held.get(name, shape) != shape]:
        raise ValueError(f"config.json asks for other shapes of {', '.join(other[:5])}")


MOST_LAYERS = 200


def _ready(images: Tensor, side: int) -> Tensor:
    scaled = F.interpolate(images, (side, side), mode="bicubic", antialias=True, align_corners=False)
    mean, deviation = (images.new_tensor(x)[:, None, None] for x in (MEAN, DEVIATION))
    return ((scaled + 1) / 2 - mean) / deviation


def _vectors(found: Any) -> Tensor:
    """Return the projected features; newer versions of transformers wrap them."""
    vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return vectors
