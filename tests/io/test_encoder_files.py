"""Encoder files, ours and others': they come back whole, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.errors import BadModel, PortraitistError, UntrustedFile
from portraitist.io.encoder_files import (
    StoredEncoder,
    load_encoder,
    save_encoder,
)
from portraitist.io.foreign_encoders import read_foreign_encoder
from portraitist.io.headers import DIGEST, KEY, EncoderHeader
from portraitist.io.model_file import Model, generator_digest, load_model, save_model
from portraitist.networks.encoder import new_encoder, small
from portraitist.networks.encoder_anatomy import EncoderAnatomy, EncoderKind
from portraitist.networks.growth import grow_encoder, grown_codes
from portraitist.runs.source import grown
from portraitist.surgery.encoders import grown_encoder
from tests.conftest import make_model
from tests.io.encoder_makers import HEAD, UNITS, WIDTHS, encoder_state, write_encoder


@pytest.fixture(scope="module")
def base() -> Model:
    return make_model(seed=3, name="tiny", resolution=32)


@pytest.fixture(scope="module")
def stored(base: Model) -> StoredEncoder:
    torch.manual_seed(0)
    encoder = new_encoder(small(base.generator.anatomy, "w+"), base.generator).eval()
    header = EncoderHeader(
        encoder.anatomy,
        name="psp-tiny",
        description="what it is",
        base_name="tiny",
        base_digest=generator_digest(base),
        licence="CC0-1.0",
        credit="Nobody",
        training={"weights": {"identity": 0.1}},
        lineage=[{"images_seen": 5}],
        metrics={"ms_ssim": 0.5},
    )
    return StoredEncoder(encoder, header)


@pytest.fixture
def saved(tmp_path: Path, stored: StoredEncoder) -> Path:
    return save_encoder(tmp_path / "encoder.safetensors", stored)


def rewrite(path: Path, change: Any) -> None:
    """Write a file again after ``change(tensors, header)``, without a digest, as earlier versions did."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[KEY])
    header.pop(DIGEST)
    tensors = load_file(path)
    change(tensors, header)
    save_file(tensors, path, metadata={KEY: json.dumps(header)})


def photos() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_an_encoder_comes_back_bit_for_bit_with_all_it_says(saved: Path, stored: StoredEncoder, base: Model) -> None:
    state = torch.random.get_rng_state()
    found = load_encoder(saved, base=base)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert found.digest == stored.digest and found.header == stored.header
    with torch.no_grad():
        assert torch.equal(found.encoder(photos()).mu, stored.encoder(photos()).mu)
    assert not found.encoder.training and all(p.requires_grad for p in found.encoder.parameters())


def test_half_precision_holds_every_tensor(tmp_path: Path, saved: Path, stored: StoredEncoder) -> None:
    path = save_encoder(tmp_path / "half.safetensors", stored, half=True)
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    with torch.no_grad():
        torch.testing.assert_close(
            load_encoder(path).encoder(photos()).mu, stored.encoder(photos()).mu, rtol=0.02, atol=0.02
        )


def test_an_encoder_of_another_base_is_refused(saved: Path) -> None:
    with pytest.raises(BadModel, match="'psp-tiny' was trained for 'tiny'"):
        load_encoder(saved, base=make_model(seed=4, name="other", resolution=32))
    with pytest.raises(BadModel, match="6 rows"):
        load_encoder(saved, base=make_model(seed=3, resolution=16))


