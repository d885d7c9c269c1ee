"""The format of a checkpoint's weights, however quantization_config is written, and what a plan makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.catalogue.decoders.test_decoder import LLAMA, MIXTURE

from centime.catalogue.architecture import StoredWeights
from centime.catalogue.chips import chip
from centime.catalogue.decoders import architecture_of
from centime.errors import UserError
from centime.plan.breakeven.planner import plan_breakeven
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.card import make_card
from centime.plan.compare.plan import compare
from centime.plan.compare.request import CompareRequest
from centime.plan.frontier.planner import plan_frontier
from centime.plan.frontier.request import FrontierRequest
from centime.plan.rerun import rerun
from centime.plan.serving.costs import model_cost
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import ServingRequest
from centime.plan.serving.units import Unit, stored_format, weight_bytes

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router"]}


def groups(weights: dict[str, Any], activations: Any, **others: Any) -> dict[str, Any]:
    """compressed-tensors' and ModelOpt's way to write it."""
    one = {"weights": weights, "input_activations": activations, "targets": ["Linear"]}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": one}, **others}


FOUR_INT = {"num_bits": 4, "type": "int", "group_size": 32}
FOUR_FLOAT = {"num_bits": 4, "type": "float", "group_size": 16}
EIGHT = {"num_bits": 8, "type": "int"}
LISTED = {
    "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
    "model.layers.0.mlp.shared_experts.up_proj": {"quant_algo": "FP8"},
    "model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
}

# quantization_config, what else config.json says, and (experts, rest)
CASES: list[tuple[Any, dict[str, Any], tuple[str, str] | None]] = [
    (None, {}, None),
    ({}, {}, None),
    (FP8, {}, ("fp8", "fp8")),
    (FP8 | {"modules_to_not_convert": ["lm_head", "model.layers.0.self_attn.kv_a_layernorm"]}, {}, ("fp8", "fp8")),
    (FP8, {"expert_dtype": "fp4"}, ("mxfp4", "fp8")),
    (FP8 | {"moe_quant_algo": "NVFP4", "quant_algo": "MIXED_PRECISION"}, {}, ("fp4", "fp8")),
    ({"quant_method": "fbgemm_fp8"}, {}, ("fp8", "fp8")),
    (MXFP4, {}, ("mxfp4", "bf16")),
    ({"quant_method": "awq", "bits": 4, "group_size": 128}, {}, ("int4", "int4")),
    ({"quant_method": "gptq", "bits": 8}, {}, ("int8 weights", "int8 weights")),
    ({"quant_method": "gptq", "bits": 3}, {}, ("int4", "int4")),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, {}, ("int4", "int4")),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, {}, ("int8", "int8")),
    (groups(FOUR_INT, None, ignore=["lm_head", "re:.*self_attn.*"]), {}, ("int4", "bf16")),
    (groups(FOUR_INT, None, ignore=["lm_head"]), {}, ("int4", "int4")),
    (groups(EIGHT, EIGHT), {}, ("int8", "int8")),
    (groups({"num_bits": 8, "type": "float"}, {"num_bits": 8}), {}, ("fp8", "fp8")),
    (groups(FOUR_FLOAT | {"group_size": 32}, None), {}, ("mxfp4", "mxfp4")),
    (groups(FOUR_FLOAT, FOUR_FLOAT, quant_algo="NVFP4", ignore=["model.layers.0.self_attn*"]), {}, ("fp4", "bf16")),
    ({"quant_method": "modelopt", "quant_algo": "FP8"}, {}, ("fp8", "fp8")),
    (groups(EIGHT, EIGHT, quant_algo="MIXED_PRECISION", quantized_layers=LISTED), {}, ("fp4", "fp8")),
    ({"quant_method": "hqq", "nbits": 4}, {}, None),
]


@pytest.mark.parametrize(("written", "others", "expected"), CASES)
def test_every_way_to_write_it(written: Any, others: dict[str, Any], expected: tuple[str, str] | None) -> None:
    found = architecture_of(LLAMA | MIXTURE | others | {"quantization_config": written}).stored
    assert (None if found is None else (found.experts, found.rest)) == expected


def test_what_is_no_object_or_number_is_refused() -> None:
    with pytest.raises(UserError, match="quantization_config is 4; expected an object"):
        architecture_of(LLAMA | {"quantization_config": 4})
    with pytest.raises(UserError, match=r"quantization_config\.bits is .four."):
        architecture_of(LLAMA | {"quantization_config": {"quant_method": "awq", "bits": "four"}})


def test_the_bytes_are_those_that_it_says() -> None:
    h100, a100 = chip("h100"), chip("a100")
    mixture = model_cost(architecture_of(LLAMA | MIXTURE))
    form = stored_format(h100, StoredWeights("compressed-tensors", "int4", "bf16"), mixture)
    tables = mixture.head_params + mixture.table_params
    expected = mixture.expert_params * 0.53125 + (mixture.other_params - tables) * 2 + tables * 2
    assert weight_bytes(mixture, Unit(), form) == pytest.approx(expected)
    eight = stored_format(a100, StoredWeights("fp8", "fp8", "fp8"), mixture)  # it has no FP8 units: weights alone
    assert (eight.dense_bytes, eight.dense_compute, eight.expert_compute) == (1.0, "bf16", "bf16")
    dense = model_cost(architecture_of(LLAMA))
    mixed = stored_format(h100, StoredWeights("modelopt", "fp4", "bf16"), dense)
    assert 0.5625 < mixed.dense_bytes < 2.0
    attention, all_of_it = 32 * 4096 * 128 * (2 * 32 + 2 * 8), 32 * (4096 * 128 * (2 * 32 + 2 * 8) + 3 * 4096 * 14336)
    assert mixed.dense_bytes == pytest.approx(0.5625 + (2.0 - 0.5625) * attention / all_of_it)


def test_a_plan_serves_weights_as_they_are_stored_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA | {"quantization_config": {"quant_method": "awq"}}))
    plan = plan_serving(ServingRequest(str(folder), "h100", gpus=1, date="2026-01-15"))
    said = "Weights in int4, as its config.json says that they are stored (awq); --precision for another"
    assert said in plan.assumptions
    asked = plan_serving(ServingRequest(str(folder), "h100", gpus=1, precision="int4", date="2026-01-15"))
    assert plan.gpus_mean == asked.gpus_mean
    assert said not in asked.assumptions
    assert plan_serving(ServingRequest(str(folder), "h100", gpus=1, date="2026-01-15", precision="bf16")).to_json()[
        "cost_per_million_output_all_in"
    ] != pytest.approx(plan.to_json()["cost_per_million_output_all_in"])
    assert rerun(json.loads(json.dumps(make_card(plan)))).same


def test_the_other_plans_of_serving_take_stored_weights_too(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA | {"quantization_config": {"quant_method": "awq"}}))
    name, day = str(folder), "2026-01-15"
    said = "Weights in int4, as its config.json says that they are stored (awq); --precision for another"
    line, asked = (plan_frontier(FrontierRequest(name, ("h100",), precisions=(p,), date=day)) for p in ("", "int4"))
    assert [said in plan.assumptions for plan in (line, asked)] == [True, False]
    assert line.to_json()["curves"] == asked.to_json()["curves"]
    compared, fixed = (
        compare(CompareRequest((name,), ("h100",), gpus=8, serve_precision=p, date=day)) for p in (None, "int4")
    )
    assert [said in plan.assumptions for plan in (compared, fixed)] == [True, False]
    assert compared.columns[0].serving == fixed.columns[0].serving
    evens = BreakevenRequest(name, "h100", ("0.05,0.05,0.1",), isl=1000, osl=200, price="$2/h", date=day)
    own, stated = (plan_breakeven(replace(evens, precision=p)) for p in (None, "int4"))
    assert [said in plan.assumptions for plan in (own, stated)] == [True, False]
    assert own.to_json()["tokens_per_day"] == stated.to_json()["tokens_per_day"]
