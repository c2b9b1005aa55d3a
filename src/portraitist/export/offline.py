"""A folder with one page that redraws photos in a browser, without a network.

write_page(Path("page"), styles=["toon3d"], painters=["runs/painter"])

Everything that the page loads is a script of the folder, so it can be opened as a file: networks and WebAssembly are
compressed and written in base64 into scripts that hand them over. What the page computes with is onnxruntime-web, whose
files for the processor lie in this package: they cost a few megabytes, and whoever has no npm can make a page too.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import torch
from torch import Tensor, nn

from ..errors import BadModel, UsageError
from ..faces.networks import Name, network_named
from ..files import refuse_existing, write_bytes
from ..io import registry
from ..io.encoder_files import StoredEncoder
from ..io.licences import joint_terms
from ..io.model_file import Model, generator_digest
from ..io.painter_files import StoredPainter, default_painter, load_painter
from ..networks.digest import tensors_digest
from ..report.template import render
from ..stylize.portraits import SMALLEST_PICTURE
from .drawable import of_painter, with_encoder
from .files import CLOSE
from .graph import difference, require_packages, to_onnx
from .page_networks import Coder, StrongPainter, StrongStyle
from .wired import wired_to_onnx

RUNTIME = "onnxruntime-web-1.30.0.zip"
"""Of this folder; made by scripts/make_page_runtime.py."""
MARK = "index.html"
"""Written last: a folder without it is no page."""
PLAIN = ("offline.css", "picture.js", "faces.js", "page.js", "README.txt")
SERVED = ("page.css", "icon.svg", "photo.js", "pictures.js")
"""What the page has in common with the one of `portraitist serve`."""
FINDERS: dict[Name, list[str]] = {"far": ["boxes", "logits"], "near": ["boxes", "logits"], "mesh": ["points", "logit"]}
FACES = {
    "name": "Networks that find faces",
    "licence": "Apache-2.0",
    "credit": "The MediaPipe Authors; see NOTICE-faces.md",
}
ENGINE = {
    "name": "onnxruntime-web, which runs networks",
    "licence": "MIT",
    "credit": "Microsoft Corporation; see ThirdPartyNotices.txt",
}


@dataclass(frozen=True)
class PageStyle:
    """One style of a page."""

    name: str
    method: str
    """``painter`` or ``code``."""
    side: int
    licence: str
    credit: str
    network: nn.Module
    """Takes the photos, or the codes, and the strength."""
    example: Tensor
    """Two rows of the former."""
    coder: str = ""
    """Of a style drawn by codes: the name of the network that finds them."""


@dataclass
class Contents:
    """What will be written, and what the page is told of it."""

    ready: dict[str, bytes] = field(default_factory=dict)
    """Name of a file -> its content, in the order of writing."""
    scripts: dict[str, str] = field(default_factory=dict)
    """Name of some data -> its script."""

    def deliver(self, name: str, content: bytes) -> None:
        """Take up data as a script that hands it over."""
        packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
        self.scripts[name] = f"data/{name}.js"
        self.ready[self.scripts[name]] = f'deliver({json.dumps(name)}, "{packed}");\n'.encode()


def write_page(
    out: Path,
    *,
    styles: Sequence[str | Path] = (),
    painters: Sequence[str | Path] = (),
    encoder: Path | str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a page that draws in some styles.

    Args:
        out: Folder to write; it must not hold a page.
        styles: By name, file or run folder. One that a painter was distilled from is drawn by the painter, the others
            by codes of the face.
        painters: Files or run folders.
        encoder: What turns photos into codes; the known one of the base when None.
        overwrite: Replace the files of a page that is there.

    Returns:
        The page's file.

    Raises:
        UsageError: There is no such style or painter, two have one name, nothing is named, there is a page already, or
            a package is missing.
        BadModel: A file is damaged, or a network draws something else than PyTorch.
    """
    refuse_existing(out / MARK, overwrite)
    require_packages()
    chosen = list(_chosen(styles, [load_painter(path) for path in painters], encoder))
    _check_names([style.name for style, _ in chosen])
    contents = Contents()
    for finder, outputs in FINDERS.items():
        contents.deliver(finder, wired_to_onnx(network_named(finder), outputs))
    for k, (style, coder) in enumerate(chosen):
        if coder is not None and style.coder not in contents.scripts:
            contents.deliver(style.coder, _checked(coder, {"photos": _photos(style.side)}, "codes"))
        inputs = {"photos" if coder is None else "codes": style.example, "strength": torch.tensor([0.8])}
        contents.deliver(f"style{k}", _checked(style.network, inputs, "drawings"))
    _add_runtime(contents)
    told = {
        "styles": [_told(style, f"style{k}") for k, (style, _) in enumerate(chosen)],
        "others": [FACES, ENGINE],
        "files": contents.scripts,
        "smallest": SMALLEST_PICTURE,
    }
    contents.ready["contents.js"] = f"const CONTENTS = {json.dumps(told, indent=1)};\n".encode()
    inside = files("portraitist")
    contents.ready["NOTICE-faces.md"] = (inside / "faces" / "weights" / "NOTICE.md").read_bytes()
    contents.ready |= {name: (inside / "web" / "page" / name).read_bytes() for name in SERVED}
    contents.ready |= {name: (inside / "export" / "page" / name).read_bytes() for name in PLAIN}
    contents.ready[MARK] = render("drawing.html", offline=True).encode()
    for name, content in contents.ready.items():
        write_bytes(out / name, content, overwrite=overwrite)
    return out / MARK


