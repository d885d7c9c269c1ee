"""Reading a row of published serving speeds: precision, engine, date, layout and scenario as sources write them.

What a row measured is never an input of its prediction: rows come sealed (`check.file`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from centime.errors import UserError
from centime.plan.check.file import number as above_zero
from centime.plan.serving.speeds import ServingSoftware, year
from centime.plan.serving.units import NumberFormat, Unit, number_format


@dataclass(frozen=True)
class BenchmarkScenario:
    """A benchmark's requests: mean lengths in tokens, and the 99th-percentile limits in seconds of its scenarios."""

    isl: float
    osl: float
    longest: float  # output tokens of the longest answer
    limits: dict[str, tuple[float, float]]  # scenario: (TTFT, TPOT)


# MLPerf Inference v5.1, closed division: limits from mlcommons/inference README (table of constraints) and the
# benchmarks' announcements (mlcommons.org, 2024-03, 2025-04, 2025-09); output lengths from the reference
# implementations' tokens_per_sample (294.45, 144.84) and the announcements (684, 3,880, 73); input lengths from the
# announcements (9,428, 778) or assumed: 250 of OpenOrca's at most 1,024, 450 where a third are 5-shot GSM8K, 400 of R1.
MLPERF = {
    "llama2-70b": BenchmarkScenario(250, 294.45, 1024, {"server": (2.0, 0.2), "interactive": (0.45, 0.04)}),
    "llama3.1-405b": BenchmarkScenario(9428, 684, 2000, {"server": (6.0, 0.175), "interactive": (4.5, 0.08)}),
    "llama3.1-8b": BenchmarkScenario(778, 73, 128, {"server": (2.0, 0.1), "interactive": (0.5, 0.03)}),
    "mixtral-8x7b": BenchmarkScenario(450, 144.84, 1024, {"server": (2.0, 0.2)}),
    "deepseek-r1": BenchmarkScenario(400, 3880, 20000, {"server": (2.0, 0.08)}),
}


SHORTHAND = {  # a source's name for a device: the catalogue's, and how many of it one such device holds
    "nvidia a100 gpu": ("A100 SXM 40GB", 1),  # Argonne's Polaris (arXiv 2411.00136, Table I)
    "[maxsun] ms-intel arc pro b60 dual 48g turbo": ("Arc Pro B60 24GB", 2),  # two processors on a card
}


# Engine, begin of a version, its month as remembered, not looked up (Dynamo's numbers where it holds TensorRT-LLM).
RELEASES = (
    ("trt", r"1\.0\.0rc3", "2025-07"),
    ("trt", r"1\.1\.0", "2025-09"),
    ("trt", "gpt-oss-dev", "2025-08"),
    ("trt", r"0\.5\.1", "2025-10"),
    ("trt", r"1\.2\.0rc[12]", "2025-11"),
    ("trt", r"1\.2\.0rc6", "2025-12"),
    ("trt", r"0\.8\.1", "2026-01"),
    ("trt", r"1\.3\.0rc", "2026-01"),
    ("vllm", r"0\.11\.", "2025-10"),
    ("vllm", r"0\.12\.", "2025-12"),
    ("vllm", r"0\.15\.", "2026-01"),
    ("vllm", r"0\.16\.", "2026-02"),
    ("vllm", r"0\.1[78]\.", "2026-03"),
    ("sglang", r"0\.5\.5", "2025-11"),
    ("sglang", r"0\.5\.6", "2025-12"),
    ("sglang", r"0\.5\.8", "2026-01"),
    ("sglang", r"0\.5\.9", "2026-02"),
)


# Releases that InferenceX ran with multi-token prediction alone from a date on, one draft where attention is
# data-parallel and else three (its configs/nvidia-master.yaml and benchmarks/dsr1_*_trt_mtp.sh at 5d517074, 0aae52d4,
# bf345672); tables of its points leave that out.
DRAFTING = ((r"trt\S* 1\.2\.0rc6\.post3", ""), (r"trt\S* 1\.1\.0rc2\.post2", "2026-01-14"))


