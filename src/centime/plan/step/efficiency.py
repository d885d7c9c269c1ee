"""How much of a chip's peaks training reaches: the constants, and the rates that follow for a chip, precision and date.

One set of constants for every model, chip and source. Each has a prior (its default here, with the reason) and was
fitted to published runs by scripts/fit_planner.py, which writes step/constants.json. Those called `log_*` are natural
logarithms of a factor; all others are positive. docs/plan-formulas.md derives where each one enters.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from centime.catalogue.chips import Chip, chips

FILE = Path(__file__).with_name("constants.json")
REFERENCE_YEAR = 2025.5  # where the terms of software date are zero
FUSED_ATTENTION = 2022.42  # FlashAttention (arXiv 2205.14135): earlier software writes the attention matrix


@dataclass(frozen=True, slots=True)
class Constants:
    """Priors as defaults. Efficiencies are shares of what the best measured GEMM of the chip reaches."""

    # Matrix products: share of the achievable peak for large shapes, then relative to bf16 by precision.
    gemm: float = 0.85
    gemm_fp8: float = 0.85  # per-tensor scales
    gemm_mxfp8: float = 0.80  # a scale for every 32 elements
    gemm_nvfp4: float = 0.60  # and a Hadamard transform (arXiv 2509.25149)
    fp8_rowwise: float = 1.6  # passes to scale rows one by one, without a fused kernel
    gemm_expert: float = 0.90  # grouped products beside plain ones, bf16
    gemm_expert_fp8: float = 0.70  # and in 8 or 4 bits
    gemm_expert_late: float = 0.85  # the latter with the kernels of mid-2026
    gemm_weight: float = 0.15  # how much longer a product for weights' gradients takes: fp32 sums
    gemm_memory: float = 0.7  # share of a product's memory traffic that its arithmetic does not hide
    expert_rows: float = 60.0  # rows an expert loses to tiles of 128 that it does not fill: half a tile
    power: float = 0.25  # exponent of watts per TFLOP/s, where less than an A100's 1.28 (clocks under load)
    log_gemm_ampere: float = 0.0
    log_gemm_hopper: float = 0.0
    log_gemm_blackwell: float = 0.0
    log_gemm_ultra: float = 0.0
    log_gemm_google: float = 0.0
    log_gemm_amd: float = 0.0
    log_gemm_huawei: float = 0.0
    log_gemm_year: float = 0.02  # a year of software
    # Attention kernels: share of the achievable bf16 peak, forward; the backward takes attention_backward as long.
    attention_ampere: float = 0.60  # FlashAttention-2 on A100: 0.5 to 0.73 (arXiv 2307.08691)
    attention_hopper: float = 0.45  # FlashAttention-2 on H100: 0.35 (arXiv 2407.08608)
    attention_hopper_tuned: float = 0.75  # the maker's own kernels (cuDNN, FlashAttention-3: arXiv 2407.08608)
    attention_blackwell: float = 0.75
    attention_other_tuned: float = 0.60  # of other makers, with their own kernels
    window_passes: float = 1.0  # times makers' kernels before mid-2026 touch the whole matrix of a windowed layer
    attention_backward: float = 0.25  # how much longer it takes than its 2.5 times the FLOPs (arXiv 2307.08691, 3)
    score_passes: float = 8.0  # times the attention matrix is read or written where it is not fused (forward)
    # Memory-bound work: passes over bf16 elements.
    memory: float = 0.80
    norm_passes: float = 6.0  # norm and residual of one site, forward
    activation_passes: float = 1.3  # over inputs and outputs of non-linearities and attention
    dispatch_passes: float = 4.0  # gather, scatter and weighting of routed tokens, forward
    state_passes: float = 3.0  # scans and convolutions (arXiv 2405.21060)
    logit_passes: float = 6.0  # softmax and loss over the vocabulary, in fp32 halves
    backward_passes: float = 2.0  # of a backward beside its forward
    weight_passes: float = 0.3  # share of the backward's passes that the weights' gradient needs: operands cast anew
    tail_us: float = 100.0  # a site's kernels begin and end with the chip part empty, in each pass
    log_memory_blackwell: float = -0.1  # 8 TB/s are harder to fill
    quantize_fp8: float = 0.8  # casts of activations and gradients, passes over them
    quantize_mxfp8: float = 1.0
    quantize_nvfp4: float = 1.5
    # The host: microseconds of launches per site and micro-batch, forward and backward together.
    host_site: float = 150.0
    host_mixture: float = 2000.0  # more for a layer of experts: permutation, counts read back
    host_expert: float = 150.0  # more for each expert that a chip holds: its products are launched one by one
    host_block: float = 1.5  # times both where every block has a scale: operands are cast both ways, expert by expert
    host_state: float = 1500.0  # more for a layer of scans
    log_host_year: float = -0.3
    log_host_rack: float = 0.0  # racks whose hosts are Arm processors
    launch_overlap: float = 2.0  # exponent of the soft maximum of device and host
    mixture_graph: float = 0.15  # what is left of host_mixture and dispatch once whole steps are captured
    # Communication: share of a link's rate that collectives reach, and the share of them that is not hidden.
    scaleup: float = 0.75
    scaleout: float = 0.80
    tensor_exposed: float = 0.60
    expert_exposed: float = 0.80
    overlapped_exposed: float = 0.15  # of expert traffic within DualPipe's F&B
    context_exposed: float = 0.50
    pipeline_exposed: float = 0.30
    data_exposed: float = 0.20
    shard_pipeline: float = 0.3  # of that traffic repeated for every micro-batch in a pipeline
    shard_exposed: float = 0.10  # of the smaller of weight traffic and arithmetic under ZeRO-3
    hop_us: float = 12.0  # start-up of one collective
    selective: float = 0.08  # of a forward that selective recomputation runs again
    # A step.
    optimizer_passes: float = 8.0  # 4-byte reads and writes a parameter, in its shard: states, gradient, weight
    step_ms: float = 3.0  # what happens once: clipping, the optimizer's launches
    step_plain_ms: float = 60.0  # the same in software that nobody tuned: parameter by parameter, data awaited
    doubling_us: float = 20.0  # of a collective between replicas, for every doubling of nodes
    late: float = 0.2  # share of the next that is waited for where replicas meet, at a step's end
    scale: float = 0.006  # slower for every doubling of the chips beyond one node: stragglers, jitter
    imbalance: float = 0.5  # share of the uneven split of layers over stages that costs time


@dataclass(frozen=True, slots=True)
class TrainingSoftware:
    """What a run is written in. tuned: with the kernels that the chip's maker (or DeepSeek) wrote for it."""

    year: float  # with its fraction: 2026.5 is July 2026
    tuned: bool = True

    @property
    def gradient_bytes(self) -> float:
        """Of a gradient that is kept and reduced: fp32 in Megatron-LM, bf16 in NVIDIA's recipes since 2024."""
        return 2.0 if self.tuned and self.year >= 2024 else 4.0

    @property
    def fused_attention(self) -> bool:
        """Whether attention is one kernel."""
        return self.year >= FUSED_ATTENTION


