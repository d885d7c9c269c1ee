"""Expert balance, and the routing bugs that other trainers have had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.made import CONFIG, SETTINGS, batch, model, trainer

import centime
from centime.model import Routing
from centime.recipe import RunSection
from centime.train.engine.balance import expert_loads, imbalance, sequence_balance_loss, update_bias
from centime.train.engine.single import SingleDevice
from centime.train.engine.wrap import apply
from centime.train.stages import StepSettings


def routing(scores: torch.Tensor, ids: torch.Tensor) -> Routing:
    return Routing(ids, torch.ones_like(ids, dtype=torch.float32), scores)


def test_sequence_balance_loss_is_eq_17_to_20() -> None:
    generator = torch.Generator().manual_seed(0)
    B, S, E, K = 3, 7, 5, 2
    scores = torch.rand(B, S, E, generator=generator)
    ids = torch.randint(0, E, (B, S, K), generator=generator)  # biased choices must not matter: eq. 18 takes raw scores
    expected = 0.0
    for b in range(B):
        for i in range(E):
            f = sum(int(i in scores[b, t].topk(K).indices.tolist()) for t in range(S)) * E / (K * S)
            P = sum(float(scores[b, t, i] / scores[b, t].sum()) for t in range(S)) / S
            expected += f * P
    assert float(sequence_balance_loss([routing(scores, ids)])) == pytest.approx(expected, rel=1e-5)
    padded = torch.cat((scores, torch.rand(B, 4, E, generator=generator)), dim=1)
    valid = torch.arange(S + 4).expand(B, -1) < S
    longer = routing(padded, torch.zeros(B, S + 4, K, dtype=torch.int64))
    assert float(sequence_balance_loss([longer], valid)) == pytest.approx(expected, rel=1e-5)


def test_balance_loss_pushes_towards_balance() -> None:
    """Its gradient lowers the scores of the expert that is chosen most."""
    scores = torch.full((1, 8, 4), 0.3)
    scores[..., 0] = 0.9
    scores[0, :4, 1], scores[0, 4:, 2] = 0.5, 0.5
    scores.requires_grad_()
    sequence_balance_loss([routing(scores, scores.detach().topk(2).indices)]).backward()
    gradient = scores.grad.sum((0, 1))
    assert gradient[0] > 0
    assert gradient[0] == gradient.max()
    assert gradient[3] < 0


def test_bias_moves_against_the_load_by_the_speed() -> None:
    """Sign and mean: below its own layer's mean up, above it down, at it unmoved."""
    net = model()
    loads = torch.tensor([[10, 0, 5, 5, 5], [1, 1, 1, 1, 1], [0, 0, 0, 0, 100]])
    update_bias(net.routers(), loads, 0.5)
    found = [router.e_score_correction_bias.tolist() for router in net.routers()]
    assert found == [[-0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, -0.5]]


def test_every_moe_layer_and_mtp_is_updated() -> None:
    run = trainer()
    before = [router.e_score_correction_bias.clone() for router in run.engine.objective.model.routers()]
    assert len(before) == 3  # two decoder layers and the MTP module
    result = run.step(batch(), SETTINGS)
    assert (result.loads.sum(-1) == 8 * 24 * CONFIG.num_experts_per_tok).all()
    for router, old, load in zip(run.engine.objective.model.routers(), before, result.loads.float(), strict=True):
        expected = old + SETTINGS.bias_speed * torch.sign(load.mean() - load)
        torch.testing.assert_close(router.e_score_correction_bias, expected)
        assert router.e_score_correction_bias.abs().sum() > 0


def test_an_mtp_that_does_not_run_leaves_its_bias() -> None:
    run = trainer()
    run.step(batch(), StepSettings(lr=1e-3, mtp_weight=0.0, bias_speed=1e-3, balance_weight=0.0))
    moved = [bool(router.e_score_correction_bias.any()) for router in run.engine.objective.model.routers()]
    assert moved == [True, True, False]


def test_recompute_does_not_count_twice() -> None:
    net = model()
    apply(net, RunSection(activation_checkpointing=True))
    plain, again = trainer(), trainer()
    again.engine = SingleDevice(net, plain.engine.settings, torch.float32)
    again._routers = net.routers()
    for step in range(3):
        a, b = plain.step(batch(step), SETTINGS), again.step(batch(step), SETTINGS)
        assert torch.equal(a.loads, b.loads)
        assert (a.loss, a.gradient_norm) == (b.loss, b.gradient_norm)
    pairs = zip(plain.engine.state().items(), again.engine.state().items(), strict=True)
    assert all(x == y and torch.equal(v, w) for (x, v), (y, w) in pairs)


def test_gradient_accumulation_updates_the_bias_once() -> None:
    one, eight = trainer(micro_batch=8), trainer(micro_batch=1)
    for run in (one, eight):
        run.step(batch(), SETTINGS)
    for a, b in zip(one.engine.objective.model.routers(), eight.engine.objective.model.routers(), strict=True):
        assert torch.equal(a.e_score_correction_bias, b.e_score_correction_bias)
        assert b.e_score_correction_bias.abs().max() == pytest.approx(SETTINGS.bias_speed)


def test_bias_stays_fp32_and_reaches_checkpoint_and_model_folder(tmp_path: Path) -> None:
    run = trainer(dtype=torch.bfloat16)
    for step in range(3):
        run.step(batch(step), SETTINGS)
    net = run.engine.objective.model
    state = run.engine.state()
    centime.save(net, tmp_path / "model")
    loaded = centime.load(tmp_path / "model")
    names = [name for name, _ in net.named_buffers()]
    assert len(names) == 3
    for name, router, other in zip(names, net.routers(), loaded.routers(), strict=True):
        assert router.e_score_correction_bias.dtype == torch.float32
        assert router.e_score_correction_bias.abs().sum() > 0
        assert torch.equal(state[f"buffer/{name}"], router.e_score_correction_bias)
        assert torch.equal(other.e_score_correction_bias, router.e_score_correction_bias)


def test_loads_leave_padding_out() -> None:
    ids = torch.tensor([[[0, 1], [2, 3], [4, 4]]])
    made = routing(torch.rand(1, 3, 5), ids)
    assert expert_loads([made]).tolist() == [[1, 1, 1, 1, 2]]
    assert expert_loads([made], torch.tensor([[True, True, False]])).tolist() == [[1, 1, 1, 1, 0]]


def test_imbalance() -> None:
    assert imbalance(torch.tensor([[5, 5, 5], [2, 2, 2]])) == 0
    assert imbalance(torch.tensor([[30, 0, 0], [0, 0, 0]])) == pytest.approx(2.0)


def test_balancing_evens_a_skewed_router() -> None:
    """The loop closed: tokens that all look alike to a router end up spread by the bias alone."""
    run = trainer()
    still = StepSettings(lr=0.0, mtp_weight=0.3, bias_speed=0.02, balance_weight=0.0)
    first = imbalance(run.step(batch(), still).loads)
    for _ in range(60):
        last = imbalance(run.step(batch(), still).loads)
    assert last < first / 2
