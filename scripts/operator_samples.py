"""Measured seconds of single operators, which pin the serving planner's efficiencies where whole servers cannot.

The tables of aiconfigurator (`systems/data` of its package, Apache 2.0) hold products, grouped products of experts,
attention and all-reduces as vLLM, SGLang and TensorRT-LLM run them on H100, H200, B200 and GB200. Only operators are
read that take long beside a kernel's own launch, which `layer_s` and its like stand for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from centime.catalogue.architecture import LatentAttention, SoftmaxAttention
from centime.catalogue.chips import Chip, chip
from centime.plan.serving.costs import LayerCost, ModelCost
from centime.plan.serving.roofline import (
    Load,
    PlacedModel,
    all_reduce_seconds,
    attention_seconds,
    experts_seconds,
    matrix_seconds,
)
from centime.plan.serving.speeds import ServingConstants, ServingSoftware, Speeds, speeds
from centime.plan.serving.units import NumberFormat, Unit

CHIPS = {
    "h100_sxm": "H100 SXM 80GB",
    "h200_sxm": "H200 SXM 141GB",
    "b200_sxm": "B200 SXM 180GB",
    "gb200": "GB200 NVL72",
}
ENGINES = {"trtllm": "trt", "vllm": "vllm", "sglang": "sglang"}
YEARS = {  # of the releases that were measured
    **{"1.2.0rc5": 2025.95, "1.3.0rc10": 2026.3, "1.3.0rc20": 2026.55, "1.3.0rc23": 2026.6},
    **{"0.14.0": 2026.05, "0.19.0": 2026.26, "0.22.0": 2026.4, "0.24.0": 2026.55},
    **{"0.5.6.post2": 2025.95, "0.5.9": 2026.15, "0.5.10": 2026.3, "0.5.14": 2026.5},
}
PRECISION = {"bfloat16": ("bf16", 2.0), "fp8": ("fp8", 1.0), "fp8_block": ("fp8", 1.0), "nvfp4": ("fp4", 0.5625)}
PRECISION |= {"w4a8_mxfp4_mxfp8": ("fp4", 0.53125), "w4a16_mxfp4": ("bf16", 0.53125), "int4_wo": ("bf16", 0.53125)}
LEAST_S = {"gemm": 25e-6, "moe": 100e-6, "decode": 50e-6, "prefill": 150e-6, "latent": 50e-6, "latent prefill": 150e-6}
LEAST_S["all-reduce"] = 0.0  # its latency is what is wanted
NARROWEST = 1024  # of a matrix's sides: no layer that is worth a plan has smaller ones
EACH = 40  # measurements of an operator, chip, engine and precision, spread over how long they take
READ = 8000  # rows of a table, about
Row = dict[str, Any]


@dataclass(frozen=True)
class OperatorSample:
    """One measurement, with what a fit asks of its samples; `target` and `row` say that it is no row of a server."""

    name: str  # operator and precision
    case: SimpleNamespace  # chips and software
    actual: float  # logarithm of seconds
    row: defaultdict[str, str]
    seconds: Callable[[Speeds], float]
    target: str = "operator"

    @property
    def table(self) -> str:
        """The line of a report that it belongs to."""
        return f"operators, {self.name.split()[0]}"

    def group(self, level: str) -> str:
        """A chip's operators are left out with it; those of models and cells are of no model."""
        kind = self.case.chips[0][0].name
        apart = f"{self.name} | {kind} | {self.case.software.engine}"
        return {"chip": kind, "model": "operators", "cell": f"operators | {apart}"}[level]

    def predict(self, values: ServingConstants) -> float:
        """The logarithm of the planner's seconds."""
        return math.log(self.seconds(speeds(self.case.chips[0][0], self.case.software, values)))


def read_operator_samples(data: Path) -> list[OperatorSample]:
    """The samples of all tables below `data`."""
    found = []
    for folder, name in CHIPS.items():
        for table, read in READERS.items():
            for path in sorted((data / folder).glob(f"*/*/*/{table}_perf.parquet")):
                engine, version = path.parts[-3], path.parts[-2]
                if engine in ENGINES and version in YEARS:
                    software = ServingSoftware(ENGINES[engine], YEARS[version])
                    found += _sampled(read, _thinned(pq.read_table(path)), chip(name), software)
    return found