@dataclass(frozen=True, slots=True)
class ChipRates:
    """What one chip reaches, with the software that a run is written in."""

    gemm: float  # FLOP/s of products in the run's precision
    gemm_bf16: float  # FLOP/s of those that stay in bf16
    attention: float  # FLOP/s
    memory: float  # bytes/s
    scaleup: float  # bytes/s to a chip of its domain
    scaleup_domain: int  # chips
    scaleout: float  # bytes/s to any other
    expert: float  # factor on gemm in the experts
    quantize: float  # passes over an operand that is written in fewer bits
    element_bytes: float  # of a matrix product's operand
    host_site_s: float  # seconds of launching, a site in a layer,
    host_mixture_s: float  # a mixture,
    host_expert_s: float  # one of its experts on a chip,
    host_state_s: float  # and a layer of state spaces
    graph: float  # 0 to 1: how surely whole steps are captured as graphs
    fused_attention: bool
    window_passes: float  # passes over the whole matrix of a windowed layer


@lru_cache(maxsize=1)
def fitted() -> Constants:
    """The constants of step/constants.json."""
    values = json.loads(FILE.read_text(encoding="utf-8"))["constants"]
    return Constants(**{field.name: values[field.name]["value"] for field in fields(Constants)})


@lru_cache(maxsize=256)
def achievable(chip: Chip) -> float:
    """The share of its bf16 peak that the best measured GEMM of a chip reaches.

    Measured on that chip (catalogue, `measured_max_bf16_tflops`), else the mean of its generation, else of all.
    """
    if chip.measured_max_bf16_tflops and chip.bf16_tflops:
        return chip.measured_max_bf16_tflops / chip.bf16_tflops
    known = [c for c in chips() if c.measured_max_bf16_tflops and c.bf16_tflops]
    alike = [c for c in known if generation(c) == generation(chip)] or known
    return sum((c.measured_max_bf16_tflops or 0) / (c.bf16_tflops or 1) for c in alike) / len(alike)


def below_one(share: float) -> float:
    """A share of a peak, bent so that it never reaches 1: 0.5 stays 0.5, 0.8 becomes 0.78, 1 becomes 0.92."""
    return float(share / (1.0 + share**8) ** 0.125)


