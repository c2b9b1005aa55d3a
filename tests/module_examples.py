"""What the examples of module docstrings stand on: files in a folder, and values by name.

An example may use the names of its module, those that any module of the program defines, and the values that
:data:`VALUES` makes, such as ``photos``. :data:`SETUP` is run before the example of a single module.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.data import astronaut

import portraitist
from portraitist.data import write_image
from portraitist.faces import Face, Landmarks, align
from portraitist.io import registry
from portraitist.io.model_file import save_model, save_pack
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.io.translator_files import save_translator
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.encoder import new_encoder, small
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.networks.painter import PainterAnatomy, new_painter
from tests.conftest import make_model, restyled, smooth_pictures
from tests.io import foreign_files
from tests.stylize.test_translate import stored

MODULES = [m.name for m in pkgutil.walk_packages(portraitist.__path__, "portraitist.") if "__main__" not in m.name]


def blocks(docstring: str) -> list[str]:
    """Return the paragraphs of a docstring that are Python and call something."""
    found: list[str] = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        text = textwrap.dedent(paragraph)
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        if any(isinstance(node, ast.Call) for node in ast.walk(tree)):
            found.append(text)
    return found


EXAMPLES = {
    name: found for name in MODULES if (doc := importlib.import_module(name).__doc__) and (found := blocks(doc))
}
SMALL_MOTION = "MotionAnatomy(3, 3, HourglassAnatomy(2, 4, 8), HourglassAnatomy(2, 4, 8), width=4, most=8, blocks=1)"
FRAGMENT = "shows how a part is used, without the whole around it"
WEIGHTS = "needs published weights"
SLOW = "takes seconds; tests of the module, or the Python of the documents, do the same"
NOT_RUN = {
    "portraitist.api": SLOW,
    "portraitist.cli.groups": FRAGMENT,
    "portraitist.data.folder_run": FRAGMENT,
    "portraitist.data.lmdb": "needs an LMDB of FFHQ",
    "portraitist.data.lmdb_pages": "needs an LMDB of FFHQ",
    "portraitist.data.teacher": FRAGMENT,
    "portraitist.detail.look": "is a formula",
    "portraitist.detail.measure": FRAGMENT,
    "portraitist.detail.shape": FRAGMENT,
    "portraitist.edit.clip": WEIGHTS,
    "portraitist.edit.expressions": SLOW,
    "portraitist.edit.measure": SLOW,
    "portraitist.evaluate.comparison": SLOW,
    "portraitist.evaluate.exemplars": SLOW,
    "portraitist.evaluate.inversion": FRAGMENT,
    "portraitist.evaluate.models": SLOW,
    "portraitist.evaluate.pairs": FRAGMENT,
    "portraitist.evaluate.picture_baselines": SLOW,
    "portraitist.evaluate.picture_signals": FRAGMENT,
    "portraitist.evaluate.quality": FRAGMENT,
    "portraitist.export.graph": FRAGMENT,
    "portraitist.export.page_networks": FRAGMENT,
    "portraitist.export.quantised": FRAGMENT,
    "portraitist.invert.pivotal": SLOW,
    "portraitist.invert.projection": SLOW,
    "portraitist.invert.projector": SLOW,
    "portraitist.io.clip_files": WEIGHTS,
    "portraitist.io.described": FRAGMENT,
    "portraitist.io.chooser_files": WEIGHTS,
    "portraitist.io.foreign_encoders": WEIGHTS,
    "portraitist.io.encoder_files": WEIGHTS,
    "portraitist.io.feature_files": WEIGHTS,
    "portraitist.io.formats": WEIGHTS,
    "portraitist.io.identity_files": WEIGHTS,
    "portraitist.evaluate.study": FRAGMENT,
    "portraitist.io.photo2cartoon": WEIGHTS,
    "portraitist.io.words": FRAGMENT,
    "portraitist.losses.painting": FRAGMENT,
    "portraitist.losses.perceptual": FRAGMENT,
    "portraitist.networks.branches": FRAGMENT,
    "portraitist.networks.classifiers": WEIGHTS,
    "portraitist.networks.feature_discriminator": FRAGMENT,
    "portraitist.networks.identity": WEIGHTS,
    "portraitist.networks.translator": FRAGMENT,
    "portraitist.networks.wired": FRAGMENT,
    "portraitist.report.card": FRAGMENT,
    "portraitist.report.inversion": FRAGMENT,
    "portraitist.report.labels": FRAGMENT,
    "portraitist.report.pictures": FRAGMENT,
    "portraitist.report.study": FRAGMENT,
    "portraitist.report.quality": FRAGMENT,
    "portraitist.report.side_by_side": FRAGMENT,
    "portraitist.runs.encoder": SLOW,
    "portraitist.networks.chooser": FRAGMENT,
    "portraitist.runs.chooser": SLOW,
    "portraitist.runs.looks": SLOW,
    "portraitist.stylize.paths": FRAGMENT,
    "portraitist.runs.painter": SLOW,
    "portraitist.networks.painter": FRAGMENT,
    "portraitist.runs.painter_pack": FRAGMENT,
    "portraitist.runs.translator": SLOW,
    "portraitist.spaces.codes": FRAGMENT,
    "portraitist.spaces.direction": FRAGMENT,
    "portraitist.spaces.sefa": FRAGMENT,
    "portraitist.stylize.appearance": SLOW,
    "portraitist.stylize.cluster": SLOW,
    "portraitist.stylize.crops": SLOW,
    "portraitist.stylize.detailed": SLOW,
    "portraitist.stylize.edited": SLOW,
    "portraitist.stylize.inversion": SLOW,
    "portraitist.stylize.inverted": SLOW,
    "portraitist.stylize.mixture": SLOW,
    "portraitist.stylize.painter": SLOW,
    "portraitist.stylize.pipeline": SLOW,
    "portraitist.stylize.shown": "opens a window",
    "portraitist.stylize.teacher": SLOW,
    "portraitist.stylize.together": FRAGMENT,
    "portraitist.stylize.translate": SLOW,
    "portraitist.train.ada": FRAGMENT,
    "portraitist.train.distributed": FRAGMENT,
    "portraitist.train.encoder": FRAGMENT,
    "portraitist.train.gan": FRAGMENT,
    "portraitist.train.growth": FRAGMENT,
    "portraitist.train.painter": FRAGMENT,
    "portraitist.train.session": FRAGMENT,
    "portraitist.train.translator": FRAGMENT,
    "portraitist.video.artists": FRAGMENT,
    "portraitist.video.redraw": SLOW,
    "portraitist.video.segments": FRAGMENT,
    "portraitist.video.source": "needs a video",
    "portraitist.web": "serves until it is interrupted",
    "portraitist.web.app": SLOW,
    "portraitist.web.jobs": FRAGMENT,
    "portraitist.web.server": FRAGMENT,
    "portraitist.web.studio": SLOW,
}
"""Modules whose examples are only compared with the signatures of what they call, with the reason."""
SETUP = {
    "portraitist.cli.inputs": (
        "import shutil; shutil.copytree('drawings', 'holiday', dirs_exist_ok=True)\n"
        "os.mkdir('scans'); shutil.copy('me.jpg', 'scans/1.tif')"
    ),
    "portraitist.data.jpeg_damage": "name = 'me.jpg'; data = Path(name).read_bytes()",
    "portraitist.data.labels": "Path('labels.csv').write_text('file,hair\\na.png,dark\\n')",
    "portraitist.data.prepare": "find_and_align = lambda picture, side: [aligned]",
    "portraitist.data.sources": "import shutil; shutil.make_archive('drawings', 'zip', 'drawings')",
    "portraitist.data.video": "frames = [photo] * 3",
    "portraitist.edit.directions": "ratings = torch.linspace(0, 1, 40)",
    "portraitist.edit.paths": "one = other = code; age = sefa_directions(generator, [4, 8])[0]",
    "portraitist.evaluate.choices": (
        "import numpy as np\n"
        "shown, chosen, raters, questions = np.ones((9, 2), bool), np.arange(9) % 2, np.arange(9), np.arange(9)"
    ),
    "portraitist.evaluate.people": "photos = drawings = squares",
    "portraitist.evaluate.pictures": (
        "photos = drawings = held_out = drawings_of_mirrored_photos = drawn_toon = drawn_oil = toons = oils = squares"
    ),
    "portraitist.evaluate.recognition": "photos = drawings",
    "portraitist.faces.align": "face = someone",
    "portraitist.files": "content = b'content'",
    "portraitist.io.directions": (
        "from dataclasses import replace\n"
        "age, pose = (replace(d, name=n) for d, n in zip(sefa_directions(generator, [4, 8]), ('age', 'pose')))"
    ),
    "portraitist.io.legacy_tf": "made.write_legacy_pickle(Path('stylegan2-ffhq-config-f.pkl'), made.make_networks())",
    "portraitist.io.nvidia": (
        "made.write_persistent_pickle(Path('network-snapshot.pkl'), made.persistent_networks(made.make_networks()))"
    ),
    "portraitist.io.pickles": (
        "made.write_persistent_pickle(Path('network.pkl'), made.persistent_networks(made.make_networks()))"
    ),
    "portraitist.io.rosinality": "write_rosinality(Path('550000.pt'), made.make_networks())",
    "portraitist.networks.encoder": "base = generator",
    "portraitist.networks.multipath": "base = larger_base.generator",
    "portraitist.networks.growth": "base = larger_base; anatomy = base.generator.anatomy",
    "portraitist.networks.patch_discriminator": "drawings = torch.rand(2, 3, 256, 256) * 2 - 1",
    "portraitist.ops.memory": "side = 16",
    "portraitist.ops.winograd": "x = torch.rand(1, 8, 16, 16); weight = torch.rand(8, 8, 3, 3)",
    "portraitist.report.template": "sections = []",
    "portraitist.stylize.packed": "network = new_painter(PainterAnatomy())",
    "portraitist.stylize.discovery": "import shutil; shutil.copytree('drawings', 'holiday', dirs_exist_ok=True)",
    "portraitist.evaluate.flicker": "frames = []",
    "portraitist.io.motion_files": (
        "from tests.networks.test_motion import SMALL, released_layout; "
        "torch.save(released_layout(SMALL), 'vox-cpk.pth.tar')"
    ),
    "portraitist.networks.motion": f"anatomy = {SMALL_MOTION}; source = driving = torch.rand(1, 3, 64, 64)",
    "portraitist.video.driving": "finder, frame, seconds = finder_named(), photo, 0.1",
    "portraitist.video.first_order": f"still, model = photo, FirstOrderMotion({SMALL_MOTION})",
    "portraitist.video.one_euro": "points, eye_distance = np.zeros((5, 2)), 1.0",
    "portraitist.video.tracks": "frames = []; finder = finder_named()",
}
"""What is run before the examples of a module."""


def prepare(folder: Path) -> None:
    """Write the files that examples name."""
    photo = np.asarray(astronaut())
    for name in ("me.jpg", "sunset.png", "photos/one.jpg"):
        write_image(folder / name, photo)
    for name in ("drawings", "my-drawings"):
        smooth_pictures(folder / name)
    save_model(folder / "faces.safetensors", base())
    save_pack(folder / "toon.safetensors", {"women": style(), "men": restyled(base(), "men", 2)}, base())
    save_translator(folder / "translator.safetensors", stored(("women", "men")))
    save_translator(folder / "runs/groups/translator.safetensors", stored(("women", "men")))
    painter = StoredPainter(new_painter(PainterAnatomy()), PainterHeader(PainterAnatomy()))
    save_painter(folder / "runs/painter/painter.safetensors", painter)
    save_pack(folder / "runs/mine/style.safetensors", style(), base())
    save_model(folder / "runs/mine/base.safetensors", base())
    save_model(folder / "runs/both/base.safetensors", base())
    save_pack(folder / "runs/both/style.safetensors", {"women": style(), "men": restyled(base(), "men", 2)}, base())
    for part in ("photos/women", "photos/men", "drawings/women", "drawings/men"):
        smooth_pictures(folder / "faces" / part)


@cache
def base() -> Any:
    return make_model(name="tiny")


@cache
def style() -> Any:
    return restyled(base(), "wild")


def tensors(seed: int = 0, count: int = 6, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
def codes(count: int) -> Any:
    return base().generator.map(portraitist.Z(torch.randn(count, 16)))


def arrays(seed: int = 0, count: int = 4, side: int = 256) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def someone() -> Face:
    points = [(195.0, 108.0), (248.0, 106.0), (223.0, 135.0), (200.0, 160.0), (246.0, 159.0)]
    return Face.around(Landmarks.from_points(points), 1.0)


VALUES: dict[str, Callable[[], Any]] = {
    "aligned": lambda: align(np.asarray(astronaut()), someone().landmarks, 256),
    "anatomy": lambda: base().generator.anatomy,
    "base": base,
    "code": lambda: codes(1),
    "codes": lambda: codes(40),
    "drawings": lambda: tensors(1),
    "encoder": lambda: new_encoder(small(base().generator.anatomy, "hvae"), base().generator).eval(),
    "exemplars": lambda: tensors(2),
    "faces": lambda: base().generator,
    "features": lambda: DiscriminatorFeatures(base().discriminator),
    "flips": lambda: torch.zeros(2, dtype=torch.bool),
    "generator": lambda: base().generator,
    "held_out": lambda: tensors(3),
    "identity": lambda: DiscriminatorIdentity.of_base(base().generator, base().discriminator),
    "images": lambda: tensors(),
    "indices": lambda: torch.arange(2),
    "larger_base": lambda: make_model(resolution=64),
    "made": lambda: foreign_files,
    "mean": lambda: base().generator.mean,
    "model": base,
    "on_step": lambda: lambda *told: None,
    "outputs": lambda: tensors(5),
    "perceptual": lambda: PerceptualDistance(DiscriminatorFeatures(base().discriminator)),
    "photo": lambda: np.asarray(astronaut()),
    "photos": lambda: tensors(6, 2),
    "pictures": lambda: tensors(7),
    "redrawn": lambda: arrays(1, 1)[0],
    "registry": lambda: registry,
    "samples": lambda: tensors(4),
    "someone": someone,
    "squares": arrays,
    "stored": lambda: stored(("women", "men")),
    "style": style,
    "toon": lambda: style().generator,
    "torch": lambda: torch,
    "train": lambda: tensors(8),
    "x": lambda: tensors(9),
    "z": lambda: torch.randn(2, 16),
}


@cache
def defined() -> dict[str, Any]:
    """Return the names that modules of the program define; of two with one name the first in the alphabet."""
    found: dict[str, Any] = {}
    for name in MODULES:
        for key, value in vars(importlib.import_module(name)).items():
            if getattr(value, "__module__", None) == name and not key.startswith("_"):
                found.setdefault(key, value)
    return found


def execute(name: str) -> None:
    """Run the examples of a module in the present folder."""
    names: dict[str, Any] = {"__name__": name, "Path": Path, "tests": importlib.import_module("tests")}
    if name in SETUP:
        run(SETUP[name], names, vars(importlib.import_module(name)))
    for block in EXAMPLES[name]:
        run(block, names, vars(importlib.import_module(name)))


def run(block: str, names: dict[str, Any], module: dict[str, Any]) -> None:
    """Run a block after its free names were looked up."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in names:
            if (
                node.id in VALUES
                and not inspect.isroutine(module.get(node.id))
                and not inspect.isclass(module.get(node.id))
            ):
                names[node.id] = VALUES[node.id]()
            elif node.id in module or node.id in defined():
                names[node.id] = module.get(node.id, defined().get(node.id))
            elif not hasattr(builtins, node.id):
                continue  # assigned in the block, or an error when it runs
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(block, names["__name__"], "exec"), names)
