"""One optimizer step of training: how long it takes, and what it is made of.

The step is counted on the mean pipeline stage: seconds of one micro-batch's forward, input gradient and weight
gradient, put through the schedule, plus what happens once a step. docs/plan-formulas.md derives every line.
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
from centime.plan.pipeline import Phases, layout_phases
from centime.plan.stages import slowest
from centime.plan.work import Work, work_of

UNFUSED_ATTENTION = 2.0  # an attention matrix computed whole has twice the causal FLOPs


@dataclass(frozen=True, slots=True)
class Stage:
    """Seconds of one micro-batch on the mean stage: forward, gradient of inputs, gradient of weights; and of what."""

    forward: float
    input_gradient: float
    weight_gradient: float
    parts: dict[str, float]  # of forward and backward together
    expert_traffic: float  # exposed all-to-all in `forward` and `input_gradient` together

    @property
    def both(self) -> float:
        """Forward and whole backward."""
        return self.forward + self.input_gradient + self.weight_gradient


def _joined(a: float, b: float, power: float) -> float:
    """Two things that go on at once, of which the slower is waited for; a soft maximum, since neither hides wholly."""
    high, low = max(a, b), min(a, b)
    return float(high * (1.0 + (low / high) ** power) ** (1.0 / power)) if high else 0.0


def stage_of(
    work: Work,
    layout: Layout,
    seq: int,
    r: Rates,
    c: Constants,
    quantized: bool,
    again: Recomputed,
    adapters: bool = False,
    gradient_bytes: float = 2.0,
) -> Stage:
    """Time one micro-batch on the mean stage. again: what runs a second time in the backward."""
    tp, pp, ep, cp = layout.tp, layout.pp, layout.ep, layout.cp
    group_tokens = layout.micro_batch * seq / cp  # of one tensor-parallel group
    tokens = group_tokens / tp

    # Matrix products: arithmetic, and the part of their traffic that it does not hide.
    operand = r.element_bytes
    linear = work.linear_flops * tokens / r.gemm
    moved = operand * (
        work.linear_full_elements * group_tokens + work.linear_split_elements * tokens + work.linear_params / tp
    )
    linear_traffic = c.gemm_memory * moved / r.memory
    expert = expert_traffic = 0.0
    if work.expert_params:
        rows = tokens * ep * work.top_k / work.experts  # that meet one expert
        expert = work.expert_flops * tokens / (r.gemm * r.expert) * (1.0 + c.expert_rows / rows)
        moved = operand * (work.expert_elements * tokens + work.expert_params / ep)
        expert_traffic = c.gemm_memory * moved / r.memory
    router = work.router_flops * tokens / r.gemm_bf16
    head = work.head_flops * tokens / r.gemm_bf16
    products = (linear + linear_traffic + expert + expert_traffic + router + head) / pp

    # Attention and scans.
    attention_flops = work.attention_flops * (1.0 if r.fused_attention else UNFUSED_ATTENTION)
    attention = attention_flops * tokens / r.attention / pp
    scores = 0.0
    if not r.fused_attention:
        scores = c.score_passes * 2.0 * work.score_elements * tokens / r.memory / pp
    attention += r.window_passes * 2.0 * work.window_elements * tokens / r.memory / pp
    scan = work.state_flops * tokens / r.attention + c.state_passes * 2.0 * work.state_elements * tokens / r.memory
    scan /= pp

    # Memory-bound work, in passes over two-byte elements.
    element = 2.0 * tokens / r.memory / pp
    norms = c.norm_passes * work.sites * work.hidden * element
    activations = c.activation_passes * (work.activation_elements + work.attention_elements) * element
    logits = c.logit_passes * work.heads_of_vocab * element
    dispatch = c.dispatch_passes * work.dispatch_elements * element * (1.0 - r.graph * (1.0 - c.mixture_graph))
    casts = 0.0
    if quantized:
        elements = work.linear_full_elements * tp + work.linear_split_elements + work.expert_elements
        casts = r.quantize * elements * element
    bound = norms + activations + logits + dispatch + casts

    # Communication within the forward.
    hop = hop_seconds(c)
    tensor = 0.0
    if tp > 1:
        payload = 2.0 * work.hidden * group_tokens
        sites = 2.0 * (work.sites - work.mixture_layers)  # a gather before, a scatter after
        tensor = sites / pp * (collectives.gather_seconds(tp, 1, payload, r) + hop)
    exchange = 0.0
    if ep > 1 and work.expert_params:
        payload = 2.0 * work.dispatch_elements / work.mixture_layers * tokens
        each = collectives.exchange_seconds(ep, 1, payload, work.top_k, work.routed_nodes, r)
        exchange = 2.0 * work.mixture_layers / pp * (each + hop)
    context = 0.0
    if cp > 1:
        payload = 2.0 * work.key_elements * group_tokens * cp / tp
        context = collectives.gather_seconds(cp, tp, payload, r) / pp + work.softmax_layers / pp * hop
    tensor *= c.tensor_exposed
    exchange *= c.expert_exposed
    context *= c.context_exposed

    # The host: kernels cannot start faster than it launches them.
    mixtures = r.host_mixture_s * (1.0 - r.graph * (1.0 - c.mixture_graph))
    host = r.host_site_s * work.sites + mixtures * work.mixture_layers + r.host_state_s * work.state_layers
    host /= pp

    forward = products + attention + scores + scan + bound + tensor + exchange + context
    twice = again.full * (forward - head / pp - logits) + again.light * c.selective * forward
    # The weights' gradient needs operands cast again, transposed, and is read and written where it accumulates; frozen
    # weights need none (LoRA, arXiv 2106.09685).
    held = (work.linear_params / tp + work.expert_params / ep) / pp
    accumulate = 2.0 * gradient_bytes * held / r.memory
    cast_again = c.weight_passes * c.backward_passes * bound
    weight_gradient = 0.0 if adapters else c.gemm_weight * products + cast_again + accumulate
    input_gradient = (
        products
        + c.attention_backward * (attention + scores)
        + c.backward_passes * (bound + scan)
        - (0.0 if adapters else cast_again)
        + 1.5 * tensor
        + exchange
        + 2.0 * context
        + twice
    )
    device = forward + input_gradient + weight_gradient
    waited = _joined(device, host, c.launch_overlap) - device
    stretch = 1.0 + waited / device
    parts = {
        "compute": (2.0 if adapters else 2.0 + c.gemm_weight) * products,
        "attention": (1.0 + c.attention_backward) * (attention + scores) + (1.0 + c.backward_passes) * scan,
        "memory_bound": (1.0 + c.backward_passes) * bound + (0.0 if adapters else accumulate),
        "recompute": twice,
        "tensor_parallel": 2.5 * tensor,
        "expert_parallel": 2.0 * exchange,
        "context_parallel": 3.0 * context,
        "launch": waited,
    }
    return Stage(forward * stretch, input_gradient * stretch, weight_gradient * stretch, parts, 2.0 * exchange)


TRAFFIC = ("tensor_parallel", "expert_parallel", "context_parallel", "pipeline_send", "data_parallel")


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one step and of its parts; `phases` are those that DeepSeek publishes."""

    total: float
    parts: dict[str, float]
    phases: dict[str, float]


def hop_seconds(c: Constants) -> float:
    """Start-up of one collective or message."""
    return c.hop_us * 1e-6


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
        # _joined hides the smaller but for a share of it
        hidden = _joined(running, traffic, 4.0) - running
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
