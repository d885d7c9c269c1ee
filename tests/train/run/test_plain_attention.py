"""Whole runs of a dense decoder with grouped queries: trained, extended, fine-tuned, saved under its family's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.train.made import losses, train

import centime
from centime.plan.counts import count

GROUPED = (
    'model.kv_lora_rank="none"',
    "model.qk_nope_head_dim=0",
    'model.n_routed_experts="none"',
    "model.num_nextn_predict_layers=0",
    "model.rope_interleave=false",
    "model.num_attention_heads=6",
    "model.num_key_value_heads=2",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "more"), [("qwen3", ("model.qk_norm=true", "optimizer.name=muon")), ("qwen2", ("model.qkv_bias=true",))]
)
def test_a_run_learns_and_leaves_a_model_of_its_family(
    family: str, more: tuple[str, ...], small: Path, tmp_path: Path
) -> None:
    train(small, tmp_path / "run", *GROUPED, *more)
    found = [loss for stage, step, loss in losses(tmp_path / "run") if stage == "pretrain" and step > 0]
    assert min(found[-3:]) < found[0] - 0.2
    raw = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert (raw["model_type"], raw["num_key_value_heads"], raw["head_dim"]) == (family, 2, 8)
    model = centime.load(tmp_path / "run", dtype=torch.float32)  # a fast bf16 trains in it
    assert sum(parameter.numel() for parameter in model.parameters()) == count(model.config).total_params
    transformers = pytest.importorskip("transformers", minversion="5.0")
    peer = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "run" / "model", dtype=torch.float32, attn_implementation="eager"
    )
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.allclose(model(ids), peer(ids).logits, atol=1e-3)
    biases = [name for name, _ in model.named_parameters() if name.endswith(".bias")]
    assert len(biases) == (6 if family == "qwen2" else 0)
