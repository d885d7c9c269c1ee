"""What a row of published speeds is asked of aiconfigurator as."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.aiconfigurator_rows import asked

ROW = {
    "model": "Qwen/Qwen3-32B", "gpu": "h100_sxm", "engine": "trtllm 1.0.0rc3", "precision": "fp8", "isl": "1024",
    "osl": "512", "config": "agg TP2 PP1 attnDP1 moeTP1 EP1 bs16", "concurrency_or_batch": "16",
}  # fmt: skip


def question(**changed: str) -> dict[str, Any]:
    found = asked(ROW | changed)
    assert found is not None
    return found


def test_a_row_as_the_arguments_of_an_estimate() -> None:
    assert question() == {
        "model_path": "Qwen/Qwen3-32B", "system_name": "h100_sxm", "backend_name": "trtllm", "isl": 1024, "osl": 512,
        "batch_size": 16, "tp_size": 2, "pp_size": 1, "attention_dp_size": 1, "moe_tp_size": 1, "moe_ep_size": 1,
        "gemm_quant_mode": "fp8_block", "moe_quant_mode": "fp8_block",
    }  # fmt: skip
    assert question(precision="")["gemm_quant_mode"] == "bfloat16"
    once = question(config="agg TP64 PP1 attnDP1 moeTP8 EP8 bs4")
    assert (once["tp_size"], once["moe_tp_size"], once["moe_ep_size"]) == (8, 1, 8)


@pytest.mark.parametrize(
    "changed",
    [{"config": "disagg P:1x(TP4) D:1x(TP4)"}, {"gpu": "mi300x"}, {"engine": ""}, {"concurrency_or_batch": ""}],
)
def test_a_row_that_states_too_little_is_not_asked(changed: dict[str, str]) -> None:
    assert asked(ROW | changed) is None
