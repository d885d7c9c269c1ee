"""Launch lines say the layout in the words of each engine's own parser."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.plan.frontier.launch import Launched, Role, launch_lines, longest
from centime.plan.serving.choice import Lengths
from centime.plan.serving.request import wide
from centime.plan.serving.units import Unit

FLAGS = tomllib.loads(Path(__file__).with_name("engine_flags.toml").read_text(encoding="utf-8"))
UNITS = [
    Unit(),
    Unit(tp=8),
    Unit(tp=16, moe_tp=16),
    Unit(tp=2, pp=4),
    Unit(dp=8, ep=8),
    Unit(tp=4, dp=2, ep=8),
    wide(Unit(dp=32, ep=32)),
    wide(Unit(dp=320, ep=320)),
]


def launched(unit: Unit, role: Role, batch: float, longest: int, name: str = "h100", experts: int = 256) -> Launched:
    return Launched("a/b", unit, chip(name), role, batch, longest, experts)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.text())
@pytest.mark.parametrize("role", ["both", "prefill", "decode"])
@pytest.mark.parametrize("name", ["h100", "gb200", "mi300x", "910c"])
def test_every_flag_is_one_of_the_engine_with_a_value_that_it_takes(unit: Unit, role: Role, name: str) -> None:
    lines = launch_lines(launched(unit, role, 100.0, 8192, name))
    assert lines
    for engine, line in lines.items():
        words = shlex.split(line.rpartition(" && ")[2].rpartition("trtllm-llmapi-launch ")[2])
        used = [word for word in words if word.startswith("-") and word != "-m"]
        assert used
        assert set(used) <= set(FLAGS[engine]["flags"]), engine
        assert len(used) == len(set(used)), "given twice"
        for flag, values in FLAGS[engine]["choices"].items():
            if flag in words:
                assert words[words.index(flag) + 1] in values


def test_an_engine_is_named_for_chips_that_it_runs_on() -> None:
    for name, engines in (("h100", ["vllm", "sglang", "trt"]), ("mi300x", ["vllm", "sglang"]), ("910c", ["sglang"])):
        assert list(launch_lines(launched(Unit(tp=8), "both", 9.0, 8192, name))) == engines
    assert launch_lines(launched(Unit(tp=8), "both", 9.0, 8192, "tpu v5p")) == {}
    apart = launch_lines(launched(Unit(dp=16, ep=16), "decode", 9.0, 8192, "910c"))["sglang"]
    assert "--disaggregation-transfer-backend ascend" in apart
    mori = launch_lines(launched(Unit(dp=16, ep=16), "decode", 9.0, 8192, "mi300x"))
    assert "--all2all-backend mori_low_latency" in mori["vllm"]
    assert "--moe-a2a-backend mori" in mori["sglang"]


def test_a_server_of_a_rack_has_four_chips() -> None:
    lines = launch_lines(launched(wide(Unit(dp=72, ep=72)), "decode", 9.0, 8192, "gb200"))
    assert "--data-parallel-size-local 4 --data-parallel-start-rank $((4 * RANK))" in lines["vllm"]
    assert "--nnodes 18 " in lines["sglang"]
    assert "mpirun -n 72 --hostfile $HOSTS trtllm-llmapi-launch trtllm-serve a/b --tp_size 72 " in lines["trt"]
    assert "--gpus_per_node 4 " in lines["trt"]


@given(st.integers(1, 512), st.sampled_from([2, 8, 16, 32, 64, 72, 144, 320]))
def test_every_rank_holds_as_many_experts(experts: int, ranks: int) -> None:
    """What both engines ask of experts and their copies; no fewer copies than the layout has."""
    unit = wide(Unit(dp=ranks, ep=ranks))
    one = launched(unit, "decode", 9.0, 8192, experts=experts)
    assert (experts + one.redundant) % ranks == 0
    assert unit.redundant <= one.redundant < unit.redundant + ranks
    lines = launch_lines(one)
    if one.redundant:
        assert f"--ep-num-redundant-experts {one.redundant} " in lines["sglang"]
        assert f"--enable-eplb --eplb-config '{{\"num_redundant_experts\":{one.redundant}}}' " in lines["vllm"]
    else:
        assert "redundant" not in lines["sglang"] + lines["vllm"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.text())
def test_the_degrees_come_to_the_chips_of_the_unit(unit: Unit) -> None:
    lines = launch_lines(launched(unit, "both", 100.0, 8192))

    def degree(engine: str, flag: str) -> int:
        match = re.search(rf"{flag} (\d+)", lines[engine])
        return int(match[1]) if match else 1

    vllm = [degree("vllm", f"--{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")]
    assert vllm[0] * vllm[1] * vllm[2] == unit.chips
    assert degree("sglang", "--tp-size") * degree("sglang", "--pp-size") == unit.chips
    assert degree("sglang", "--attn-dp-size") == unit.dp
    assert degree("trt", "--tp_size") * degree("trt", "--pp_size") == unit.chips
    assert degree("sglang", "--ep-size") == degree("trt", "--ep_size") == unit.ep
    assert ("--enable-expert-parallel" in lines["vllm"]) == (unit.ep > 1)
    assert ("enable_attention_dp: true" in lines["trt"]) == (unit.dp > 1)


def test_sequences_are_of_a_group_in_vllm_and_of_the_unit_in_sglang() -> None:
    lines = launch_lines(launched(Unit(dp=8, ep=8), "both", 100.0, 8192))
    assert "--max-num-seqs 13" in lines["vllm"]
    assert "--max-running-requests 104" in lines["sglang"]
    assert "--max_batch_size 13" in lines["trt"]


def test_units_of_several_servers_name_the_first_one() -> None:
    one, four = (launch_lines(launched(unit, "both", 9.0, 8192)) for unit in (Unit(dp=8, ep=8), UNITS[6]))
    for engine in ("vllm", "sglang"):
        assert "$HOST" not in one[engine]
        assert "$HOST" in four[engine]
    assert "--nnodes 4 " in four["sglang"]
    assert "--data-parallel-size-local 8" in four["vllm"]
    assert ("--gpus_per_node 8 " in one["trt"], "--gpus_per_node 8 " in four["trt"]) == (False, True)
    sixteen = launch_lines(launched(Unit(tp=16, moe_tp=16), "both", 9.0, 8192))
    assert "--nnodes 2 --node-rank $RANK --master-addr $HOST" in sixteen["vllm"]
    assert "--data-parallel" not in sixteen["vllm"]


def test_what_a_unit_does_besides_is_switched_on() -> None:
    wide_one = replace(Unit(dp=32, ep=32), overlapped=True, redundant=32)
    plain, more = (launch_lines(launched(unit, "decode", 9.0, 8192)) for unit in (Unit(dp=8, ep=8), wide_one))
    for engine, flags in (
        ("vllm", ("--enable-dbo", "--enable-eplb", "--all2all-backend deepep_low_latency")),
        ("sglang", ("--enable-two-batch-overlap", "--ep-num-redundant-experts 32")),
    ):
        for flag in flags:
            assert flag not in plain[engine]
            assert flag in more[engine]
    prefill = launch_lines(launched(wide_one, "prefill", 9.0, 8192))
    assert "deepep_high_throughput" in prefill["vllm"]
    assert "disable_overlap_scheduler: true" in prefill["trt"]
    assert "disable_overlap_scheduler" not in more["trt"]
    assert "deepep" in plain["sglang"]
    assert "deepep" not in launch_lines(launched(Unit(tp=8, ep=8), "both", 9.0, 8192))["sglang"]
    assert "yaml" not in launch_lines(launched(Unit(tp=8), "both", 9.0, 8192))["trt"]


def test_units_apart_hand_the_cache_over() -> None:
    for role in ("prefill", "decode"):
        lines = launch_lines(launched(Unit(tp=8), role, 9.0, 8192))
        assert "NixlConnector" in lines["vllm"]
        assert f"--disaggregation-mode {role}" in lines["sglang"]
        assert "cache_transceiver_config" in lines["trt"]


def test_a_server_takes_four_mean_requests_or_what_fits() -> None:
    assert longest(Lengths(1000, 200), None) == 5120
    assert longest(Lengths(1000, 200), 3000.7) == 3000
    assert longest(Lengths(1000, 200), 1e6) == 5120
