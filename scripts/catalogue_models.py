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

from catalogue_families import READERS, Row


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
