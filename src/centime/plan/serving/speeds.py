"""How much of its chip a serving engine gets: fitted efficiencies and overheads, by chip maker, engine and date.

Every speed is a product: exp(base + what non-NVIDIA chips differ by + the maker's own + the generation's + the
engine's + years of software), each term fitted by scripts/fit_serving.py with a prior around zero
(scripts/serving_terms.py), so that a chip or an engine nobody measured gets its group's value (partial pooling). No
term belongs to a model, a source or a row.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from centime.catalogue.chips import Chip

CONSTANTS = Path(__file__).parent / "constants.json"
EPOCH = 2025.0  # software years are counted from here
NEWEST = "2026-08"  # of the software where no date is given, as `plan train`'s newest
FOREIGN_EPOCH = 2024.5

# name: (prior mean, prior spread of its logarithm, what it is and where the prior comes from)
BASES: dict[str, tuple[float, float, str]] = {
    "memory": (0.80, 0.10, "share of memory bandwidth that weight reads reach; STREAM-like kernels reach 0.85 to 0.93"),
    "gemm_bf16": (0.65, 0.20, "share of the peak that large bf16 products reach; measured maxima are 0.80 of H100's"),
    "gemm_fp8": (0.55, 0.20, "the same in fp8; DeepGEMM reaches 1,550 of 1,979 TFLOPS on large shapes"),
    "gemm_fp4": (0.35, 0.30, "the same in fp4"),
    "pass_rows": (
        64.0,
        0.50,
        "rows that a skinny product handles for one read of its weights; tiles are 64 or 128 tall",
    ),
    "rows": (64.0, 0.50, "rows M at which a product reaches half of its large efficiency"),
    "grouped": (0.5, 0.30, "share of a large product's efficiency that experts' grouped ones reach"),
    "grouped_rows": (64.0, 0.50, "rows an expert at which they reach half of it"),
    "unpacked": (0.5, 0.30, "share of that speed which experts reach whose four-bit weights meet wider operands"),
    "passes": (12.0, 0.40, "times a layer reads or writes a token's hidden state outside its products: norms, sums"),
    "moves": (4.0, 0.40, "times experts read or write a row of hidden and inner state: sorting, activation, sums"),
    "attention_memory": (0.65, 0.30, "share of bandwidth that cache reads reach; FlashMLA: 3,000 of 3,350 GB/s"),
    "latent_memory": (1.3, 0.2, "the same of a latent cache over that of keys and values: FlashMLA's 0.9 over 0.65"),
    "expert_memory": (0.85, 0.2, "the same of routed experts' weights over that of dense ones: many small products"),
    "attention_decode": (0.45, 0.30, "share of the bf16 peak of decode attention; FlashMLA: 660 of 989 TFLOPS"),
    "attention_prefill": (0.45, 0.30, "share of the bf16 peak of prefill attention; FlashAttention-3: up to 0.75"),
    "own_keys": (400.0, 0.40, "keys that a prompt's token takes the time of by itself: reading, scaling, writing it"),
    "narrow_heads": (0.5, 0.5, "exponent of a head's width over 128, to which attention's shares fall below it"),
    "layer_s": (12e-6, 0.50, "seconds of a layer that no bound explains: kernel launch and drain, small kernels"),
    "latent_layer_s": (
        5e-6,
        0.50,
        "the same of latent attention: two down-projections, their norms, the absorbed products",
    ),
    "state_layer_s": (10e-6, 0.50, "the same of layers that carry a state in place of a cache"),
    "expert_layer_s": (15e-6, 0.50, "the same of a mixture's routing, sorting and grouped products"),
    "popularity": (1.5, 0.7, "shape of the Beta distribution of experts' popularity: the larger, the more alike"),
    "balanced_popularity": (3.0, 0.7, "the same where a bias balances them (V3 report, section 2.1.2)"),
    "gathering": (
        0.3,
        0.5,
        "exponent of attention groups by which a prompt begins later: groups wait for each other",
    ),
    "step_s": (5e-4, 0.70, "seconds a step spends on the host: scheduling, sampling"),
    "sequence_s": (8e-6, 0.70, "seconds a step spends per sequence: sampling, detokenising, block tables"),
    "reduce_s": (
        10e-6,
        0.50,
        "latency of a collective in the scale-up domain; 3.3 us for 64 bytes on NVLink (ISCA T5)",
    ),
    "exchange_s": (15e-6, 0.50, "latency of a dispatch or a combine in the scale-up domain"),
    "mixing": (1.0, 0.20, "what prompts add to the steps of others over what the roofline of a mixed step says"),
    "uneven": (
        0.30,
        0.40,
        "how far attention groups wait for the one that has a prompt: 0 not at all, 1 always (exponent)",
    ),
    "filled": (
        0.80,
        0.15,
        "share of a unit's places in use on average in a run at maximum load, which fills and drains",
    ),
    "request_s": (0.04, 0.70, "seconds from a request to its first step: tokenising, queues of the server"),
    "wave": (0.10, 0.70, "share of a closed loop's requests that arrive with all others at its start; 10 rounds: 0.1"),
    "link": (0.70, 0.30, "share of a link's rate; 160 of 200 GB/s on H800 (V3 report)"),
    "imbalance": (0.19, 0.40, "experts' loads' spread over their mean; SGLang: 59.3 against 50.3 K tokens/s at EP32"),
    "wait": (0.75, 0.30, "(1 + c2) / 2 of the wait's tail, c2 the squared variation of service times"),
    "run_s": (
        1200.0,
        0.40,
        "seconds of a benchmark run, over which filling and draining are averaged; MLPerf: 600 or more",
    ),
    "token_tail": (1.15, 0.10, "99th percentile over mean of a request's token time: prompts come in bursts"),
    "accepted": (0.75, 0.10, "chance that a drafted token stands where a source does not state it; V3 report: 0.85"),
    "overlap": (0.80, 0.20, "share of the hideable communication that two micro-batches hide"),
}
# Products a second over those in bf16: a tile's take the less time, while its loads and its end do not.
RATE = {"bf16": 1, "fp8": 2, "int8": 2, "fp4": 4}
MOST = {  # of what a share may be, whatever was fitted
    **dict.fromkeys(("gemm_bf16", "gemm_fp8", "gemm_fp4", "attention_decode", "attention_prefill"), 0.9),
    **dict.fromkeys(("grouped", "unpacked"), 1.0),
    **dict.fromkeys(("memory", "attention_memory", "link"), 0.95),
    **dict.fromkeys(("uneven", "filled", "wave", "overlap", "accepted"), 1.0),
}
LEAST = dict.fromkeys(("pass_rows", "token_tail", "mixing"), 1.0)  # prompts cost at least their own work
GROUPS = {  # what the terms below act on
    "memory": ("memory",),
    "gemm": ("gemm_bf16", "gemm_fp8", "gemm_fp4"),
    "narrow": ("gemm_fp4",),
    "eight": ("gemm_fp8",),
    "pass": ("pass_rows",),
    "rows": ("rows",),
    "experts": ("expert_memory",),
    "grouped": ("grouped",),
    "unpacked": ("unpacked",),
    "attention": ("attention_memory", "attention_decode", "attention_prefill"),
    "prompts": ("attention_prefill",),
    "gathering": ("gathering",),
    "latent": ("latent_memory", "attention_decode"),
    "launch": ("layer_s", "latent_layer_s", "state_layer_s", "expert_layer_s", "reduce_s", "exchange_s"),
    "latent_launch": ("latent_layer_s",),
    "expert_launch": ("expert_layer_s",),
    "reduce": ("reduce_s",),
    "exchange": ("exchange_s",),
    "host": ("step_s", "sequence_s"),
    "mixing": ("mixing",),
    "request": ("request_s",),
    "wave": ("wave",),
    "link": ("link",),
    "imbalance": ("imbalance",),
}


UNBOUNDED = 50.0  # logarithm of what is as good as infinite


@dataclass(frozen=True)
class ServingSoftware:
    """A serving engine ('vllm', 'sglang', 'trt', 'in-house' or '') and the year it is of, as 2025.69."""

    engine: str = ""
    year: float = 2026.0


def year(text: str) -> float:
    """'2025-09-09' -> 2025.69; '2024' -> 2024.5; blank -> 2026.0 (the time of collection)."""
    match = re.match(r"(20\d\d)(?:-(\d\d)(?:-(\d\d))?)?", text.strip())
    if not match:
        return 2026.0
    if match[2] is None:
        return int(match[1]) + 0.5
    return int(match[1]) + (int(match[2]) - 1) / 12 + (int(match[3] or 15) - 1) / 365


@dataclass(frozen=True)
class Speeds:
    """What `step_time` needs of chip and software together; shares of a peak, or seconds."""

    memory: float
    gemms: tuple[float, float, float]  # bf16, fp8, fp4
    pass_rows: float
    rows: float
    grouped: float
    grouped_rows: float
    unpacked: float
    passes: float
    moves: float
    attention_memory: float
    latent_memory: float
    expert_memory: float
    attention_decode: float
    attention_prefill: float
    own_keys: float
    narrow_heads: float
    layer_s: float
    latent_layer_s: float
    state_layer_s: float
    expert_layer_s: float
    popularity: float
    balanced_popularity: float
    gathering: float
    step_s: float
    sequence_s: float
    reduce_s: float
    exchange_s: float
    mixing: float
    uneven: float
    filled: float
    request_s: float
    wave: float
    link: float
    imbalance: float
    wait: float
    token_tail: float
    run_s: float
    accepted: float
    overlap: float

    def gemm(self, precision: str, rows: float) -> float:
        """Share of the peak that a product of so many rows reaches: in bf16 half of the large one's at `self.rows`."""
        return self._large(precision) * rows / (rows + self.rows * RATE[precision])

    def grouped_gemm(self, precision: str, rows: float) -> float:
        """The same of experts' products with so many rows each."""
        return self._large(precision) * self.grouped * rows / (rows + self.grouped_rows * RATE[precision])

    def _large(self, precision: str) -> float:
        return self.gemms[{"bf16": 0, "fp8": 1, "int8": 1, "fp4": 2}[precision]]


