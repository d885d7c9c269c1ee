"""transformers' DeepseekV3ForCausalLM, eager, as its documentation trains it on a CPU."""

from __future__ import annotations

from pathlib import Path

from peers.common import Step, autocast_step


def build(folder: Path, sequence: int, precision: str) -> Step:
    """The step of the model in `folder`; `sequence` is not needed."""
    del sequence
    import torch
    from transformers import DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    return autocast_step(model, lambda tokens: model(input_ids=tokens).logits, precision)