def test_models_and_encoders_are_not_taken_for_each_other(tmp_path: Path, saved: Path, base: Model) -> None:
    with pytest.raises(BadModel, match="is an encoder, not a model"):
        load_model(saved)
    model = save_model(tmp_path / "model.safetensors", base)
    with pytest.raises(BadModel, match="is a model, not an encoder"):
        load_encoder(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: t.pop("E.latlayer1.bias"), "lacks 1 tensors.*latlayer1.bias"),
        (lambda t, h: t.update({"E.extra": torch.zeros(1)}), "does not know.*E.extra"),
        (lambda t, h: t.update({"E.latent_avg": torch.zeros(3)}), r"other shapes.*latent_avg \(3,\)"),
        (lambda t, h: t.update({"E.latent_avg": torch.full((8, 16), torch.nan)}), "latent_avg holds NaN"),
        (lambda t, h: h.update(name="../x"), "cannot be a model's name"),
        (lambda t, h: h.update(credit="\x1b[2J"), "control characters"),
        (lambda t, h: h.update(format=99), "format 99"),
        (lambda t, h: h["encoder"].update(kind="magic"), "is damaged"),
        (lambda t, h: h["encoder"].update(units=[10**9, 1, 1, 1]), "too large"),
        (lambda t, h: h["encoder"].update(dim=10**9), "too large"),
        (lambda t, h: h["encoder"].update(levels=[10**9, 0, 0]), "too large"),
        (lambda t, h: h["encoder"].update(widths=[]), "is damaged"),
        (lambda t, h: h.pop("encoder"), "is damaged"),
        (lambda t, h: h.update(kind=["encoder"]), "is damaged"),
    ],
)
def test_damaged_files_are_refused(change: Any, message: str, saved: Path) -> None:
    rewrite(saved, change)
    with pytest.raises(BadModel, match=message):
        load_encoder(saved)


def test_nothing_unfit_is_written(tmp_path: Path, stored: StoredEncoder) -> None:
    bad = StoredEncoder(stored.encoder, replace(stored.header, name="no/name"))
    with pytest.raises(BadModel, match="name"):
        save_encoder(tmp_path / "bad.safetensors", bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["psp", "e4e", "agilegan"])
def test_the_layouts_of_others_are_read(program: str, tmp_path: Path) -> None:
    state = write_encoder(tmp_path / "encoder.pt", program)
    found = read_foreign_encoder(tmp_path / "encoder.pt")
    kind = "hvae" if program == "agilegan" else "w+"
    assert found.encoder.anatomy == EncoderAnatomy(
        kind, 32, (3, 4, 1), HEAD, WIDTHS, UNITS, HEAD, residual_rows=program == "e4e"
    )
    assert found.header.lineage == [{"converted": {"format": program, "tensors": len(state)}}]
    ours = found.encoder.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in state.items() if not k.endswith("num_batches_tracked"))
    if kind == "w+":
        assert torch.equal(found.encoder.latent_avg, torch.linspace(-1, 1, HEAD).repeat(8, 1))
    save_encoder(tmp_path / "ours.safetensors", found)
    assert load_encoder(tmp_path / "ours.safetensors").digest == found.digest


@pytest.mark.parametrize("program", ["psp", "e4e", "agilegan"])
def test_an_encoder_of_others_does_what_it_did_there(program: str, tmp_path: Path) -> None:
    state = write_encoder(tmp_path / "encoder.pt", program)
    with torch.no_grad():
        found = read_foreign_encoder(tmp_path / "encoder.pt").encoder(photos())
    codes = rows_by_hand(state, photos())
    if program == "agilegan":
        for name, value in (("fc_mu", found.mu), ("fc_var", found.logvar)):
            expected = F.linear(codes, state[f"{name}.weight"], state[f"{name}.bias"])
            torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)
        return
    if program == "e4e":
        codes = torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], 1)
    torch.testing.assert_close(found.mu, codes + torch.linspace(-1, 1, HEAD), rtol=1e-3, atol=1e-4)


