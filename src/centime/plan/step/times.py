"""What one optimizer step of training is made of: its micro-batches, and what happens once. `step.cost` joins them.

The step is counted on the mean pipeline stage: a micro-batch's seconds (`step.micro_batch`) put through the schedule,
plus what happens once a step. docs/plan-formulas.md derives every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from centime.plan.step import collectives
from centime.plan.step.efficiency import Constants
from centime.plan.step.job import Workload
from centime.plan.step.layout import Layout
from centime.plan.step.memory import local_params
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


def pace(load: Workload, layout: Layout) -> float:
    """The time of the stage that sets the pace over the mean stage's: at least 1.

    The model's items in the order of the pipeline, in layers' worth of work: layers, then head with MTP module. The
    stage with most of them is waited for; software evens part of it out (`imbalance`).
    """
    if layout.pp == 1:
        return 1.0
    work = load.work
    layers = max(1, round(work.layers))
    head = work.head_flops * layers / max(1.0, work.linear_flops + work.expert_flops + work.attention_flops)
    costs = (1.0,) * layers + (round(head, 2),)
    return 1.0 + load.constants.imbalance * (slowest(costs, layout.schedule, layout.pp, max(1, layout.vp)) - 1.0)


@dataclass(frozen=True, slots=True)
class Passed:
    """All micro-batches of a step through the pipeline: seconds by part with their sum, and the schedule's phases."""

    parts: dict[str, float]
    running: float
    phases: Phases
    passes: Passes


def micro_batches_of(load: Workload, stage: MicroBatchTimes, layout: Layout, slowed: float) -> Passed:
    """The schedule of a step; how the states of a replica are sharded (`zero`) plays no part in it. slowed: `pace`."""
    job, c = load.job, load.constants
    micro_batches = layout.micro_batches(job.global_batch)
    pp, tp, cp = layout.pp, layout.tp, layout.cp
    parts = {name: micro_batches * seconds for name, seconds in stage.parts.items()}

    dual = layout.schedule in ("dualpipe", "dualpipev")
    overlapped = stage.both - (1.0 - c.overlapped_exposed) * stage.expert_traffic if dual else None
    if pp > 1:
        payload = 2.0 * load.work.hidden * layout.micro_batch * job.seq / cp / tp
        hops = 2.0 * micro_batches * max(1, layout.vp)
        send = collectives.send_seconds(layout.gpus // pp, payload, load.rates) + hop_seconds(c)
        parts["pipeline_send"] = c.pipeline_exposed * hops * send
    passes = Passes(stage.forward, stage.input_gradient, stage.weight_gradient, overlapped)
    ph = layout_phases(layout, micro_batches, passes, slowed)
    if overlapped is not None:
        parts["expert_parallel"] -= ph.steady_1f1b * (stage.both / overlapped - 1.0)
    parts["bubble"] = ph.bubble
    return Passed(parts, sum(parts.values()), ph, passes)


@dataclass(frozen=True, slots=True)
class Once:
    """What happens once a step, whatever its schedule: seconds of traffic between replicas (before any of it hides
    behind arithmetic) and of the optimizer; `jitter`: of all else, as a share. zero, micro_batches: of the layout."""

    traffic: float
    optimizer: float
    jitter: float
    zero: int
    micro_batches: int


def once_of(load: Workload, layout: Layout, adapters: bool = False) -> Once:
    """Seconds that a step takes once: weights and gradients between replicas, the optimizer on what a chip owns, and
    what grows with the machine's size."""
    work, r, c = load.work, load.rates, load.constants
    micro_batches = layout.micro_batches(load.job.global_batch)
    dense, expert = (0.0, 0.0) if adapters else local_params(work, layout)
    dense_group = layout.dp * layout.cp
    expert_group = max(1, layout.gpus // (layout.pp * layout.ep))
    if layout.zero == 3:
        # gathered for the forward and again for the backward, gradients scattered, for every micro-batch
        traffic = 3 * collectives.gather_seconds(dense_group, layout.tp, 2.0 * dense, r)
        traffic += 3 * collectives.gather_seconds(expert_group, layout.ep, 2.0 * expert, r)
        traffic *= micro_batches if layout.pp == 1 else 1.0 + c.shard_pipeline * (micro_batches - 1)
    else:
        sent = 2.0 + load.job.software.gradient_bytes
        traffic = collectives.gather_seconds(dense_group, layout.tp * layout.cp, sent * dense, r)
        traffic += collectives.gather_seconds(expert_group, layout.ep, sent * expert, r)
    sharded = layout.zero >= 1
    owned = dense / (dense_group if sharded else 1) + expert / (expert_group if sharded else 1)
    doublings = log2(max(1.0, layout.gpus / 8))
    synchronised = (c.step_ms + c.doubling_ms * doublings) * 1e-3
    optimizer = c.optimizer_passes * 4.0 * owned / r.memory + synchronised
    return Once(traffic, optimizer, c.scale * doublings, layout.zero, micro_batches)


def exposed_traffic(running: float, once: Once, c: Constants) -> float:
    """Seconds of the traffic between replicas that a step of `running` seconds does not hide."""
    if once.zero == 3:  # joined hides the smaller but for a share of it
        hidden = joined(running, once.traffic, 4.0) - running
        return hidden + c.shard_exposed * min(once.traffic, running)
    window = running / once.micro_batches  # gradients of the last micro-batch, weights of the first
    return c.data_exposed * once.traffic + (1.0 - c.data_exposed) * max(0.0, once.traffic - window)


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
    stretch = 1.0 + once.jitter
    phases = {
        "forward_1f": ph.forward_1f * stretch,
        "backward_1b": ph.backward_1b * stretch,
        "weight_1w": ph.weight_1w * stretch,
        "steady_1f1b": ph.steady_1f1b * stretch,
        "bubble": ph.bubble * stretch,
        "optimizer": (once.optimizer + traffic) * stretch,
    }
    return StepTimes(total_seconds(running, once, c), parts, phases, passed.passes)
