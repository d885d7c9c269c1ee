"""Parameters of encoders of images and sounds, counted from config.json alone, against transformers' own modules."""

from __future__ import annotations

from typing import Any

import pytest

from centime.catalogue.decoders import architecture_of
from centime.catalogue.decoders.encoders import encoder_parameters

# outer family, its part, what it changes: as published, or small enough to be odd
BUILT: list[tuple[str, str, dict[str, Any]]] = [
    ("gemma3", "vision_config", {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                                 "num_attention_heads": 16, "image_size": 896, "patch_size": 14,
                                 "vision_use_head": False}),
    ("gemma3", "vision_config", {"hidden_size": 96, "num_attention_heads": 6}),
    ("llava", "vision_config", {}),
    ("llava_next", "vision_config", {"hidden_size": 128, "intermediate_size": 300, "num_hidden_layers": 3}),
    ("mistral3", "vision_config", {}),
    ("qwen2_5_vl", "vision_config", {"hidden_size": 1280, "depth": 32, "out_hidden_size": 2048}),
    ("qwen3_vl", "vision_config", {"out_hidden_size": 4096}),
    ("qwen3_vl_moe", "vision_config", {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24}),
    ("qwen3_5", "vision_config", {"out_hidden_size": 5120}),
    ("qwen3_5_moe", "vision_config", {"depth": 3}),
    ("kimi_k25", "vision_config", {}),
    ("qwen2_audio", "audio_config", {}),
    ("voxtral", "audio_config", {"num_hidden_layers": 2, "hidden_size": 160}),
]  # fmt: skip


@pytest.mark.parametrize(("outer", "part", "changes"), BUILT)
def test_an_encoders_parameters_are_those_that_transformers_builds(
    outer: str, part: str, changes: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers.AutoConfig.for_model(outer), part)
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    theirs = sum(one.numel() for one in model.parameters())
    assert encoder_parameters(config.to_dict(), outer) == theirs


def test_kimis_own_names_of_sizes_are_read() -> None:
    """MoonViT of Kimi K2.5, as its config.json has it: 417 M."""
    own = {"init_pos_emb_height": 64, "init_pos_emb_width": 64, "patch_size": 14, "vt_hidden_size": 1152,
           "vt_intermediate_size": 4304, "vt_num_hidden_layers": 27, "model_type": ""}  # fmt: skip
    assert encoder_parameters(own, "kimi_k25") == 416_866_032


@pytest.mark.parametrize(
    ("raw", "outer"),
    [
        ({"model_type": "moss_encoder", "hidden_size": 1024}, "moss"),
        ({"model_type": "pixtral", "hidden_size": 1024}, "mistral3"),  # a size is missing
        ({"model_type": "pixtral", "hidden_size": "wide", "num_hidden_layers": 3, "intermediate_size": 4}, "mistral3"),
        ({"model_type": "clip_vision_model", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
          "image_size": 28, "patch_size": 14}, "minimax_m3_vl"),  # MiniMax's own, under CLIP's name
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_counted(raw: dict[str, Any], outer: str) -> None:
    assert encoder_parameters(raw, outer) is None


def test_a_model_says_its_encoders_beside_the_decoder() -> None:
    text = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 4, "intermediate_size": 128, "vocab_size": 1000,
            "max_position_embeddings": 512}  # fmt: skip
    vision = {"model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
              "patch_size": 14, "num_channels": 3}  # fmt: skip
    raw = {"model_type": "mistral3", "text_config": text, "vision_config": vision, "audio_config": {"x": 1}}
    arch = architecture_of(raw)
    assert [(one.part, one.parameters) for one in arch.encoders] == [
        ("vision_config", 403_305_472),
        ("audio_config", None),
    ]
    assert arch.assumptions == (
        "the language model alone, without vision_config of 403.3 M parameters",
        "the language model alone, without audio_config, which is not counted",
    )
