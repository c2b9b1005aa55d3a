"""A small random CLIP in the layout of Hugging Face, its tokenizer built by hand."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = ("a", "face", "smile", "old", "photo", "of")


def save_clip(folder: Path, seed: int = 0, side: int = 8) -> Path:
    """Write config, weights and tokenizer of a CLIP that takes ``side`` pixels."""
    from transformers import CLIPConfig, CLIPModel

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = vocabulary()
    ends = {"bos_token_id": tokens["<|startoftext|>"], "eos_token_id": tokens["<|endoftext|>"]}
    text = {
        **size,
        **ends,
        "vocab_size": len(tokens),
        "max_position_embeddings": 8,
        "pad_token_id": ends["eos_token_id"],
    }
    vision = {**size, "image_size": side, "patch_size": 4}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
        for p in model.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges()) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    config = {**special, "pad_token": "<|endoftext|>", "model_max_length": 8, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def merges() -> list[str]:
    """Return the pairs that put each word together from its left."""
    found: dict[str, None] = {}
    for word in WORDS:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for k in range(1, len(letters)):
            found["".join(letters[:k]) + " " + letters[k]] = None
    return list(found)


def vocabulary() -> dict[str, int]:
    """Return letters, what the merges make of them, and the two marks."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{x}</w>" for x in letters), *(m.replace(" ", "") for m in merges())]
    return {token: k for k, token in enumerate(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))}
