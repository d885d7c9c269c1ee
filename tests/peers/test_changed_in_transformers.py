"""A config.json that somebody changed: where both read it, centime computes what transformers does; or it refuses.

What transformers cannot read or run says nothing about centime and is passed over.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.peers.models import CONFIGS, ours, relative, tokens
from tests.peers.test_transformers_parity import theirs

import centime
from centime.errors import UserError

transformers = pytest.importorskip("transformers", minversion="5.0")
GONE = "gone"
YARN: dict[str, Any] = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16, "beta_fast": 4}
SCALINGS: list[Any] = [
    None,
    {},
    {"rope_type": "default"},
    {"type": "yarn", **{key: value for key, value in YARN.items() if key != "rope_type"}},
    YARN,
    YARN | {"mscale": 0.5, "mscale_all_dim": 0.5},
    YARN | {"mscale": 0.5},
    YARN | {"mscale_all_dim": 0.5},
    YARN | {"mscale": 0, "mscale_all_dim": 1.0},
    YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
    YARN | {"attention_factor": 1.3},
    YARN | {"truncate": False},
    YARN | {"factor": 1.0},
    {"type": "linear", "factor": 2.0},
]
CHANGES: dict[str, list[Any]] = {
    "model_type": ["deepseek_v2", "deepseek_v3", "llama"],
    "rope_scaling": SCALINGS,
    "rope_parameters": [
        None if scaling is None else scaling | ({"rope_theta": theta} if theta else {})
        for scaling in SCALINGS
        for theta in (None, 500.0, 10000.0)
    ],
    "rope_theta": [None, GONE, 500.0, 10000, 2],
    "rope_interleave": [True, False, None, GONE],
    "norm_topk_prob": [True, False, None, GONE],
    "num_experts_per_tok": [1, 2, 3, GONE],
    "n_group": [1, 2, 4, 8, None, GONE],
    "topk_group": [1, 2, 4, None, GONE],
    "scoring_func": ["sigmoid", "softmax", None, GONE],
    "topk_method": ["greedy", "group_limited_greedy", "noaux_tc", None, GONE],
    "routed_scaling_factor": [1.0, 2.5, GONE],
    "first_k_dense_replace": [0, 1, 2, 99, GONE],
    "moe_layer_freq": [1, 2, None, GONE],
    "n_routed_experts": [None, 4, 8, GONE],
    "num_local_experts": [4, 8],
    "num_experts": [4, 8],
    "num_mtp_layers": [0, 1],
    "n_shared_experts": [None, 0, 1, GONE],
    "q_lora_rank": [None, 0, GONE],
    "head_dim": [6, 16, 99, None, GONE],
    "qk_head_dim": [16, 17],
    "num_key_value_heads": [None, 1, 3, GONE],
    "rms_norm_eps": [1e-6, 1e-3, None, GONE],
    "tie_word_embeddings": [True, False, GONE],
    "hidden_act": ["gelu", "silu", GONE],
    "max_position_embeddings": [16, 128, GONE],
    "partial_rotary_factor": [1.0, 0.5],
    "sliding_window": [4, None],
    "attention_bias": [True, False],
    "use_mla": [True, False],
}
NAMES = ["V3", "V3, YaRN", "V3, tied", "V3, no groups", "V2-Lite", "V2", "V2, YaRN of unequal slopes", "dense"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Saved models and their config.json."""
    made = {}
    for name in NAMES:
        folder = centime.save(ours(CONFIGS[name]), tmp_path_factory.mktemp("m") / "m")
        made[name] = folder, json.loads((folder / "config.json").read_text())
    return made


@st.composite
def changes(draw: Any) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3, unique=True))
    return {key: draw(st.sampled_from(CHANGES[key])) for key in keys}


def same_or_refused(folder: Path, raw: dict[str, Any], changed: dict[str, Any]) -> None:
    config = {key: value for key, value in (raw | changed).items() if value != GONE}
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    try:
        mine = centime.load(folder).eval()
    except UserError:
        return
    ids = tokens(mine.config)
    with torch.inference_mode():
        try:
            expected = theirs(folder).eval()(ids).logits
        except Exception:
            return
        assert relative(mine(ids), expected) < 1e-4


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(NAMES), changes())
def test_a_changed_folder_computes_the_same_or_is_refused(
    folders: dict[str, tuple[Path, dict[str, Any]]], name: str, changed: dict[str, Any]
) -> None:
    same_or_refused(*folders[name], changed)


@pytest.mark.long
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(NAMES), changes())
def test_a_changed_folder_computes_the_same_or_is_refused_at_length(
    folders: dict[str, tuple[Path, dict[str, Any]]], name: str, changed: dict[str, Any]
) -> None:
    same_or_refused(*folders[name], changed)
