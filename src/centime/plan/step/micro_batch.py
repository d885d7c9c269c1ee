"""One micro-batch on the mean pipeline stage: seconds of its forward, input gradient and weight gradient, and of what.

docs/plan-formulas.md derives every line.
"""

from __future__ import annotations

from dataclasses import dataclass

from centime.plan.counts.adapters import BASES, adapter_sizes
from centime.plan.step import collectives
from centime.plan.step.efficiency import Constants
from centime.plan.step.job import Workload
from centime.plan.step.layout import Layout
from centime.plan.step.memory import Recomputed

ATTENTION_BACKWARD = 2.5  # FLOPs of attention's backward beside its forward (arXiv 2307.08691, section 3)
UNFUSED_ATTENTION = 2.0  # an attention matrix computed whole has twice the causal FLOPs


@dataclass(frozen=True, slots=True)
class MicroBatchTimes:
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

    def cut(self, stages: int) -> MicroBatchTimes:
        """The mean of `stages` pipeline stages, where this is the whole model: every time divided by `stages`."""
        parts = {name: seconds / stages for name, seconds in self.parts.items()}
        return MicroBatchTimes(
            self.forward / stages,
            self.input_gradient / stages,
            self.weight_gradient / stages,
            parts,
            self.expert_traffic / stages,
        )


def joined(a: float, b: float, power: float) -> float:
    """Two things that go on at once, of which the slower is waited for; a soft maximum, since neither hides wholly."""
    high, low = max(a, b), min(a, b)
    return float(high * (1.0 + (low / high) ** power) ** (1.0 / power)) if high else 0.0


def whole_of(load: Workload, layout: Layout, again: Recomputed) -> MicroBatchTimes:
    """Time one micro-batch through all stages, of any number. again: what runs a second time in the backward."""
    job, work, r, c = load.job, load.work, load.rates, load.constants
    tp, ep, cp = layout.tp, layout.ep, layout.cp
    group_tokens = layout.micro_batch * job.seq / cp  # of one tensor-parallel group
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
    products = linear + linear_traffic + expert + expert_traffic + router + head

    # Attention and scans.
    attention_backward = ATTENTION_BACKWARD * (1.0 + c.attention_backward)
    attention_flops = work.attention_flops * (1.0 if r.fused_attention else UNFUSED_ATTENTION)
    attention = attention_flops * tokens / r.attention
    scores = 0.0
    if not r.fused_attention:
        scores = c.score_passes * 2.0 * work.score_elements * tokens / r.memory
    attention += r.window_passes * 2.0 * work.window_elements * tokens / r.memory
    scan = work.state_flops * tokens / r.attention + c.state_passes * 2.0 * work.state_elements * tokens / r.memory

    # Memory-bound work, in passes over two-byte elements.
    element = 2.0 * tokens / r.memory
    norms = c.norm_passes * work.residual_elements * element
    activations = c.activation_passes * (work.activation_elements + work.attention_elements) * element
    logits = c.logit_passes * work.heads_of_vocab * element
    dispatch = c.dispatch_passes * work.dispatch_elements * element * (1.0 - r.graph * (1.0 - c.mixture_graph))
    casts = 0.0
    if job.precision != "bf16":
        elements = work.linear_full_elements * tp + work.linear_split_elements + work.expert_elements
        casts = r.quantize * elements * element
    bound = norms + activations + logits + dispatch + casts
    tails = c.tail_us * 1e-6 * work.sites

    # Communication within the forward.
    hop = hop_seconds(c)
    tensor = 0.0
    if tp > 1:
        payload = 2.0 * work.hidden * group_tokens
        sites = 2.0 * (work.sites - work.mixture_layers)  # a gather before, a scatter after
        tensor = sites * (collectives.gather_seconds(tp, 1, payload, r) + hop)
    exchange = 0.0
    if ep > 1 and work.expert_params:
        payload = 2.0 * work.dispatch_elements / work.mixture_layers * tokens
        each = collectives.exchange_seconds(ep, 1, payload, work.top_k, work.routed_nodes, r)
        exchange = 2.0 * work.mixture_layers * (each + hop)
    context = 0.0
    if cp > 1:
        payload = 2.0 * work.key_elements * group_tokens * cp / tp
        context = collectives.gather_seconds(cp, tp, payload, r) + work.softmax_layers * hop
    tensor *= c.tensor_exposed
    exchange *= c.expert_exposed
    context *= c.context_exposed

    # The host: kernels cannot start faster than it launches them.
    mixtures = (r.host_mixture_s + r.host_expert_s * work.experts / ep) * (1.0 - r.graph * (1.0 - c.mixture_graph))
    host = r.host_site_s * work.sites + mixtures * work.mixture_layers + r.host_state_s * work.state_layers

    adapters = job.adapters is not None
    own, unpacked = beside_frozen(load, layout, tokens)
    forward = products + attention + scores + scan + bound + tails + tensor + exchange + context + own + unpacked
    twice = again.full * (forward - head - logits) + again.light * c.selective * forward
    # The weights' gradient needs operands cast again, transposed, and is read and written where it accumulates; frozen
    # weights need none (LoRA, arXiv 2106.09685).
    held = work.linear_params / tp + work.expert_params / ep
    accumulate = 2.0 * job.software.gradient_bytes * held / r.memory
    cast_again = c.weight_passes * c.backward_passes * bound
    weight_gradient = own if adapters else (1.0 + c.gemm_weight) * products + tails + cast_again + accumulate
    input_gradient = (
        products
        + attention_backward * (attention + scores)
        + c.backward_passes * (bound + scan)
        + tails
        - (0.0 if adapters else cast_again)
        + 1.5 * tensor
        + exchange
        + 2.0 * context
        + own
        + unpacked
        + twice
    )
    device = forward + input_gradient + weight_gradient
    waited = joined(device, host, c.launch_overlap) - device
    stretch = 1.0 + waited / device
    parts = {
        "compute": (2.0 if adapters else 3.0 + c.gemm_weight) * products,
        "attention": (1.0 + attention_backward) * (attention + scores) + (1.0 + c.backward_passes) * scan,
        "memory_bound": (1.0 + c.backward_passes) * bound + 2.0 * tails + (0.0 if adapters else tails + accumulate),
        "recompute": twice,
        "tensor_parallel": 2.5 * tensor,
        "expert_parallel": 2.0 * exchange,
        "context_parallel": 3.0 * context,
        "launch": waited,
    }
    if own:
        parts["adapters"] = 3.0 * own
    if unpacked:
        parts["unpacking"] = 2.0 * unpacked
    return MicroBatchTimes(
        forward * stretch, input_gradient * stretch, weight_gradient * stretch, parts, 2.0 * exchange
    )


def beside_frozen(load: Workload, layout: Layout, tokens: float) -> tuple[float, float]:
    """Seconds that a forward of `tokens` takes beside frozen weights: the adapters' own products, and the weights
    unpacked to 16 bits where they are kept in fewer. Nothing where the weights are trained."""
    job, work, r = load.job, load.work, load.rates
    if job.adapters is None:
        return 0.0, 0.0
    sizes = adapter_sizes(job.arch, job.adapters)
    own = 2.0 * sizes.met * tokens / r.gemm_bf16 + 2.0 * sizes.moved * tokens / r.memory
    base = job.adapters.base
    if base == "bf16" or (base == "fp8" and job.precision != "bf16"):
        return own, 0.0
    held = work.linear_params / layout.tp + work.expert_params / layout.ep
    return own, (BASES[base] + 2.0) * held / r.memory


def hop_seconds(c: Constants) -> float:
    """Start-up of one collective or message."""
    return c.hop_us * 1e-6
