"""One optimizer step of training: how long it takes, and what it is made of.

The step is counted on the mean pipeline stage: a micro-batch's seconds (`plan.micro_batch`) put through the schedule,
plus what happens once a step. docs/plan-formulas.md derives every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.plan import collectives
from centime.plan.efficiency import Constants, Rates, Software, rates
from centime.plan.layout import Layout
from centime.plan.memory import AS_STATED, Recomputed, local_params
from centime.plan.micro_batch import Stage, hop_seconds, joined, stage_of
from centime.plan.pipeline import Phases, layout_phases
from centime.plan.stages import slowest
from centime.plan.work import Work, work_of

TRAFFIC = ("tensor_parallel", "expert_parallel", "context_parallel", "pipeline_send", "data_parallel")


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step and of its parts; `phases` are those that DeepSeek publishes."""

    total: float
    parts: dict[str, float]
    phases: dict[str, float]


def stage_costs(work: Work) -> tuple[float, ...]:
    """The model's items in the order of the pipeline, in layers' worth of work: layers, then head with MTP module."""
    layers = max(1, round(work.layers))
    head = work.head_flops * layers / max(1.0, work.linear_flops + work.expert_flops + work.attention_flops)
    return (1.0,) * layers + (round(head, 2),)


def step_times(
    arch: Architecture,
    chip: Chip,
    layout: Layout,
    seq: int,
    global_batch: int,
    precision: str,
    software: Software,
    c: Constants,
    recomputed: Recomputed | None = None,
    adapters: bool = False,
) -> StepTimes:
    """Seconds of one step of `global_batch` sequences. recomputed: as in `memory_of`."""
    work = work_of(arch, seq)
    r = rates(chip, precision, software, c)
    again = recomputed or AS_STATED[layout.recompute]
    stage = stage_of(work, layout, seq, r, c, precision != "bf16", again, adapters, software.gradient_bytes)
    return step_of(work, stage, layout, seq, global_batch, r, software, c, adapters)


def step_of(
    work: Work,
    stage: Stage,
    layout: Layout,
    seq: int,
    global_batch: int,
    r: Rates,
    software: Software,
    c: Constants,
    adapters: bool = False,
) -> StepTimes:
    """A step of micro-batches that take `stage`'s seconds, which the search of layouts asks for once a shape."""
    passed = micro_batches_of(work, stage, layout, seq, global_batch, r, c)
    return finished(work, passed, layout, global_batch, r, software, c, adapters)


@dataclass(frozen=True, slots=True)
class Passed:
    """All micro-batches of a step through the pipeline: seconds by part with their sum, and the schedule's phases."""

    parts: dict[str, float]
    running: float
    phases: Phases


def micro_batches_of(
    work: Work, stage: Stage, layout: Layout, seq: int, global_batch: int, r: Rates, c: Constants
) -> Passed:
    """The schedule of a step; how the states of a replica are sharded (`zero`) plays no part in it."""
    micro_batches = layout.micro_batches(global_batch)
    pp, tp, cp = layout.pp, layout.tp, layout.cp
    parts = {name: micro_batches * seconds for name, seconds in stage.parts.items()}

    # The stage with most layers sets the pace; software evens part of it out (`imbalance`).
    dual = layout.schedule in ("dualpipe", "dualpipev")
    overlapped = stage.both - (1.0 - c.overlapped_exposed) * stage.expert_traffic if dual else None
    most = 1.0
    if pp > 1:
        most = 1.0 + c.imbalance * (slowest(stage_costs(work), layout.schedule, pp, max(1, layout.vp)) - 1.0)
        payload = 2.0 * work.hidden * layout.micro_batch * seq / cp / tp
        hops = 2.0 * micro_batches * max(1, layout.vp)
        send = collectives.send_seconds(layout.gpus // pp, payload, r) + hop_seconds(c)
        parts["pipeline_send"] = c.pipeline_exposed * hops * send
    ph = layout_phases(
        layout, micro_batches, stage.forward, stage.input_gradient, stage.weight_gradient, 0.0, overlapped, most
    )
    if overlapped is not None:
        parts["expert_parallel"] -= ph.steady_1f1b * (stage.both / overlapped - 1.0)
    parts["bubble"] = ph.bubble
    return Passed(parts, sum(parts.values()), ph)


def finished(
    work: Work,
    passed: Passed,
    layout: Layout,
    global_batch: int,
    r: Rates,
    software: Software,
    c: Constants,
    adapters: bool = False,
) -> StepTimes:
    """The step with what happens once: weights and gradients between replicas, the optimizer, jitter."""
    micro_batches, running, ph = layout.micro_batches(global_batch), passed.running, passed.phases
    parts = dict(passed.parts)
    dense, expert = (0.0, 0.0) if adapters else local_params(work, layout)
    dense_group = layout.dp * layout.cp
    expert_group = max(1, layout.gpus // (layout.pp * layout.ep))
    if layout.zero == 3:
        # gathered for the forward and again for the backward, gradients scattered, for every micro-batch
        traffic = 3 * collectives.gather_seconds(dense_group, layout.tp, 2.0 * dense, r)
        traffic += 3 * collectives.gather_seconds(expert_group, layout.ep, 2.0 * expert, r)
        traffic *= micro_batches if layout.pp == 1 else 1.0 + c.shard_pipeline * (micro_batches - 1)
        # joined hides the smaller but for a share of it
        hidden = joined(running, traffic, 4.0) - running
        parts["data_parallel"] = hidden + c.shard_exposed * min(traffic, running)
    else:
        sent = 2.0 + software.gradient_bytes
        traffic = collectives.gather_seconds(dense_group, layout.tp * layout.cp, sent * dense, r)
        traffic += collectives.gather_seconds(expert_group, layout.ep, sent * expert, r)
        window = running / micro_batches  # gradients of the last micro-batch, weights of the first
        parts["data_parallel"] = c.data_exposed * traffic + (1.0 - c.data_exposed) * max(0.0, traffic - window)
    sharded = layout.zero >= 1
    owned = dense / (dense_group if sharded else 1) + expert / (expert_group if sharded else 1)
    doublings = log2(max(1.0, layout.gpus / 8))
    synchronised = (c.step_ms + c.doubling_ms * doublings) * 1e-3
    parts["optimizer"] = c.optimizer_passes * 4.0 * owned / r.memory + synchronised
    total = sum(parts.values())
    parts["jitter"] = c.scale * doublings * total
    total += parts["jitter"]
    stretch = 1.0 + c.scale * doublings
    phases = {
        "forward_1f": ph.forward_1f * stretch,
        "backward_1b": ph.backward_1b * stretch,
        "weight_1w": ph.weight_1w * stretch,
        "steady_1f1b": ph.steady_1f1b * stretch,
        "bubble": ph.bubble * stretch,
        "optimizer": (parts["optimizer"] + parts["data_parallel"]) * stretch,
    }
    return StepTimes(total, parts, phases)
