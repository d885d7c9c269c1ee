"""Bytes of one chip in training: weights, gradients, optimizer, activations, buffers.

Activations follow Korthikanti et al. (arXiv 2205.05198, section 4: 34 bytes per element of the residual stream in a
GPT layer with fused attention, sequence-parallel under TP), written for any architecture: what a kernel needs again
in its backward. The fullest stage is meant: the first, which holds most micro-batches in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from centime.catalogue.chips import Chip
from centime.plan.counts.adapters import BASES, DTYPES, adapter_sizes
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, Recompute
from centime.plan.step.work import LayerWork, work_of

GIB = 2.0**30
RESERVED_GIB = 4.0  # context, NCCL's and the allocator's own (what nvidia-smi shows beside tensors)
USABLE = 0.94  # of a chip's memory before fragmentation stops a run
WEIGHT_BYTES = 2.0  # bf16 copy that kernels read
GRADIENT_BYTES_SHARDED = 2.0  # FSDP reduces in the weights' type
MOMENT_BYTES = 8.0  # AdamW's two in fp32
MASTER_BYTES = 4.0
# Bytes of the states of a parameter. AdamW's two in 8 bits have a 4-byte scale each for 2,048 of them (arXiv
# 2110.02861); Muon keeps one in fp32 for matrices and AdamW's two for tables and vectors (arXiv 2502.16982).
OPTIMIZERS = {"adamw": MOMENT_BYTES, "adam8bit": 2.0 * (1.0 + 4.0 / 2048), "muon": MOMENT_BYTES / 2}


class Recomputed(NamedTuple):
    """What the backward computes a second time, as shares of the layers.

    light: only what costs little (norms, non-linearities, up-projections of latents, unfused attention); full: whole
    layers, from their inputs.
    """

    light: float
    full: float

    @property
    def word(self) -> Recompute:
        """What a layout calls it."""
        return "full" if self.full else "selective" if self.light else "none"


AS_STATED = {"none": Recomputed(0.0, 0.0), "selective": Recomputed(1.0, 0.0), "full": Recomputed(0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per chip."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    buffers: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.buffers

    def gib(self) -> dict[str, float]:
        """By part, in GiB, with their total."""
        parts = {name: getattr(self, name) / GIB for name in self.__slots__}
        return parts | {"total": self.total / GIB}


def local_params(work: LayerWork, layout: Layout) -> tuple[float, float]:
    """Parameters whose weights a stage's chip works with: dense (tables included) and experts, mean over stages."""
    dense = (work.linear_params + work.small_params + work.table_params) / (layout.tp * layout.pp)
    return dense, work.expert_params / (layout.ep * layout.pp)


def activation_bytes(
    work: LayerWork, layout: Layout, seq: int, precision: str, fused: bool = True
) -> tuple[float, float, float]:
    """Bytes that one micro-batch leaves on a chip per stage with nothing, the light part, or everything recomputed."""
    operand = 1.0 if precision != "bf16" else 2.0  # inputs of matrix products are kept in their own type
    streams = 2.0 * work.layers * work.streams * work.hidden
    norms = 2.0 * (work.sites - work.layers) * work.streams * work.hidden + operand * work.sites * work.hidden
    attention = 2.0 * work.attention_elements + 2.0 * work.state_elements
    feed_in = 2.0 * work.activation_elements * 2 / 3
    feed_out = operand * work.activation_elements / 3
    routed = operand * work.dispatch_elements
    scores = 0.0 if fused else 5.0 * work.score_elements
    none = streams + norms + attention + feed_in + feed_out + 2.0 * routed + scores
    latents = 2.0 * work.latent_elements + 2.0 * work.state_elements
    light = streams + norms / 2 + latents + feed_in * operand / 2 + routed
    scale = layout.micro_batch * seq / layout.cp / layout.tp / layout.pp
    return none * scale, light * scale, streams * scale


def in_flight(layout: Layout, micro_batches: int) -> float:
    """Micro-batches whose activations the fullest stage holds, in units of a whole stage."""
    pp = layout.pp
    if pp == 1:
        return 1.0
    if layout.schedule in ("dualpipe", "dualpipev"):
        held = pp + 1.0
    elif layout.schedule == "interleaved":
        held = pp + (pp - 1.0) / layout.vp
    else:
        held = float(pp)
    return min(held, float(micro_batches))


def memory_of(job: Job, layout: Layout, recomputed: Recomputed | None = None) -> Memory:
    """Bytes on the fullest chip. recomputed: None: as the layout says."""
    work = work_of(job.arch, job.seq)
    return Memory(*states_of(work, job, layout), *passing_of(work, job, layout, recomputed))


def moment_bytes(work: LayerWork, optimizer: str) -> tuple[float, float]:
    """Bytes of the optimizer's states of a dense parameter (tables included) and of an expert's."""
    each = OPTIMIZERS[optimizer]
    if optimizer != "muon":
        return each, each
    matrices = work.linear_params / (work.linear_params + work.small_params + work.table_params)
    return each * matrices + MOMENT_BYTES * (1.0 - matrices), each


