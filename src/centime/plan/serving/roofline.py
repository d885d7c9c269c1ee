"""The time of one step of a serving engine on one unit of chips, from first principles.

A step carries decode tokens (one a sequence, more with speculation) and prefill tokens (a chunk of prompts). Every
layer is three kinds of work, each the slower of its two bounds:

- matrices:   max(weight bytes / (bandwidth e_mem), FLOPs / (peak e(M)))          e(M) rises with the rows M
- attention:  max(cache bytes / (bandwidth e_attn), FLOPs / (peak e_core))
- collectives: latency + bytes / (link e_link), in the scale-up domain or over the NICs

and the launch of its kernels. The routed experts that a step touches on a chip are those that any of its T tokens
picked (`visited`). docs/plan-serving.md derives the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from centime.catalogue.architecture import LatentAttention, SoftmaxAttention, StateSpace
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.serving.costs import LayerCost, ModelCost, busiest, visited
from centime.plan.serving.speeds import Speeds
from centime.plan.serving.units import NumberFormat, Unit

COMMUNICATION_SMS = 20 / 132  # of an H800's SMs that move tokens while others compute (V3 report, section 3.2.1)
NIC_LATENCY_S = 25e-6  # of an all-to-all over NICs: DeepEP's low-latency table (docs/legacy.md) at EP16 to EP256
NIC_EFFICIENCY = 0.85  # of the NIC's rate in the same table, 22 MB of dispatch and combine in 313 to 554 us


@dataclass(frozen=True)
class PlacedModel:
    """A model on a unit of chips in a format, at the speeds of its software."""

    model: ModelCost
    chip: Chip
    unit: Unit
    form: NumberFormat
    speeds: Speeds


@dataclass(frozen=True)
class Load:
    """What one step of the unit carries, all its chips together."""

    decode: float = 0.0  # sequences that get their next token
    decode_context: float = 0.0  # tokens before it, on average
    prefill: float = 0.0  # prompt tokens
    prompt: float = 1.0  # new tokens of the prompt they belong to
    cached: float = 0.0  # tokens of it that were already in the cache
    queries: float = 1.0  # tokens that each decoding sequence computes: 1 + drafted ones


@dataclass
class StepTime:
    """Seconds of a step by part; `total` is what the step takes (with overlap, less than the parts' sum)."""

    matrices: float = 0.0
    attention: float = 0.0
    experts: float = 0.0
    communication: float = 0.0
    launch: float = 0.0
    host: float = 0.0
    exposed_communication: float = field(default=0.0)

    @property
    def total(self) -> float:
        """Seconds."""
        parts = self.matrices + self.attention + self.experts + self.launch + self.host
        return parts + self.exposed_communication


def bandwidth(chip: Chip) -> float:
    """Bytes/s of a chip's memory. Raises UserError where the catalogue has none."""
    if chip.memory_tb_s is None:
        raise UserError(f"{chip.name}: the catalogue has no memory bandwidth; add memory_tb_s to your own chips.csv.")
    return chip.memory_tb_s * 1e12


def peak(chip: Chip, precision: str) -> float:
    """FLOP/s, dense, of the fastest unit that a chip has for operands of `precision` (wider where it has none).

    int8 runs at fp8's rate, or at twice bf16's on tensor units without fp8 (A100: 624 against 312).
    """
    if precision == "int8" and chip.bf16_tflops:
        return (chip.fp8_tflops or 2 * chip.bf16_tflops) * 1e12
    for name in {"fp4": ("fp4", "fp8", "bf16"), "fp8": ("fp8", "bf16")}.get(precision, ("bf16",)):
        tflops = {"fp4": chip.fp4_tflops, "fp8": chip.fp8_tflops, "bf16": chip.bf16_tflops}[name]
        if tflops:
            return tflops * 1e12
    raise UserError(f"{chip.name}: the catalogue has no bf16 peak; add bf16_tflops to your own chips.csv.")


def either(memory: float, compute: float) -> float:
    """The slower bound, rounded where the two are near: the 4-norm, since a kernel overlaps them imperfectly."""
    return float((memory**4 + compute**4) ** 0.25)


def step_time(on: PlacedModel, load: Load) -> StepTime:
    """Seconds that one step takes on the unit: of units that overlap two micro-batches, the faster of both ways."""
    whole = _in_parts(on, load, 1)
    if not on.unit.overlapped or on.unit.dp == 1:
        return whole
    halves = _in_parts(on, load, 2)
    return halves if halves.total < whole.total else whole


def _in_parts(on: PlacedModel, load: Load, parts: int) -> StepTime:
    """A step in one or two micro-batches, each of which reads all weights; one's launches hide behind the other."""
    time, unit, speeds = StepTime(), on.unit, on.speeds
    part = replace(load, decode=load.decode / parts, prefill=load.prefill / parts)
    rows = (part.decode * load.queries + part.prefill) / unit.dp  # per attention group
    for layer in on.model.layers:
        _layer(time, replace(layer, repeat=layer.repeat * parts), on, part, rows)
    time.launch /= parts
    sampled = (load.decode * load.queries + load.prefill / max(load.prompt, 1.0)) / unit.dp
    time.matrices += matrix_seconds(on.model.head_params / unit.tp, 2.0, "bf16", sampled, on)
    _draft(time, on, load)
    time.host = speeds.step_s + speeds.sequence_s * load.decode / unit.dp
    if unit.pp > 1:  # a token crosses the stages one after the other: times above are of the whole depth
        time.communication += (unit.pp - 1) * speeds.reduce_s
    time.exposed_communication = time.communication
    if parts > 1:
        _hide(time, load, speeds)
    return time


def _draft(time: StepTime, on: PlacedModel, load: Load) -> None:
    """Adds what drafting costs: for every drafted token a layer like the last and the head, one after the other."""
    drafted = load.queries - 1
    if not (load.decode and drafted > 0):
        return
    rows = load.decode / on.unit.dp
    alone = Load(load.decode, load.decode_context)
    layer = StepTime()
    _layer(layer, replace(on.model.layers[-1], repeat=1), on, alone, rows)
    time.matrices += drafted * layer.matrices
    time.attention += drafted * layer.attention
    time.experts += drafted * layer.experts
    time.communication += drafted * layer.communication
    time.launch += drafted * layer.launch
    time.matrices += drafted * matrix_seconds(on.model.head_params / on.unit.tp, 2.0, "bf16", rows, on)


def _hide(time: StepTime, load: Load, speeds: Speeds) -> None:
    """Hides what of communication two micro-batches hide: the smaller of it and computation, less a remainder."""
    if load.prefill > load.decode:  # the kernels that move tokens take SMs from those that compute
        share = 1 / (1 - COMMUNICATION_SMS)
        time.matrices, time.attention, time.experts = (
            time.matrices * share,
            time.attention * share,
            time.experts * share,
        )
    busy = time.matrices + time.attention + time.experts + time.launch
    time.exposed_communication -= min(busy, time.communication) * speeds.overlap


def matrix_seconds(params: float, element: float, precision: str, rows: float, on: PlacedModel) -> float:
    """Seconds of a product of [rows, k] with `params` weights of `element` bytes on one chip."""
    if rows <= 0:
        return 0.0
    memory = params * element / (bandwidth(on.chip) * on.speeds.memory)
    compute = 2.0 * params * rows / peak(on.chip, precision)
    return _product(memory, compute, on.speeds.gemm(precision, rows), rows / on.speeds.pass_rows)


def _product(memory: float, compute: float, share: float, passes: float) -> float:
    """Seconds of a product whose weights take `memory` seconds to read once, and whose FLOPs `compute` at the peak.

    Kernels for few rows read the weights `passes` times over; kernels for many reach a `share` of the peak. An engine
    picks the faster.
    """
    return either(memory, max(min(memory * passes, compute / share), compute))  # never above the peak


def _layer(time: StepTime, layer: LayerCost, on: PlacedModel, load: Load, rows: float) -> None:
    n, form = layer.repeat, on.form
    for params in (layer.mixer_params, layer.dense_params):
        if params:
            time.matrices += n * matrix_seconds(params / on.unit.tp, form.dense_bytes, form.dense_compute, rows, on)
    time.matrices += n * rows * on.model.hidden * 2 * on.speeds.passes / (bandwidth(on.chip) * on.speeds.memory)
    time.attention += n * attention_seconds(layer, on, load)
    time.launch += n * on.speeds.layer_s
    if isinstance(layer.mixer, LatentAttention):
        time.launch += n * on.speeds.latent_layer_s
    elif isinstance(layer.mixer, StateSpace):
        time.launch += n * on.speeds.state_layer_s
    if layer.experts:
        time.experts += n * experts_seconds(layer, on, rows * on.unit.dp)
        time.launch += n * on.speeds.expert_layer_s
    time.communication += n * _communication(layer, on, load, rows)


def attention_seconds(layer: LayerCost, on: PlacedModel, load: Load) -> float:
    """Seconds of the attention core of one layer on one chip: decode reads the cache, prefill computes."""
    chip, unit, form, speeds = on.chip, on.unit, on.form, on.speeds
    if layer.mixer is None:
        return 0.0
    seconds, narrow = 0.0, 1.0
    if isinstance(layer.mixer, SoftmaxAttention):  # kernels are made for heads of 128
        narrow = min(1.0, layer.mixer.head_dim / 128) ** speeds.narrow_heads
    if load.decode:
        sequences = load.decode / unit.dp
        read = sequences * layer.decode_elements(load.decode_context) * form.kv_bytes / min(unit.tp, layer.kv_heads)
        flops = sequences * load.queries * layer.decode_flops(load.decode_context) / unit.tp
        share = speeds.attention_memory * narrow
        if isinstance(layer.mixer, LatentAttention):
            share = min(0.95, share * speeds.latent_memory)
        compute = flops / (peak(chip, "bf16") * speeds.attention_decode * narrow)
        seconds += either(read / (bandwidth(chip) * share), compute)
    if load.prefill:
        flops = load.prefill / unit.dp * layer.prefill_flops(load.prompt, load.cached) / unit.tp
        flops += load.prefill / unit.dp * speeds.own_keys * layer.key_flops / unit.tp
        seconds += flops / (peak(chip, "bf16") * speeds.attention_prefill * narrow)
    return seconds


def experts_seconds(layer: LayerCost, on: PlacedModel, tokens: float) -> float:
    """Seconds of the routed experts of one layer on the busiest chip, `tokens` tokens over the whole unit.

    Their products are grouped: of many small matrices with few rows each, so that they reach a share of what one
    large product does.
    """
    chip, unit, form, speeds = on.chip, on.unit, on.form, on.speeds
    if tokens <= 0:
        return 0.0
    spread = unit.ep
    popularity = speeds.balanced_popularity if layer.balanced else speeds.popularity
    held = visited(layer.experts, layer.top_k, tokens, popularity) / spread
    held = max(held, min(layer.top_k * tokens, 1.0) if spread > 1 else 0.0, 1e-9)
    params = layer.expert_params / unit.moe_tp
    work = layer.top_k * tokens / spread  # rows of all experts of a chip
    uneven = busiest(spread, layer.experts, speeds.imbalance)
    memory = held * params * form.expert_bytes / (bandwidth(chip) * min(0.95, speeds.memory * speeds.expert_memory))
    compute = 2.0 * params * work * uneven / peak(chip, form.expert_compute)
    rows = work / held
    product = _product(memory, compute, speeds.grouped_gemm(form.expert_compute, rows), rows / speeds.pass_rows)
    if form.expert_bytes < 1 and form.expert_compute != "fp4":
        product /= speeds.unpacked
    hidden = on.model.hidden
    moved = work * uneven * (hidden + params / (3 * hidden)) * 2 * speeds.moves
    return product + moved / (bandwidth(chip) * speeds.memory)


def _communication(layer: LayerCost, on: PlacedModel, load: Load, rows: float) -> float:
    """Seconds of one layer's collectives: two all-reduces of a tensor-parallel layer, or dispatch and combine."""
    chip, unit, hidden, speeds = on.chip, on.unit, on.model.hidden, on.speeds
    seconds = 0.0
    if unit.tp > 1:
        times = 1 if layer.experts and unit.dp > 1 else 2
        seconds += times * all_reduce_seconds(chip, unit.tp, rows * hidden * 2, speeds)
    if layer.experts and unit.dp > 1:
        seconds += _all_to_all(layer, on, load, rows / unit.tp)
    return seconds


def all_reduce_seconds(chip: Chip, ranks: int, size: float, speeds: Speeds) -> float:
    """Seconds of an all-reduce of `size` bytes over so many chips: a ring moves 2 (n - 1) / n of them."""
    inside = ranks <= (chip.scaleup_domain or 1)
    moved = 2.0 * (ranks - 1) / ranks * size
    return (speeds.reduce_s if inside else NIC_LATENCY_S) + moved / _link(chip, inside, speeds)


def _link(chip: Chip, inside: bool, speeds: Speeds) -> float:
    """Bytes/s per direction that a chip gets from its link."""
    rate = chip.scaleup_gb_s if inside else chip.scaleout_gb_s
    if rate is None:
        rate = chip.scaleup_gb_s or chip.scaleout_gb_s or 32.0  # PCIe 4 x16, where nothing is stated
    return rate * 1e9 * speeds.link


def _all_to_all(layer: LayerCost, on: PlacedModel, load: Load, tokens: float) -> float:
    """Seconds of dispatch (fp8) and combine (bf16) of `tokens` tokens a chip: 3 D bytes a copy that leaves it."""
    chip, unit, hidden, speeds = on.chip, on.unit, on.model.hidden, on.speeds
    width = unit.chips
    domain = chip.scaleup_domain or 1
    copies = min(float(layer.top_k), width * (1 - (1 - 1 / width) ** layer.top_k))
    if width <= domain:
        moved = tokens * copies * (1 - 1 / width) * 3 * hidden
        return 2 * speeds.exchange_s + moved / _link(chip, True, speeds)
    nodes = width / domain
    nic = (chip.scaleout_gb_s or 50.0) * 1e9
    if load.prefill > load.decode:  # one copy a node, forwarded inside it
        copies = min(float(layer.top_k), nodes * (1 - (1 - 1 / nodes) ** layer.top_k))
        return 2 * NIC_LATENCY_S + tokens * copies * (1 - 1 / nodes) * 3 * hidden / (nic * NIC_EFFICIENCY)
    moved = tokens * layer.top_k * (1 - 1 / nodes) * 3 * hidden  # low latency: a copy for every expert
    return 2 * NIC_LATENCY_S + moved / (nic * NIC_EFFICIENCY)
