from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from portraitist.errors import BadModel
from portraitist.networks import Generator, GeneratorAnatomy, Mapping, channels_for
from portraitist.networks.layers import StyledConv, ToRGB
from portraitist.ops import upsample
from portraitist.spaces import W, WPlus, Z, ZPlus


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(size: int = 16, channels: tuple[int, ...] | None = None, noise: float = 0.3, seed: int = 0) -> Generator:
    """A small generator whose noise and biases are not at rest."""
    torch.manual_seed(seed)
    channels = channels or tuple(range(12, 12 - size.bit_length() + 2, -1))
    generator = Generator(GeneratorAnatomy(size, channels, z_dim=10, w_dim=6, mapping_layers=2))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(noise)
            elif name.endswith("bias") and "synthesis" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return generator


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64])
def test_shapes(size: int) -> None:
    generator = drawn(size)
    images = generator(torch.randn(2, 10, generator=dice()))
    assert images.shape == (2, 3, size, size)
    assert images.isfinite().all()


def test_a_narrow_generator_of_1024_pixels() -> None:
    generator = drawn(1024, channels_for(1024, base=1024, cap=8))
    with torch.no_grad():
        seen = list(generator.synthesis.walk(torch.randn(1, 18, 6, generator=dice())))
    assert [s.resolution for s in seen] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert seen[-1].image.shape == (1, 3, 1024, 1024)
    assert seen[-1].features.shape == (1, 1, 1024, 1024)


def test_image_channels_follow_the_anatomy() -> None:
    assert Generator(GeneratorAnatomy(8, (4, 4), image_channels=1))(torch.randn(1, 512)).shape == (1, 1, 8, 8)


def test_every_parameter_has_a_gradient() -> None:
    generator = drawn()
    generator(torch.randn(2, 10, generator=dice())).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_images_one_by_one(dtype: torch.dtype) -> None:
    generator = drawn(32).to(dtype)
    z = torch.randn(5, 10, generator=dice(), dtype=dtype)
    with torch.no_grad():
        alone = torch.cat([generator(one[None]) for one in z])
        torch.testing.assert_close(generator(z), alone)


def test_permuting_the_codes_permutes_the_images() -> None:
    generator, order = drawn(), torch.tensor([2, 0, 1])
    z = torch.randn(3, 10, generator=dice())
    torch.testing.assert_close(generator(z[order]), generator(z)[order])


def test_stored_noise_gives_one_image_for_one_code() -> None:
    generator, z = drawn(), torch.randn(2, 10, generator=dice())
    assert torch.equal(generator(z), generator(z))


def test_noise_given_replaces_the_stored_planes() -> None:
    generator, z = drawn(), torch.randn(2, 10, generator=dice())
    stored = [generator.get_buffer(f"{layer.name}.noise")[None, None] for layer in generator.anatomy.convs]
    assert torch.equal(generator(z, stored), generator(z))
    fresh = generator.synthesis.draw_noise(2, dice(1))
    assert [tuple(p.shape) for p in fresh] == [(2, 1, c.resolution, c.resolution) for c in generator.anatomy.convs]
    assert not torch.allclose(generator(z, fresh), generator(z))
    silent = drawn(noise=0.0)
    torch.testing.assert_close(silent(z, fresh), silent(z))


def test_contributions_of_the_blocks_sum_to_the_image() -> None:
    generator = drawn(32)
    synthesis = generator.synthesis
    ws = torch.randn(2, generator.anatomy.rows, 6, generator=dice())
    image = None
    for seen in synthesis.walk(ws):
        assert seen.rgb.shape[-1] == seen.features.shape[-1] == seen.resolution
        image = seen.rgb if image is None else upsample(image, synthesis.kernel) + seen.rgb
        assert torch.equal(seen.image, image)
    assert torch.equal(image, synthesis(ws))


def test_each_row_reaches_its_own_layers_only() -> None:
    generator = drawn(16, noise=0.0)
    ws = torch.randn(1, 6, 6, generator=dice())
    before = list(generator.synthesis.walk(ws))
    for row in range(6):
        moved = ws.clone()
        moved[:, row] += 1
        changed = [not torch.equal(a.rgb, b.rgb) for a, b in zip(before, generator.synthesis.walk(moved), strict=True)]
        first = min(b.resolution for b in generator.anatomy.blocks if row in {layer.row for layer in b.layers})
        assert changed == [r >= first for r in generator.anatomy.resolutions]