def _chosen(
    styles: Sequence[str | Path], painters: Sequence[StoredPainter], encoder: Path | str | None
) -> Iterator[tuple[PageStyle, nn.Module | None]]:
    """Give each style, and what finds the codes it draws where it is not drawn by a painter."""
    if not styles and not painters:
        raise UsageError("The page has no style.", "Name some with --style, or give painters with --painter.")
    for stored in painters:
        yield _of_painter(stored), None
    distilled = {stored.header.style_digest for stored in painters}
    for name in styles:
        style = registry.load(name)
        if tensors_digest(style.generator.state_dict()) in distilled:
            continue
        if encoder is None and (painter := default_painter(style)) is not None:
            yield _of_painter(painter), None
            continue
        style, base, coder = with_encoder(style, name, encoder)
        yield _of_style(style, base, coder), Coder(coder.encoder, base.generator)


def _of_painter(stored: StoredPainter) -> PageStyle:
    drawable = of_painter(stored)
    header, side = drawable.about, drawable.side
    network = StrongPainter(stored.painter)
    return PageStyle(header.name or "painted", "painter", side, header.licence, header.credit, network, _photos(side))


def _of_style(style: Model, base: Model, stored: StoredEncoder) -> PageStyle:
    anatomy, (licence, credit) = base.generator.anatomy, joint_terms((style.header, stored.header))
    network = StrongStyle(base.generator, style.generator)
    z = torch.randn(2, anatomy.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = base.generator.styles(z).clone()
    coder = f"codes-{generator_digest(base)[:8]}-{stored.digest[:8]}"
    return PageStyle(style.header.name, "code", anatomy.resolution, licence, credit, network, codes, coder)


def _photos(side: int) -> Tensor:
    """Return two soft pictures [2, 3, S, S] in [-1, 1]."""
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return nn.functional.interpolate(coarse, size=side, mode="bilinear")


def _checked(network: nn.Module, given: dict[str, Tensor], output: str) -> bytes:
    """Return a network as the content of an ONNX file that does what it does.

    Raises:
        BadModel: It does something else.
    """
    content = to_onnx(network, given, [output], fixed=["strength"])
    if not (apart := difference(content, network, given, fixed=["strength"])) <= CLOSE:
        raise BadModel(
            f"An exported network differs from PyTorch by {apart:.1e} of the range, not by {CLOSE} at most.",
            "Write to the authors of Portraitist, with the model.",
        )
    return content


def _check_names(names: Sequence[str]) -> None:
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"Two styles of the page are called '{twice[0]}'.", "Name each once.")


def _told(style: PageStyle, network: str) -> dict[str, object]:
    """Return what the page is told of a style."""
    found = {key: getattr(style, key) for key in ("name", "method", "side", "licence", "credit", "coder")}
    return {**found, "network": network}


def _add_runtime(contents: Contents) -> None:
    """Take up what runs the networks."""
    with ZipFile(str(files(__package__) / RUNTIME)) as packed:
        contents.deliver("wasm", packed.read("ort-wasm-simd-threaded.wasm"))
        contents.deliver("glue", packed.read("ort-wasm-simd-threaded.mjs"))
        contents.ready |= {name: packed.read(name) for name in ("ort.wasm.min.js", "LICENSE", "ThirdPartyNotices.txt")}
