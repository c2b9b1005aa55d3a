"""Portraitist: learn a drawing style from a handful of exemplars and redraw photos of people in it.

    from portraitist import Stylizer

    portraits = Stylizer.from_pretrained("toon3d").stylize("me.jpg")
    portraits.save("me.png")

The names below, and those in ``__all__`` of ``data``, ``edit``, ``faces``, ``invert``, ``spaces``, ``stylize``,
``surgery`` and ``web``, are public; ``api_surface.txt`` lists them. Importing the package is cheap; PyTorch is loaded
when one of its names is first used.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ._version import __version__
from .errors import PortraitistError
from .lazy import lazily

if sys.platform == "darwin":  # read by PyTorch when it is loaded
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

if TYPE_CHECKING:
    from .api import edit_photo as edit_photo
    from .api import evaluate_style as evaluate_style
    from .api import invert_photo as invert_photo
    from .api import train_style as train_style
    from .io.encoder_files import load_encoder as load_encoder
    from .io.registry import load as load
    from .networks import Discriminator as Discriminator
    from .networks import Generator as Generator
    from .spaces import W as W
    from .spaces import WPlus as WPlus
    from .spaces import Z as Z
    from .spaces import ZPlus as ZPlus
    from .stylize import Appearance as Appearance
    from .stylize import ByEncoder as ByEncoder
    from .stylize import ByOptimisation as ByOptimisation
    from .stylize import PictureTranslator as PictureTranslator
    from .stylize import Reference as Reference
    from .stylize import Stylizer as Stylizer
    from .stylize import stylize_files as stylize_files
    from .surgery import blend_models as blend_models
    from .surgery import swap_models as swap_models

_HOMES = {
    "Appearance": "stylize",
    "ByEncoder": "stylize",
    "ByOptimisation": "stylize",
    "Discriminator": "networks",
    "Generator": "networks",
    "PictureTranslator": "stylize",
    "Reference": "stylize",
    "Stylizer": "stylize",
    "W": "spaces",
    "WPlus": "spaces",
    "Z": "spaces",
    "ZPlus": "spaces",
    "blend_models": "surgery",
    "edit_photo": "api",
    "evaluate_style": "api",
    "invert_photo": "api",
    "load": "io.registry",
    "load_encoder": "io.encoder_files",
    "stylize_files": "stylize",
    "swap_models": "surgery",
    "train_style": "api",
}
__all__ = [
    "Appearance",
    "ByEncoder",
    "ByOptimisation",
    "Discriminator",
    "Generator",
    "PictureTranslator",
    "PortraitistError",
    "Reference",
    "Stylizer",
    "W",
    "WPlus",
    "Z",
    "ZPlus",
    "__version__",
    "blend_models",
    "edit_photo",
    "evaluate_style",
    "invert_photo",
    "load",
    "load_encoder",
    "stylize_files",
    "swap_models",
    "train_style",
]
__getattr__ = lazily(__name__, _HOMES)
