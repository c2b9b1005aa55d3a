from __future__ import annotations

import pytest

from portraitist.errors import BadModel
from portraitist.networks import (
    Discriminator,
    DiscriminatorAnatomy,
    Generator,
    GeneratorAnatomy,
    channels_for,
)

SIZES = [4, 8, 16, 32, 64, 128, 256, 512, 1024]


def anatomy(size: int) -> GeneratorAnatomy:
    return GeneratorAnatomy(size, channels_for(size, base=2048, cap=8))


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_numbered_as_the_field_does(size: int) -> None:
    """Row 0 drives the convolution at 4, row 1 its ToRGB and the first convolution of 8, the last a ToRGB alone."""
    g = anatomy(size)
    levels = size.bit_length() - 1
    assert g.rows == 2 * levels - 2
    for k, block in enumerate(g.blocks):
        assert block.resolution == 4 * 2**k
        assert block.conv1.row == 2 * k
        assert block.to_rgb.row == 2 * k + 1
        assert (block.conv0.row if block.conv0 else None) == (2 * k - 1 if k else None)
        assert g.rows_upto(block.resolution) == 2 * k + 2
    assert sorted({layer.row for layer in g.layers}) == list(range(g.rows))


@pytest.mark.parametrize(("size", "rows", "convolutions"), [(256, 14, 13), (1024, 18, 17)])
def test_published_sizes(size: int, rows: int, convolutions: int) -> None:
    g = GeneratorAnatomy(size, channels_for(size))
    assert (g.rows, len(list(g.convs))) == (rows, convolutions)


def test_published_widths() -> None:
    assert channels_for(256) == (512, 512, 512, 512, 256, 128, 64)
    assert channels_for(1024, base=32768) == (512, 512, 512, 512, 512, 256, 128, 64, 32)


def test_widths_and_blocks_by_resolution() -> None:
    g = GeneratorAnatomy(16, (8, 6, 4))
    assert [g.width(r) for r in g.resolutions] == [8, 6, 4]
    with pytest.raises(BadModel, match="32"):
        g.block(32)


def test_every_parameter_of_a_generator_has_its_place() -> None:
    generator = Generator(anatomy(16))
    for name in generator.state_dict():
        place = generator.anatomy.place(name)
        if name.startswith("mapping.") or name == "w_mean":
            assert place is None
        else:
            assert place == (4 if name == "synthesis.const" else int(name.split(".")[2]))
    for layer in generator.anatomy.layers:
        assert f"{layer.name}.weight" in generator.state_dict()


def test_place_does_not_take_a_prefix_for_a_name() -> None:
    g = anatomy(1024)
    assert g.place("synthesis.blocks.16.conv0.weight") == 16
    assert g.place("synthesis.blocks.128.conv0.weight") == 128
    assert g.place("synthesis.blocks.1024.to_rgb.bias") == 1024


def test_every_parameter_of_a_discriminator_has_its_place() -> None:
    d = Discriminator(DiscriminatorAnatomy(16, (8, 8, 8)))
    for name in d.state_dict():
        place = d.anatomy.place(name)
        if name.startswith("blocks."):
            assert place == int(name.split(".")[1])
        else:
            assert place == (16 if name.startswith("from_rgb.") else 4)


@pytest.mark.parametrize("kind", [GeneratorAnatomy, DiscriminatorAnatomy])
@pytest.mark.parametrize(("size", "channels"), [(2, (8,)), (12, (8, 8)), (2048, (8,) * 10), (0, ()), (-4, (8,))])
def test_impossible_sizes_are_refused(
    kind: type[GeneratorAnatomy] | type[DiscriminatorAnatomy], size: int, channels: tuple[int, ...]
) -> None:
    with pytest.raises(BadModel, match="not possible"):
        kind(size, channels)


@pytest.mark.parametrize("channels", [(8,), (8, 8, 8), (8, 0), ()])
def test_widths_that_do_not_fit_are_refused(channels: tuple[int, ...]) -> None:
    for kind in (GeneratorAnatomy, DiscriminatorAnatomy):
        with pytest.raises(BadModel, match="2 positive widths"):
            kind(8, channels)


@pytest.mark.parametrize("wrong", [{"group": -1}, {"group_channels": 0}, {"group_channels": 3}, {"image_channels": 0}])
def test_group_statistics_that_cannot_be_taken_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadModel, match=r"group_channels|`group`"):
        DiscriminatorAnatomy(8, (8, 8), **wrong)


@pytest.mark.parametrize("field", ["z_dim", "w_dim", "mapping_layers", "image_channels"])
def test_empty_sizes_are_refused(field: str) -> None:
    with pytest.raises(BadModel, match="positive sizes"):
        GeneratorAnatomy(8, (8, 8), **{field: 0})
