from __future__ import annotations

import errno
import io
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from portraitist.errors import BadModel, PortraitistError, StorageError, UsageError
from portraitist.io.codes import load_codes
from portraitist.io.feature_files import read_tensors
from portraitist.io.headers import DIGEST, KEY, MOST, Header, read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.io.nvidia import read_nvidia_state
from portraitist.networks.generator import with_low_rows
from tests.conftest import make_model, restyled


def same_tensors(a: Model, b: Model) -> bool:
    x, y = a.tensors(), b.tensors()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def rewrite(path: Path, change: Any) -> None:
    """Write a file again after ``change(tensors, header)``, without a digest, as earlier versions did."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[KEY])
    header.pop(DIGEST, None)
    tensors = load_file(path)
    change(tensors, header)
    save_file(tensors, path, metadata={KEY: json.dumps(header)})


@pytest.fixture
def saved(tmp_path: Path, tiny_model: Model) -> Path:
    return save_model(tmp_path / "tiny.safetensors", tiny_model)


def test_a_model_comes_back_bit_for_bit_with_all_it_says(tmp_path: Path, tiny_model: Model) -> None:
    told = replace(
        tiny_model.header,
        description="faces, and more\nin two lines",
        recipe={"batch": 4, "rests": {"mapping": True}},
        lineage=[{"data": "x", "images_seen": 3}],
        metrics={"kid": 0.25},
    )
    model = Model(tiny_model.generator, tiny_model.discriminator, told)
    path = save_model(tmp_path / "Ein Modell ü.safetensors", model)
    found = load_model(path)
    assert same_tensors(found, model) and found.header == told and found.digest == model.digest
    assert read_header(path) == told
    assert not found.generator.training and list(tmp_path.iterdir()) == [path]


def test_a_generator_alone_comes_back(tmp_path: Path, tiny_model: Model) -> None:
    path = save_model(tmp_path / "g.safetensors", Model(tiny_model.generator, None, tiny_model.header))
    found = load_model(path)
    assert found.discriminator is None and generator_digest(found) == generator_digest(tiny_model)


def test_half_precision_is_half_the_size_and_good_to_its_rounding(tmp_path: Path, saved: Path) -> None:
    whole = load_model(saved)
    path = save_model(tmp_path / "half.safetensors", whole, half=True)
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    for (name, a), b in zip(load_model(path).tensors().items(), whole.tensors().values(), strict=True):
        assert a.dtype == torch.float32 and torch.allclose(a, b, rtol=2**-11, atol=2**-24), name
    again = save_model(tmp_path / "again.safetensors", load_model(path), half=True)
    assert load_model(again).digest == load_model(path).digest


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, saved: Path) -> None:
    assert save_model(tmp_path / "b.safetensors", load_model(saved)).read_bytes() == saved.read_bytes()


def test_the_digest_sees_any_value_name_and_shape(tiny_model: Model) -> None:
    other = make_model(seed=0)
    assert other.digest == tiny_model.digest
    with torch.no_grad():
        other.generator.w_mean[3] += 1e-6
    assert other.digest != tiny_model.digest and generator_digest(other) != generator_digest(tiny_model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, h: t.pop("G.synthesis.const"), r"lacks 1 tensors.*synthesis\.const"),
        (lambda t, h: t.pop("D.final.conv.weight", t.pop("D.final.out.bias")), r"lacks .*final"),
        (lambda t, h: t.update({"G.extra": torch.zeros(2)}), r"does not know.*G\.extra"),
        (lambda t, h: t.update({"G.w_mean": torch.zeros(17)}), r"other shapes.*w_mean \(17,\), not \(16,\)"),
        (lambda t, h: t.update({"G.w_mean": torch.full((16,), float("nan"))}), r"w_mean holds NaN"),
        (lambda t, h: t.update({"D.final.out.bias": torch.tensor([float("inf")])}), r"out\.bias holds NaN"),
        (lambda t, h: h.update(discriminator=None), r"does not know.*D\."),
    ],
)
def test_tensors_that_do_not_fit_are_named(saved: Path, change: Any, words: str) -> None:
    rewrite(saved, change)
    with pytest.raises(BadModel, match=words):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.update(format=2), "has format 2; this version reads 1. Update"),
        (lambda h: h.update(format="9"), "has format 9"),
        (lambda h: h.update(format=0), "has format 0"),
        (lambda h: h.pop("format"), "has format None"),
        (lambda h: h.update(kind="other"), "kind"),
        (lambda h: h.pop("generator"), "generator"),
        (lambda h: h.update(name="../../etc/passwd"), "cannot be a model's name"),
        (lambda h: h.update(name="<b>x</b>"), "cannot be a model's name"),
        (lambda h: h.update(base_name="a b"), "cannot be a model's name"),
        (lambda h: h.update(description="\x1b[2Jgone"), "control characters"),
        (lambda h: h.update(credit="x" * 10_001), "too long"),
        (lambda h: h["generator"].update(resolution=48), "48 pixels is not possible"),
        (lambda h: h["generator"].update(channels=[8, 8]), "needs 3 positive widths"),
        (lambda h: h["generator"].update(channels=[1 << 30, 8, 8]), "channels"),
        (lambda h: h["generator"].update(mapping_layers=10**9), "layers"),
        (lambda h: h["generator"].update(channels=[1 << 14, 1 << 14, 1 << 14]), "other shapes"),
        (lambda h: h["generator"].update(image_channels=10**9), "other shapes"),
        (lambda h: h["discriminator"].update(channels=[1 << 14, 1 << 14, 1 << 14]), "other shapes"),
    ],
)
def test_headers_that_lie_are_refused(saved: Path, change: Any, words: str) -> None:
    rewrite(saved, lambda tensors, header: change(header))
    with pytest.raises(BadModel, match=words):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"format": 1}', "[" * 100_000])
def test_headers_that_are_no_header_are_refused(saved: Path, text: str) -> None:
    save_file(load_file(saved), saved, metadata={KEY: text})
    with pytest.raises(BadModel, match=r"tiny.safetensors"):
        read_header(saved)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a complete model file"),
        (b"\x89PNG\r\n\x1a\n" * 30, "not a complete model file"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "not a complete model file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a complete model file"),
        (b"\x80\x02}q\x00.", "not a complete model file"),
    ],
)
def test_files_of_other_kinds_are_refused_with_a_cure(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadModel, match=words) as caught:
        load_model(path)
    assert "convert" in caught.value.cure


def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(BadModel, match=r"not one of Portraitist.*convert"):
        load_model(tmp_path / "x.safetensors")
    with pytest.raises(BadModel, match="no model file"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(BadModel, match="no model file"):
        load_model("x" * 5000)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 0.9999))
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, cut: float) -> None:
    data = saved.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(BadModel):
        load_model(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.9999), bit=st.integers(0, 7), early=st.booleans())
def test_a_flipped_bit_is_a_typed_error_or_seen_by_the_digest(
    saved: Path, tmp_path: Path, tiny_model: Model, where: float, bit: int, early: bool
) -> None:
    data = bytearray(saved.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    at = int(where * start) if early else start + int(where * (len(data) - start))
    data[at] ^= 1 << bit
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(data)
    try:
        found = load_model(path)
    except PortraitistError:
        return
    assert early and found.digest == tiny_model.digest and found.header == load_model(saved).header


def test_a_changed_number_or_word_is_told_and_a_file_without_a_digest_still_loads(
    saved: Path, tiny_model: Model
) -> None:
    whole = saved.read_bytes()
    for word, other in ((b"CC0-1.0", b"CC9-1.0"), (b"Nobody", b"Nobodx")):
        assert whole.count(word) == 1
        saved.write_bytes(whole.replace(word, other))
        with pytest.raises(BadModel, match=r"tiny.safetensors is damaged: its digest does not fit"):
            load_model(saved)
    saved.write_bytes(whole)
    rewrite(saved, lambda tensors, header: None)
    assert load_model(saved).digest == tiny_model.digest
    rewrite(saved, lambda tensors, header: header.update({DIGEST: 3}))
    with pytest.raises(BadModel, match="digest"):
        load_model(saved)


@pytest.mark.parametrize("half", [False, True])
def test_one_flipped_bit_of_any_tensor_is_told(tmp_path: Path, tiny_model: Model, half: bool) -> None:
    path = save_model(tmp_path / "m.safetensors", tiny_model, half=half)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for at in range(start, len(whole), (len(whole) - start) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadModel, match="its digest does not fit"):
            load_model(path)


def test_a_file_of_very_many_tensors_is_refused(saved: Path) -> None:
    rewrite(saved, lambda tensors, header: tensors.update({f"G.{i}": torch.zeros(1) for i in range(MOST)}))
    for read in (load_model, read_header, read_nvidia_state, read_tensors, load_codes):
        with pytest.raises(BadModel, match="holds more than 20,000 tensors"):
            read(saved)


@pytest.mark.parametrize("name", ["a/b", "..", "-x", "a b", "ü", "<i>", "x" * 65])
def test_bad_names_are_not_written(tmp_path: Path, tiny_model: Model, name: str) -> None:
    model = Model(tiny_model.generator, None, replace(tiny_model.header, name=name))
    with pytest.raises(BadModel, match="cannot be a model's name"):
        save_model(tmp_path / "m.safetensors", model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "half", "words"), [(float("nan"), False, "NaN"), (1e6, True, "in half precision")])
def test_numbers_that_cannot_be_stored_are_not_written(tmp_path: Path, value: float, half: bool, words: str) -> None:
    model = make_model()
    with torch.no_grad():
        model.generator.w_mean[0] = value
    with pytest.raises(BadModel, match=f"G.w_mean.*{words}"):
        save_model(tmp_path / "m.safetensors", model, half=half)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_on_request(saved: Path, tiny_style: Model) -> None:
    before = saved.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        save_model(saved, tiny_style)
    assert saved.read_bytes() == before
    save_model(saved, tiny_style, overwrite=True)
    assert load_model(saved).digest == tiny_style.digest


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    saved: Path, tiny_style: Model, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = saved.read_bytes()
    monkeypatch.setattr(os, where, full)
    with pytest.raises(StorageError, match=r"disk is full.* [\d,]+ bytes are needed") as caught:
        save_model(saved, tiny_style, overwrite=True)
    assert caught.value.exit_code == 5
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_writing_to_a_full_device_is_a_storage_error(
    tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_full_device(path: Path, mode: str = "r") -> Any:
        return io.open("/dev/full", "wb")  # noqa: UP020

    monkeypatch.setattr(Path, "open", on_full_device)
    with pytest.raises(StorageError, match="disk is full"):
        save_model(tmp_path / "m.safetensors", tiny_model)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_a_storage_error(tmp_path: Path, tiny_model: Model) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        save_model(tmp_path / "file" / "m.safetensors", tiny_model)


def test_a_style_pack_holds_what_differs_and_draws_the_same(
    tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    path = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model)
    base, style = tiny_model.generator.state_dict(), tiny_style.generator.state_dict()
    assert set(load_file(path)) == {f"G.{k}" for k in style if not torch.equal(style[k], base[k])}
    header = read_header(path)
    assert header.kind == "style-pack" and header.base_digest == generator_digest(tiny_model)
    assert (header.base_name, header.licence, header.discriminator) == ("tiny", "CC-BY-4.0", None)
    found = load_model(path, find_base=lambda h: tiny_model)
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found.generator(z), tiny_style.generator(z))
        assert not torch.equal(found.generator(z), tiny_model.generator(z))
    assert generator_digest(tiny_model) == header.base_digest  # the base itself was not touched


def test_a_loaded_pack_can_be_saved_whole(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    pack = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model)
    whole = save_model(tmp_path / "whole.safetensors", load_model(pack, find_base=lambda h: tiny_model))
    found = load_model(whole)
    assert found.header.kind == "model" and found.header.base_digest == "" and same_tensors(found, tiny_style)


def test_a_pack_in_half_precision_is_exact_over_its_base(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model, half=True)
    found = load_model(path, find_base=lambda h: tiny_model).generator.state_dict()
    for name, value in tiny_style.generator.state_dict().items():
        changed = not torch.equal(value, tiny_model.generator.state_dict()[name])
        assert torch.equal(found[name], value.half().float() if changed else value), name


def test_the_pack_of_a_base_over_itself_is_empty(tmp_path: Path, tiny_model: Model) -> None:
    path = save_pack(tmp_path / "none.safetensors", tiny_model, tiny_model)
    assert load_file(path) == {}
    found = load_model(path, find_base=lambda h: tiny_model)
    assert generator_digest(found) == generator_digest(tiny_model)


def test_a_pack_knows_its_base(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model)
    with pytest.raises(BadModel, match="needs its base 'tiny'"):
        load_model(path)
    with pytest.raises(BadModel, match="another base than 'other'"):
        load_model(path, find_base=lambda h: make_model(seed=5, name="other"))
    large = make_model(resolution=32)
    with pytest.raises(BadModel, match="anatomy of its base"):
        save_pack(tmp_path / "x.safetensors", restyled(large, "large"), tiny_model)
    rewrite(path, lambda tensors, header: tensors.update({"G.extra": torch.zeros(1)}))
    with pytest.raises(BadModel, match=r"does not know.*G\.extra"):
        load_model(path, find_base=lambda h: tiny_model)


def test_a_pack_of_another_shape_or_anatomy_is_refused(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    path = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model)
    rewrite(path, lambda tensors, header: tensors.update({"G.w_mean": torch.zeros(3)}))
    with pytest.raises(BadModel, match=r"other shapes.*w_mean"):
        load_model(path, find_base=lambda h: tiny_model)
    save_pack(path, tiny_style, tiny_model, overwrite=True)
    rewrite(path, lambda tensors, header: header["generator"].update(clamp=1.0))
    with pytest.raises(BadModel, match="another anatomy"):
        load_model(path, find_base=lambda h: tiny_model)


def test_the_header_is_plain_json(saved: Path, tiny_model: Model) -> None:
    with safe_open(saved, framework="pt") as file:
        found = json.loads(file.metadata()[KEY])
    assert len(found.pop(DIGEST)) == 64
    assert found == json.loads(json.dumps(asdict(tiny_model.header)))
    assert Header(generator=tiny_model.header.generator).format == found["format"]


def freeze_sg(base: Model, rows: int, seed: int = 3) -> Model:
    """A FreezeSG style: its mapping and colours have moved, the base's mapping still drives the first rows."""
    moved = restyled(replace(base, generator=with_low_rows(base.generator, rows)), "frozen", seed)
    with torch.no_grad():
        for p in moved.generator.mapping.parameters():
            p += 0.1
        moved.generator.w_mean += 0.1
    return moved


