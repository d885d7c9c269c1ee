"""Launch lines say the layout in the words of each engine's own parser."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.text())
@pytest.mark.parametrize("role", ["both", "prefill", "decode"])
def test_every_flag_is_one_of_the_engine(unit: Unit, role: Role) -> None:
    for engine, line in launch_lines(Launched("a/b", unit, role, 100.0, 8192)).items():
        used = re.findall(r"(?<!\S)--[a-z0-9_-]+", line)
        assert used
        assert set(used) <= set(FLAGS[engine]["flags"]), engine
        assert len(used) == len(set(used)), "given twice"
        shlex.split(line)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.text())
def test_the_degrees_come_to_the_chips_of_the_unit(unit: Unit) -> None:
    lines = launch_lines(Launched("a/b", unit, "both", 100.0, 8192))

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
    lines = launch_lines(Launched("a/b", Unit(dp=8, ep=8), "both", 100.0, 8192))
    assert "--max-num-seqs 13" in lines["vllm"]
    assert "--max-running-requests 104" in lines["sglang"]
    assert "--max_batch_size 13" in lines["trt"]


def test_units_of_several_servers_name_the_first_one() -> None:
    one, four = (launch_lines(Launched("a/b", unit, "both", 9.0, 8192)) for unit in (Unit(dp=8, ep=8), UNITS[6]))
    for engine in ("vllm", "sglang"):
        assert "$HOST" not in one[engine]
        assert "$HOST" in four[engine]
    assert "--nnodes 4 " in four["sglang"]
    assert "--data-parallel-size-local 8" in four["vllm"]
    assert ("--gpus_per_node 8 " in one["trt"], "--gpus_per_node 8 " in four["trt"]) == (False, True)
    sixteen = launch_lines(Launched("a/b", Unit(tp=16, moe_tp=16), "both", 9.0, 8192))
    assert "--nnodes 2 --node-rank $RANK --master-addr $HOST" in sixteen["vllm"]
    assert "--data-parallel" not in sixteen["vllm"]


def test_what_a_unit_does_besides_is_switched_on() -> None:
    wide_one = replace(Unit(dp=32, ep=32), overlapped=True, redundant=32)
    plain, more = (launch_lines(Launched("a/b", unit, "decode", 9.0, 8192)) for unit in (Unit(dp=8, ep=8), wide_one))
    for engine, flags in (
        ("vllm", ("--enable-dbo", "--enable-eplb", "--all2all-backend deepep_low_latency")),
        ("sglang", ("--enable-two-batch-overlap", "--ep-num-redundant-experts 32")),
    ):
        for flag in flags:
            assert flag not in plain[engine]
            assert flag in more[engine]
    prefill = launch_lines(Launched("a/b", wide_one, "prefill", 9.0, 8192))
    assert "deepep_high_throughput" in prefill["vllm"]
    assert "disable_overlap_scheduler: true" in prefill["trt"]
    assert "disable_overlap_scheduler" not in more["trt"]
    assert "deepep" in plain["sglang"]
    assert "deepep" not in launch_lines(Launched("a/b", Unit(tp=8, ep=8), "both", 9.0, 8192))["sglang"]
    assert "yaml" not in launch_lines(Launched("a/b", Unit(tp=8), "both", 9.0, 8192))["trt"]


def test_units_apart_hand_the_cache_over() -> None:
    for role in ("prefill", "decode"):
        lines = launch_lines(Launched("a/b", Unit(tp=8), role, 9.0, 8192))
        assert "NixlConnector" in lines["vllm"]
        assert f"--disaggregation-mode {role}" in lines["sglang"]
        assert "cache_transceiver_config" in lines["trt"]


def test_a_server_takes_four_mean_requests_or_what_fits() -> None:
    assert longest(Lengths(1000, 200), None) == 5120
    assert longest(Lengths(1000, 200), 3000.7) == 3000
    assert longest(Lengths(1000, 200), 1e6) == 5120
