"""A serving unit: the chips that hold one copy of a model, how they share it, and the formats of its numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from centime import catalogue
from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    ShortConvolution,
    SoftmaxAttention,
    StateSpace,
    StoredWeights,
)
from centime.catalogue.chips import Chip
from centime.csv_files import read_rows
from centime.errors import UserError, nearest
from centime.messages import Said, said
from centime.plan.serving.costs import ModelCost

PUBLISHED = Path(catalogue.__file__).parent / "production_layouts.csv"
USABLE_MEMORY = 0.9  # of a chip's: vLLM's gpu_memory_utilization; TensorRT-LLM's default share of what is free
WORKSPACE_BYTES = 2e9  # activations, graphs and communication buffers of a chip
COPIES = 2  # of an expert, redundant ones included: DeepSeek's EP320 (V3 report, section 3.4.2) holds 1.25
MARKETED_GB = 2.0**30  # '80GB' of HBM is 80 GiB but for what ECC and the driver take: an H100 reports 81,559 MiB


@dataclass(frozen=True)
class NumberFormat:
    """Bytes an element of each kind takes, and the precision its products run in ('bf16', 'fp8', 'fp4')."""

    name: str
    dense_bytes: float
    expert_bytes: float
    kv_bytes: float
    dense_compute: str
    expert_compute: str


# NVFP4: 4 bits and one E4M3 scale per 16 elements; MXFP4: 4 bits and one E8M0 scale per 32 (OCP MX specification 1.0);
# fp8 in blocks of 128 x 128 adds 0.0002. Mixtures in fp4 keep everything but the routed experts in bf16, as
# nvidia/DeepSeek-R1-FP4 and the Kimi-K2.5 checkpoint do; a dense model in fp4 quantises every linear layer.
_FORMATS = {
    "bf16": NumberFormat("bf16", 2.0, 2.0, 2.0, "bf16", "bf16"),
    "fp8": NumberFormat("fp8", 1.0, 1.0, 2.0, "fp8", "fp8"),
    "fp4": NumberFormat("fp4", 0.5625, 0.5625, 2.0, "fp4", "fp4"),
    "fp4-experts": NumberFormat("fp4", 2.0, 0.5625, 2.0, "bf16", "fp4"),
    "mxfp4": NumberFormat("mxfp4", 2.0, 0.53125, 2.0, "bf16", "fp4"),
    "int8": NumberFormat("int8", 1.0, 1.0, 2.0, "int8", "int8"),  # W8A8
    "int4": NumberFormat("int4", 0.53125, 0.53125, 2.0, "int8", "int8"),  # weights alone: products in eight bits
}
_WORDS = {"fp16": "bf16", "bf16": "bf16", "fp8": "fp8", "nvfp4": "fp4", "fp4": "fp4", "mxfp4": "mxfp4", "int4": "int4"}
_WORDS |= {"int8": "int8", "w8a8": "int8"}
PRECISIONS = tuple(_WORDS)
# Blackwell Ultra gave its int8 units up for fp4: 0.15 POPS where B200 has 4.5 (DataCrunch's table of B200 and B300).
WITHOUT_INT8 = ("B300", "GB300")


def usual_precision(chip: Chip) -> str:
    """What a chip serves in where nobody says: fp8 where it computes in it, else bf16."""
    return "fp8" if chip.fp8_tflops else "bf16"


def number_format(precision: str, mixture: bool, kv_bytes: float | None = None) -> NumberFormat:
    """The format of 'bf16', 'fp8', 'fp4', 'mxfp4', 'int8' or 'int4' weights; `kv_bytes` an element of cache (bf16: 2).

    Raises UserError for a precision nobody serves in.
    """
    word = _WORDS.get(precision.strip().lower())
    if word is None:
        choices = ", ".join(PRECISIONS)
        raise UserError(f"precision {precision!r} is not one of {choices}.{nearest(precision, PRECISIONS)}")
    found = _FORMATS["fp4-experts" if word == "fp4" and mixture else word]
    if kv_bytes is None:
        return found
    return NumberFormat(
        found.name, found.dense_bytes, found.expert_bytes, kv_bytes, found.dense_compute, found.expert_compute
    )


def served(chip: Chip, form: NumberFormat) -> NumberFormat:
    """The format as a chip computes it: four-bit weights are unpacked where it has no such units, and meet bf16."""
    if chip.fp4_tflops or "fp4" not in (form.dense_compute, form.expert_compute):
        return form
    return replace(form, dense_compute="bf16", expert_compute="bf16")


def computed_on(chip: Chip, form: NumberFormat) -> NumberFormat:
    """`served`, for a precision that was asked for. Raises UserError where the chip has no units that compute in it."""
    lacks = (
        (form.name == "fp8" and not chip.fp8_tflops)
        or (form.name == "fp4" and not chip.fp4_tflops)
        or (form.name == "int8" and chip.name.startswith(WITHOUT_INT8))
    )
    if lacks:
        eight = not chip.name.startswith(WITHOUT_INT8)
        others = [word for word, has in (("int8", eight), ("fp8", chip.fp8_tflops), ("fp4", chip.fp4_tflops)) if has]
        raise UserError(
            f"{chip.name} does not compute in {form.name}; take {', '.join(['bf16', *others])}, or int4 or mxfp4, of "
            "which weights alone are in four bits."
        )
    return served(chip, form)


_STORED = _FORMATS | {
    "mxfp4": replace(_FORMATS["mxfp4"], dense_bytes=0.53125, dense_compute="fp4"),
    "int8 weights": NumberFormat("int8", 1.0, 1.0, 2.0, "bf16", "bf16"),
}


def stored_format(chip: Chip, stored: StoredWeights, model: ModelCost) -> NumberFormat:
    """The format that a checkpoint's weights are in, computed as the chip can: where it has no units for a format,
    weights are unpacked and meet bf16, as engines' kernels for weights alone do.

    A dense model whose attention is in another format takes the mean of both by their parameters, and its
    feed-forwards' products.
    """
    experts, rest = _STORED[stored.experts], _STORED[stored.rest]
    has = {"bf16": True, "fp8": chip.fp8_tflops, "fp4": chip.fp4_tflops}
    has["int8"] = not chip.name.startswith(WITHOUT_INT8)
    dense_bytes, dense = rest.dense_bytes, rest.dense_compute
    if not model.is_mixture:
        mixers = sum(layer.repeat * layer.mixer_params for layer in model.layers)
        others = sum(layer.repeat * layer.dense_params for layer in model.layers)
        dense_bytes = (mixers * rest.dense_bytes + others * experts.dense_bytes) / (mixers + others)
        dense = experts.dense_compute
    dense, routed = (how if has[how] else "bf16" for how in (dense, experts.expert_compute))
    return NumberFormat(experts.name, dense_bytes, experts.expert_bytes, 2.0, dense, routed)


def weights_form(
    chip: Chip, arch: Architecture, model: ModelCost, asked: str | None
) -> tuple[NumberFormat, list[Said]]:
    """The format that weights are served in and what is assumed of it: as asked, else as the checkpoint stores them,
    else the chip's usual one. Raises UserError for a precision that nobody serves in, or that the chip lacks."""
    if asked:
        return computed_on(chip, number_format(asked, arch.is_mixture)), []
    if arch.stored is not None:
        return stored_format(chip, arch.stored, model), as_stored(arch)
    precision = usual_precision(chip)
    form = computed_on(chip, number_format(precision, arch.is_mixture))
    return form, [said("Weights in {precision} (assumption)", precision=precision)]


