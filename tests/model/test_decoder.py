"""The model as a whole: cached decoding equals the full pass, shapes and initial weights are as promised."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.model.latent_cache import LatentCache

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.model import Transformer

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 48,
}
CONFIGS = {
    "mla": ModelConfig(**SMALL, kv_lora_rank=12, qk_nope_head_dim=10, qk_rope_head_dim=6, v_head_dim=7),
    "low-rank query, yarn": ModelConfig(**SMALL, q_lora_rank=20, rope_scaling=YarnScaling(factor=4.0)),
    "grouped": ModelConfig(**SMALL, n_group=4, topk_group=2),
    "v2": ModelConfig(
        **SMALL,
        scoring_func="softmax",
        topk_method="group_limited_greedy",
        n_group=4,
        topk_group=1,
        norm_topk_prob=False,
    ),
    "dense multi-head": ModelConfig(
        **SMALL, kv_lora_rank=None, qk_nope_head_dim=0, qk_rope_head_dim=8, v_head_dim=8, n_routed_experts=None
    ),
    "tied": ModelConfig(**SMALL, tie_word_embeddings=True),
    "mtp": ModelConfig(**SMALL, num_nextn_predict_layers=2),
}


def build(config: ModelConfig) -> Transformer:
    model = Transformer(config.model_copy(update={"initializer_range": 0.1}))
    model.init_weights(0)
    return model.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_decoding_equals_the_full_pass(name: str) -> None:
    """Expanded prefill, absorbed decode of one token, and of several at once: the same logits as without a cache."""
    config = CONFIGS[name]
    model = build(config)
    ids = torch.randint(config.vocab_size, (2, 23), generator=torch.Generator().manual_seed(1))
    cache = LatentCache(config, batch=2, capacity=23)
    with torch.no_grad():
        pieces = [model.unembed(model.advance(part, cache)) for part in ids.split([9, 1, 1, 5, 7], dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids), rtol=1e-4, atol=1e-4)
    assert cache.length == 23


@pytest.mark.parametrize("name", CONFIGS)
def test_no_position_sees_a_later_token(name: str) -> None:
    model = build(CONFIGS[name])
    ids = torch.randint(97, (1, 12))
    changed = ids.clone()
    changed[0, 8] = (ids[0, 8] + 1) % 97
    with torch.no_grad():
        difference = (model(ids) - model(changed)).abs().amax(-1)[0]
    assert float(difference[:8].max()) < 1e-5  # an expert's product has another shape, and rounds otherwise
    assert float(difference[8:].max()) > 0


def test_the_cache_refuses_what_does_not_fit() -> None:
    config = CONFIGS["mla"]
    cache = LatentCache(config, batch=1, capacity=4, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="holds 4 tokens and 5"):
        build(config).advance(torch.zeros(1, 5, dtype=torch.int64), cache)


def test_mtp_predicts_from_the_tokens_ahead_alone() -> None:
    """Depth k at position i sees tokens up to i + k, never the one it predicts, i + 1 + k."""
    config = CONFIGS["mtp"]
    model = build(config)
    rows = torch.randint(97, (1, 12))
    for depth in (1, 2):
        base, later = rows.clone(), rows.clone()
        later[0, 5 + 1 + depth :] = (later[0, 5 + 1 + depth :] + 1) % 97
        with torch.no_grad():
            a, b = (model.mtp_features(model.features(r[:, :10]).hidden, r)[depth - 1].hidden for r in (base, later))
        assert float((a[0, :6] - b[0, :6]).abs().max()) < 1e-5
        assert float((a[0, 6] - b[0, 6]).abs().max()) > 0


def test_initial_weights_follow_the_seed_and_the_range() -> None:
    model = Transformer(ModelConfig(initializer_range=0.006))
    model.init_weights(3)
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert float(first["layers.1.ffn.experts.gate_up"].std()) == pytest.approx(0.006, rel=0.02)
    assert bool((first["norm.weight"] == 1).all())
    model.init_weights(3)
    assert all(bool((p == first[name]).all()) for name, p in model.named_parameters())
    model.init_weights(4)
    assert not bool((model.embed.weight == first["embed.weight"]).all())
