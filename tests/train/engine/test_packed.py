"""Examples that share a row are computed as if each had one of its own, and none sees another."""

from __future__ import annotations

import pytest
import torch
from tests.train.made import CONFIG, model
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.train.engine import LossShare, MicroBatch, Objective, PackedObjective
from centime.train.engine.loss import Losses
from centime.train.engine.packing import Packing
from centime.train.stages import EXAMPLES

LENGTHS = [[7, 1, 12, 3], [5, 5, 2], [23]]  # of the examples of three rows, in tokens
WIDTH = 25  # S + 1: some rows have padding
DENSE = CONFIG.model_copy(
    update={
        "kv_lora_rank": None, "qk_nope_head_dim": 0, "v_head_dim": 8, "q_lora_rank": None, "n_routed_experts": None,
        "num_nextn_predict_layers": 0,
    }
)  # fmt: skip


def drawn(config: ModelConfig) -> list[list[tuple[Tensor, Tensor]]]:
    """(tokens, weights) of the examples of each row; the first token of one is never predicted."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for lengths in LENGTHS:
        row = []
        for length in lengths:
            weights = torch.rand(length, generator=generator)
            weights[0] = 0
            row.append((torch.randint(0, config.vocab_size, (length,), generator=generator), weights))
        found.append(row)
    return found


def packed(config: ModelConfig) -> MicroBatch:
    M = config.num_nextn_predict_layers
    rows, weights, examples = (
        torch.zeros(len(LENGTHS), WIDTH + M, dtype=dtype) for dtype in (torch.long, torch.float32, torch.long)
    )
    for r, row in enumerate(drawn(config)):
        at = 0
        for number, (tokens, weight) in enumerate(row, start=1):
            rows[r, at : at + len(tokens)] = tokens
            weights[r, at : at + len(tokens)] = weight
            examples[r, at : at + len(tokens)] = number
            at += len(tokens)
    return MicroBatch(rows, weights[:, 1:], None, {EXAMPLES: examples})


def alone(config: ModelConfig) -> MicroBatch:
    M = config.num_nextn_predict_layers
    every = [example for row in drawn(config) for example in row]
    rows, weights = torch.zeros(len(every), WIDTH + M, dtype=torch.long), torch.zeros(len(every), WIDTH + M)
    for r, (tokens, weight) in enumerate(every):
        rows[r, : len(tokens)] = tokens
        weights[r, : len(tokens)] = weight
    lengths = torch.tensor([len(tokens) - 1 for tokens, _ in every])
    return MicroBatch(rows, weights[:, 1:], lengths)


def computed(
    kind: type[Objective], made: Transformer, batch: MicroBatch, share: LossShare
) -> tuple[Losses, dict[str, Tensor]]:
    made.zero_grad()
    losses = kind(made)(batch, share)
    losses.total.backward()
    return losses, {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", [CONFIG, DENSE], ids=["mla", "dense"])
def test_packed_examples_are_as_good_as_alone(config: ModelConfig) -> None:
    """Losses (MTP and balance too), loads and every gradient."""
    share = LossShare(10.0, 8, mtp_weight=0.5, balance_weight=0.5)
    made = model(config=config)
    one, one_grads = computed(Objective, made, alone(config), share)
    many, many_grads = computed(PackedObjective, made, packed(config), share)
    assert torch.allclose(one.parts, many.parts, rtol=1e-5)
    assert torch.equal(one.loads, many.loads)
    assert one_grads.keys() == many_grads.keys()
    for name, grad in one_grads.items():
        assert torch.allclose(grad, many_grads[name], atol=2e-6), name


def test_no_gradient_reaches_another_example() -> None:
    """Of the loss of one example: exactly nothing at the embeddings of tokens that the others alone hold."""
    batch = packed(CONFIG)
    examples = batch.beside[EXAMPLES]
    mine = (torch.arange(len(LENGTHS))[:, None] == 0) & (examples == 3)
    rows = torch.where(mine, batch.rows % 40, batch.rows % 40 + 50)
    assert batch.weights is not None
    weights = batch.weights * mine[:, 1:]
    batch = batch._replace(rows=rows, weights=weights)
    made = model()
    computed(PackedObjective, made, batch, LossShare(1.0, 1, mtp_weight=1.0, balance_weight=0.0))
    grad = made.embed.weight.grad
    assert grad is not None
    assert grad[50:].abs().max() == 0
    assert grad[:40].abs().max() > 0
    computed(Objective, made, batch._replace(beside={}), LossShare(1.0, 1, mtp_weight=1.0, balance_weight=0.0))
    assert made.embed.weight.grad is not None
    assert made.embed.weight.grad[50:].abs().max() > 0, "without packing it does"


def test_positions_begin_anew_with_each_example() -> None:
    packing = Packing(torch.tensor([[1, 1, 1, 2, 0, 0], [1, 2, 2, 2, 3, 3]]))
    assert packing.positions_BS.tolist() == [[0, 1, 2, 0, 0, 1], [0, 0, 1, 2, 0, 1]]
    assert packing.of_all_BS.tolist() == [[0, 0, 0, 1, -1, -1], [2, 3, 3, 3, 4, 4]]
    assert packing.count == 5
