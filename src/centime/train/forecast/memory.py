"""Will it fit: bytes that a training run needs, bytes that the machine has, and which knob to turn."""

from __future__ import annotations

import math
import resource
import shutil
import sys
from pathlib import Path

import psutil
import torch

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.model.adapted.sites import sites_named
from centime.plan.counts import count
from centime.recipe import Lora, Recipe
from centime.units import format_bytes

HEAD_CHUNK = 2048  # rows of logits that linear_cross_entropy keeps at once
OVERHEAD = 2.0  # measured over counted: 1.4 to 2.2 on a CPU (backward's temporaries, copies for layout, fragmentation)
RESERVE = 0.95  # share of the free memory that a run may plan with: Python, the allocator's gaps


def trained_parameters(config: ModelConfig, lora: Lora | None) -> int:
    """Numbers that have gradients and moments: the model's, or those of its adapters."""
    if lora is None:
        counts = count(config)
        return counts.total_params + counts.mtp_params
    shapes = [site.shape for site in sites_named(config, lora.targets, "lora.targets")]
    return sum(math.prod(shape[:-2]) * lora.rank * (shape[-2] + shape[-1]) for shape in shapes)


def state_bytes(
    config: ModelConfig, compute_dtype: torch.dtype, muon: bool, world: int = 1, lora: Lora | None = None
) -> int:
    """Weights, masters, gradients and moments of one rank.

    4 bytes each for master, gradient and AdamW's two moments (Muon keeps one), 2 for a bf16 copy. Of a frozen model the
    weights alone, in the type that is computed in, or matrices of 8 or 4 bits with a scale of 16 for 32 numbers (of 32
    for 128 x 128 in FP8).
    """
    each = (12 if muon else 16) + (2 if compute_dtype == torch.bfloat16 else 0)
    held = trained_parameters(config, lora) * each
    if lora is not None:
        parameters, tables = trained_parameters(config, None), 2 * config.vocab_size * config.hidden_size
        quantised = max(0, parameters - tables) if lora.base else 0
        bits = {"int8": 8.5, "int4": 4.5, "fp8": 8.0, None: 0.0}[lora.base]
        held += int(quantised * bits / 8) + (parameters - quantised) * compute_dtype.itemsize
    return held // world


def activation_bytes(
    config: ModelConfig, sequence_length: int, sequences: int, compute_dtype: torch.dtype, recompute: bool
) -> int:
    """What the forward pass keeps for the backward one, counted from the shapes, times OVERHEAD.

    Per token and layer: inputs of every matrix, queries, keys, values and their result, gate, up and product of every
    expert used; with recompute, one vector a layer and one layer in full. Plus logits of one chunk in fp32.
    """
    width = 2 if compute_dtype == torch.bfloat16 else 4
    D, H, K = config.hidden_size, config.num_attention_heads, config.kv_heads
    key, value = config.qk_nope_head_dim + config.qk_rope_head_dim, config.v_head_dim
    latents = (config.kv_lora_rank or 0) + (config.q_lora_rank or 0)
    attention = 3 * D + H * (key + 2 * value) + K * (key + value) + latents
    layers = config.num_hidden_layers + config.num_nextn_predict_layers
    per_layer = []
    for layer in range(layers):
        if config.layer_has_experts(layer):
            used = config.num_experts_per_tok
            ffn = (
                used * (2 * D + 3 * config.moe_intermediate_size)
                + 3 * config.shared_width
                + 4 * (config.n_routed_experts or 0)
            )
        else:
            ffn = 3 * config.intermediate_size
        per_layer.append((attention + ffn + D) * width)
    kept = layers * D * width + max(per_layer) if recompute else sum(per_layer)
    tokens = sequence_length * sequences
    heads = 2 * min(HEAD_CHUNK, tokens) * config.vocab_size * 4
    return int(OVERHEAD * tokens * kept) + heads