def paths_of(base: Model) -> dict[str, Model]:
    """Two generators that share their colours; their first convolution and one bias are each one's own."""
    models = {name: restyled(base, "both", seed=4) for name in ("women", "men")}
    with torch.no_grad():
        models["men"].generator.synthesis.blocks["4"].conv1.weight += 1
        models["women"].generator.w_mean.copy_(models["men"].generator.w_mean + 1)
    return models


@pytest.mark.parametrize("rows", [1, 3, 6])
def test_a_freeze_sg_pack_leaves_out_what_is_the_bases(tmp_path: Path, tiny_model: Model, rows: int) -> None:
    style = freeze_sg(tiny_model, rows)
    path = save_pack(tmp_path / "frozen.safetensors", style, tiny_model)
    stored = set(load_file(path))
    assert not any(name.startswith("G.low_") for name in stored)
    assert {f"G.{k}" for k in style.generator.state_dict() if k.startswith("mapping.")} < stored
    assert read_header(path).generator == replace(tiny_model.generator.anatomy, low_rows=rows)
    found = load_model(path, find_base=lambda h: tiny_model)
    assert generator_digest(found) == generator_digest(style)
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    codes, before = found.generator.styles(z), tiny_model.generator.styles(z)
    same = torch.isclose(codes, before, rtol=1e-4, atol=1e-5).all(2)
    assert same[:, :rows].all() and not same[:, rows:].any()


