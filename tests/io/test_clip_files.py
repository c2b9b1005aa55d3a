from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.errors import BadModel, UsageError
from portraitist.io.clip_files import DEVIATION, MEAN, FolderClip, box_resized, load_clip

from .tiny_clip import save_clip

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> FolderClip:
    return load_clip(folder)


def test_pictures_and_texts_become_unit_vectors(clip: FolderClip) -> None:
    images, texts = clip.embed_image(IMAGES), clip.embed_text(["a smile", "old face"])
    assert images.shape == (3, 12) and texts.shape == (2, 12)
    for vectors in (images, texts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    assert float((texts[0] * texts[1]).sum()) < 0.99


def test_they_are_those_of_transformers_itself(clip: FolderClip) -> None:
    """Pictures of CLIP's own size only get its mean and deviation."""
    small = IMAGES[:, :, :8, :8]
    mean, deviation = (torch.tensor(x)[:, None, None] for x in (MEAN, DEVIATION))
    pixels = ((small + 1) / 2 - mean) / deviation
    tokens = clip.tokenizer(["a smile"], return_tensors="pt")
    with torch.no_grad():
        out = clip.model(pixel_values=pixels, **tokens)
    torch.testing.assert_close(clip.embed_image(small), out.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(clip.embed_text(["a smile"]), out.text_embeds, rtol=1e-4, atol=1e-5)


def test_a_text_does_not_depend_on_its_company_and_is_cut_where_the_model_ends(clip: FolderClip) -> None:
    both = clip.embed_text(["a", "a photo of a smile"])
    torch.testing.assert_close(both[:1], clip.embed_text(["a"]), rtol=1e-4, atol=1e-6)
    assert clip.embed_text(["a face " * 100]).shape == (1, 12)
    for empty in ("", " \n"):
        with pytest.raises(UsageError, match="text is empty"):
            clip.embed_text(["a", empty])


def test_gradients_reach_every_pixel_and_no_weight(clip: FolderClip) -> None:
    images = IMAGES.clone().requires_grad_(True)
    clip.embed_image(images)[:, 0].sum().backward()
    assert images.grad is not None and (images.grad != 0).all()
    assert not any(p.requires_grad for p in clip.model.parameters())


def test_released_pixels_are_repeated_and_averaged() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.equal(box_resized(images, 4), torch.nn.functional.avg_pool2d(images, 2))
    assert torch.equal(box_resized(images, 16)[..., ::2, ::2], images)
    # 256 to 224 as StyleCLIP does it: 7 times as large, then means over 8.
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.avg_pool2d(torch.nn.functional.interpolate(noise, scale_factor=7), 8)
    torch.testing.assert_close(box_resized(noise, 224), expected)


def test_released_pixels_keep_their_range(folder: Path, clip: FolderClip) -> None:
    raw = load_clip(folder, pixels="released")
    with torch.no_grad():
        features = raw.model.vision_model(pixel_values=box_resized(IMAGES, 8)).pooler_output
    expected = torch.nn.functional.normalize(raw.model.visual_projection(features), dim=1)
    torch.testing.assert_close(raw.embed_image(IMAGES), expected)
    assert not torch.allclose(raw.embed_image(IMAGES), clip.embed_image(IMAGES), atol=1e-3)


def test_folders_without_a_clip_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        load_clip(tmp_path / "none")
    with pytest.raises(UsageError, match="no way"):
        load_clip(folder, pixels="raw")  # type: ignore[arg-type]
    with pytest.raises(BadModel, match=r"no config\.json"):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle that must not be read")
    with pytest.raises(BadModel, match=r"no model\.safetensors"):
        load_clip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(BadModel, match=r"no vocab\.json"):
        load_clip(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(BadModel, match="holds no CLIP"):
        load_clip(tmp_path)


def test_missing_tensors_and_tokenizers_are_refused(tmp_path: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadModel, match=r"lacks tensors.*visual_projection"):
        load_clip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert load_clip(tmp_path).side == 8
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(BadModel, match=r"no merges\.txt"):
        load_clip(tmp_path)


def test_without_transformers_the_error_names_the_cure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install \"portraitist\[clip\]\""):
        load_clip(folder)
