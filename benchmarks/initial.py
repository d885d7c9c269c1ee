"""One set of initial weights for every stack: a Hugging Face folder with DeepSeek-V3's names, normal(0, 0.02)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from shapes import INITIALIZER_RANGE, SHAPE


def shapes_by_name() -> dict[str, tuple[int, ...]]:
    """Every tensor of the benchmark's model under the name that DeepSeek gives it on disk."""
    s: dict[str, int] = SHAPE  # type: ignore[assignment]
    d, h, latent, rope = s["hidden_size"], s["num_attention_heads"], s["kv_lora_rank"], s["qk_rope_head_dim"]
    nope, value = s["qk_nope_head_dim"], s["v_head_dim"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (s["vocab_size"], d)}

    def feed_forward(prefix: str, width: int) -> None:
        found[f"{prefix}.gate_proj.weight"] = found[f"{prefix}.up_proj.weight"] = (width, d)
        found[f"{prefix}.down_proj.weight"] = (d, width)

    for layer in range(s["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        found[f"{block}.input_layernorm.weight"] = found[f"{block}.post_attention_layernorm.weight"] = (d,)
        found[f"{block}.self_attn.q_proj.weight"] = (h * (nope + rope), d)
        found[f"{block}.self_attn.kv_a_proj_with_mqa.weight"] = (latent + rope, d)
        found[f"{block}.self_attn.kv_a_layernorm.weight"] = (latent,)
        found[f"{block}.self_attn.kv_b_proj.weight"] = (h * (nope + value), latent)
        found[f"{block}.self_attn.o_proj.weight"] = (d, h * value)
        if layer < s["first_k_dense_replace"]:
            feed_forward(f"{block}.mlp", s["intermediate_size"])
            continue
        found[f"{block}.mlp.gate.weight"] = (s["n_routed_experts"], d)
        found[f"{block}.mlp.gate.e_score_correction_bias"] = (s["n_routed_experts"],)
        for expert in range(s["n_routed_experts"]):
            feed_forward(f"{block}.mlp.experts.{expert}", s["moe_intermediate_size"])
        feed_forward(f"{block}.mlp.shared_experts", s["moe_intermediate_size"] * s["n_shared_experts"])
    return found | {"model.norm.weight": (d,), "lm_head.weight": (s["vocab_size"], d)}


def write(folder: Path, seed: int = 0) -> Path:
    """Write config.json and model.safetensors (fp32) into `folder`, made if absent; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes_by_name().items():
        if name.endswith("e_score_correction_bias"):
            tensors[name] = torch.zeros(shape)
        elif len(shape) == 1:
            tensors[name] = torch.ones(shape)
        else:
            tensors[name] = torch.randn(shape, generator=draw) * INITIALIZER_RANGE
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        **SHAPE,
        "num_key_value_heads": SHAPE["num_attention_heads"],
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_interleave": True,
        "max_position_embeddings": 4096,
        "initializer_range": INITIALIZER_RANGE,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "use_cache": False,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
