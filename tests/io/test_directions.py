from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.errors import BadModel, UsageError
from portraitist.io.directions import StoredDirections, load_directions, save_directions
from portraitist.io.headers import KEY, read_about
from portraitist.io.model_file import Model, load_model, save_model
from portraitist.spaces.direction import Direction

AGE = Direction("age", torch.tensor([0.6, 0.8, 0.0]), (0, 2), 1.5, "by hand")
POSE = Direction("pose-2", torch.arange(6.0).reshape(2, 3) + 1, (1,), 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_directions(
        tmp_path / "d.safetensors", [POSE, AGE], base="abc", base_name="tiny", licence="CC0-1.0", credit="Nobody"
    )


def rewritten(path: Path, **changes: object) -> Path:
    """Change the header, or the tensors where ``tensors`` is given."""
    tensors = changes.pop("tensors", load_file(path))
    header = json.loads(read_raw(path)) | changes
    save_file(tensors, path, metadata={KEY: json.dumps(header)})  # type: ignore[arg-type]
    return path


def read_raw(path: Path) -> str:
    raw = path.read_bytes()
    head = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return str(head["__metadata__"][KEY])


def test_directions_come_back_in_order_with_all_that_is_known(path: Path) -> None:
    found = load_directions(path)
    assert list(found.directions) == ["pose-2", "age"]
    for direction in (AGE, POSE):
        back = found.named(direction.name)
        assert torch.equal(back.vector, direction.vector)
        assert (back.rows, back.unit, back.found) == (direction.rows, direction.unit, direction.found)
    header = found.header
    assert (header.base_digest, header.base_name, header.licence, header.credit) == ("abc", "tiny", "CC0-1.0", "Nobody")


def test_an_unknown_name_lists_the_known_ones(path: Path) -> None:
    with pytest.raises(UsageError, match="Known: pose-2, age"):
        load_directions(path).named("smile")


def test_directions_of_another_base_are_refused(path: Path) -> None:
    found = load_directions(path)
    found.check_base("abc")
    with pytest.raises(BadModel, match="found on 'tiny'"):
        found.check_base("xyz", "faces")
    StoredDirections(replace(found.header, base_digest="")).check_base("xyz")


def test_an_existing_file_stays(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        save_directions(path, [AGE], base="abc")
    assert path.read_bytes() == before
    save_directions(path, [AGE], base="abc", overwrite=True)
    assert list(load_directions(path).directions) == ["age"]


@pytest.mark.parametrize(
    "directions",
    [[], [AGE, AGE], [replace(AGE, name="../x")], [replace(AGE, name="")], [replace(AGE, found="bell \x07")]],
)
def test_what_cannot_stand_in_a_file_is_not_written(tmp_path: Path, directions: list[Direction]) -> None:
    with pytest.raises(BadModel):
        save_directions(tmp_path / "x.safetensors", directions, base="abc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {"age": AGE.vector}},
        {"tensors": {"age": AGE.vector, "pose-2": POSE.vector, "more": torch.ones(3)}},
        {"tensors": {"age": torch.full((3,), float("nan")), "pose-2": POSE.vector}},
        {"tensors": {"age": torch.zeros(3), "pose-2": POSE.vector}},
        {"tensors": {"age": torch.ones(1, 1, 3), "pose-2": POSE.vector}},
        {"directions": [{"name": "age", "rows": [0]}, {"name": "pose-2", "rows": [5]}]},
        {"directions": [{"name": "age", "rows": []}, {"name": "pose-2", "rows": [1]}]},
        {"directions": [{"name": "age", "rows": [0], "unit": -1}, {"name": "pose-2", "rows": [1]}]},
        {"directions": [{"name": "age", "rows": ["a"]}, {"name": "pose-2", "rows": [1]}]},
        {"directions": []},
        {"base_name": "../faces"},
        {"format": 99},
        {"kind": "model"},
    ],
)
def test_damaged_files_are_refused(path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(BadModel):
        load_directions(rewritten(path, **changes))


def test_models_and_directions_are_not_mistaken_for_each_other(path: Path, tmp_path: Path, tiny_model: Model) -> None:
    model = save_model(tmp_path / "m.safetensors", tiny_model)
    with pytest.raises(BadModel, match="is a model, not a file of directions"):
        load_directions(model)
    with pytest.raises(BadModel, match="is a file of directions, not a model"):
        load_model(path)


def test_missing_and_truncated_files_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel):
        load_directions(tmp_path / "none.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadModel):
        load_directions(path)


def test_the_header_alone_tells_the_kind(path: Path) -> None:
    header = read_about(path, lambda found: found, ["directions"])
    assert isinstance(header, dict) and header["kind"] == "directions"