def as_stored(arch: Architecture) -> list[Said]:
    """What is said of weights that are served as their checkpoint holds them; nothing where it does not say how."""
    stored = arch.stored
    if stored is None:
        return []
    if stored.experts == stored.rest:
        line = "Weights in {rest}, as its config.json says that they are stored ({method}); --precision for another"
        return [said(line, rest=stored.rest, method=stored.method)]
    return [
        said(
            "{part} in {experts}, all else in {rest}, as its config.json says that they are stored ({method}); "
            "--precision for another",
            part=said("Experts") if arch.is_mixture else said("Feed-forwards"),
            experts=stored.experts,
            rest=stored.rest,
            method=stored.method,
        )
    ]


@dataclass(frozen=True)
class Unit:
    """How one copy of a model lies on chips: attention in `tp` ranks x `dp` groups, routed experts in `ep` x `moe_tp`.

    tp * dp * pp chips; ep * moe_tp = tp * dp for a mixture. `redundant` experts are copies of the busiest ones.
    `overlapped`: two micro-batches, one computing while the other communicates (D6; SGLang's two-batch overlap).
    """

    tp: int = 1
    dp: int = 1
    pp: int = 1
    ep: int = 1
    moe_tp: int = 1
    redundant: int = 0
    overlapped: bool = False

    @property
    def chips(self) -> int:
        """Chips of the unit."""
        return self.tp * self.dp * self.pp

    def text(self) -> str:
        """'TP8', 'EP144/DP144': as the field writes it."""
        parts = [f"TP{self.tp}"] if self.tp > 1 or self.dp == 1 else []
        parts += [f"DP{self.dp}"] if self.dp > 1 else []
        parts += [f"PP{self.pp}"] if self.pp > 1 else []
        parts += [f"EP{self.ep}"] if self.ep > 1 else []
        return "/".join(parts)


