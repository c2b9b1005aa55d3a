"""The one door: every layout is recognised, read, and written without losing a bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from portraitist.errors import BadModel, PortraitistError, UsageError
from portraitist.io.foreign import Networks
from portraitist.io.formats import FORMATS, HEAD, Kind, as_model, kind_of_ending, read_networks, sniff, write_networks
from portraitist.io.model_file import save_model
from portraitist.io.pickles import open_torch
from portraitist.networks.generator import with_low_rows
from tests.io.foreign_files import (
    assert_same,
    make_networks,
    persistent_networks,
    write_legacy_pickle,
    write_persistent_pickle,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """One file of each layout, all of the same networks, under endings that tell nothing."""
    folder, networks = tmp_path_factory.mktemp("files"), make_networks()
    found: dict[Kind, Path] = {
        kind: folder / f"{kind}.bin" for kind in ("native", "rosinality", "nvidia", "nvidia-state", "legacy-tf")
    }
    write_networks(found["native"], networks, kind="native")
    write_networks(found["rosinality"], networks, kind="rosinality")
    write_networks(found["nvidia-state"], networks, kind="nvidia-state")
    write_persistent_pickle(found["nvidia"], persistent_networks(networks))
    write_legacy_pickle(found["legacy-tf"], networks)
    return found


@pytest.mark.parametrize("kind", ["native", "rosinality", "nvidia", "nvidia-state", "legacy-tf"])
def test_layouts_are_told_by_content_and_read(files: dict[Kind, Path], kind: Kind) -> None:
    assert sniff(files[kind]) == kind
    networks, expected = read_networks(files[kind]), make_networks()
    assert networks.notes["format"] == kind.removesuffix("-state")
    if kind != "legacy-tf":
        assert_same(networks.generator, expected.generator)
        assert_same(networks.discriminator, expected.discriminator)
    else:
        assert networks.generator is not None and networks.generator.anatomy == expected.generator.anatomy  # type: ignore[union-attr]


def test_older_torch_files_and_safetensors_state_dicts_are_told(tmp_path: Path) -> None:
    write_networks(tmp_path / "new.pt", make_networks())
    torch.save(open_torch(tmp_path / "new.pt"), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert sniff(tmp_path / "old.pt") == "rosinality"
    assert_same(read_networks(tmp_path / "old.pt").generator, make_networks().generator)
    write_networks(tmp_path / "state.safetensors", make_networks(), kind="nvidia-state")
    assert sniff(tmp_path / "state.safetensors") == "nvidia-state"


def test_a_header_that_quotes_another_layout_stays_native(tmp_path: Path) -> None:
    model = as_model(make_networks())
    for length in range(0, 264, 8):  # the first byte of the file is the low byte of the header's length
        header = replace(model.header, description="torch_utils.persistence" + "x" * length)
        save_model(tmp_path / "in.safetensors", replace(model, header=header), overwrite=True)
        assert sniff(tmp_path / "in.safetensors") == "native"


@pytest.mark.parametrize("layout", ["nested.pt", "bare.pt", "bare.safetensors"])
def test_names_of_nvidia_are_read_however_they_are_nested(files: dict[Kind, Path], tmp_path: Path, layout: str) -> None:
    flat = {k: v for k, v in open_torch(files["nvidia-state"]).items() if k.startswith("G_ema.")}
    bare = {k.removeprefix("G_ema."): v.contiguous().clone() for k, v in flat.items()}
    path = tmp_path / layout
    if layout == "bare.safetensors":
        save_file(bare, path)
    else:
        torch.save({"G_ema": bare} if layout == "nested.pt" else bare, path)
    found = read_networks(path)
    assert sniff(path) == "nvidia-state" and found.discriminator is None
    assert_same(found.generator, make_networks().generator)


@pytest.mark.parametrize("rows", [1, 6])
def test_the_generator_within_a_checkpoint_of_psp_is_read(files: dict[Kind, Path], tmp_path: Path, rows: int) -> None:
    tree = open_torch(files["rosinality"])
    state = {f"decoder.{k}": v for k, v in tree["g_ema"].items()} | {"encoder.body.0.weight": torch.zeros(3)}
    means = tree["latent_avg"].reshape(1, -1).repeat(rows, 1)
    torch.save({"state_dict": state, "opts": {"output_size": 16}, "latent_avg": means}, tmp_path / "psp.pt")
    found = read_networks(tmp_path / "psp.pt")
    assert_same(found.generator, make_networks().generator)
    assert "its encoder left out" in found.notes["generator"]


def test_a_mean_of_w_for_each_row_is_one_mean_if_they_are_equal(files: dict[Kind, Path], tmp_path: Path) -> None:
    tree = open_torch(files["rosinality"])
    means = tree["latent_avg"].reshape(1, 1, -1).repeat(1, 6, 1)
    torch.save({**tree, "latent_avg": means}, tmp_path / "rows.pt")
    assert_same(read_networks(tmp_path / "rows.pt").generator, make_networks().generator)
    means[0, 3] += 1
    torch.save({**tree, "latent_avg": means}, tmp_path / "rows.pt")
    with pytest.raises(BadModel, match="a mean of w for each of 6 rows, and they differ"):
        read_networks(tmp_path / "rows.pt")


def test_the_networks_of_another_program_are_named(tmp_path: Path) -> None:
    state = {"G.initial_block": torch.zeros(1, 32, 4, 4), "D.to_logit.weight": torch.zeros(1, 4)}
    torch.save({"GAN": state, "version": "1.8.9"}, tmp_path / "model.pt")
    with pytest.raises(BadModel, match="lucidrains' stylegan2-pytorch"):
        read_networks(tmp_path / "model.pt")


def test_golden_files_survive_a_round_trip_bit_for_bit(shared: Path, tmp_path: Path) -> None:
    start = read_networks(shared / "golden" / "rosinality.pt")
    networks = start
    steps: list[tuple[str, Kind]] = [
        ("a.safetensors", "native"),
        ("b.safetensors", "nvidia-state"),
        ("c.safetensors", "native"),
        ("d.pt", "rosinality"),
    ]
    for name, kind in steps:
        write_networks(tmp_path / name, networks, kind=kind)
        networks = read_networks(tmp_path / name)
        assert_same(networks.generator, start.generator)
        assert_same(networks.discriminator, start.discriminator)
    before, after = open_torch(shared / "golden" / "rosinality.pt"), open_torch(tmp_path / "d.pt")
    for name, value in before["g_ema"].items():
        assert torch.equal(value, after["g_ema"][name]), name


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sizes_survive_every_layout_that_can_be_written(tmp_path: Path, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, 4), label="resolutions")
    channels = tuple(data.draw(st.lists(st.integers(1, 9), min_size=steps, max_size=steps), label="channels"))
    w_dim, depth = data.draw(st.integers(1, 9), label="w_dim"), data.draw(st.integers(1, 8), label="depth")
    networks = make_networks(4 << (steps - 1), channels, z_dim=w_dim, w_dim=w_dim, depth=depth)
    for name, kind in (("a.pt", "rosinality"), ("b.pt", "nvidia-state"), ("c.safetensors", "native")):
        write_networks(tmp_path / name, networks, kind=kind, overwrite=True)  # type: ignore[arg-type]
        again = read_networks(tmp_path / name)
        assert_same(networks.generator, again.generator)
        assert_same(networks.discriminator, again.discriminator)


def test_a_generator_alone_is_enough(tmp_path: Path) -> None:
    networks = Networks(make_networks().generator)
    for name in ("a.pt", "b.safetensors"):
        write_networks(tmp_path / name, networks)
        assert read_networks(tmp_path / name).discriminator is None
    with pytest.raises(BadModel, match="needs a generator"):
        as_model(Networks(None, make_networks().discriminator))


def test_the_header_tells_where_a_converted_model_came_from(files: dict[Kind, Path]) -> None:
    header = as_model(read_networks(files["nvidia"])).header
    assert header.lineage == [{"converted": {"format": "nvidia", "left_out": "Not read: G."}}]


def test_template_option(files: dict[Kind, Path], tmp_path: Path) -> None:
    other = make_networks(seed=3)
    write_networks(tmp_path / "out.pkl", other, template=files["nvidia"])
    assert_same(read_networks(tmp_path / "out.pkl").generator, other.generator)
    with pytest.raises(UsageError, match="needs its source"):
        write_networks(tmp_path / "new.pkl", other)
    with pytest.raises(UsageError, match="A template serves"):
        write_networks(tmp_path / "new.pt", other, template=files["nvidia"])
    with pytest.raises(UsageError, match="can be read but not written"):
        write_networks(tmp_path / "new.pkl", other, kind="legacy-tf")
    with pytest.raises(UsageError, match=r"ending in '\.xyz'"):
        write_networks(tmp_path / "new.xyz", other)


@pytest.mark.parametrize(("name", "kind"), [("X.SAFETENSORS", "native"), ("X.Pt", "rosinality"), ("x.PKL", "nvidia")])
def test_capitals_in_an_ending_do_not_count(tmp_path: Path, name: str, kind: Kind) -> None:
    assert kind_of_ending(tmp_path / name) == kind


@pytest.mark.parametrize("kind", FORMATS)
def test_every_layout_in_the_table_can_be_read_and_is_recognised_by_itself_alone(
    files: dict[Kind, Path], kind: Kind
) -> None:
    head = files[kind].read_bytes()[:HEAD]
    first = next(name for name, layout in FORMATS.items() if layout.recognises(files[kind], head))
    assert first == kind and FORMATS[kind].read(files[kind], True).generator is not None


@pytest.mark.parametrize(
    "content", [b"hello", b"\x10\0\0\0\0\0\0\0{not json", b"\xff" * 8 + b"{}", b"PK\x03\x04junk", b"[" * 9]
)
def test_other_files_are_bad_models(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(BadModel):
        read_networks(tmp_path / "in")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(files: dict[Kind, Path], tmp_path: Path, data: Any) -> None:
    content = bytearray(files[data.draw(st.sampled_from(sorted(files)), label="kind")].read_bytes())
    for _ in range(data.draw(st.integers(1, 3), label="bytes")):
        # Structure lies at both ends of these files, numbers in the middle.
        where = data.draw(st.integers(-3000, 3000), label="where") % len(content)
        content[where] = data.draw(st.integers(0, 255), label="value")
    if data.draw(st.booleans(), label="cut"):
        del content[data.draw(st.integers(0, len(content)), label="length") :]
    (tmp_path / "in").write_bytes(content)
    try:
        read_networks(tmp_path / "in")
    except PortraitistError as error:
        assert error.message


def test_a_freeze_sg_model_is_for_native_files_alone(files: dict[Kind, Path], tmp_path: Path) -> None:
    networks = make_networks()
    assert networks.generator is not None
    frozen = replace(networks, generator=with_low_rows(networks.generator, 2))
    for kind, ending in (("rosinality", ".pt"), ("nvidia-state", ".pt"), ("nvidia", ".pkl")):
        template = files["nvidia"] if kind == "nvidia" else None
        with pytest.raises(BadModel, match=r"first 2 rows.*FreezeSG.*\.safetensors"):
            write_networks(tmp_path / f"x{ending}", frozen, kind=kind, template=template)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    write_networks(tmp_path / "x.safetensors", frozen)
    assert_same(read_networks(tmp_path / "x.safetensors").generator, frozen.generator)