def states_of(work: LayerWork, job: Job, layout: Layout) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer."""
    if job.adapters is not None:
        return _frozen_states(work, job, layout)
    software, optimizer = job.software, job.optimizer
    dense, expert = local_params(work, layout)
    held = dense + expert
    copies = 2.0 if layout.schedule == "dualpipe" else 1.0  # DualPipe runs the model from both ends (V3, section 3.2.1)
    dp = layout.dp * layout.cp
    expert_dp = max(1, layout.gpus // (layout.pp * layout.ep))
    shards = (dense / dp + expert / expert_dp) if layout.zero >= 1 else held
    largest = held * layout.pp / max(1.0, work.layers)  # one layer, gathered
    weights = WEIGHT_BYTES * (shards + 2 * largest if layout.zero == 3 else held * copies)
    gradients = software.gradient_bytes * held
    if layout.zero >= 2:
        gradients = GRADIENT_BYTES_SHARDED * (shards + largest)
    if optimizer == "adamw":
        return weights, gradients, (MOMENT_BYTES + MASTER_BYTES) * shards
    of_dense, of_expert = moment_bytes(work, optimizer)
    owned = (dense / dp, expert / expert_dp) if layout.zero >= 1 else (dense, expert)
    return weights, gradients, MASTER_BYTES * shards + of_dense * owned[0] + of_expert * owned[1]


def local_adapters(job: Job, layout: Layout) -> tuple[float, float]:
    """Parameters of a stage's adapters on a chip: beside dense matrices and beside experts, mean over stages."""
    if job.adapters is None:
        return 0.0, 0.0
    sizes = adapter_sizes(job.arch, job.adapters)
    return sizes.dense / (layout.tp * layout.pp), sizes.expert / (layout.ep * layout.pp)


def frozen_bytes(work: LayerWork, job: Job, layout: Layout) -> tuple[float, float]:
    """Bytes of a stage's frozen weights on a chip as they are kept: dense (tables included) and experts."""
    assert job.adapters is not None
    each = BASES[job.adapters.base]
    dense = each * work.linear_params + WEIGHT_BYTES * (work.small_params + work.table_params)
    return dense / (layout.tp * layout.pp), each * work.expert_params / (layout.ep * layout.pp)


def _frozen_states(work: LayerWork, job: Job, layout: Layout) -> tuple[float, float, float]:
    """`states_of` a job whose weights are frozen: gradients and optimizer are the adapters' alone. A matrix that is
    kept in fewer bits is unpacked to 16 before it is used, one at a time."""
    assert job.adapters is not None
    copies = 2.0 if layout.schedule == "dualpipe" else 1.0
    dense, expert = frozen_bytes(work, job, layout)
    trained, trained_expert = local_adapters(job, layout)
    dp, expert_dp = layout.dp * layout.cp, max(1, layout.gpus // (layout.pp * layout.ep))
    own = trained / dp + trained_expert / expert_dp  # of a chip, where states are sharded
    whole = trained + trained_expert
    each = DTYPES[job.adapters.dtype]
    if layout.zero == 3:
        largest = (dense + expert) * layout.pp / max(1.0, work.layers)  # one layer, gathered
        weights = dense / dp + expert / expert_dp + 2.0 * largest + each * own
    else:
        weights = (dense + expert + each * whole) * copies
    if job.adapters.base != "bf16":
        weights += WEIGHT_BYTES * adapter_sizes(job.arch, job.adapters).widest / layout.tp
    gradients = each * (own if layout.zero >= 2 else whole)
    return weights, gradients, OPTIMIZERS[job.optimizer] * (own if layout.zero >= 1 else whole)


def passing_of(work: LayerWork, job: Job, layout: Layout, recomputed: Recomputed | None = None) -> tuple[float, float]:
    """Bytes of activations and buffers. recomputed: None: as the layout says."""
    none, light, least = activation_bytes(work, layout, job.seq, job.precision, job.software.fused_attention)
    again = recomputed or AS_STATED[layout.recompute]
    kept = none + again.light * (light - none)
    kept += again.full * (least - kept)
    one_layer = again.full * none * layout.pp / max(1.0, work.layers)  # computed anew, one at a time
    activations = in_flight(layout, layout.micro_batches(job.global_batch)) * kept + one_layer
    tokens = layout.micro_batch * job.seq / layout.cp / layout.tp
    logits = (
        6.0 * tokens * work.heads_of_vocab / max(1.0, work.heads_of_vocab / job.arch.vocab)
    )  # bf16 and fp32, one use
    return activations, RESERVED_GIB * GIB + logits + 2.0 * tokens * work.hidden * 8


def usable_bytes(chip: Chip) -> float:
    """What a run may fill; infinite where the catalogue does not know the chip's memory."""
    return chip.memory_gb * 1e9 * USABLE if chip.memory_gb else float("inf")


def fits(chip: Chip, needed: float) -> bool:
    """Whether so many bytes are usable; what `recomputation` fills memory with may be above that by a rounding."""
    return needed <= usable_bytes(chip) * (1 + 1e-9)


def recomputation(job: Job, layout: Layout) -> Recomputed:
    """The least recomputation with which the layout fits, light first, as software would be configured."""
    limit = usable_bytes(job.chip)

    def total(again: Recomputed) -> float:
        return memory_of(job, layout, again).total

    none, light, full = (total(Recomputed(*again)) for again in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))
    if none <= limit:
        return Recomputed(0.0, 0.0)
    if light <= limit:
        return Recomputed((none - limit) / (none - light), 0.0)
    return Recomputed(1.0, min(1.0, (light - limit) / (light - full)))