def mlperf_scenario(model: str) -> BenchmarkScenario | None:
    """The requests of an MLPerf model name ('llama2-70b-99.9'), or None."""
    return next((found for name, found in MLPERF.items() if model.lower().startswith(name)), None)


def software(row: dict[str, str]) -> ServingSoftware:
    """Engine family and year of a row, from its engine, date and (where those are blank) nothing else."""
    text = row.get("engine", "").lower()
    engine = ""
    for word, name in (
        ("vllm", "vllm"),
        ("llmboost", "vllm"),
        ("sglang", "sglang"),
        ("trt", "trt"),
        ("tensorrt", "trt"),
    ):
        if word in text:
            engine = name
            break
    measured, made = year(row.get("date", "")), _released(engine, text)
    return ServingSoftware(engine or ("in-house" if text else ""), min(measured, made) if made else measured)


def _released(engine: str, text: str) -> float | None:
    """The year that a stated version of an engine is of; None where none is stated or known."""
    found = [when for name, version, when in RELEASES if name == engine and re.search(rf"\b{version}", text)]
    return year(found[0]) if found else None


def precision(row: dict[str, str], mixture: bool, eight_bit_cache: bool) -> NumberFormat:
    """The number format a row states ('fp8', 'fp16/bf16', 'fp8 weights, 6-bit KV'); bf16 where it states none.

    eight_bit_cache: an engine, a scenario or a chip (Blackwell, in all of InferenceX's scripts) that keeps the cache in
    fp8 unless it says otherwise.
    """
    text = row.get("precision", "").lower()
    bits = re.search(r"(\d+)-bit kv", text)
    cache = int(bits[1]) / 8 if bits else None
    for word, name in (
        ("mxfp4", "mxfp4"),
        ("fp4", "fp4"),
        ("int4", "int4"),
        ("int8", "int8"),
        ("w8a8", "int8"),
        ("fp8", "fp8"),
        ("bf16", "bf16"),
        ("fp16", "bf16"),
        ("", "bf16"),
    ):
        if word in text:
            if cache is None and eight_bit_cache and name in ("fp8", "fp4", "mxfp4") and "bf16 mla" not in text:
                cache = 1.0
            return number_format(name, mixture, cache)
    raise UserError(f"precision {row['precision']!r} is not one the planner knows.")


@dataclass(frozen=True)
class RowLayout:
    """What a row's `config` says: units that decode (or do both), how many, their batch, and the units that prefill."""

    unit: Unit
    units: int = 1
    batch_per_group: int | None = None
    prefill: Unit | None = None
    prefill_units: int = 1


