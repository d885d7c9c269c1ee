"""What a configuration may say, and that nobody changes it afterwards."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from centime.catalogue.model_config import ModelConfig, YarnScaling

SIXTEEN = {"n_routed_experts": 16, "n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy"}


@pytest.mark.parametrize(
    "sizes",
    [
        SIXTEEN | {"num_experts_per_tok": 8},  # two groups of four
        SIXTEEN | {"num_experts_per_tok": 16, "topk_group": 4},
        SIXTEEN | {"num_experts_per_tok": 16, "topk_method": "greedy"},  # of all groups
        SIXTEEN | {"num_experts_per_tok": 4, "topk_group": 1, "n_group": 4},
        {"n_routed_experts": 8, "n_group": 4, "topk_group": 4, "topk_method": "noaux_tc"},  # two a group
        {"n_routed_experts": 1, "num_experts_per_tok": 1},
        {"n_routed_experts": None},
        {"kv_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 32, "v_head_dim": 32},
    ],
)
def test_experts_that_a_token_can_reach(sizes: dict[str, object]) -> None:
    found = ModelConfig(**sizes)  # type: ignore[arg-type]
    assert all(getattr(found, name) == value for name, value in sizes.items())


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (SIXTEEN | {"num_experts_per_tok": 9}, "more than the 8 experts that a token can reach"),
        (SIXTEEN | {"num_experts_per_tok": 17, "topk_method": "greedy"}, "more than the 16 experts"),
        (SIXTEEN | {"n_group": 5}, "not a multiple of n_group 5"),
        (SIXTEEN | {"topk_group": 5}, "topk_group 5 is more than n_group 4"),
        ({"n_routed_experts": 4, "n_group": 4, "topk_group": 4, "topk_method": "noaux_tc"}, "needs at least two"),
        ({"qk_rope_head_dim": 7}, "rotation works on pairs"),
        ({"kv_lora_rank": None}, "plain multi-head attention; it needs"),
        ({"kv_lora_rank": None, "qk_nope_head_dim": 0, "v_head_dim": 8}, "plain multi-head attention; it needs"),
        ({"hidden_size": "256"}, "hidden_size"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
    ],
)
def test_what_contradicts_itself_is_refused(sizes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelConfig(**sizes)  # type: ignore[arg-type]


@pytest.mark.parametrize("of", [ModelConfig, YarnScaling])
def test_a_configuration_does_not_change_and_keeps_no_stray_key(of: type[ModelConfig | YarnScaling]) -> None:
    made = of()
    name = next(iter(of.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, name, getattr(made, name))
    assert hash(made) == hash(of())
    with pytest.raises(ValidationError, match="stray"):
        of(stray=1)  # type: ignore[call-arg]
