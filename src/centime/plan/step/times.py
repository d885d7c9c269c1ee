"""What one optimizer step of training is made of: its micro-batches, and what happens once. `step.cost` joins them.

The step is counted on the mean pipeline stage: a micro-batch's seconds (`step.micro_batch`) put through the schedule,
plus what happens once a step. docs/plan-formulas.md derives every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from centime.plan.counts.adapters import DTYPES
from centime.plan.step import collectives
from centime.plan.step.efficiency import Constants, TrainingSoftware, below_one
from centime.plan.step.job import Workload
from centime.plan.step.layout import BIDIRECTIONAL, Layout, Schedule
from centime.plan.step.memory import MOMENT_BYTES, frozen_bytes, local_adapters, local_params, moment_bytes
from centime.plan.step.micro_batch import MicroBatchTimes, hop_seconds, joined
from centime.plan.step.pipeline import Passes, Phases, layout_phases
from centime.plan.step.stages import slowest

TRAFFIC = ("tensor_parallel", "expert_parallel", "context_parallel", "pipeline_send", "data_parallel")


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step and of its parts; `phases` are those that DeepSeek publishes; `passes` of one micro-batch on
    the mean stage: forward, gradient of inputs, gradient of weights, and forward with backward where they overlap."""

    total: float
    parts: dict[str, float]
    phases: dict[str, float]
    passes: Passes


def pace(load: Workload, schedule: Schedule, pp: int, vp: int) -> float:
    """The time of the stage that sets the pace over the mean stage's: at least 1.

    The model's items in the order of the pipeline, in layers' worth of work: layers, then head with MTP module. The
    stage with most of them is waited for; software evens part of it out (`imbalance`).
    """
    if pp == 1:
        return 1.0
    work = load.work
    layers = max(1, round(work.layers))
    head = work.head_flops * layers / max(1.0, work.linear_flops + work.expert_flops + work.attention_flops)
    costs = (1.0,) * layers + (round(head, 2),)
    return 1.0 + load.constants.imbalance * (slowest(costs, schedule, pp, max(1, vp)) - 1.0)


@dataclass(frozen=True, slots=True)
class Passed:
    """All micro-batches of a step through the pipeline: seconds by part with their sum, and the schedule's phases."""

    parts: dict[str, float]
    running: float
    phases: Phases
    passes: Passes


def micro_batches_of(load: Workload, stage: MicroBatchTimes, layout: Layout, slowed: float) -> Passed:
    """The schedule of a step; how the states of a replica are sharded (`zero`) plays no part in it. slowed: `pace`."""
    micro_batches = layout.micro_batches(load.job.global_batch)
    parts = {name: micro_batches * seconds for name, seconds in stage.parts.items()}

    if layout.pp > 1:
        parts["pipeline_send"] = sent_seconds(load, layout)
    passes = passes_of(load, stage, layout.schedule in BIDIRECTIONAL)
    overlapped = passes.overlapped
    ph = layout_phases(layout, micro_batches, passes, slowed)
    if overlapped is not None:
        parts["expert_parallel"] -= ph.steady_1f1b * (stage.both / overlapped - 1.0)
    parts["bubble"] = ph.bubble
    return Passed(parts, sum(parts.values()), ph, passes)


def passes_of(load: Workload, stage: MicroBatchTimes, both_ways: bool) -> Passes:
    """A micro-batch's seconds by pass. both_ways: a forward beside another's backward, which hides experts' traffic."""
    overlapped = None
    if both_ways:
        overlapped = stage.both - (1.0 - load.constants.overlapped_exposed) * stage.expert_traffic
    return Passes(stage.forward, stage.input_gradient, stage.weight_gradient, overlapped)


