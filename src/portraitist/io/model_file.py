"""The native model file: one safetensors file that describes itself.

Tensors are named ``G.<parameter>`` and ``D.<parameter>``; the header holds, under the key ``portraitist``, a JSON text
with the anatomies, the recipe, the lineage, the licence and provenance of the data, and metrics. A *style pack* is the
same file with only the tensors that differ from its base, and the digest of that base. Reading is strict: a tensor
that is missing, extra or of another shape is an error that names it. Nothing in the file is ever executed.

    model = load_model("faces.safetensors")
    image = model.generator(torch.randn(1, model.generator.anatomy.z_dim))
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import BadModel
from ..files import refuse_existing, write_bytes
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..networks.digest import tensors_digest

KEY = "portraitist"
FORMAT = 1
LARGEST_HEADER = 8 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What may be a model's name: a word that is safe in file names, in web pages and on a terminal."""
LONGEST_TEXT = 10_000
# No network that exists comes near; a header beyond them is damaged or a trap.
WIDEST, DEEPEST = 1 << 14, 64


@dataclass(frozen=True)
class Header:
    """What a model file says about itself."""

    generator: GeneratorAnatomy
    discriminator: DiscriminatorAnatomy | None = None
    format: int = FORMAT
    kind: Literal["model", "style-pack"] = "model"
    name: str = ""
    """A word that people type; letters, digits, ``-`` and ``_``."""
    description: str = ""
    base_name: str = ""
    base_digest: str = ""
    """Of a style pack: the digest of the model it belongs to."""
    licence: str = ""
    """SPDX identifier of the terms that the weights may be used under."""
    credit: str = ""
    """Who must be named wherever the file is passed on."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    lineage: list[dict[str, Any]] = field(default_factory=list)
    """Each training since the first: data, digest, images seen, device."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures measured of it, by name; empty until somebody has measured."""


@dataclass(frozen=True)
class Model:
    """A generator, its discriminator where known, and what the file says about them."""

    generator: Generator
    discriminator: Discriminator | None
    header: Header

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors; two models draw the same when theirs are equal."""
        return tensors_digest(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        found = {f"G.{k}": v for k, v in self.generator.state_dict().items()}
        if self.discriminator is not None:
            found |= {f"D.{k}": v for k, v in self.discriminator.state_dict().items()}
        return found


def save_model(path: Path | str, model: Model, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a model whole, or leave what was there as it was.

    Args:
        path: File to write.
        model: What to write.
        half: Store in half precision: half the size, and good to about three digits.
        overwrite: Replace a file of that name.
    """
    header = replace(
        model.header,
        kind="model",
        generator=model.generator.anatomy,
        discriminator=None if model.discriminator is None else model.discriminator.anatomy,
        base_name="",
        base_digest="",
    )
    return _write(path, model.tensors(), header, half, overwrite)