def _by_precision(precision: str, bf16: float, fp8: float, fp8_row: float, mxfp8: float, nvfp4: float) -> float:
    return {"bf16": bf16, "fp8": fp8, "fp8-row": fp8_row, "mxfp8": mxfp8, "nvfp4": nvfp4}[precision]


def _expert(precision: str, late: float, c: Constants) -> float:
    """Grouped products beside plain ones: by precision, moving to the kernels of mid-2026 as `late` goes to 1."""
    if precision == "bf16":
        return c.gemm_expert
    return float(c.gemm_expert_fp8 * (c.gemm_expert_late / c.gemm_expert_fp8) ** late)


def generation(chip: Chip) -> str:
    """'Blackwell Ultra' -> 'blackwell': the first word of a chip's generation."""
    return (chip.generation or chip.vendor or "").split(" ")[0].split("+")[0].lower()


@lru_cache(maxsize=4096)
def rates(chip: Chip, precision: str, software: TrainingSoftware, c: Constants) -> ChipRates:
    """The rates of `chip` at `precision` (bf16, fp8, mxfp8, nvfp4) with such software."""
    year = software.year
    kind = generation(chip)
    peak = (chip.bf16_tflops or 0.0) * 1e12
    best = achievable(chip)
    watts = (chip.tdp_watts or 0.0) / (chip.bf16_tflops or 1.0) or 0.7
    powered = min(1.0, watts / 1.28) ** c.power
    log = c.log_gemm_year * (year - REFERENCE_YEAR)
    log += {"ampere": c.log_gemm_ampere, "hopper": c.log_gemm_hopper, "blackwell": c.log_gemm_blackwell}.get(kind, 0.0)
    log += {"Google": c.log_gemm_google, "AMD": c.log_gemm_amd, "Huawei": c.log_gemm_huawei}.get(chip.vendor, 0.0)
    if "ultra" in (chip.generation or "").lower():
        log += c.log_gemm_ultra
    share = best * c.gemm * powered * math.exp(log)
    relative = _by_precision(precision, 1.0, c.gemm_fp8, c.gemm_fp8, c.gemm_mxfp8, c.gemm_nvfp4)
    attention = {"ampere": c.attention_ampere, "blackwell": c.attention_blackwell}.get(kind, c.attention_hopper)
    if software.tuned and kind not in ("ampere", "blackwell"):
        attention = c.attention_hopper_tuned if kind == "hopper" else c.attention_other_tuned
    filled = c.memory * (math.exp(c.log_memory_blackwell) if kind == "blackwell" else 1.0)
    host = math.exp(c.log_host_year * (year - REFERENCE_YEAR))
    if kind == "blackwell" and (chip.scaleup_domain or 1) > 8:
        host *= math.exp(c.log_host_rack)
    if chip.vendor == "Google":  # XLA compiles the whole step: nothing is launched from the host in between
        host = 0.0
    blocks = c.host_block if precision in ("mxfp8", "nvfp4") else 1.0
    # Capture of whole steps with experts came with software of mid-2026 on Blackwell.
    graph = 1.0 / (1.0 + math.exp(-(year - 2026.4) / 0.04)) if kind == "blackwell" else 0.0
    return ChipRates(
        gemm=chip.peak(precision.removesuffix("-row")) * below_one(share * relative),
        gemm_bf16=peak * below_one(share),
        attention=peak * below_one(best * attention * powered),
        memory=(chip.memory_tb_s or 0.0) * 1e12 * below_one(filled),
        scaleup=(chip.scaleup_gb_s or chip.scaleout_gb_s or 1.0) * 1e9 * below_one(c.scaleup),
        scaleup_domain=int(chip.scaleup_domain or 1),
        scaleout=(chip.scaleout_gb_s or chip.scaleup_gb_s or 1.0) * 1e9 * below_one(c.scaleout),
        expert=below_one(_expert(precision, graph, c) * share * relative) / below_one(share * relative),
        quantize=_by_precision(precision, 0.0, c.quantize_fp8, c.fp8_rowwise, c.quantize_mxfp8, c.quantize_nvfp4),
        element_bytes=_by_precision(precision, 2.0, 1.0, 1.0, 1.03, 0.56),
        host_site_s=c.host_site * 1e-6 * host,
        host_mixture_s=c.host_mixture * 1e-6 * host * blocks,
        host_expert_s=c.host_expert * 1e-6 * host * blocks,
        host_state_s=c.host_state * 1e-6 * host,
        graph=graph,
        fused_attention=software.fused_attention,
        window_passes=c.window_passes * (1.0 - graph) if software.tuned else 0.0,
    )
