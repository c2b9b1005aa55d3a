"""The native model file: one safetensors file that describes itself.

Tensors are named ``G.<parameter>`` and ``D.<parameter>``; the header holds, under the key ``portraitist``, a JSON text
with the anatomies, the recipe, the lineage, the licence and provenance of the data, and metrics. A *style pack* is the
same file with only the tensors that differ from its base, and the digest of that base. It may hold several *paths*, one
generator per attribute (Song et al. 2021, "AgileGAN", Sec. 3.3): what the paths share is named ``G.<parameter>`` as
ever, what each has for itself ``G@<attribute>.<parameter>``. A style pack may carry its *look*, the tensors
``L.<name>`` and the header's ``medium``, which the detail stage redraws photos with (``portraitist.detail``), and its
*painter*, the tensors ``P.<parameter>`` and the header's ``painter``, which draws photos in one pass. It may also ask
to be drawn as a *feature swap*, whose low resolutions are the base's; whoever cannot draw one is refused the file.
Reading is strict: a tensor that is missing, extra or of another shape is an error that names it. Nothing in the file is
ever executed.

    model = load_model("faces.safetensors")
    image = model.generator(torch.randn(1, model.generator.anatomy.z_dim))
    style = load_model("toon.safetensors", find_base=lambda header: model, attribute="men")
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..detail.look import TENSORS, Look
from ..errors import BadModel, UsageError
from ..networks import Discriminator, Generator, GeneratorAnatomy
from ..networks.digest import tensors_digest
from ..networks.generator import with_low_rows
from ..networks.painter import Painter
from .described import assembled, check_fit, fill, read_described, refuse_unknown, write_described
from .headers import (
    MODELS,
    Header,
    check_header,
    parse_header,
)


@dataclass(frozen=True)
class Model:
    """A generator, its discriminator where known, and what the file says about them."""

    generator: Generator
    discriminator: Discriminator | None
    header: Header
    look: Look | None = None
    """What the style changes of any photo; None where that was not measured."""
    painter: Painter | None = None
    """What draws photos in the style in one pass, see ``header.painter``; None where the style has none."""

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors; two models draw the same when theirs are equal."""
        return tensors_digest(self.tensors())

    def require_discriminator(self, purpose: str, *, or_features: bool = False) -> Discriminator:
        """Return the discriminator.

        Args:
            purpose: What it is needed for, as in "to train on with".
            or_features: The weights of a feature network would do as well.

        Raises:
            UsageError: The model has none.
        """
        if self.discriminator is None:
            cure = "Convert it from a checkpoint that holds one" + (
                ", or give feature weights with --features." if or_features else "."
            )
            raise UsageError(f"The base '{self.header.name}' has no discriminator {purpose}.", cure)
        return self.discriminator

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        found = {f"G.{k}": v for k, v in self.generator.state_dict().items()}
        if self.discriminator is not None:
            found |= {f"D.{k}": v for k, v in self.discriminator.state_dict().items()}
        return found