def save_pack(path: Path | str, model: Model, base: Model, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write only those generator tensors in which a model differs from its base.

    Raises:
        BadModel: The two have different anatomies.
    """
    if model.generator.anatomy != base.generator.anatomy:
        raise BadModel("A style pack needs the anatomy of its base.", "Save the model whole instead.")
    theirs = {k: v.cpu() for k, v in base.generator.state_dict().items()}
    mine = {f"G.{k}": v for k, v in model.generator.state_dict().items() if not torch.equal(v.cpu(), theirs[k])}
    header = replace(
        model.header,
        kind="style-pack",
        generator=model.generator.anatomy,
        discriminator=None,
        base_name=base.header.name,
        base_digest=generator_digest(base),
    )
    return _write(path, mine, header, half, overwrite)


def generator_digest(model: Model) -> str:
    """Return the digest of the generator alone, by which a style pack knows its base."""
    return tensors_digest({f"G.{k}": v for k, v in model.generator.state_dict().items()})


def load_model(path: Path | str, *, find_base: Callable[[Header], Model] | None = None) -> Model:
    """Read a model file, or a style pack together with its base.

    Args:
        path: File to read.
        find_base: Called with the header of a style pack; returns the base it belongs to.

    Raises:
        BadModel: The file is damaged, incomplete or of another kind.
    """
    path = Path(path)
    header, tensors = read_file(path)
    if header.kind == "style-pack":
        if find_base is None:
            raise BadModel(
                f"{path.name} is a style pack and needs its base '{header.base_name}'.",
                "Load it with portraitist.load, which finds the base.",
            )
        return apply_pack(find_base(header), header, tensors, path.name)
    check_fit(lambda: Generator(header.generator), tensors, "G.", path.name)
    generator = Generator(header.generator)
    fill(generator, tensors, "G.")
    discriminator = None
    if (anatomy := header.discriminator) is not None:
        check_fit(lambda: Discriminator(anatomy), tensors, "D.", path.name)
        discriminator = Discriminator(anatomy)
        fill(discriminator, tensors, "D.")
    if tensors:
        raise BadModel(
            f"{path.name} holds tensors that its anatomy does not know: {sorted(tensors)[:5]}.",
            "Get the whole file from its author.",
        )
    return Model(generator.eval(), None if discriminator is None else discriminator.eval(), header)


def apply_pack(base: Model, header: Header, tensors: Mapping[str, Tensor], name: str) -> Model:
    """Return a copy of the base with the tensors of a style pack in place."""
    if header.base_digest != generator_digest(base):
        raise BadModel(
            f"{name} was made from another base than '{base.header.name}' (digest {header.base_digest[:12]}...).",
            "Load the base that its header names.",
        )
    if header.generator != base.generator.anatomy:
        raise BadModel(f"{name} claims another anatomy than its base has.", "Get it again from its source.")
    generator = copy.deepcopy(base.generator)
    whole = {f"G.{k}": v for k, v in generator.state_dict().items()}
    unknown = sorted(set(tensors) - set(whole))
    if unknown:
        raise BadModel(
            f"{name} holds tensors that its base does not know: {unknown[:5]}.", "Get the whole file from its author."
        )
    whole |= tensors
    check_fit(lambda: Generator(header.generator), whole, "G.", name)
    fill(generator, whole, "G.")
    return Model(generator.eval(), base.discriminator, header)


def read_header(path: Path | str) -> Header:
    """Read only what a model file says about itself."""
    path = Path(path)
    with _opened(path) as file:
        return _parse_header(file.metadata(), path.name)


def read_file(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Read header and tensors (as float32) without building networks."""
    with _opened(path) as file:
        header = _parse_header(file.metadata(), path.name)
        try:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
        except (SafetensorError, RuntimeError) as error:
            raise BadModel(f"{path.name} cannot be read ({error}).", "Copy it again.") from error
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise BadModel(f"{path.name}: tensor {name} holds NaN or infinity.", "The training that wrote it diverged.")
    return header, tensors


def check_header(header: Header) -> None:
    """Refuse a header whose name or texts could harm where they are shown, or whose sizes no network has.

    Raises:
        BadModel: It is such a header.
    """
    for name in (header.name, header.base_name):
        if name and not NAME.fullmatch(name):
            raise BadModel(f"{name[:80]!r} cannot be a model's name.", "Use letters, digits, - and _.")
    for text in (header.description, header.licence, header.credit):
        if len(text) > LONGEST_TEXT or not text.replace("\n", "").isprintable():
            raise BadModel("A text of the header is too long or holds control characters.", "Write plain text.")
    g, d = header.generator, header.discriminator
    widths = [*g.channels, g.z_dim, g.w_dim, *(() if d is None else d.channels)]
    if max(widths) > WIDEST or g.mapping_layers > DEEPEST:
        raise BadModel(
            f"The header names a network of {max(widths)} channels and {g.mapping_layers} layers.",
            "Such sizes are not drawn from.",
        )


def check_fit(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], prefix: str, name: str) -> None:
    """Compare a network with the tensors meant for it without allocating it, so that no header can ask for memory."""
    with torch.device("meta"):
        state = build().state_dict()
    missing = [k for k in state if prefix + k not in tensors]
    if missing:
        raise BadModel(
            f"{name} lacks {len(missing)} tensors of its anatomy: {missing[:5]}.", "Get the whole file from its author."
        )
    pairs = [(k, tuple(tensors[prefix + k].shape), tuple(v.shape)) for k, v in state.items()]
    wrong = [f"{k} {found}, not {due}" for k, found, due in pairs if found != due]
    if wrong:
        raise BadModel(f"{name} holds tensors of other shapes: {wrong[:5]}.", "Get the whole file from its author.")


def fill(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Move the tensors of one network out of ``tensors`` into it."""
    module.load_state_dict({k: tensors.pop(prefix + k) for k in module.state_dict()})


def _write(path: Path | str, tensors: Mapping[str, Tensor], header: Header, half: bool, overwrite: bool) -> Path:
    path = Path(path)
    check_header(header)
    refuse_existing(path, overwrite)
    dtype = torch.float16 if half else torch.float32
    ready = {k: v.detach().to("cpu", dtype).contiguous().clone() for k, v in tensors.items()}
    for name, value in ready.items():
        if not torch.isfinite(value).all():
            raise BadModel(
                f"Tensor {name} holds NaN or infinity{' in half precision' if half else ''}.",
                "The training that made it diverged; go back to an earlier snapshot.",
            )
    payload = save(ready, metadata={KEY: json.dumps(asdict(header), sort_keys=True)})
    write_bytes(path, payload, overwrite=overwrite)
    return path


def _opened(path: Path) -> Any:
    if not os.path.isfile(path):  # unlike Path.is_file, false for names too long
        raise BadModel(f"There is no model file {path}.", "Check its path.")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadModel(
            f"{path.name} is not a whole model file ({error}).",
            "Copy it again; for checkpoints of other programs use `portraitist convert`.",
        ) from error


def _parse_header(metadata: Mapping[str, str] | None, name: str) -> Header:
    text = (metadata or {}).get(KEY)
    if text is None or len(text) > LARGEST_HEADER:
        raise BadModel(f"{name} is a safetensors file, but not one of Portraitist.", "Use `portraitist convert`.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadModel(f"The header of {name} is no JSON ({error}).", "Get the file again from its source.") from error
    if isinstance(found, dict) and found.get("format") != FORMAT:
        raise BadModel(
            f"{name} has format {str(found.get('format'))[:20]}; this version reads {FORMAT}.", "Update Portraitist."
        )
    try:
        header = TypeAdapter(Header).validate_python(found)
        check_header(header)
    except (ValidationError, BadModel) as error:
        raise BadModel(f"The header of {name} is damaged ({error}).", "Get the file again from its source.") from error
    return header