def test_a_freeze_sg_model_whose_resting_mapping_moved_keeps_that(tmp_path: Path, tiny_model: Model) -> None:
    style = freeze_sg(tiny_model, 2)
    with torch.no_grad():
        style.generator.low_mean += 1
    path = save_pack(tmp_path / "frozen.safetensors", style, tiny_model)
    assert "G.low_mean" in load_file(path)
    found = load_model(path, find_base=lambda h: tiny_model)
    assert generator_digest(found) == generator_digest(style)


def test_a_whole_freeze_sg_file_stores_everything_and_is_no_base(tmp_path: Path, tiny_model: Model) -> None:
    style = freeze_sg(tiny_model, 2)
    path = save_model(tmp_path / "frozen.safetensors", style)
    assert sum(name.startswith("G.low_") for name in load_file(path)) == 5  # two layers and the mean
    assert same_tensors(load_model(path), style)
    rewrite(path, lambda tensors, header: tensors.pop("G.low_mean"))
    with pytest.raises(BadModel, match=r"lacks 1 tensors.*low_mean"):
        load_model(path)
    with pytest.raises(BadModel, match=r"anatomy of its base.*whole"):
        save_pack(tmp_path / "x.safetensors", freeze_sg(tiny_model, 3), style)


def test_the_paths_of_a_pack_come_back_one_by_one(tmp_path: Path, tiny_model: Model) -> None:
    models = paths_of(tiny_model)
    path = save_pack(tmp_path / "both.safetensors", models, tiny_model)
    stored = set(load_file(path))
    own = {"w_mean", "synthesis.blocks.4.conv1.weight"}
    assert {name for name in stored if "@" in name} == {f"G@{a}.{k}" for a in ("women", "men") for k in own}
    assert not stored & {f"G.{k}" for k in own}
    shared = models["men"].generator.state_dict()
    base = tiny_model.generator.state_dict()
    assert {n for n in stored if "@" not in n} == {
        f"G.{k}" for k in shared if k not in own and not torch.equal(shared[k], base[k])
    }
    header = read_header(path)
    assert header.paths == ("women", "men") and header.kind == "style-pack" and header.licence == "CC-BY-4.0"
    for attribute, model in models.items():
        found = load_model(path, find_base=lambda h: tiny_model, attribute=attribute)
        assert generator_digest(found) == generator_digest(model)
        alone = save_pack(tmp_path / f"{attribute}.safetensors", found, tiny_model)
        assert read_header(alone).paths == ()
        assert load_model(alone, find_base=lambda h: tiny_model, attribute="any").digest == found.digest
    assert load_model(save_model(tmp_path / "whole.safetensors", found)).header.paths == ()