def lineage(images: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the header of a file keeps of a training that has seen ``images`` images.

    Args:
        images: Images seen.
        settings: Of the training; ``base``, ``data`` and ``device`` are read.
    """
    return {
        "base": settings["base"],
        "data": settings["data"],
        "images_seen": images,
        "version": __version__,
        "torch": torch.__version__,
        "device": settings["device"],
        "machine": platform.machine(),
    }


def save_model(path: Path | str, model: Model, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a model whole, or leave what was there as it was; a file with paths is always a style pack.

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
        paths=(),
        medium=None,
        painter=None,
    )
    return _write(path, model.tensors(), header, half, overwrite)


def save_pack(
    path: Path | str,
    model: Model | Mapping[str, Model],
    base: Model,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write only those generator tensors in which a model differs from its base.

    Of a FreezeSG model the resting mapping network is the base's own and is left out too.

    Args:
        path: File to write.
        model: What to write; or attribute -> model, for a pack with one path per attribute. The header, but for the
            paths, the look and the painter are then those of the first.
        base: What it was fine-tuned from.
        half: Store in half precision.
        overwrite: Replace a file of that name.

    Raises:
        BadModel: The anatomy is not that of the base, the paths have different ones, an attribute is not a word, or
            the header does not know the painter.
    """
    models = list(model.values()) if isinstance(model, Mapping) else [model]
    if not models:
        raise BadModel("A style pack needs a path at least.", "Give a model per attribute.")
    anatomy = models[0].generator.anatomy
    if any(m.generator.anatomy != anatomy for m in models):
        raise BadModel("The paths of a style pack need one anatomy.", "Save each in a pack of its own.")
    if anatomy.of_base != base.generator.anatomy:
        raise BadModel("A style pack needs the anatomy of its base.", "Save the model whole instead.")
    start = _cpu(_begun(base.generator, anatomy))
    states = [_cpu(m.generator) for m in models]
    names = list(model) if isinstance(model, Mapping) else []
    own = {k for k in start if not all(torch.equal(states[0][k], state[k]) for state in states[1:])}
    mine = {f"G.{k}": v for k, v in states[0].items() if k not in own and not torch.equal(v, start[k])}
    for attribute, state in zip(names, states, strict=False):
        mine |= {_of_path(attribute, f"G.{k}"): state[k] for k in own}
    if (look := models[0].look) is not None:
        mine |= {f"L.{k}": v for k, v in look.tensors().items()}
    if (painter := models[0].painter) is not None:
        about = models[0].header.painter
        if about is None or about.painter != painter.anatomy:
            raise BadModel("The header does not describe the painter of this style.", "Set its field painter.")
        mine |= {f"P.{k}": v for k, v in painter.state_dict().items()}
    header = replace(
        models[0].header,
        kind="style-pack",
        medium=None if look is None else look.medium,
        painter=None if painter is None else models[0].header.painter,
        generator=anatomy,
        discriminator=None,
        base_name=base.header.name,
        base_digest=generator_digest(base),
        paths=tuple(names),
    )
    return _write(path, mine, header, half, overwrite)


def generator_digest(model: Model) -> str:
    """Return the digest of the generator alone, by which a style pack knows its base."""
    return tensors_digest({f"G.{k}": v for k, v in model.generator.state_dict().items()})


def ancestors(model: Model) -> frozenset[str]:
    """Return the digests of a model's generator and of all that it was fine-tuned from, as far as its file knows."""
    header = model.header
    found = {generator_digest(model), header.base_digest, *(str(step.get("base", "")) for step in header.lineage)}
    return frozenset(found - {""})


def load_model(
    path: Path | str,
    *,
    find_base: Callable[[Header], Model] | None = None,
    attribute: str | None = None,
    supports_feature_swap: bool = False,
) -> Model:
    """Read a model file, or a style pack together with its base.

    Args:
        path: File to read.
        find_base: Called with the header of a style pack; returns the base it belongs to.
        attribute: Of a style pack with paths: which of them; of no meaning for other files.
        supports_feature_swap: The caller draws the features that ``header.swap_upto`` names with the base; the
            generator is then the side that draws the rest.

    Raises:
        BadModel: The file is damaged, incomplete or of another kind, or an unsupported feature swap.
        UsageError: The pack has paths, and none of this attribute.
    """
    path = Path(path)
    header, tensors = read_file(path)
    if header.swap_upto and not supports_feature_swap:
        raise BadModel(
            f"{path.name} is a feature swap: two generators draw its pictures, and this takes one.",
            "Give it to `portraitist stylize --style`, or make the swap with --by weights.",
        )
    if header.kind == "style-pack":
        if find_base is None:
            raise BadModel(
                f"{path.name} is a style pack and needs its base '{header.base_name}'.",
                "Load it with portraitist.load, which finds the base.",
            )
        check_attribute(header, attribute, path.name)
        return apply_pack(find_base(header), header, tensors, path.name, attribute)
    check_fit(lambda: Generator(header.generator), tensors, "G.", path.name)
    generator = Generator(header.generator)
    fill(generator, tensors, "G.")
    discriminator = None
    if (anatomy := header.discriminator) is not None:
        check_fit(lambda: Discriminator(anatomy), tensors, "D.", path.name)
        discriminator = Discriminator(anatomy)
        fill(discriminator, tensors, "D.")
    refuse_unknown(tensors, path.name)
    return Model(generator.eval(), None if discriminator is None else discriminator.eval(), header)


def check_attribute(header: Header, attribute: str | None, name: str) -> None:
    """Refuse to guess which path of a style pack is meant.

    Raises:
        UsageError: The pack has paths, and none of this attribute.
    """
    if header.paths and attribute not in header.paths:
        found = f"{name} draws each attribute with a path of its own"
        said = "" if attribute is None else f" and has none for '{attribute[:80]}'"
        raise UsageError(f"{found}{said}.", f"Name one of its attributes (--attribute): {', '.join(header.paths)}.")


def apply_pack(
    base: Model, header: Header, tensors: Mapping[str, Tensor], name: str, attribute: str | None = None
) -> Model:
    """Return a copy of the base with the tensors of a style pack in place; all paths are checked, one is taken."""
    if header.base_digest != generator_digest(base):
        _check_not_grown(base.header, header.base_digest, name)
        raise BadModel(
            f"{name} was made from another base than '{base.header.name}' (digest {header.base_digest[:12]}...).",
            "Load the base that its header names.",
        )
    if header.generator.of_base != base.generator.anatomy:
        raise BadModel(f"{name} claims another anatomy than its base has.", "Get it again from its source.")
    check_attribute(header, attribute, name)
    look, tensors = _look(header, tensors, name)
    painter, tensors = _painter(header, tensors, name)
    generator = _begun(base.generator, header.generator)
    start = {f"G.{k}": v for k, v in generator.state_dict().items()}
    chosen = start
    for path, found in _paths(header, tensors, start.keys(), name).items():
        check_fit(lambda: Generator(header.generator), start | found, "G.", name)
        if path == attribute or not header.paths:
            chosen = start | found
    fill(generator, chosen, "G.")
    return Model(generator.eval(), base.discriminator, header, look, painter)


def _look(header: Header, tensors: Mapping[str, Tensor], name: str) -> tuple[Look | None, dict[str, Tensor]]:
    """Split the tensors of a style pack: its look, and the others.

    Raises:
        BadModel: Tensors of a look are missing, unknown or of another shape.
    """
    found = {k.removeprefix("L."): v for k, v in tensors.items() if k.startswith("L.")}
    rest = {k: v for k, v in tensors.items() if not k.startswith("L.")}
    if header.medium is None and not found:
        return None, rest
    if "shape" in found:
        found["shape"] = found["shape"][: TENSORS["shape"][0]]  # older packs end with the ten points of the irises
    wrong = [k for k, shape in TENSORS.items() if k not in found or tuple(found[k].shape) != shape]
    if header.medium is None or wrong or len(found) != len(TENSORS) or float(found["energy"].min()) < 0:
        raise BadModel(
            f"{name} holds a look that is not whole: {(wrong or sorted(found))[:5]}.",
            "Get the whole file from its author, or measure the look again (`portraitist look`).",
        )
    return Look.of(found, header.medium), rest


def _painter(header: Header, tensors: Mapping[str, Tensor], name: str) -> tuple[Painter | None, dict[str, Tensor]]:
    """Split the tensors of a style pack: its painter, and the others.

    Raises:
        BadModel: Tensors of the painter are missing or of another shape.
    """
    rest = dict(tensors)
    if (about := header.painter) is None:
        return None, rest
    return assembled(lambda: Painter(about.painter), rest, "P.", name), rest


def _check_not_grown(base: Header, digest: str, name: str) -> None:
    """Say so where a style belongs to what a base was before it grew: its tensors have other sizes.

    Raises:
        BadModel: It does.
    """
    for step in base.lineage:
        if "grown_from" in step and step.get("base") == digest:
            before, now = step["grown_from"]["resolution"], base.generator.resolution
            raise BadModel(
                f"{name} is a style of the base before it grew from {before} to {now} pixels.",
                "Teach the grown base the style (`portraitist train` with the same exemplars).",
            )


def read_file(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Read header and tensors (as float32) without building networks."""
    return read_described(path, parse_header, MODELS)


def _begun(base: Generator, anatomy: GeneratorAnatomy) -> Generator:
    """Return what a style of this anatomy was before its first step: a copy of its base."""
    return with_low_rows(base, anatomy.low_rows) if anatomy.low_rows else copy.deepcopy(base)


def _cpu(generator: Generator) -> dict[str, Tensor]:
    return {k: v.cpu() for k, v in generator.state_dict().items()}


def _of_path(attribute: str, name: str) -> str:
    """Return the name in the file of ``G.<parameter>`` where a path has it for itself."""
    return f"G@{attribute}.{name.removeprefix('G.')}"


def _paths(
    header: Header, tensors: Mapping[str, Tensor], known: Collection[str], name: str
) -> dict[str, dict[str, Tensor]]:
    """Return attribute -> tensors of a style pack, under the names of a plain generator; '' without attributes."""
    shared = {k: v for k, v in tensors.items() if k in known}
    own = {a: {k: _of_path(a, k) for k in known if _of_path(a, k) in tensors} for a in header.paths}
    unknown = sorted(set(tensors) - set(shared) - {stored for names in own.values() for stored in names.values()})
    if unknown:
        raise BadModel(
            f"{name} holds tensors that its base does not know: {unknown[:5]}.", "Get the whole file from its author."
        )
    split = {k for names in own.values() for k in names}
    missing = sorted(_of_path(a, k) for a, names in own.items() for k in split - set(names))
    if missing:
        raise BadModel(f"{name} lacks tensors of its paths: {missing[:5]}.", "Get the whole file from its author.")
    if both := sorted(split & set(shared)):
        raise BadModel(
            f"{name} holds tensors both for all paths and for each: {both[:5]}.", "Get the whole file from its author."
        )
    return {a: shared | {k: tensors[s] for k, s in names.items()} for a, names in own.items()} or {"": shared}


def _write(path: Path | str, tensors: Mapping[str, Tensor], header: Header, half: bool, overwrite: bool) -> Path:
    check_header(header)
    return write_described(Path(path), tensors, asdict(header), half=half, overwrite=overwrite)