def rows_by_hand(s: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the rows [N, 8, HEAD] before any head, as the papers and the published layout describe them."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.batch_norm(x, *(s[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    x = F.prelu(norm("input_layer.1", F.conv2d(x, s["input_layer.0.weight"], padding=1)), s["input_layer.2.weight"])
    maps = []
    for k, stride in enumerate((2, 2, 1, 2, 2, 1)):  # stages of 1, 2, 1 and 2 units
        body = f"body.{k}"
        shortcut = x[:, :, ::stride, ::stride]
        if f"{body}.shortcut_layer.0.weight" in s:
            shortcut = norm(
                f"{body}.shortcut_layer.1", F.conv2d(x, s[f"{body}.shortcut_layer.0.weight"], stride=stride)
            )
        y = F.conv2d(norm(f"{body}.res_layer.0", x), s[f"{body}.res_layer.1.weight"], padding=1)
        y = F.prelu(y, s[f"{body}.res_layer.2.weight"])
        y = norm(f"{body}.res_layer.4", F.conv2d(y, s[f"{body}.res_layer.3.weight"], stride=stride, padding=1))
        excited = F.conv2d(y.mean((2, 3), keepdim=True), s[f"{body}.res_layer.5.fc1.weight"]).relu()
        x = y * F.conv2d(excited, s[f"{body}.res_layer.5.fc2.weight"]).sigmoid() + shortcut
        maps.append(x)
    coarse = maps[5]
    levels = [coarse]
    for lateral, fine in (("latlayer1", maps[3]), ("latlayer2", maps[2])):
        grown = F.interpolate(levels[-1], fine.shape[2:], mode="bilinear", align_corners=True)
        levels.append(grown + F.conv2d(fine, s[f"{lateral}.weight"], s[f"{lateral}.bias"]))
    rows = []
    for row in range(8):
        x, conv = levels[0 if row < 3 else 1 if row < 7 else 2], 0
        while f"styles.{row}.convs.{conv}.weight" in s:
            names = (f"styles.{row}.convs.{conv}.weight", f"styles.{row}.convs.{conv}.bias")
            x, conv = F.leaky_relu(F.conv2d(x, *(s[n] for n in names), stride=2, padding=1), 0.01), conv + 2
        # EqualLinear: weights of unit variance, scaled by 1 / sqrt(inputs) as they are used.
        rows.append(
            F.linear(x.flatten(1), s[f"styles.{row}.linear.weight"] / HEAD**0.5, s[f"styles.{row}.linear.bias"])
        )
    return torch.stack(rows, 1)


def test_the_mean_may_be_one_row_absent_or_not_added(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    write_encoder(path, "psp", latent_avg=torch.arange(16.0))
    assert torch.equal(read_foreign_encoder(path).encoder.latent_avg, torch.arange(16.0).repeat(8, 1))
    write_encoder(path, "psp", latent_avg=None)
    with pytest.raises(BadModel, match="lacks latent_avg"):
        read_foreign_encoder(path)
    base = make_model(seed=3, name="tiny", resolution=32)
    found = read_foreign_encoder(path, base=base)
    assert torch.equal(found.encoder.latent_avg, base.generator.mean.data[0])
    assert found.header.base_name == "tiny" and found.header.base_digest == generator_digest(base)
    write_encoder(path, "psp", latent_avg=None, opts={"start_from_latent_avg": False})
    assert not read_foreign_encoder(path).encoder.latent_avg.any()
    with pytest.raises(BadModel, match="does not fit"):
        read_foreign_encoder(path, base=make_model(resolution=16))


def without(*names: str) -> dict[str, Tensor]:
    return {k: v for k, v in encoder_state().items() if k not in names}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("latlayer2.bias"), "lacks 1 tensors.*latlayer2.bias"),
        (without("input_layer.0.weight"), "lacks input_layer.0.weight"),
        (without("body.2.res_layer.1.weight"), "lacks body.2.res_layer.1.weight"),
        (without("body.2.res_layer.4.running_var"), "lacks 1 tensors.*body.2.res_layer.4.running_var"),
        (without("styles.3.convs.0.weight"), "lacks 1 tensors.*styles.3.convs.0.weight"),
        (without("styles.0.linear.weight"), "lacks styles.0.linear.weight"),
        ({k: v for k, v in encoder_state().items() if not k.startswith("styles.")}, "lacks styles.0.convs.0.weight"),
        (encoder_state() | {"head.weight": torch.zeros(2)}, "another encoder.*head.weight"),
        (encoder_state() | {"styles.99999999999.convs.0.weight": torch.zeros(2)}, "another encoder.*styles.9999"),
        (encoder_state() | {"styles.0.convs.900.weight": torch.zeros(2)}, "halve their maps"),
        (encoder_state() | {"styles.900.linear.weight": torch.zeros(2)}, "halve their maps"),
        (encoder_state() | {"body.0.res_layer.1.weight": torch.zeros(4, 4, 1, 1)}, "other shapes.*body.0.res_layer.1"),
        (encoder_state() | {"latlayer1.bias": torch.full((16,), torch.inf)}, "NaN or infinity.*latlayer1.bias"),
        ({}, "lacks input_layer.0.weight"),
    ],
)
def test_other_tensors_are_named(state: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder.pt", "psp", state)
    with pytest.raises(BadModel, match=message):
        read_foreign_encoder(tmp_path / "encoder.pt")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    for tree in ([1, 2], {"g_ema": {}}, {"state_dict": [1]}, {"state_dict": {"encoder.x": "text"}}):
        torch.save(tree, path)
        with pytest.raises(BadModel):
            read_foreign_encoder(path)
    write_encoder(path, "psp", opts={"encoder_type": "BackboneEncoderUsingLastLayerIntoW"})
    with pytest.raises(BadModel, match="kind BackboneEncoder"):
        read_foreign_encoder(path)
    path.write_bytes(b"<!doctype html>")
    with pytest.raises(BadModel, match="web page"):
        read_foreign_encoder(path)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("sprung",))


