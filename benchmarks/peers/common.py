"""The step that every peer runs: forward under autocast, cross-entropy, backward, clip, fused AdamW."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
import torch.nn.functional as F

from shapes import BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY

Step = Callable[[torch.Tensor, torch.Tensor], float]


def autocast_step(model: torch.nn.Module, logits: Callable[[torch.Tensor], torch.Tensor], precision: str) -> Step:
    """A training step of `model`, whose `logits` maps tokens [B, S] to [B, S, V]; `precision` is bf16 or fp32.

    As a user of torch writes it: fp32 weights, bf16 products through autocast, fp32 loss.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
            found = logits(inputs)
        loss = F.cross_entropy(found.float().flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step
