"""A training step on a calibrated machine: its parts by the machine's own rates, summed with the fitted factors.

    step = sum over parts of factor x raw seconds

The raw seconds of a part follow from the model's shapes and one measured rate: products from the rate of their shape
(forward, gradient of the input and gradient of the weight are three products of other shapes), attention from that of
its sequence length, element-wise work, the softmax over the vocabulary and the update of the weights from the speed of
memory, Muon's orthogonalisation from that of a stack of experts, and operators from the time of one. The factors say
what the raw count leaves out (temporaries, caches, fused kernels); `centime calibrate` fits them to whole steps of a
few models on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from centime.catalogue.machine import MachineProfile
from centime.catalogue.model_config import ModelConfig
from centime.catalogue.models import from_config
from centime.plan.counts.config import attention_flops_per_pair, count
from centime.plan.counts.matrices import gemms

PARTS = ("products", "attention", "element-wise", "vocabulary", "update", "muon", "operators")

# Passes over a tensor of the hidden size, a feed-forward's or the heads', forward and backward together: reads and
# writes of norms, rotations, gates, casts, gathers and sums in `model` and `ops`, counted by hand. A common error in
# them ends in the factor.
HIDDEN_PASSES, WIDTH_PASSES, HEAD_PASSES, ROUTED_PASSES, LOGIT_PASSES = 30, 12, 16, 16, 8
OPERATORS_A_LAYER, OPERATORS_AN_EXPERT, OPERATORS_A_STEP = 220, 12, 150  # as torch.profiler counts them
ADAMW_BYTES = 40  # a parameter: weight, gradient and two moments read, three written, a bf16 copy, the norm's read
MUON_STEPS = {"v4": 10, "5": 5}


def products(config: ModelConfig, tokens: float) -> Iterator[tuple[float, int, int, float]]:
    """(m, k, n, times) of every product [m, k] x [k, n] of a forward pass over `tokens`, MTP modules left out."""
    arch = from_config(config)
    for block in arch.blocks:
        for gemm in gemms(block, arch):
            if gemm.kind == "expert":  # rows and matrices of one expert, so many times
                yield max(1.0, tokens * gemm.times / gemm.held), gemm.k, gemm.n, block.repeat * gemm.held
            else:
                yield tokens, gemm.k, gemm.n, block.repeat
    yield tokens, arch.hidden, arch.vocab, 1


@dataclass(frozen=True)
class Step:
    """A training step: `micro_batches` times `micro_rows` sequences, the optimizer's update, and whether MTP modules
    are trained. muon_steps: as the recipe has them, 'v4' or '5'."""

    sequence: float
    micro_rows: float
    micro_batches: float = 1.0
    optimizer: str = "adamw"
    muon_steps: str = "v4"
    mtp: bool = False


def step_parts(profile: MachineProfile, config: ModelConfig, step: Step) -> dict[str, float]:
    """Raw seconds of each part of a step; factors not applied."""
    sequence, micro_batches = step.sequence, step.micro_batches
    tokens = step.micro_rows * sequence
    element = 2 if profile.dtype == "bf16" else 4
    layers, hidden = config.num_hidden_layers, config.hidden_size
    more = 1.0 + (config.num_nextn_predict_layers / layers if step.mtp else 0.0)  # a module is one more layer and head
    gemm = sum(
        times
        * 2
        * m
        * k
        * n
        * (
            1 / profile.rate(profile.dtype, m, k, n)
            + 1 / profile.rate(profile.dtype, m, n, k)
            + 1 / profile.rate(profile.dtype, k, m, n)
        )
        for m, k, n, times in products(config, tokens)
    )
    pairs = tokens * sequence / 2
    attention = 3 * layers * attention_flops_per_pair(config) * pairs / attention_rate(profile, sequence)
    key = config.qk_nope_head_dim + config.qk_rope_head_dim
    heads = config.num_attention_heads * key + config.kv_heads * (key + config.v_head_dim)
    mixtures = sum(config.layer_has_experts(layer) for layer in range(layers))
    routed = (
        mixtures * config.num_experts_per_tok * (ROUTED_PASSES * hidden + WIDTH_PASSES * config.moe_intermediate_size)
    )
    widths = (layers - mixtures) * config.intermediate_size + mixtures * config.shared_width
    numbers = layers * (HIDDEN_PASSES * hidden + HEAD_PASSES * heads) + WIDTH_PASSES * widths + routed
    memory = profile.memory_bytes_per_s
    counts = count(config, 1)
    params = counts.total_params + counts.mtp_params
    operators = layers * OPERATORS_A_LAYER + mixtures * (config.n_routed_experts or 0) * OPERATORS_AN_EXPERT
    return {
        "products": micro_batches * more * gemm,
        "attention": micro_batches * more * attention,
        "element-wise": micro_batches * more * tokens * numbers * element / memory,
        "vocabulary": micro_batches * more * tokens * config.vocab_size * LOGIT_PASSES * 4 / memory,
        "update": params * ADAMW_BYTES / memory,
        "muon": _muon(profile, config, params, step.muon_steps) if step.optimizer == "muon" else 0.0,
        "operators": (micro_batches * more * operators + OPERATORS_A_STEP) * profile.operator_s,
    }


def attention_rate(profile: MachineProfile, sequence: float) -> float:
    """FLOP/s of attention at a sequence length; shorter rows than the shortest measured leave blocks part empty."""
    known = [(rate.sequence, rate.flops_per_s) for rate in profile.attention]
    return between(known, sequence) * min(1.0, max(0.1, sequence / min(known)[0]))


def muon_flops(elements: float, short: int, long: int, muon_steps: str) -> float:
    """FLOPs of Newton-Schulz on matrices [short, long] of `elements` numbers: a step is X X^T, its square, and their
    product with X (`centime.train.optimizers.muon`)."""
    return MUON_STEPS[muon_steps] * elements * 2 * (2 * short + short * short / long)


def _muon(profile: MachineProfile, config: ModelConfig, params: int, muon_steps: str) -> float:
    """Raw seconds of orthogonalising every matrix but embedding and head, taken as of the experts' shape."""
    sides = (config.moe_intermediate_size if config.n_routed_experts else config.intermediate_size, config.hidden_size)
    short, long = min(sides), max(sides)
    elements = params - config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    rate = between([(one.short, one.flops_per_s) for one in profile.muon], short)
    return muon_flops(elements, short, long, muon_steps) / rate


def between(known: list[tuple[int, float]], at: float) -> float:
    """A measured rate at a size between the measured ones, linear in their logarithms; flat beyond them."""
    sizes, rates = np.log(sorted(known)).T
    return math.exp(np.interp(math.log(at), sizes, rates))


def predict(profile: MachineProfile, raw: dict[str, float]) -> dict[str, float]:
    """Seconds of each part, fitted factors applied; their sum is the step."""
    return {part: profile.factors.get(part, 1.0) * seconds for part, seconds in raw.items()}