class ServingConstants(dict[str, float]):
    """Logarithms by the names of BASES and TERMS; two are the same only if they are one object, and none is changed."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(maxsize=1)
def constants() -> ServingConstants:
    """The fitted constants that ship with the package."""
    return ServingConstants(json.loads(CONSTANTS.read_text(encoding="utf-8"))["constants"])


def terms(chip: Chip, software: ServingSoftware) -> dict[str, float]:
    """The terms that act on a chip and its software, with their weights (1, or years)."""
    found: dict[str, float] = {}
    vendor = chip.vendor.lower()
    age = max(-1.0, min(2.0, software.year - EPOCH))  # beyond what was measured the trend is not followed
    if vendor == "nvidia":
        found["year"] = age
        found |= _generation(chip)
        if "blackwell" in found:  # the newest generation's software changes faster
            found["blackwell_year"] = age
    else:
        found["foreign"] = 1.0
        found["foreign_year"] = max(0.0, min(2.0, software.year - FOREIGN_EPOCH))
        found |= {vendor: 1.0} if vendor in ("amd", "intel") else {}
    if software.engine in ("vllm", "sglang", "trt"):
        found[software.engine] = 1.0
        if "blackwell" in found:
            found[f"{software.engine}_blackwell"] = 1.0
    return found


def _generation(chip: Chip) -> dict[str, float]:
    found = {}
    if chip.bf16_tflops and chip.fp8_tflops is None:
        found["ampere"] = 1.0
    if chip.fp4_tflops:
        found["blackwell"] = 1.0
    if chip.memory_tb_s and chip.memory_tb_s < 2.0 and chip.fp8_tflops:  # GDDR and PCIe: power-bound cards
        found["card"] = 1.0
    return found


@lru_cache(maxsize=4096)
def speeds(chip: Chip, software: ServingSoftware, values: ServingConstants | None = None) -> Speeds:
    """The speeds of `chip` under `software`; `values` overrides the shipped constants (the fit does)."""
    known = constants() if values is None else values
    active = terms(chip, software)
    shift = dict.fromkeys(BASES, 0.0)
    for group, names in GROUPS.items():
        moved = sum(weight * known.get(f"{term}.{group}", 0.0) for term, weight in active.items())
        for name in names:
            shift[name] += moved

    found = {name: math.exp(known[name] + moved) for name, moved in shift.items()}
    found = {name: min(MOST.get(name, math.inf), max(LEAST.get(name, 0.0), value)) for name, value in found.items()}
    gemms = (found.pop("gemm_bf16"), found.pop("gemm_fp8"), found.pop("gemm_fp4"))
    return Speeds(gemms=gemms, **found)


@lru_cache(maxsize=256)
def ideal(chip: Chip) -> Speeds:
    """Speeds with nothing in the way but bandwidth, links and peaks: what no software gets more of out of a chip."""
    nothing = [name for name in BASES if name.endswith("_s")]
    nothing += ["narrow_heads", "imbalance", "mixing", "uneven", "passes", "moves", "own_keys"]
    values = dict.fromkeys(BASES, UNBOUNDED) | dict.fromkeys(nothing, -UNBOUNDED)
    return speeds(chip, ServingSoftware(), ServingConstants(values))