def _thinned(table: pa.Table) -> list[Row]:
    """A share of the shapes, each with all its kernels: every n-th by a sum over the integers that make a shape."""
    key = np.zeros(table.num_rows, dtype=np.int64)
    for i, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            key = key * 31 + np.asarray(table[i]).astype(np.int64) * 2654435761 % 2**31
    few = key % max(1, table.num_rows // READ) == 0
    return list(table.filter(pa.array(few)).to_pylist())


def _sampled(
    read: Callable[[Row, Chip], tuple[str, Any, Callable[[Speeds], float]] | None],
    rows: list[Row],
    kind: Chip,
    software: ServingSoftware,
) -> Iterator[OperatorSample]:
    """Of every operator EACH of the shapes, each by the fastest of its kernels, as an engine would take it."""
    best: dict[tuple[str, Any], tuple[float, Callable[[Speeds], float]]] = {}
    for row in rows:
        if (found := read(row, kind)) is None:
            continue
        name, shape, seconds = found
        took = float(row["latency"]) / 1e3
        if took >= LEAST_S[name.split(",")[0]] and took < best.get((name, shape), (math.inf,))[0]:
            best[name, shape] = took, seconds
    groups = defaultdict(list)
    for (name, shape), (took, seconds) in best.items():
        groups[name].append((took, str(shape), seconds))
    case = SimpleNamespace(chips=((kind, 1),), software=software, arch_name="operators")
    for name, own in groups.items():
        own.sort(key=lambda one: one[:2])
        for i in np.unique(np.linspace(0, len(own) - 1, EACH).round().astype(int)):
            took, shape, seconds = own[i]
            row = defaultdict(str, model=f"{name} {shape} {kind.name} {software}")
            yield OperatorSample(name, case, math.log(took), row, seconds)


def _placed(kind: Chip, rates: Speeds, form: NumberFormat, unit: Unit | None = None, hidden: int = 0) -> PlacedModel:
    return PlacedModel(ModelCost((), hidden, 0.0, 0.0, 0.0), kind, unit or Unit(), form, rates)


def _form(precision: str, element: float, cache: float = 2.0) -> NumberFormat:
    return NumberFormat(precision, element, element, cache, precision, precision)


def _gemm(row: Row, kind: Chip) -> tuple[str, Any, Callable[[Speeds], float]] | None:
    """[m, k] times [k, n]. vLLM's blocked products were measured without a CUDA graph: 160 us at any size."""
    dtype = row["gemm_dtype"]
    if dtype not in PRECISION or "BlockScaled" in row["kernel_source"]:
        return None
    precision, element = PRECISION[dtype]
    m, n, k = int(row["m"]), int(row["n"]), int(row["k"])
    if min(n, k) < NARROWEST:
        return None
    form = _form(precision, element)
    return (
        f"gemm, {dtype}",
        (m, n, k),
        lambda rates: matrix_seconds(n * k, element, precision, m, _placed(kind, rates, form)),
    )


def _moe(row: Row, kind: Chip) -> tuple[str, Any, Callable[[Speeds], float]] | None:
    """Routed experts on one chip of an expert- and tensor-parallel unit, tokens spread evenly."""
    dtype = row["moe_dtype"]
    unlike = row["distribution"] != "balanced" or "nongated" in row["kernel_source"]
    if dtype not in PRECISION or unlike or int(row["inter_size"]) < NARROWEST / 4 * int(row["moe_tp_size"]):
        return None
    precision, element = PRECISION[dtype]
    hidden, inner, tokens = int(row["hidden_size"]), int(row["inter_size"]), int(row["num_tokens"])
    experts, top_k = int(row["num_experts"]), int(row["topk"])
    unit = Unit(dp=int(row["moe_ep_size"]), ep=int(row["moe_ep_size"]), moe_tp=int(row["moe_tp_size"]))
    layer = LayerCost(1, None, 0.0, 0.0, 3.0 * hidden * inner, experts, top_k, 1)
    form = _form(precision, element)

    def seconds(rates: Speeds) -> float:
        even = replace(rates, popularity=math.inf, balanced_popularity=math.inf, imbalance=0.0)
        return experts_seconds(layer, _placed(kind, even, form, unit, hidden), tokens)

    return f"moe, {dtype}", (hidden, inner, tokens, experts, top_k, unit), seconds


def _attention(row: Row, kind: Chip, *, prefill: bool) -> tuple[str, Any, Callable[[Speeds], float]] | None:
    """Grouped-query attention without a window: of one new token each, or of whole prompts."""
    wide = row["attn_dtype"] == "bfloat16"  # products in eight bits are not what the planner counts
    group = int(row["num_heads"]) // int(row["num_key_value_heads"])
    if row["window_size"] or not wide or int(row["head_dim"]) not in (64, 128) or group > 16 or _unpacked(row, kind):
        return None
    cache = {"bfloat16": 2.0, "fp8": 1.0}[row["kv_cache_dtype"]]
    mixer = SoftmaxAttention(int(row["num_heads"]), int(row["num_key_value_heads"]), int(row["head_dim"]))
    return _mixed(mixer, mixer.kv_heads, cache, row, kind, prefill=prefill)


def _unpacked(row: Row, kind: Chip) -> bool:
    """Whether the cache is in eight bits on a chip whose kernels turn it into sixteen first: nobody runs them so."""
    return row["kv_cache_dtype"] == "fp8" and not kind.fp4_tflops


def _latent(row: Row, kind: Chip, *, prefill: bool) -> tuple[str, Any, Callable[[Speeds], float]] | None:
    """DeepSeek-V3's latent attention with so many heads on the chip.

    SGLang's prompts on Hopper were measured in the absorbed form, 3.4 times the FLOPs of what it runs.
    """
    absorbed = prefill and row["framework"].lower() == "sglang" and not kind.fp4_tflops
    if absorbed or _unpacked(row, kind):
        return None
    cache = {"bfloat16": 2.0, "fp8": 1.0}[row["kv_cache_dtype"]]
    return _mixed(LatentAttention(int(row["num_heads"]), 1536, 512, 128, 64, 128), 1, cache, row, kind, prefill=prefill)


def _mixed(
    mixer: SoftmaxAttention | LatentAttention, kv_heads: int, cache: float, row: Row, kind: Chip, *, prefill: bool
) -> tuple[str, Any, Callable[[Speeds], float]]:
    batch, isl, step = int(row["batch_size"]), int(row["isl"]), int(row["step"])
    layer = LayerCost(1, mixer, 0.0, 0.0, 0.0, 0, 0, kv_heads)
    load = Load(prefill=batch * isl, prompt=isl) if prefill else Load(decode=batch, decode_context=step + isl)
    form = _form("bf16", 2.0, cache)
    name = ("latent prefill" if prefill else "latent") if isinstance(mixer, LatentAttention) else ""
    name = name or ("prefill" if prefill else "decode")
    return (
        f"{name}, {row['kv_cache_dtype']}",
        (mixer, batch, isl, step),
        lambda rates: attention_seconds(layer, _placed(kind, rates, form), load),
    )


def _all_reduce(row: Row, kind: Chip) -> tuple[str, Any, Callable[[Speeds], float]] | None:
    """Over four or eight chips of a box, as captured in a CUDA graph; sizes are in elements of two bytes."""
    if "eager" in row["kernel_source"] or int(row["num_gpus"]) < 4:
        return None
    ranks, size = int(row["num_gpus"]), 2.0 * int(row["message_size"])
    return "all-reduce, bf16", (ranks, size), lambda rates: all_reduce_seconds(kind, ranks, size, rates)


READERS = {
    "gemm": _gemm,
    "moe": _moe,
    "context_attention": lambda row, kind: _attention(row, kind, prefill=True),
    "generation_attention": lambda row, kind: _attention(row, kind, prefill=False),
    "context_mla": lambda row, kind: _latent(row, kind, prefill=True),
    "generation_mla": lambda row, kind: _latent(row, kind, prefill=False),
    "custom_allreduce": _all_reduce,
}
