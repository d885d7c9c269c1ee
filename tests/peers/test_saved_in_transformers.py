"""Whatever model is saved answers the same in transformers, or is refused by a sentence: random odd configurations."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.peers.models import ours, relative
from tests.peers.test_transformers_parity import theirs

import centime
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError

transformers = pytest.importorskip("transformers", minversion="5.0")
TRIES = 25  # of the short run; each builds two models


@st.composite
def configurations(draw: Any) -> ModelConfig:
    """Sizes of one to a few, every combination of routing, rotation and YaRN, most of them nobody's."""
    heads, layers = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    experts = groups * draw(st.integers(1 if groups == 1 else 2, 4))
    kept = draw(st.integers(1, groups))
    rotated = 2 * draw(st.integers(1, 4))
    mla = draw(st.sampled_from([True, True, True, False]))
    softmax = draw(st.booleans())
    grouped: dict[str, Any] = {}
    if not mla:
        grouped = {"num_key_value_heads": draw(st.sampled_from([None, 1, heads]))}
        grouped |= {name: draw(st.booleans()) for name in ("qkv_bias", "out_bias", "qk_norm")}
    fields: dict[str, Any] = grouped | {
        "vocab_size": draw(st.integers(1, 70)),
        "hidden_size": draw(st.sampled_from([heads * draw(st.integers(4, 12)), draw(st.integers(3, 40))])),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "kv_lora_rank": draw(st.integers(1, 12)) if mla else None,
        "q_lora_rank": draw(st.none() | st.integers(1, 12)) if mla else None,
        "qk_nope_head_dim": draw(st.integers(0, 9)) if mla else 0,
        "qk_rope_head_dim": rotated,
        "v_head_dim": draw(st.integers(1, 9)) if mla else rotated,
        "intermediate_size": draw(st.integers(1, 30)),
        "moe_intermediate_size": draw(st.integers(1, 12)),
        "n_routed_experts": draw(st.sampled_from([experts, experts, experts, None] if mla else [None, None, experts])),
        "n_shared_experts": draw(st.sampled_from([None, 0, 1, 3])),
        "num_experts_per_tok": draw(st.integers(1, experts // groups * kept)),
        "first_k_dense_replace": draw(st.integers(0, layers + 1)),
        "moe_layer_freq": draw(st.sampled_from([1, 1, 1, 1, 2])),
        "scoring_func": "softmax" if softmax else "sigmoid",
        "topk_method": draw(
            st.sampled_from(
                ["greedy", "group_limited_greedy", "group_limited_greedy", "noaux_tc"]
                if softmax
                else ["noaux_tc", "noaux_tc", "noaux_tc", "greedy"]
            )
        ),
        "n_group": groups if groups > 1 else draw(st.sampled_from([None, 1])),
        "topk_group": kept if groups > 1 else draw(st.sampled_from([None, 1])),
        "norm_topk_prob": draw(st.sampled_from([False, False, True] if softmax else [True, False])),
        "routed_scaling_factor": draw(st.sampled_from([1.0, 2.5, 16.0])),
        "num_nextn_predict_layers": draw(st.sampled_from([0, 0, 1, 2])),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-5, 1e-3])),
        "initializer_range": 0.3,
        "rope_theta": draw(st.sampled_from([10000.0, 500.0, 1.5, 1e6])),
        "rope_interleave": draw(st.sampled_from([True, True, False] if mla else [False, False, True])),
        "tie_word_embeddings": draw(st.booleans()),
        "max_position_embeddings": draw(st.sampled_from([1, 40, 4096])),
        "rope_scaling": draw(st.none() | yarns() if mla else st.none() | yarns() | other_scalings()),
    }
    return ModelConfig(**fields)


def other_scalings() -> st.SearchStrategy[dict[str, Any]]:
    linear = {"rope_type": st.just("linear"), "factor": st.sampled_from([1.0, 1.5, 8.0])}
    positions = st.sampled_from([3, 64, 4096])
    llama3 = {"rope_type": st.just("llama3"), "factor": linear["factor"], "original_max_position_embeddings": positions}
    turns = {"low_freq_factor": st.sampled_from([0.5, 1.0]), "high_freq_factor": st.sampled_from([1.5, 4.0])}
    return st.fixed_dictionaries(linear) | st.fixed_dictionaries(llama3 | turns)


def yarns() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "factor": st.sampled_from([1.0, 1.5, 8.0, 40.0]),
            "original_max_position_embeddings": st.sampled_from([1, 3, 8, 64, 4096, 10**6]),
            "beta_fast": st.sampled_from([32.0, 4.0, 1.0]),
            "beta_slow": st.sampled_from([1.0, 0.5, 4.0]),
            "mscale": st.sampled_from([0.0, 0.707, 1.0, 2.0]),
            "mscale_all_dim": st.sampled_from([0.0, 0.707, 1.0]),
        }
    )


def same_or_refused(config: ModelConfig, seed: int) -> str:
    """'same' or the sentence that refuses; fails where transformers computes something else."""
    mine = ours(config.model_dump(), seed)
    ids = torch.randint(config.vocab_size, (2, 24), generator=torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        try:
            centime.save(mine, Path(folder) / "m")
        except UserError as error:
            assert not (Path(folder) / "m").exists()
            return str(error)
        back, peer = centime.load(Path(folder) / "m"), theirs(Path(folder) / "m").eval()
    with torch.inference_mode():
        logits = mine(ids)
        assert relative(back(ids), logits) < 1e-5
        assert relative(logits, peer(ids).logits) < 1e-4
    return "same"


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(configurations(), st.integers(0, 100))
def test_a_saved_model_answers_the_same_in_transformers(config: ModelConfig, seed: int) -> None:
    found = same_or_refused(config, seed)
    assert found == "same" or found.startswith("No published family computes this model")


@pytest.mark.long
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(configurations(), st.integers(0, 100))
def test_a_saved_model_answers_the_same_in_transformers_at_length(config: ModelConfig, seed: int) -> None:
    found = same_or_refused(config, seed)
    assert found == "same" or found.startswith("No published family computes this model")