def available_bytes(device: torch.device) -> int:
    """Memory that can still be had: on the GPU, or in this machine and its container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(
                free, int(Path("/sys/fs/cgroup", limit).read_text()) - int(Path("/sys/fs/cgroup", used).read_text())
            )
        except (OSError, ValueError):
            continue
    return max(free, 0)


def snapshot_bytes(config: ModelConfig, muon: bool, lora: Lora | None = None) -> int:
    """What a checkpoint takes in this machine's memory while it is written: master and moments, once more."""
    return trained_parameters(config, lora) * (8 if muon else 12)


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has held so far (resident on a CPU, allocated on a GPU)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def default_micro_batch(
    config: ModelConfig,
    sequence_length: int,
    batch_size: int,
    device: torch.device,
    compute_dtype: torch.dtype,
    recompute: bool,
) -> int:
    """Sequences computed at once where the recipe does not say: 4,096 tokens on a CPU (its caches), more on a GPU."""
    tokens = 4096
    if device.type == "cuda":
        one = activation_bytes(config, sequence_length, 1, compute_dtype, recompute)
        tokens = min(65536, int(0.5 * available_bytes(device) / one) * sequence_length)
    return max(1, min(batch_size, tokens // sequence_length))


def require_fit(
    recipe: Recipe,
    config: ModelConfig,
    sequence_length: int,
    micro_batch: int,
    device: torch.device,
    compute_dtype: torch.dtype,
    world: int,
) -> int:
    """Bytes a rank needs for a stage, before anything is allocated. Raises UserError with the knob to turn."""
    ranks_here = world if device.type == "cpu" else 1  # gloo ranks share this machine's memory
    free = int(RESERVE * available_bytes(device)) // ranks_here
    recompute = recipe.run.activation_checkpointing
    state = state_bytes(config, compute_dtype, recipe.optimizer.name == "muon", world, recipe.lora)
    one = activation_bytes(config, sequence_length, 1, compute_dtype, recompute)
    need = state + activation_bytes(config, sequence_length, micro_batch, compute_dtype, recompute)
    if need <= free:
        return need
    where = "this GPU" if device.type == "cuda" else "this machine"
    found = f"This run needs {format_bytes(need)} and {where} has {format_bytes(free)} free."
    if state > free:
        raise UserError(
            f"{found} Weights, gradients and optimizer alone take {format_bytes(state)}: choose a smaller model "
            "(model.depth, model.hidden_size or model.n_routed_experts), or shard it over more devices with torchrun."
        )
    if state + one <= free:
        fits = max(1, int((free - state) // one))
        raise UserError(
            f"{found} One micro-batch of {micro_batch} sequences is too many: "
            f"set run.micro_batch = {min(fits, micro_batch - 1)}."
        )
    knob = "shorten the stage's sequence_length" if recompute else "set run.activation_checkpointing = true"
    raise UserError(f"{found} Even one sequence of {sequence_length} tokens is too long: {knob}.")


def require_rows(sequences: int, sequence_length: int, world: int) -> None:
    """Room for a step's rows of token ids (int64, as read, shuffled and copied), which every rank holds on its host."""
    need, free = 3 * 8 * sequences * sequence_length * world, int(RESERVE * available_bytes(torch.device("cpu")))
    if need > free:
        raise UserError(
            f"A step's {sequences:,} sequences of {sequence_length:,} tokens take {format_bytes(need)} as token ids, "
            f"and this machine has {format_bytes(free)} free: lower the stage's batch_size."
        )


def require_disk(folder: Path, config: ModelConfig, keep: int, lora: Lora | None = None) -> None:
    """Room for the checkpoints: 12 bytes a trained parameter each, one more than are kept while one is written."""
    need = trained_parameters(config, lora) * 12 * (keep + 1)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{folder} is on a disk with {format_bytes(free)} free, and {keep + 1} checkpoints take "
            f"{format_bytes(need)}: free some space, lower run.keep, or put the run elsewhere with --out."
        )