def test_layers_start_at_unit_deviation() -> None:
    torch.manual_seed(0)
    for up in (1, 2):
        layer = StyledConv(128, 128, 32, 64, up=up)
        flat = torch.randn(4, 128, 1, 1).expand(-1, -1, 32 // up, 32 // up)  # the filter leaves it as it is
        y = layer(flat, torch.randn(4, 64))[:, :, 2:-2, 2:-2]
        assert y.square().mean().sqrt().item() == pytest.approx(1, abs=0.15)
    rgb = ToRGB(256, 3, 64)(torch.randn(4, 256, 16, 16), torch.zeros(4, 64))
    assert rgb.std().item() == pytest.approx(1, abs=0.15)


def test_clamp_bounds_every_layer() -> None:
    layer = StyledConv(8, 8, 8, 4, clamp=0.5)
    assert layer(torch.randn(1, 8, 8, 8), torch.randn(1, 4)).abs().max().item() == 0.5


def test_mapping_sees_the_direction_of_a_latent_only() -> None:
    torch.manual_seed(0)
    mapping, z = Mapping(10, 6, 2), torch.randn(3, 10)
    torch.testing.assert_close(mapping(z), mapping(7 * z))


def test_rows_of_zplus_are_mapped_on_their_own() -> None:
    generator = drawn()
    z = ZPlus.sample(2, 6, 10, dice())
    stretched = ZPlus(z.data * torch.arange(1.0, 7.0)[None, :, None])
    mapped = generator.map(z).data
    torch.testing.assert_close(mapped, generator.map(stretched).data)
    for row in range(6):
        torch.testing.assert_close(mapped[:, row], generator.mapping(z.data[:, row]))


def test_a_code_of_w_is_the_same_code_in_every_row() -> None:
    generator = drawn()
    w = W(generator.mapping(Z.sample(2, 10, dice()).data))
    assert torch.equal(generator.synthesize(w), generator.synthesize(w.broadcast(6)))
    assert torch.equal(generator.map(Z.sample(2, 10, dice())).data, w.broadcast(6).data)
    torch.testing.assert_close(generator.synthesize(w), generator(Z.sample(2, 10, dice()).data))


def test_codes_of_another_space_or_size_are_refused() -> None:
    generator = drawn()
    with pytest.raises(TypeError, match="not Z; map it first"):
        generator.synthesize(Z.sample(1, 10, dice()))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not ZPlus"):
        generator.synthesize(ZPlus.sample(1, 6, 10, dice()))  # type: ignore[arg-type]
    with pytest.raises(BadModel, match=r"\(6, 6\)"):
        generator.synthesize(WPlus(torch.zeros(1, 8, 6)))
    with pytest.raises(BadModel, match="does not fit"):
        generator.synthesize(W(torch.zeros(1, 5)))


def test_low_rows_come_from_the_second_mapping_network() -> None:
    torch.manual_seed(1)
    generator = Generator(replace(drawn().anatomy, low_rows=2)).eval()
    assert generator.low_mapping is not None
    generator.w_mean.fill_(1.0)
    z = Z.sample(3, 10, dice())
    codes = generator.map(z).data
    torch.testing.assert_close(codes[:, 0], generator.low_mapping(z.data))
    torch.testing.assert_close(codes[:, 5], generator.mapping(z.data))
    assert not torch.equal(codes[:, 1], codes[:, 2])
    assert generator.mean.data[0, :, 0].tolist() == [0, 0, 1, 1, 1, 1]
    with pytest.raises(BadModel, match="6 rows"):
        replace(drawn().anatomy, low_rows=7)


@pytest.mark.parametrize(("size", "sizes"), [(64, [6]), (128, [2, 2, 2]), (256, [1] * 6)])
def test_larger_pictures_are_drawn_fewer_at_a_time(size: int, sizes: list[int]) -> None:
    generator = drawn(size, channels_for(size, base=size, cap=4))
    z, seen = torch.randn(6, 10, generator=dice()), []
    generator.register_forward_hook(lambda _, arguments, __: seen.append(len(arguments[0])))
    torch.testing.assert_close(generator.sample_batches(z, 8), generator.synthesis(generator.styles(z)).detach())
    assert seen == sizes
