"""How each family of models writes its architecture in a Hugging Face config.json."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def fold(layers: list[str]) -> str:
    """['LD', 'LD', 'LE'] -> 'LD*2 LE'; a period that fills the whole becomes '(WE AE)*18'."""
    for period in range(1, len(layers) // 2 + 1):
        if len(layers) % period == 0 and layers == layers[:period] * (len(layers) // period):
            inner, times = layers[:period], len(layers) // period
            return f"{inner[0]}*{times}" if period == 1 else f"({_runs(inner)})*{times}"
    return _runs(layers)


def _runs(layers: list[str]) -> str:
    runs: list[list[Any]] = []
    for layer in layers:
        if runs and runs[-1][0] == layer:
            runs[-1][1] += 1
        else:
            runs.append([layer, 1])
    return " ".join(kind if times == 1 else f"{kind}*{times}" for kind, times in runs)


def _experts(config: dict[str, Any], row: Row, width: int | None = None) -> None:
    count = config.get("n_routed_experts") or config.get("num_experts") or config.get("num_local_experts")
    chosen = config.get("num_experts_per_tok") or config.get("num_experts_per_token") or config.get("top_k_experts")
    row |= {"experts": count, "top_k": chosen, "expert_width": width or config.get("moe_intermediate_size")}


def _dense(config: dict[str, Any], row: Row, layers: int) -> None:
    row["pattern"] = f"AD*{layers}"


def _qwen_moe(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row)
    row["pattern"] = f"AE*{layers}"


def _mixtral(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row, config["intermediate_size"])
    row["pattern"] = f"AE*{layers}"


def _minimax_m2(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row, config["intermediate_size"])
    row |= {"pattern": f"AE*{layers}", "correction_bias": 1, "mtp_modules": 0}
    row["assumptions"].append("MTP modules of the checkpoint are left out")


def _minimax_m3(config: dict[str, Any], row: Row, layers: int) -> None:
    frequency = config["moe_layer_freq"]
    _experts(config, row, config.get("moe_intermediate_size") or config["intermediate_size"])
    row |= {
        "pattern": fold(["AE" if has else "AD" for has in frequency]),
        "ffn": config["dense_intermediate_size"],
        "shared_width": config["shared_intermediate_size"],
        "correction_bias": 1,
        "mtp_modules": 0,
    }
    row["assumptions"].append("attention is counted dense; MTP modules are left out")


def _deepseek(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row)
    dense = config["first_k_dense_replace"]
    mixers = ["K" if one == "shared" else "L" for one in config.get("indexer_types") or []]
    named = fold([f"{mixer}{'DE'[layer >= dense]}" for layer, mixer in enumerate(mixers)]) if mixers else ""
    row |= {
        "pattern": named or f"LD*{dense} LE*{layers - dense}",
        "kv_heads": None,
        "head_dim": None,
        "q_rank": config.get("q_lora_rank"),
        "kv_rank": config["kv_lora_rank"],
        "nope_dim": config["qk_nope_head_dim"],
        "rope_dim": config["qk_rope_head_dim"],
        "value_dim": config["v_head_dim"],
        "shared_width": (config.get("n_shared_experts") or 0) * config["moe_intermediate_size"],
        "correction_bias": int(config.get("topk_method") == "noaux_tc"),
        "groups": config.get("n_group") or 1,
        "top_groups": config.get("topk_group") or 1,
        "index_topk": config.get("index_topk"),
        "index_heads": config.get("index_n_heads"),
        "index_dim": config.get("index_head_dim"),
    }


def _deepseek_v4(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row)
    ratios = config["compress_ratios"]
    row |= {
        "pattern": fold([f"C{ratio}E" for ratio in ratios[:layers]]),
        "mtp_pattern": f"C{ratios[layers]}E" if row["mtp_modules"] else None,
        "kv_heads": None,
        "ffn": None,
        "q_rank": config["q_lora_rank"],
        "window": config["sliding_window"],
        "index_topk": config["index_topk"],
        "index_heads": config["index_n_heads"],
        "index_dim": config["index_head_dim"],
        "out_groups": config["o_groups"],
        "out_rank": config["o_lora_rank"],
        "shared_width": config["n_shared_experts"] * config["moe_intermediate_size"],
        "correction_bias": 1,
        "streams": config["hc_mult"],
    }
    row["assumptions"].append("the hash tables of the first three layers are left out")


def _kimi_k3(config: dict[str, Any], row: Row, layers: int) -> None:
    _deepseek(config | {"topk_method": "noaux_tc"}, row, layers)
    linear = config["linear_attn_config"]
    softmax = set(linear["full_attn_layers"])
    kinds = ["L" if layer in softmax else "S" for layer in range(1, layers + 1)]
    dense = config["first_k_dense_replace"]
    row |= {
        "pattern": fold([kind + ("D" if layer < dense else "E") for layer, kind in enumerate(kinds)]),
        "ssm_heads": linear["num_heads"],
        "ssm_head_dim": linear["head_dim"],
        "ssm_state": linear["head_dim"],
        "ssm_groups": linear["num_heads"],
        "delta": 1,
        "output_gate": int(bool(config.get("mla_use_output_gate"))),
        "latent_dim": config["routed_expert_hidden_size"],
        "shared_width": config["num_shared_experts"] * config["moe_intermediate_size"],
    }
    row["assumptions"].append("Kimi delta attention is counted as a gated delta net with a key head per value head")


def _nemotron_h(config: dict[str, Any], row: Row, layers: int) -> None:
    letters = {"M": "S", "E": "E", "*": "A", "-": "D", "mamba": "S", "moe": "E", "attention": "A", "mlp": "D"}
    order = list(config.get("hybrid_override_pattern") or config["layers_block_type"])
    module = list(config.get("mtp_hybrid_override_pattern") or config.get("mtp_layers_block_type") or [])
    row |= {
        "pattern": fold([letters[kind] for kind in order]),
        "mtp_pattern": fold([letters[kind] for kind in module]) if module else None,
        "head_dim": config.get("head_dim") or config["attention_head_dim"],
        "ssm_heads": config["mamba_num_heads"],
        "ssm_head_dim": config["mamba_head_dim"],
        "ssm_state": config["ssm_state_size"],
        "ssm_groups": config["n_groups"],
        "gated": 0,
    }
    if config.get("n_routed_experts"):
        _experts(config, row)
        row |= {
            "shared_width": config["moe_shared_expert_intermediate_size"],
            "latent_dim": config.get("moe_latent_size"),
            "correction_bias": 1,
        }


def _qwen35(config: dict[str, Any], row: Row, layers: int) -> None:
    kinds = ["S" if kind == "linear_attention" else "A" for kind in config["layer_types"]]
    part = "D"
    if config.get("num_experts"):
        _experts(config, row)
        row |= {"shared_width": config["shared_expert_intermediate_size"]}
        part = "E"
    row |= {
        "pattern": fold([kind + part for kind in kinds]),
        "mtp_pattern": "A" + part if row["mtp_modules"] else None,
        "ssm_heads": config["linear_num_value_heads"],
        "ssm_head_dim": config["linear_value_head_dim"],
        "ssm_state": config["linear_key_head_dim"],
        "ssm_groups": config["linear_num_key_heads"],
        "delta": 1,
        "output_gate": int(bool(config.get("attn_output_gate"))),
    }
    row["assumptions"].append("text model alone, without the vision encoder")


def _gpt_oss(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row, config["intermediate_size"])
    letters = {"sliding_attention": "W", "full_attention": "A"}
    row |= {
        "pattern": fold([letters[kind] + "E" for kind in config["layer_types"]]),
        "window": config["sliding_window"],
        "bias": int(config["attention_bias"]),
    }


def _llama4(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row, config["intermediate_size"])
    step = config["interleave_moe_layer_step"]
    mixers = ["A" if (layer + 1) % 4 == 0 else "W" for layer in range(layers)]
    row |= {
        "pattern": fold([m + ("E" if (layer + 1) % step == 0 else "D") for layer, m in enumerate(mixers)]),
        "ffn": config["intermediate_size_mlp"],
        "shared_width": config["intermediate_size"],
        "window": config["attention_chunk_size"],
    }
    row["assumptions"].append("attention in chunks of 8,192 is counted as a window; text model alone")


def _gemma4(config: dict[str, Any], row: Row, layers: int) -> None:
    letters = {"sliding_attention": "W", "full_attention": "A"}
    part = "D"
    if config.get("num_experts"):
        _experts(config, row)
        row |= {"shared_width": config["intermediate_size"]}
        part = "E"
    row |= {
        "pattern": fold([letters[kind] + part for kind in config["layer_types"]]),
        "window": config["sliding_window"],
        "window_head_dim": config["head_dim"],
        "window_kv_heads": config["num_key_value_heads"],
        "head_dim": config["global_head_dim"],
        "kv_heads": config["num_global_key_value_heads"],
    }
    row["assumptions"].append("keys and values of full layers are counted apart though they share a matrix; text alone")


def _mimo_v2(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row)
    mixers = ["W" if windowed else "A" for windowed in config["hybrid_layer_pattern"]]
    parts = ["E" if has else "D" for has in config["moe_layer_freq"]]
    row |= {
        "pattern": fold([m + p for m, p in zip(mixers, parts, strict=True)]),
        "value_dim": config["v_head_dim"],
        "window": config["sliding_window"],
        "window_heads": config["swa_num_attention_heads"],
        "window_kv_heads": config["swa_num_key_value_heads"],
        "correction_bias": 1,
    }


def _step37(config: dict[str, Any], row: Row, layers: int) -> None:
    _experts(config, row)
    letters = {"sliding_attention": "W", "full_attention": "A"}
    kinds = [letters[kind] for kind in config["layer_types"][:layers]]
    row |= {
        "pattern": fold([kind + ("D" if layer < 3 else "E") for layer, kind in enumerate(kinds)]),
        "window": config["sliding_window"],
        "shared_width": config["share_expert_dim"],
        "correction_bias": 1,
        "mtp_modules": 0,
    }
    row["assumptions"].append("three dense layers in front; MTP modules are left out; text model alone")


def _deci(config: dict[str, Any], row: Row, layers: int) -> None:
    """Nemotron-Super-49B: pruned from Llama-3.3-70B layer by layer (arXiv 2411.19146)."""
    found, kv_heads = [], None
    for block in config["block_configs"]:
        attention, part = block["attention"], block["ffn"]
        mixer = "" if attention["no_op"] else "A"
        if mixer:
            kv_heads = config["num_attention_heads"] // attention["n_heads_in_group"]
        width = 0 if part["no_op"] else int(2 * part["ffn_mult"] * config["hidden_size"] / 3)
        width = -(-width // 256) * 256  # the model's own rounding
        found.append(mixer + (f"D{width}" if width else ""))
    row |= {"pattern": fold([layer for layer in found if layer]), "kv_heads": kv_heads, "ffn": None}


READERS = {
    "llama": _dense, "qwen3": _dense, "qwen3_vl": _dense, "mimo": _dense,
    "qwen3_moe": _qwen_moe, "qwen3_vl_moe": _qwen_moe, "mixtral": _mixtral,
    "minimax_m2": _minimax_m2, "minimax_m3": _minimax_m3, "minimax_m3_sparse": _minimax_m3,
    "minimax_m3_vl": _minimax_m3, "deepseek_v2": _deepseek, "deepseek_v3": _deepseek, "deepseek_v32": _deepseek,
    "glm_moe_dsa": _deepseek, "kimi_k2": _deepseek, "kimi_k25": _deepseek, "deepseek_v4": _deepseek_v4,
    "kimi_k3": _kimi_k3, "nemotron_h": _nemotron_h, "qwen3_5": _qwen35, "qwen3_5_moe": _qwen35, "gpt_oss": _gpt_oss,
    "llama4": _llama4, "gemma4": _gemma4, "mimo_v2_flash": _mimo_v2, "step3p7": _step37, "step3p7_flash": _step37,
    "nemotron-nas": _deci,
}  # fmt: skip
