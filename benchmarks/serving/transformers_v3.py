"""transformers' DeepseekV3ForCausalLM with its dynamic cache, as `generate` runs it, without its bookkeeping."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from centime.ops.precision import compute_dtype


class Transformers:
    """In the type that this processor multiplies at full speed, as centime."""

    def __init__(self, folder: Path) -> None:
        from transformers import DeepseekV3ForCausalLM

        dtype = compute_dtype("auto", torch.device("cpu"))
        self.model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def answer(self, prompts: list[list[int]], new: int) -> tuple[float, float]:
        began = time.perf_counter()
        out = self.model(torch.tensor(prompts), use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        first = time.perf_counter()
        for _ in range(new - 1):
            out = self.model(token, past_key_values=out.past_key_values, use_cache=True)
            token = out.logits[:, -1].argmax(-1, keepdim=True)
        return first - began, time.perf_counter() - first
