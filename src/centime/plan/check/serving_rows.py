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
    return ServingSoftware(engine or ("in-house" if text else ""), year(row.get("date", "")))


def precision(row: dict[str, str], mixture: bool, eight_bit_cache: bool) -> NumberFormat:
    """The number format a row states ('fp8', 'fp16/bf16', 'fp8 weights, 6-bit KV'); bf16 where it states none.

    eight_bit_cache: an engine or scenario that keeps the cache in fp8 unless it says otherwise.
    """
    text = row.get("precision", "").lower()
    bits = re.search(r"(\d+)-bit kv", text)
    cache = int(bits[1]) / 8 if bits else None
    for word, name in (
        ("mxfp4", "mxfp4"),
        ("fp4", "fp4"),
        ("int4", "int4"),
        ("fp8", "fp8"),
        ("bf16", "bf16"),
        ("fp16", "bf16"),
        ("", "bf16"),
    ):
        if word in text:
            if cache is None and eight_bit_cache and name in ("fp8", "fp4") and "bf16 mla" not in text:
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


def parse_layout(config: str, gpus: int, mixture: bool) -> RowLayout | None:
    """The layout that a row's `config` states, or None where it names no degree.

    Such as 'agg TP8 PP1 attnDP1 moeTP1 EP8 bs16', 'disagg P:1x(TP1,DP4,EP4) D:2x(TP1,DP8,EP8,bs137)', 'TP4',
    'EP32, 4 nodes', 'prefill unit EP32/DP32'.
    """
    split = re.search(r"P:\d+x\(([^)]*)\)\s*D:(\d+)x\(([^)]*)\)", config)
    if split:
        ours = _degrees(split[3], mixture)
        return RowLayout(*ours[:1], int(split[2]), ours[1], _degrees(split[1], mixture)[0])
    if not re.search(r"\b(?:TP|EP|DP)\d", config):
        return None
    unit, batch = _degrees(config, mixture, gpus)
    redundant = re.search(r"(\d+) redundant", config)
    if redundant:
        unit = Unit(unit.tp, unit.dp, unit.pp, unit.ep, unit.moe_tp, int(redundant[1]), unit.overlapped)
    return RowLayout(unit, max(1, gpus // unit.chips), batch)


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


def speculation(text: str) -> tuple[int, float]:
    """'MTP1 ~90% acc' -> (1, 0.9); 'MTP' -> (1, 0.85, the V3 report's floor); blank -> (0, 0)."""
    if not re.search(r"mtp|spec|eagle|dspark", text, re.IGNORECASE):
        return 0, 0.0
    drafted = re.search(r"MTP\s*=?(\d)", text)
    chance = re.search(r"(\d+)\s*%", text)
    return int(drafted[1]) if drafted else 1, int(chance[1]) / 100 if chance else 0.85


def number(text: str | None) -> float | None:
    """The figure above zero of a cell, thousands separated or not; None where it holds none."""
    return above_zero((text or "").replace(",", ""))
