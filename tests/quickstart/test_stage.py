"""The model before its last stage, from the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from centime import recipe as recipes
from centime.errors import UserError
from centime.model import Transformer
from centime.quickstart.stage import before_sft
from centime.train.folder import RunFolder
from centime.train.folder.checkpoints import Checkpoints
from centime.train.stages import stage_configs

RECIPE = """
name = "small"
[model]
vocab_size = 64
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 1
kv_lora_rank = 8
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 16
n_routed_experts = "none"
[data]
tokenizer = "tokenizer"
train = [{ path = "corpus" }]
[train]
tokens = 4096
sequence_length = 64
batch_size = 4
[context]
tokens = 4096
sequence_length = 128
batch_size = 2
[sft]
data = "pairs.jsonl"
"""


def test_it_is_the_last_checkpoint_of_the_stage_before(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.recipe.write_text(RECIPE)
    configs = stage_configs(recipes.read(run.recipe))
    assert len(configs) == 3
    model = Transformer(configs[1])
    kept = Checkpoints(run.checkpoints, 9, print)

    def save(step: int, stage: int) -> dict[str, torch.Tensor]:
        model.init_weights(step)
        tensors = {f"weight/{name}": tensor for name, tensor in model.state_dict().items()}
        assert kept.save(step, tensors, {"stage": stage}, wait=True)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    save(4, 2)
    with pytest.raises(UserError, match="no checkpoint from before sft"):
        before_sft(tmp_path)
    save(1, 0)
    save(2, 1)
    last = save(3, 1)
    found = before_sft(tmp_path)
    assert found.config == configs[1]
    assert not found.training
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, last[name]), name
