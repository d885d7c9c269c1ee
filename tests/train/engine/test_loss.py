"""The losses: as the report writes them, and the same whatever the micro-batch or the padding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.made import CONFIG, SETTINGS, batch, model, trainer

from centime.train.engine.loss import LossShare, MicroBatch, Objective
from centime.train.stages import Batch


def test_main_and_mtp_losses_are_eq_24_and_25() -> None:
    config = CONFIG.model_copy(update={"num_nextn_predict_layers": 2})
    net = model(config=config)
    rows = batch(count=3, length=10, config=config).rows
    B, S, D = 3, 10, 2
    share = LossShare(loss_tokens=B * S, sequences=B, mtp_weight=0.3, balance_weight=0.0)
    found = Objective(net)(MicroBatch(rows), share)

    features = net.features(rows[:, :S])
    main = F.cross_entropy(net.unembed(features.hidden).flatten(0, 1), rows[:, 1 : S + 1].flatten())
    depths = [
        F.cross_entropy(net.unembed(f.hidden).flatten(0, 1), rows[:, 1 + k : S + 1 + k].flatten())
        for k, f in enumerate(net.mtp_features(features.hidden, rows), start=1)
    ]
    torch.testing.assert_close(found.parts[0], main.detach())
    torch.testing.assert_close(found.parts[1], (sum(depths) / D).detach())
    torch.testing.assert_close(found.total, main + 0.3 / D * sum(depths))


def test_next_token_loss_is_that_of_the_plain_forward_pass() -> None:
    net = model()
    made = batch()
    found = Objective(net)(MicroBatch(made.rows), LossShare(made.loss_tokens, 8, 0.0, 0.0))
    logits = net(made.rows[:, :24])
    torch.testing.assert_close(found.total, F.cross_entropy(logits.flatten(0, 1), made.rows[:, 1:25].flatten()))


@settings(max_examples=10, deadline=None)
@given(micro_batch=st.integers(1, 8), seed=st.integers(0, 100), optimizer=st.sampled_from(["adamw", "muon"]))
def test_micro_batches_do_not_change_a_step(micro_batch: int, seed: int, optimizer: str) -> None:
    whole, parts = trainer(optimizer, micro_batch=8), trainer(optimizer, micro_batch=micro_batch)
    made = batch(seed)
    a, b = whole.step(made, SETTINGS), parts.step(made, SETTINGS)
    assert b.loss == pytest.approx(a.loss, rel=1e-6)
    assert b.mtp_loss == pytest.approx(a.mtp_loss, rel=1e-6)
    assert b.balance_loss == pytest.approx(a.balance_loss, rel=1e-6)
    assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-5)
    assert torch.equal(a.loads, b.loads)
    for name, gradient in whole.engine.gradients().items():
        torch.testing.assert_close(parts.engine.gradients()[name], gradient, rtol=1e-4, atol=1e-7)


def masked_batch(pad: int) -> Batch:
    """Four answers of unequal length behind prompts of five tokens, with `pad` columns of padding more than needed."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([9, 7, 12, 6])
    width = 13 + pad
    rows = torch.randint(0, CONFIG.vocab_size, (4, width + 1), generator=generator)
    place = torch.arange(width)
    weights = ((place >= 4) & (place < lengths[:, None])).float()
    return Batch(rows, float(weights.sum()), 4, int(lengths.sum()), weights=weights, lengths=lengths)


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
@pytest.mark.parametrize("pad", [0, 5])
def test_padding_and_micro_batches_do_not_change_a_masked_step(micro_batch: int, pad: int) -> None:
    a = trainer().step(masked_batch(0), SETTINGS)
    changed = masked_batch(pad)
    assert changed.lengths is not None
    for row, length in zip(changed.rows, changed.lengths, strict=True):
        row[int(length) + 1 :] = 7  # other padding
    same = masked_batch(pad)
    for row, other, length in zip(changed.rows, masked_batch(0).rows, changed.lengths, strict=True):
        row[: int(length) + 1] = other[: int(length) + 1]
    b = trainer(micro_batch=micro_batch).step(
        Batch(changed.rows, same.loss_tokens, 4, same.tokens, weights=same.weights, lengths=same.lengths), SETTINGS
    )
    assert b.loss == pytest.approx(a.loss, rel=1e-6)
    assert b.balance_loss == pytest.approx(a.balance_loss, rel=1e-6)
    assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-5)
    assert torch.equal(a.loads, b.loads)


def test_only_weighted_positions_count() -> None:
    """The loss of a masked batch is the mean over its answers, computed position by position."""
    made = masked_batch(2)
    net = trainer()
    expected, seen = 0.0, 0
    assert made.weights is not None
    with torch.no_grad():
        logp = net.engine.objective.model(made.rows[:, :-1]).log_softmax(-1)
    for row in range(4):
        for i in range(made.weights.shape[1]):
            if made.weights[row, i]:
                expected -= float(logp[row, i, made.rows[row, i + 1]])
                seen += 1
    assert made.loss_tokens == seen
    assert net.step(made, SETTINGS).loss == pytest.approx(expected / seen, rel=1e-5)