def test_paths_that_freeze_sg_too_come_back(tmp_path: Path, tiny_model: Model) -> None:
    models = {name: freeze_sg(tiny_model, 2, seed) for seed, name in enumerate(("a", "b", "c"))}
    path = save_pack(tmp_path / "all.safetensors", models, tiny_model)
    assert not any(".low_" in name for name in load_file(path))
    for name, model in models.items():
        found = load_model(path, find_base=lambda h: tiny_model, attribute=name)
        assert generator_digest(found) == generator_digest(model)


@pytest.mark.parametrize("attribute", [None, "kids", "", "x" * 500])
def test_which_path_is_never_guessed(tmp_path: Path, tiny_model: Model, attribute: str | None) -> None:
    path = save_pack(tmp_path / "both.safetensors", paths_of(tiny_model), tiny_model)
    with pytest.raises(UsageError, match=r"both\.safetensors draws each attribute.*--attribute\): women, men"):
        load_model(path, find_base=lambda h: tiny_model, attribute=attribute)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, h: t.pop("G@men.w_mean"), r"lacks tensors of its paths: \['G@men\.w_mean'\]"),
        (lambda t, h: t.update({"G@men.extra": torch.zeros(1)}), r"does not know.*G@men\.extra"),
        (lambda t, h: t.update({"G@kids.w_mean": torch.zeros(16)}), r"does not know.*G@kids\.w_mean"),
        (lambda t, h: t.update({"G.w_mean": torch.zeros(16)}), r"both for all paths and for each: \['G\.w_mean'\]"),
        (lambda t, h: t.update({"G@men.w_mean": torch.zeros(3)}), r"other shapes.*w_mean \(3,\)"),
        (lambda t, h: t.update({"G@men.w_mean": torch.full((16,), torch.nan)}), r"G@men\.w_mean holds NaN"),
        (lambda t, h: h.update(paths=["women"]), r"does not know.*G@men"),
        (lambda t, h: h.update(paths=[]), r"does not know.*G@men"),
        (lambda t, h: h.update(paths=["women", "men", "kids"]), r"lacks tensors of its paths.*G@kids"),
        (lambda t, h: h.update(paths=["women", "men", "men"]), "'men' cannot be a path"),
        (lambda t, h: h.update(paths=["women", "../men"]), "cannot be a path"),
        (lambda t, h: h.update(paths=["women", 3]), "damaged"),
        (lambda t, h: h.update(kind="model"), "cannot be a path"),
    ],
)
def test_paths_are_read_strictly_whichever_is_asked_for(
    tmp_path: Path, tiny_model: Model, change: Any, words: str
) -> None:
    path = save_pack(tmp_path / "both.safetensors", paths_of(tiny_model), tiny_model)
    rewrite(path, change)
    with pytest.raises(BadModel, match=words):
        load_model(path, find_base=lambda h: tiny_model, attribute="women")


