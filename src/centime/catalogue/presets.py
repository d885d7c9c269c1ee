"""Models by name: DeepSeek's, and centime's own family from 2 M to 1 B parameters on one dial, `depth`.

`preset("deepseek-v3")` reads the catalogue's config.json. `preset("centime-d4")` computes every size from depth 4:

    hidden      D = 64 depth            nanochat's ratio of width to depth, which tracks GPT-3's table
    heads       values of 32 below depth 8, of 64 from there on; H = D / v, so that heads x v = D as in V2-Lite
    rotation    R = v / 2, nope = v     V2's and V3's 64 beside 128
    latent      L = D / 4               V2-Lite's 512 of 2,048
    experts     32, the best 4 and 1 shared of F = D / 2; one layer in front is dense, of width 5 F: what a token meets
                is as wide in either kind of layer, as in V2 and V3 (9 x 2,048 = 18,432), and 33 of 5 held beside active
                is V2-Lite's 66 of 8
    gates       sigmoid, V3's correction bias, normed to 1 and scaled by sqrt(K), which keeps the sum of K
                equal, uncorrelated experts at the size of one
    vocabulary  the power of two from 1,024 depth, at least 4,096
    init        0.5 / sqrt(D)           V3's 0.006 at 7,168

`centime-d4-mtp` adds V3's one MTP module.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from centime.catalogue.hf import explain, from_hf
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError, nearest

DEPTHS = range(2, 18)  # 2.1 M to 1.1 B parameters


@cache
def catalogue_models() -> dict[str, ModelConfig]:
    """DeepSeek's published models by name, from catalogue/models/*.json."""
    found = {}
    for entry in sorted(files("centime.catalogue").joinpath("models").iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".json"):
            raw = json.loads(entry.read_text(encoding="utf-8"))
            found[entry.name.removesuffix(".json")] = from_hf(raw, entry.name)
    return found


def names() -> list[str]:
    """Every name that `preset` knows, smallest of ours first; each of ours also exists with -mtp."""
    return [*(f"centime-d{depth}" for depth in DEPTHS), *catalogue_models()]


def from_depth(depth: int) -> ModelConfig:
    """centime's own shape at `depth` layers (2 to 17); the module's text says how each size follows."""
    hidden = 64 * depth
    value_head = 32 if depth < 8 else 64
    expert, chosen = hidden // 2, 4
    return ModelConfig(
        vocab_size=max(4096, 1 << (1024 * depth - 1).bit_length()),
        hidden_size=hidden,
        num_hidden_layers=depth,
        num_attention_heads=hidden // value_head,
        kv_lora_rank=hidden // 4,
        qk_nope_head_dim=value_head,
        qk_rope_head_dim=value_head // 2,
        v_head_dim=value_head,
        intermediate_size=(chosen + 1) * expert,
        moe_intermediate_size=expert,
        n_routed_experts=32,
        n_shared_experts=1,
        num_experts_per_tok=chosen,
        first_k_dense_replace=1,
        routed_scaling_factor=math.sqrt(chosen),
        initializer_range=round(0.5 / math.sqrt(hidden), 4),
        max_position_embeddings=4096,
    )


def preset(name: str, **overrides: Any) -> ModelConfig:
    """The configuration called `name`, with `overrides` of its fields (a tokenizer's vocab_size, say).

    Raises UserError for an unknown name, an unknown field or a value that does not fit, with the nearest valid one.
    """
    ours = re.fullmatch(r"centime-d(\d+)(-mtp)?", name)
    if ours:
        if int(ours[1]) not in DEPTHS:
            raise UserError(f"{name} is not on the dial; depths go from {DEPTHS[0]} to {DEPTHS[-1]} (centime-d4).")
        config = from_depth(int(ours[1]))
        if ours[2]:
            overrides = {"num_nextn_predict_layers": 1} | overrides
    elif name in catalogue_models():
        config = catalogue_models()[name]
    else:
        raise UserError(
            f"There is no model called {name!r}.{nearest(name, names())} Known: centime-d{DEPTHS[0]} to "
            f"centime-d{DEPTHS[-1]} (with -mtp for one MTP module), {', '.join(catalogue_models())}."
        )
    if unknown := [key for key in overrides if key not in ModelConfig.model_fields]:
        raise UserError(f"A model has no setting {unknown[0]!r}.{nearest(unknown[0], ModelConfig.model_fields)}")
    try:
        return ModelConfig.model_validate(config.model_dump() | overrides)
    except ValidationError as error:
        raise UserError(explain(error, f"{name} with {overrides}")) from None