def sent_seconds(load: Workload, layout: Layout) -> float:
    """Seconds that a step waits for what stages send to each other."""
    work, c = load.work, load.constants
    payload = 2.0 * work.streams * work.hidden * layout.micro_batch * load.job.seq / layout.cp / layout.tp
    hops = 2.0 * layout.micro_batches(load.job.global_batch) * max(1, layout.vp)
    send = collectives.send_seconds(layout.gpus // layout.pp, payload, load.rates) + hop_seconds(c)
    return c.pipeline_exposed * hops * send


@dataclass(frozen=True, slots=True)
class Once:
    """What happens once a step, whatever its schedule: seconds of traffic between replicas (before any of it hides
    behind arithmetic), of it the gradients' alone, and of the optimizer; `jitter`: of all else, as a share. zero,
    micro_batches: of the layout."""

    traffic: float
    scattered: float
    optimizer: float
    jitter: float
    zero: int
    micro_batches: int


def once_seconds(software: TrainingSoftware, c: Constants) -> float:
    """What every step takes once, however little there is to update."""
    return (c.step_ms if software.tuned else c.step_plain_ms) * 1e-3


def once_of(load: Workload, layout: Layout) -> Once:
    """Seconds that a step takes once: weights and gradients between replicas, the optimizer on what a chip owns, and
    what grows with the machine's size."""
    work, r, c = load.work, load.rates, load.constants
    micro_batches = layout.micro_batches(load.job.global_batch)
    adapters = load.job.adapters
    dense, expert = local_adapters(load.job, layout) if adapters else local_params(work, layout)
    copies = 2.0 if layout.schedule == "dualpipe" else 1.0  # each with gradients that are summed
    dense_group = layout.dp * layout.cp
    expert_group = max(1, layout.gpus // (layout.pp * layout.ep))
    gradient = DTYPES[adapters.dtype] if adapters else load.job.software.gradient_bytes
    doublings = log2(max(1.0, layout.gpus / 8))
    rounds = 3.0
    if layout.zero == 3:
        # gathered for the forward and again for the backward, gradients scattered, for every micro-batch
        once = 2.0 * collectives.gather_seconds(dense_group, layout.tp, dense, r)
        once += 2.0 * collectives.gather_seconds(expert_group, layout.ep, expert, r)
        often = micro_batches if layout.pp == 1 else 1.0 + c.shard_pipeline * (micro_batches - 1)
        traffic, scattered = 3.0 * once * often, once * often
        if adapters:  # frozen weights are gathered as they are kept, and have no gradients
            frozen, frozen_expert = frozen_bytes(work, load.job, layout)
            gathered = collectives.gather_seconds(dense_group, layout.tp, frozen, r)
            traffic += 2.0 * often * (gathered + collectives.gather_seconds(expert_group, layout.ep, frozen_expert, r))
        rounds += 3.0 * work.layers / layout.pp * often
    else:
        whole = collectives.gather_seconds(dense_group, layout.tp, dense, r)
        whole += collectives.gather_seconds(expert_group, layout.ep, expert, r)
        traffic, scattered = (2.0 + gradient) * copies * whole, gradient * copies * whole
    sharded = layout.zero >= 1
    owned = dense / (dense_group if sharded else 1) + expert / (expert_group if sharded else 1)
    optimizer = c.optimizer_passes * 4.0 * owned / r.memory
    if load.job.optimizer != "adamw":
        optimizer = _update_seconds(load, dense / (dense_group if sharded else 1), owned)
    optimizer += once_seconds(load.job.software, c) + rounds * c.doubling_us * 1e-6 * doublings
    return Once(traffic, scattered, optimizer, c.scale * doublings, layout.zero, micro_batches)


def _update_seconds(load: Workload, dense: float, owned: float) -> float:
    """Seconds of another optimizer's update of `owned` parameters, of which `dense` are no expert's.

    Half of AdamW's passes read and write its two states of 4 bytes; another's are as many bytes as it keeps. Muon
    besides takes five Newton-Schulz steps on every matrix (arXiv 2502.16982, section 2), of the experts' shape or of
    [D, 3 D], each X X^T, its square, and their product with X, at the rate of products in bf16. Matrices are whole
    where they are updated; gathering them is taken to hide.
    """
    work, c = load.work, load.constants
    of_dense, of_expert = moment_bytes(work, load.job.optimizer)
    kept = dense * of_dense + (owned - dense) * of_expert  # bytes of states
    seconds = c.optimizer_passes * 4.0 / load.rates.memory * (owned + kept / MOMENT_BYTES) / 2
    if load.job.optimizer == "muon":
        hidden, held = float(work.hidden), max(1.0, work.experts * work.mixture_layers)
        width = max(1.0, work.expert_params / held / 3.0 / hidden)  # of an expert's three matrices
        flops = dense * newton_schulz(hidden, 3.0 * hidden)
        flops += (owned - dense) * newton_schulz(min(width, hidden), max(width, hidden))
        seconds += flops / load.rates.gemm_bf16
    return seconds


def newton_schulz(short: float, long: float) -> float:
    """FLOPs of a parameter of a matrix [short, long] in five steps of Muon."""
    return 5.0 * 2.0 * (2.0 * short + short * short / long)


def exposed_traffic(running: float, once: Once, c: Constants) -> float:
    """Seconds of the traffic between replicas that a step of `running` seconds does not hide.

    Gradients are scattered behind the backward of the last micro-batch, weights gathered behind the forward of the
    first: what is longer than that, and a share of the rest, is waited for.
    """
    if once.zero == 3:  # joined hides the smaller but for a share of it
        hidden = joined(running, once.traffic, 4.0) - running
        return hidden + c.shard_exposed * min(once.traffic, running)
    window = running / once.micro_batches
    over = max(0.0, once.scattered - window * 2 / 3) + max(0.0, once.traffic - once.scattered - window / 3)
    shown = below_one(c.data_exposed)
    return shown * once.traffic + (1.0 - shown) * over


def total_seconds(running: float, once: Once, c: Constants) -> float:
    """A step, from its micro-batches and what happens once."""
    whole = running + exposed_traffic(running, once, c) + once.optimizer
    return whole + once.jitter * whole


def finished(passed: Passed, once: Once, c: Constants) -> StepTimes:
    """The step by part."""
    running, ph = passed.running, passed.phases
    traffic = exposed_traffic(running, once, c)
    whole = running + traffic + once.optimizer
    parts = passed.parts | {
        "data_parallel": traffic,
        "optimizer": once.optimizer,
        "jitter": once.jitter * whole,
    }
    late = once.jitter * below_one(c.late)
    stretch = 1.0 + once.jitter - late
    phases = {
        "forward_1f": ph.forward_1f * stretch,
        "backward_1b": ph.backward_1b * stretch,
        "weight_1w": ph.weight_1w * stretch,
        "steady_1f1b": ph.steady_1f1b * stretch,
        "bubble": ph.bubble * stretch,
        "optimizer": (once.optimizer + traffic) * stretch + late * whole,
    }
    return StepTimes(total_seconds(running, once, c), parts, phases, passed.passes)