def weight_bytes(model: ModelCost, unit: Unit, form: NumberFormat) -> float:
    """Bytes of weights on one chip of the unit: attention's share by tp, experts by ep x moe_tp, both by pp."""
    spread = max(unit.ep * unit.moe_tp, 1)
    copies = 1.0
    if unit.redundant and model.layers[-1].experts:
        copies += unit.redundant / model.layers[-1].experts
    experts = model.expert_params * form.expert_bytes * copies / spread
    tables = (model.head_params + model.table_params) * max(form.dense_bytes, 2.0)  # tables stay in bf16
    other = (model.other_params - model.head_params - model.table_params) * form.dense_bytes
    return (experts + (other + tables) / unit.tp) / unit.pp


def kv_bytes_per_sequence(model: ModelCost, unit: Unit, form: NumberFormat, context: float) -> float:
    """Cache bytes that one sequence takes on each chip of its attention group."""
    total = sum(layer.repeat * layer.kv_elements(context) / min(unit.tp, layer.kv_heads) for layer in model.layers)
    return total * form.kv_bytes / unit.pp


def free_bytes(model: ModelCost, chip: Chip, unit: Unit, form: NumberFormat) -> float:
    """Bytes of a chip left for the cache; negative where the weights alone do not fit."""
    if chip.memory_gb is None:
        raise UserError(f"{chip.name}: the catalogue has no memory size; add memory_gb to your own chips.csv.")
    return chip.memory_gb * MARKETED_GB * USABLE_MEMORY - WORKSPACE_BYTES - weight_bytes(model, unit, form)


def most_sequences(model: ModelCost, chip: Chip, unit: Unit, form: NumberFormat, context: float) -> float:
    """Sequences of `context` tokens whose cache the whole unit holds at once (0 where the weights do not fit)."""
    free = free_bytes(model, chip, unit, form)
    if free <= 0:
        return 0.0
    return unit.dp * free / kv_bytes_per_sequence(model, unit, form, context)


def check_units(units: dict[str, Unit], arch: Architecture, gpus: int | None) -> None:
    """Raises UserError naming the degree that does not divide, is larger than what it splits, or finds no GPUs."""
    for unit in units.values():
        _check(unit, arch)
    needed = sum(unit.chips for unit in units.values())
    if gpus is not None and needed > gpus:
        named = ", ".join(f"{role} {unit.text()} takes {unit.chips}" for role, unit in units.items())
        raise UserError(f"--layout: one unit of each kind takes {needed} GPUs ({named}), and there are {gpus}.")


def _check(unit: Unit, arch: Architecture) -> None:
    heads = {
        block.mixer.heads
        for block in arch.blocks
        if block.mixer is not None and not isinstance(block.mixer, StateSpace | ShortConvolution)
    }
    for count in sorted(heads):
        if count % unit.tp:
            raise UserError(f"--layout: tp {unit.tp} does not divide the {count} attention heads of {arch.name}.")
    for count in {block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)}:
        if count % unit.tp and unit.tp % count:
            raise UserError(f"--layout: tp {unit.tp} neither divides nor is a multiple of {count} key-value heads.")
    experts = {block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, ExpertsSpec)}
    if experts and unit.ep > COPIES * min(experts):
        raise UserError(
            f"--layout: ep {unit.ep} has no experts for its ranks: {arch.name} routes to {min(experts)}, of which "
            f"units hold at most {COPIES} copies."
        )
    depth = sum(block.repeat for block in arch.blocks)
    if unit.pp > depth:
        raise UserError(f"--layout: pp {unit.pp} is more than the {depth} layers of {arch.name}.")


@lru_cache(maxsize=1)
def _published() -> dict[tuple[str, str], tuple[str, str]]:
    return {(row["model"], row["chip"]): (row["layout"], row["source"]) for row in read_rows(PUBLISHED)}


def published_layout(model: str, kind: Chip) -> tuple[str, str] | None:
    """The units that a model's makers serve it with on a chip, as `--layout` takes them, and the source; None where
    none are published."""
    return _published().get((model, kind.name))
