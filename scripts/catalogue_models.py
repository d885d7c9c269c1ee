"""Rows of the catalogue's models.csv: from Hugging Face config.json files, and from a table of models without one.

`read_config` knows the keys of the families below; a family that it does not know is an error, so that no model enters
the catalogue half understood. Layers are written in the pattern language of `centime.catalogue.layer_pattern`.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
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


def published(name: str) -> Row:
    """Totals that a model's name states: 'Qwen3.5-397B-A17B' -> 397e9 and 17e9."""
    out: Row = {}
    if "Llama-4" in name:  # 17B is what a token visits
        return {"published_active": "17000000000"}
    if total := re.search(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)B(?![a-z])", name):
        out["published_params"] = f"{float(total[1]) * 1e9:.0f}"
    if active := re.search(r"-A(\d+(?:\.\d+)?)B", name):
        out["published_active"] = f"{float(active[1]) * 1e9:.0f}"
    return out


def read_config(raw: dict[str, Any]) -> Row:
    """The row that a config.json describes. Raises ValueError on a family that is not known here."""
    config = raw.get("text_config") or raw
    config = {**config, "tie_word_embeddings": config.get("tie_word_embeddings", raw.get("tie_word_embeddings"))}
    family = raw["model_type"]
    layers = config.get("num_hidden_layers") or len(config.get("layers_block_type") or [])
    row: Row = {
        "hidden": config["hidden_size"],
        "vocab": config["vocab_size"],
        "heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads"),
        "head_dim": config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        "ffn": config.get("intermediate_size"),
        "gated": 1,
        "tied": int(bool(config.get("tie_word_embeddings"))),
        "mtp_modules": config.get("num_nextn_predict_layers") or config.get("mtp_num_hidden_layers") or 0,
        "assumptions": [],
    }
    if family not in READERS:
        raise ValueError(f"model_type {family!r} is not known to the catalogue's builder")
    READERS[family](config, row, layers)
    row["assumptions"] = "|".join(row["assumptions"])
    return row


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
    row |= {
        "pattern": f"LD*{dense} LE*{layers - dense}",
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
    }
    row["assumptions"].append(
        "hyper-connections (four residual streams) and the hash tables of the first three layers are left out"
    )


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


def from_configs(folder: Path, source: str) -> list[tuple[str, Row]]:
    """(Hugging Face id, row) of every OWNER--MODEL_config.json in `folder`."""
    found = []
    for path in sorted(folder.glob("*_config.json")):
        name = path.name.removesuffix("_config.json").replace("--", "/")
        if name.startswith("sgl-project/"):  # DeepSeek-V4 again, in another code base's keys
            continue
        row = read_config(json.loads(path.read_text(encoding="utf-8")))
        found.append((name, row | {"source": f"{source} {path.name}"}))
    return found


def merged(found: list[tuple[str, Row]]) -> list[Row]:
    """One row per architecture, by its name without the owner; models that differ in precision or tuning alone become
    aliases of the first. An owner who only converts (nvidia/DeepSeek-V3-...) does not name the row if anyone else can,
    nor does DeepSeek-R1, which is V3 trained on.
    """

    def rank(item: tuple[str, Row]) -> tuple[bool, bool, int, str]:
        name = item[0]
        return name.startswith("nvidia/") and "emotron" not in name, name.endswith("-R1"), len(name), name

    rows: dict[str, Row] = {}
    for name, row in sorted(found, key=rank):
        key = json.dumps({k: v for k, v in row.items() if k != "source"}, sort_keys=True)
        if key in rows:
            rows[key]["aliases"].append(name)
        else:
            short = re.sub(r"^(Meta-|NVIDIA-)", "", name.rsplit("/", 1)[-1])
            short = re.sub(r"-(BF16|FP8|NVFP4|Instruct|v0\.1|v1)$", "", short)
            rows[key] = {"name": short, "aliases": [name], **published(short), **row}
    return sorted(rows.values(), key=lambda row: str(row["name"]).lower())


PUBLISHED = {  # what the makers state, where the name does not: parameters, active
    "DeepSeek-V3": ("671e9", "37e9"),  # V3 report, abstract
    "DeepSeek-V2": ("236e9", "21e9"),  # V2 report, abstract
    "DeepSeek-V2-Lite": ("15.7e9", "2.4e9"),  # V2 report, appendix B
    "DeepSeek-V4-Flash": ("284e9", "13e9"),  # arXiv:2606.19348
    "DeepSeek-V4-Pro": ("1.6e12", "49e9"),
    "gpt-oss-120b": ("116.8e9", "5.1e9"),  # model card: active without embedding and head
    "gpt-oss-20b": ("20.9e9", "3.6e9"),
    "Qwen3-30B-A3B": ("30.5e9", "3.3e9"),  # model cards from here on
    "Qwen3-32B": ("32.8e9", ""),
    "Qwen3-8B": ("8.2e9", ""),
    "Llama-3.1-8B": ("8.03e9", ""),
    "Llama-3.1-70B": ("70.6e9", ""),
    "Llama-4-Scout-17B-16E": ("109e9", "17e9"),
    "Llama-4-Maverick-17B-128E": ("400e9", "17e9"),
    "Mixtral-8x7B": ("46.7e9", "12.9e9"),
    "Mixtral-8x22B": ("141e9", "39e9"),
    "Kimi-K2.5": ("1.04e12", "32e9"),
    "Kimi-K3": ("2.8e12", ""),
    "Nemotron-3-Nano-30B-A3B": ("31.6e9", "3.2e9"),  # active without the embedding
}


OVERRIDES: dict[str, Row] = {
    "Nemotron-3-Super-120B-A12B": {
        "mtp_modules": 2,
        "assumptions": "two prediction depths share one module's weights in training (Megatron-Bridge); counted as two",
    },
}


def build(configs: Path, kept: Path, own: Path, columns: list[str]) -> list[dict[str, str]]:
    """Rows of models.csv. `own` holds configurations that the package ships, as NAME.json; `kept` the tables kept by
    hand: models.csv for models without a config.json, model_aliases.csv for names that no rule finds."""
    found = from_configs(configs, "config.json as vendored in ai-dynamo/aiconfigurator 095f58a51:")
    for path in sorted(own.glob("deepseek-v2*.json")):
        row = read_config(json.loads(path.read_text(encoding="utf-8")))
        name = {"deepseek-v2": "deepseek-ai/DeepSeek-V2", "deepseek-v2-lite": "deepseek-ai/DeepSeek-V2-Lite"}[path.stem]
        found.append((name, row | {"source": f"deepseek-ai config.json, catalogue/models/{path.name}"}))
    rows = merged(found)
    by_name = {name: row for row in rows for name in [row["name"], *row["aliases"]]}
    for line in _table(kept / "model_aliases.csv"):
        by_name[line["name"]]["aliases"].append(line["alias"])
    for row in rows:
        row["aliases"] = "|".join(row["aliases"])
        row.update(OVERRIDES.get(row["name"], {}))
        if row["name"] in PUBLISHED:
            row["published_params"], row["published_active"] = PUBLISHED[row["name"]]
    rows += _table(kept / "models.csv")
    return [{column: _text(row.get(column)) for column in columns} for row in rows]


def _table(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