def parse_layout(config: str, gpus: int, mixture: bool, domain: float = 8, doubtful: bool = False) -> RowLayout | None:
    """The layout that a row's `config` states, or None where it names no degree.

    Such as 'agg TP8 PP1 attnDP1 moeTP1 EP8 bs16', 'disagg P:1x(TP1,DP4,EP4) D:2x(TP1,DP8,EP8,bs137)', 'TP4',
    'EP32, 4 nodes', 'prefill unit EP32/DP32'. domain: chips that the scale-up network joins. doubtful: the source's
    layout is said to be so.
    """
    split = re.search(r"P:(\d+)x\(([^)]*)\)\s*D:(\d+)x\(([^)]*)\)", config)
    if split:
        ours = _degrees(split[4], mixture)
        return RowLayout(*ours[:1], int(split[3]), ours[1], _degrees(split[2], mixture)[0], int(split[1]))
    if not re.search(r"\b(?:TP|EP|DP)\d", config):
        return None
    unit, batch = _degrees(config, mixture, gpus)
    counted = _counted_once(unit, domain, doubtful)
    if counted != unit:
        return RowLayout(counted, 1, batch)
    redundant = re.search(r"(\d+) redundant", config)
    if redundant:
        unit = Unit(unit.tp, unit.dp, unit.pp, unit.ep, unit.moe_tp, int(redundant[1]), unit.overlapped)
    return RowLayout(unit, max(1, gpus // unit.chips), batch)


def _counted_once(unit: Unit, domain: float, doubtful: bool) -> Unit:
    """The unit of a source that multiplied degrees which are of the same chips.

    Engines are started with tp 8 and ep 8 on eight chips. Where a table has 64 chips of them, beyond the scale-up
    domain, with experts split evenly both ways, it counted each chip eight times; so did a doubtful one of tp 4, dp 4
    and ep 16.
    """
    if unit.chips > domain and unit.moe_tp == unit.ep > 1 and unit.chips == unit.ep**2:
        return Unit(tp=unit.ep, ep=unit.ep) if unit.dp == 1 else Unit(dp=unit.ep, ep=unit.ep)
    if doubtful and unit.tp == unit.dp > 1 and unit.ep == unit.tp * unit.dp:
        return Unit(dp=unit.dp, ep=unit.dp)
    return unit


def _degrees(text: str, mixture: bool, gpus: int | None = None) -> tuple[Unit, int | None]:
    def degree(pattern: str) -> int | None:
        match = re.search(rf"(?<![A-Za-z]){pattern}(\d+)", text)
        return int(match[1]) if match else None

    tp, pp, ep = degree("TP"), degree("PP") or 1, degree("EP") or 1
    dp = degree("attnDP") or degree("DP")
    if tp is None and dp is None and ep > 1:  # 'EP32': attention data-parallel over the same chips
        tp, dp = 1, ep
    tp, dp = tp or 1, dp or 1
    ep = max(1, min(ep, tp * dp)) if mixture else 1
    moe_tp = max(1, tp * dp // ep)
    overlapped = dp > 8  # wide expert parallelism runs two micro-batches
    return Unit(tp, dp, pp, ep, moe_tp, overlapped=overlapped), degree("bs")


def stated_batch(text: str, layout: RowLayout) -> float | None:
    """Sequences in flight on a unit, where a row of decoding states them: '256/device', 'bs 128 per GPU', or '64'.

    A bare number on a data-parallel unit may be of a rank or of all of them, and is not used.
    """
    each = re.search(r"(\d+)\s*(?:\w+\s*)?(?:/|per )\s*(?:device|gpu|rank|chip)", text, re.IGNORECASE)
    if each:
        return float(each[1]) * layout.unit.chips
    if layout.batch_per_group:
        return float(layout.batch_per_group * layout.unit.dp)
    whole = number(text)
    return whole / layout.units if whole and layout.unit.dp == 1 else None


def speculation(row: dict[str, str], has_mtp: bool, unit: Unit) -> tuple[int, float | None]:
    """Tokens drafted each step, and the chance that one stands where the row states it.

    'MTP1 ~90% acc' -> (1, 0.9); 'MTP' -> (1, None); blank -> (0, None), but for releases that DRAFTING knows.
    """
    text = row.get("mtp_spec", "")
    if not text.strip() and has_mtp:
        engine, when = row.get("engine", "").lower(), row.get("date", "")
        if not any(re.search(version, engine) and when >= since for version, since in DRAFTING):
            return 0, None
        return (1 if unit.dp > 1 else 3), None
    if not re.search(r"mtp|spec|eagle|dspark", text, re.IGNORECASE):
        return 0, None
    drafted = re.search(r"MTP\s*=?(\d)", text)
    chance = re.search(r"(\d+)\s*%", text)
    return int(drafted[1]) if drafted else 1, int(chance[1]) / 100 if chance else None


def number(text: str | None) -> float | None:
    """The figure above zero of a cell, thousands separated or not; None where it holds none."""
    return above_zero((text or "").replace(",", ""))
