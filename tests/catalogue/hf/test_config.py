"""config.json to ModelConfig and back: round trips, what transformers 5 writes, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.hf.config import from_hf, model_folder, read
from centime.catalogue.hf.family import family_of, to_hf
from centime.catalogue.hf.quantization import WeightStorage, quantization
from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.catalogue.presets import catalogue_models, names, preset
from centime.errors import UserError
from centime.plan.counts.baseline import dense_baseline

V3 = to_hf(preset("deepseek-v3"), "bfloat16")
YARN = YarnScaling(factor=4, original_max_position_embeddings=32)


@pytest.mark.parametrize("name", [*names(), "centime-d4-mtp"])
def test_round_trip(name: str) -> None:
    assert from_hf(json.loads(json.dumps(to_hf(preset(name))))) == preset(name)


@given(
    st.sampled_from(["greedy", "group_limited_greedy", "noaux_tc"]),
    st.sampled_from(["softmax", "sigmoid"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, YARN, YarnScaling(mscale=0.707, mscale_all_dim=0.0), YarnScaling(mscale_all_dim=0.0)]),
    st.booleans(),
)
def test_every_mixture_that_a_family_computes_comes_back(
    topk: Any, scoring: Any, normed: bool, interleave: bool, yarn: YarnScaling | None, mla: bool
) -> None:
    fields = {} if mla else {"kv_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 32, "v_head_dim": 32}
    config = ModelConfig(
        topk_method=topk,
        scoring_func=scoring,
        norm_topk_prob=normed,
        rope_interleave=interleave,
        rope_scaling=yarn,
        **fields,
    )
    v3 = scoring == "sigmoid" and topk == "noaux_tc"
    v2 = scoring == "softmax" and topk != "noaux_tc" and interleave and not normed
    if mla and (v2 or v3):
        back = from_hf(to_hf(config))
        if yarn is not None:
            assert back.rope_scaling is not None
            assert back.rope_scaling.mscale == pytest.approx(yarn.mscale)
            back = back.model_copy(update={"rope_scaling": yarn})
        assert back == config
    else:
        with pytest.raises(UserError, match="No published family computes this model; the nearest is"):
            to_hf(config)


def test_families() -> None:
    assert family_of(preset("deepseek-v2-lite")) == "deepseek_v2"
    assert family_of(preset("deepseek-v3")) == "deepseek_v3"
    assert family_of(dense_baseline(preset("centime-d4"))) == "llama"


def test_dense_baseline_round_trip_keeps_the_computation() -> None:
    """Llama's file has no place for expert fields, and one number for YaRN's two: what is left computes the same."""
    dense = dense_baseline(preset("centime-d4", rope_scaling=YARN))
    back = from_hf(to_hf(dense))
    assert back.rope_scaling is not None
    assert back.rope_scaling.mscale == pytest.approx(YARN.mscale)  # features by magnitude(1), softmax untouched
    assert back.rope_scaling.mscale_all_dim == 0
    for field in (
        "hidden_size",
        "intermediate_size",
        "qk_rope_head_dim",
        "v_head_dim",
        "rope_interleave",
        "kv_lora_rank",
    ):
        assert getattr(back, field) == getattr(dense, field)
    assert back.n_routed_experts is None


@pytest.mark.parametrize("mtp", [0, 2])
def test_all_layers_dense_round_trip(mtp: int) -> None:
    """Written with a number of experts, which transformers insists on, in layers that do not exist."""
    raw = to_hf(preset("centime-d4", n_routed_experts=None, n_shared_experts=None, num_nextn_predict_layers=mtp))
    assert isinstance(raw["n_routed_experts"], int)
    assert isinstance(raw["n_shared_experts"], int)
    back = from_hf(raw)
    assert back.is_mla
    assert back.n_routed_experts is None
    assert back.num_nextn_predict_layers == mtp


def test_what_transformers_5_writes_for_v3() -> None:
    """Rotary settings under rope_parameters, `dtype`, derived sizes, no scoring_func and no topk_method."""
    raw = {key: value for key, value in V3.items() if key not in {"rope_scaling", "rope_theta", "torch_dtype"}}
    del raw["scoring_func"], raw["topk_method"], raw["moe_layer_freq"]
    raw |= {
        "rope_parameters": {**V3["rope_scaling"], "rope_theta": 10000.0},
        "dtype": "bfloat16",
        "head_dim": 64,
        "qk_head_dim": 192,
        "pretraining_tp": 1,
        "output_router_logits": False,
        "pad_token_id": None,
        "transformers_version": "5.23.0",
    }
    assert from_hf(raw) == preset("deepseek-v3")


def test_catalogue_files_are_what_deepseek_publishes() -> None:
    assert set(catalogue_models()) == {"deepseek-v2", "deepseek-v2-lite", "deepseek-v3"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "deepseek_v4"}, "deepseek_v4.*centime computes deepseek_v2, deepseek_v3, llama"),
        ({"hidden_act": "gelu"}, 'hidden_act = "gelu".*"silu"'),
        ({"attention_bias": True}, "attention_bias"),
        ({"attention_dropout": 0.1}, "attention_dropout"),
        ({"index_topk": 2048}, "'index_topk' = 2048.*may change the computation"),
        ({"n_routed_expert": 4}, "Did you mean 'n_routed_experts'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "original_max_position_embeddings"),
        ({"rope_scaling": {**V3["rope_scaling"], "zeta": 2.0}}, "zeta"),
        ({"rope_scaling": {**V3["rope_scaling"], "truncate": False}}, "truncate"),
        ({"rope_scaling": {**V3["rope_scaling"], "attention_factor": 0.1}}, "scales rotated features by 0.1"),
        ({"quantization_config": {"quant_method": "awq"}}, '"awq"'),
        ({"qk_head_dim": 100}, "qk_head_dim = 100"),
        ({"head_dim": 100}, "head_dim = 100"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}, 'rope_type is "default" in the one'),
        ({"rope_parameters": {**V3["rope_scaling"], "factor": 2.0}}, "factor is 2.0 in the one and 40.0 in the other"),
        ({"rope_parameters": {"rope_theta": 500.0}}, "two rotary bases, rope_theta = 10000.0 and rope_parameters"),
        ({"rope_scaling": {"factor": 40.0}}, r"settings \['factor'\], but its rope_type is not said"),
        ({"rope_scaling": {"type": "default", "factor": 40.0}}, "'default', which has no settings"),
        ({"rope_scaling": {"type": "yarn", "rope_type": "linear"}}, "rope_type and type, and they differ"),
        ({"rope_scaling": {**V3["rope_scaling"], "mscale": 0.5, "mscale_all_dim": 0.0}}, "say the one that is meant"),
        ({"num_experts": 8, "num_local_experts": 8}, "n_routed_experts = 256 and num_experts = 8"),
        ({"n_routed_experts": None, "num_experts": 8, "num_local_experts": 9}, "two names of one setting"),
        ({"num_experts_per_tok": 1}, "num_experts_per_tok is 1 and norm_topk_prob true"),
        ({"scoring_func": "softmax"}, "scoring_func = 'softmax'; a deepseek_v3 model routes by sigmoid"),
        ({"topk_method": "greedy"}, "topk_method = 'greedy'; a deepseek_v3 model routes by noaux_tc"),
        (
            {"model_type": "deepseek_v2", "scoring_func": "softmax", "topk_method": "greedy"},
            "norm_topk_prob = true in a",
        ),
        ({"kv_lora_rank": None}, "sets kv_lora_rank = null"),
        ({"norm_topk_prob": None}, "norm_topk_prob = null, which readers take for true or for false"),
        ({"hidden_size": None}, "sets hidden_size = null"),
        ({"intermediate_size": "big"}, 'intermediate_size is "big"; it should be a valid integer'),
        ({"rope_scaling": "yarn"}, 'rope_scaling is "yarn"; it should be a JSON object'),
        ({"rope_scaling": {"type": ["yarn"]}}, r"rope_scaling\.type is \[\"yarn\"\]"),
        ({"rope_scaling": {"type": "yarn", "factor": "four"}}, r'rope_scaling\.factor is "four"'),
        ({"rope_theta": 1}, "rope_theta is 1; it should be greater than 1"),
        ({"rms_norm_eps": math.nan}, "rms_norm_eps is NaN"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; it should be less than or equal to 10000"),
        ({"norm_topk_prob": 1}, "norm_topk_prob is 1; it should be a valid boolean"),
        ({"quantization_config": "fp8"}, 'quantization_config is "fp8"; it should be a JSON object'),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": ["a", "a"]}}, "weight_block_size.0"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 1], "fmt": "e5m2"}}, "fmt is .e5m2"),
        ({"torch_dtype": "int8"}, 'torch_dtype is "int8"'),
        ({"dtype": "float32"}, "dtype is 'float32' and torch_dtype 'bfloat16'"),
        ({"eos_token_id": [1, "a"]}, "eos_token_id"),
        ({"num_mtp_layers": 3}, "num_mtp_layers"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"n_group": 7}, "n_group"),
        ({"first_k_dense_replace": None}, "first_k_dense_replace"),
    ],
)
def test_what_would_compute_something_else_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_hf({**V3, **change}, "config.json")


@pytest.mark.parametrize(
    "key", ["hidden_size", "kv_lora_rank", "n_routed_experts", "topk_group", "moe_intermediate_size"]
)
def test_a_size_left_out_is_asked_for(key: str) -> None:
    with pytest.raises(UserError, match=key):
        from_hf({name: value for name, value in V3.items() if name != key})


def test_the_same_thing_said_twice_is_read() -> None:
    alike = {"type": "yarn", **{key: value for key, value in V3["rope_scaling"].items() if "type" not in key}}
    twice = {"rope_parameters": {**alike, "rope_theta": 10000}, "num_local_experts": 256, "dtype": V3["torch_dtype"]}
    assert from_hf({**V3, **twice}) == preset("deepseek-v3")


def test_unknown_settings_that_are_off_are_ignored() -> None:
    assert from_hf({**V3, "use_sparse_attention": False, "compress": None, "extra": []}) == preset("deepseek-v3")


def test_attention_factor_is_understood() -> None:
    raw = {**V3, "rope_scaling": {**V3["rope_scaling"], "attention_factor": 1.2}}
    yarn = from_hf(raw).rope_scaling
    assert yarn is not None
    slope = 0.1 * math.log(yarn.factor)
    assert (slope * yarn.mscale + 1) / (slope * yarn.mscale_all_dim + 1) == pytest.approx(1.2)


def test_fp8_block() -> None:
    fp8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    assert quantization({"quantization_config": fp8}) == WeightStorage("fp8", 128)
    assert quantization({}) is None


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        read(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="expected a JSON object"):
        read(tmp_path)


@pytest.mark.parametrize(("positions", "factor"), [(16_384, 4.0), (2048, 1.0), (None, 1.0)])
def test_yarn_without_a_factor_extends_to_the_positions_that_are_said(positions: int | None, factor: float) -> None:
    raw = V3 | {"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 4096}}
    found = from_hf(raw | {"max_position_embeddings": positions}).rope_scaling
    assert found is not None
    assert found.factor == factor


def test_a_model_is_named_by_its_folder_its_run_or_its_config(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    assert [model_folder(path) for path in (model, tmp_path / "run", model / "config.json")] == [model] * 3
    assert model_folder(tmp_path) == tmp_path
    assert model_folder(tmp_path / "config.json") == tmp_path / "config.json"  # which is not there