def test_paths_that_do_not_fit_are_not_written(tmp_path: Path, tiny_model: Model) -> None:
    style = restyled(tiny_model, "wild")
    for models, words in (
        ({}, "a path at least"),
        ({"a": style, "b": make_model(resolution=32)}, "need one anatomy"),
        ({"a b": style}, "'a b' cannot be a path"),
    ):
        with pytest.raises(BadModel, match=words):
            save_pack(tmp_path / "x.safetensors", models, tiny_model)
    assert list(tmp_path.iterdir()) == []


def test_files_from_before_there_were_paths_and_low_rows_load(
    tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    def older(tensors: Any, header: Any) -> None:
        del header["paths"], header["generator"]["low_rows"]

    path = save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model)
    rewrite(path, older)
    found = load_model(path, find_base=lambda h: tiny_model)
    assert generator_digest(found) == generator_digest(tiny_style) and found.header.paths == ()


def test_a_feature_swap_is_only_for_those_who_mind_it(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    style = replace(tiny_style, header=replace(tiny_style.header, swap_upto=8))
    path = save_pack(tmp_path / "swap.safetensors", style, tiny_model)
    assert read_header(path).swap_upto == 8
    with pytest.raises(BadModel, match="two generators draw its pictures") as error:
        load_model(path, find_base=lambda header: tiny_model)
    assert "--style" in error.value.cure
    minded = load_model(path, find_base=lambda header: tiny_model, supports_feature_swap=True)
    assert minded.header.swap_upto == 8 and same_tensors(minded, tiny_style)


@pytest.mark.parametrize("upto", [-8, 2, 12, 32, "all"])
def test_a_swap_where_no_block_ends_is_a_damaged_header(
    tmp_path: Path, tiny_model: Model, tiny_style: Model, upto: Any
) -> None:
    path = save_pack(tmp_path / "swap.safetensors", tiny_style, tiny_model)
    rewrite(path, lambda tensors, header: header.update(swap_upto=upto))
    with pytest.raises(BadModel, match=r"header of swap\.safetensors is damaged"):
        read_header(path)


def test_a_whole_model_is_no_feature_swap(saved: Path) -> None:
    rewrite(saved, lambda tensors, header: header.update(swap_upto=8))
    with pytest.raises(BadModel, match=r"header of tiny\.safetensors is damaged"):
        read_header(saved)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.int8, torch.int64, torch.float64])
def test_numbers_of_types_that_are_never_written_are_refused(saved: Path, dtype: torch.dtype) -> None:
    rewrite(saved, lambda tensors, header: tensors.update({"G.w_mean": tensors["G.w_mean"].to(dtype)}))
    with pytest.raises(BadModel, match="holds tensors of"):
        load_model(saved)


@pytest.mark.parametrize("clamp", [-1.0, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_clamp_that_would_destroy_every_picture_is_refused(saved: Path, network: str, clamp: float) -> None:
    rewrite(saved, lambda tensors, header: header[network].update(clamp=clamp))
    with pytest.raises(BadModel, match="clamp"):
        load_model(saved)