@pytest.mark.parametrize("place", ["state_dict", "opts", "latent_avg"])
def test_nothing_in_a_file_is_executed(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_encoder(Path("trap.pt"), "psp", **{place: Trap()})
    with pytest.raises(UntrustedFile):
        read_foreign_encoder(Path("trap.pt"))
    assert not Path("sprung").exists()
    torch.load("trap.pt", weights_only=False)  # the trap is a real one
    assert Path("sprung").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_damaged_byte_ends_in_our_own_errors(place: int, value: int, tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    if not (tmp_path / "whole.pt").exists():
        write_encoder(tmp_path / "whole.pt", "agilegan")
    content = bytearray((tmp_path / "whole.pt").read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        read_foreign_encoder(path)
    except PortraitistError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("kind", "standardised"), [("hvae", True), ("hvae", False), ("z+", True), ("z+", False), ("w+", False)]
)
def test_a_grown_encoder_gives_the_codes_that_it_gave(kind: EncoderKind, standardised: bool) -> None:
    before = make_model(seed=1, resolution=16)
    base = grown(before, 64).networks(0)[0]
    anatomy = replace(small(before.generator.anatomy, kind), standardised=standardised)
    encoder = new_encoder(anatomy, before.generator).eval()
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in encoder.state_dict().values():
            tensor += 0.1 * torch.rand(tensor.shape, generator=random)
    larger = grow_encoder(encoder, base.anatomy)
    photos = torch.rand(2, 3, 64, 64, generator=random) * 2 - 1
    was, now = encoder(photos), larger(photos)
    for old, new in ((was.mu, now.mu), (was.logvar, now.logvar)):
        assert (old is None) == (new is None)
        if old is not None and new is not None:
            assert torch.allclose(new, grown_codes(old, base.anatomy.rows), atol=1e-6)
    rows = larger.styles_of(now.mu, base)
    assert torch.allclose(rows, grown_codes(encoder.styles_of(was.mu, before.generator), base.anatomy.rows), atol=1e-5)


def test_an_encoder_grows_only_with_its_base(tmp_path: Path) -> None:
    before = make_model(seed=1, name="small")
    generator, discriminator = grown(before, 32).networks(0)
    base = Model(generator.eval(), discriminator, replace(before.header, generator=generator.anatomy, name="large"))
    header = EncoderHeader(small(before.generator.anatomy, "hvae"), base_name="small", licence="CC0-1.0")
    encoder = new_encoder(header.encoder, before.generator)
    stored = StoredEncoder(encoder, replace(header, base_digest=generator_digest(before)))
    found = load_encoder(save_encoder(tmp_path / "e.safetensors", grown_encoder(stored, before, base)), base=base)
    assert (found.header.base_name, found.header.licence) == ("large", "CC0-1.0")
    assert found.header.lineage[-1]["grown_from"] == {"encoder": stored.digest, "base": generator_digest(before)}
    with torch.no_grad():
        base.generator.mapping.layers[0].weight += 0.1
    with pytest.raises(BadModel, match=r"'large' has another mapping network.*--codes"):
        grown_encoder(stored, before, base)


def test_an_encoder_that_averages_rows_does_not_grow() -> None:
    before = make_model(seed=1, resolution=16)
    encoder = new_encoder(small(before.generator.anatomy, "vae"), before.generator)
    with pytest.raises(BadModel, match="cannot grow"):
        grow_encoder(encoder, grown(before, 32).networks(0)[0].anatomy)
