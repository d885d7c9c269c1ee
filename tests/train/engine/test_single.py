"""Flat mixed precision: the arithmetic of plain torch in fp32, masters that keep small updates in bf16."""

from __future__ import annotations

import pytest
import torch
from tests.train.made import CONFIG, SETTINGS, batch, model, trainer

from centime.recipe import Optimizer
from centime.train.engine.loss import LossShare, MicroBatch, Objective
from centime.train.engine.mixed_precision import FlatParameters
from centime.train.engine.single import SingleDevice
from centime.train.optimizers.groups import group_parameters
from centime.train.stages import StepSettings


def test_fp32_steps_are_those_of_plain_torch() -> None:
    """AdamW over separate parameters, clip_grad_norm_ and loss.backward, decay on matrices only."""
    run, net = trainer(), model()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), eps=1e-8)
    settings = StepSettings(lr=3e-3, mtp_weight=0.3, bias_speed=0.0, balance_weight=1e-2)
    for step in range(5):
        made = batch(step)
        loss = Objective(net)(MicroBatch(made.rows), LossShare(made.loss_tokens, 8, 0.3, 1e-2)).total
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        result = run.step(made, settings)
        assert result.gradient_norm == pytest.approx(float(norm), rel=1e-5)
    ours = dict(run.engine.objective.model.named_parameters())
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(ours[name], parameter, rtol=1e-4, atol=1e-6)


def test_bf16_follows_fp32() -> None:
    a, b = trainer(dtype=torch.float32), trainer(dtype=torch.bfloat16)
    for step in range(20):
        x, y = a.step(batch(step), SETTINGS).loss, b.step(batch(step), SETTINGS).loss
        assert y == pytest.approx(x, rel=0.02)


def test_masters_keep_what_bf16_rounds_away() -> None:
    """Steps of 1e-5 on weights of 1 are below bf16's grain of 2^-8, and still add up."""
    run = trainer(dtype=torch.bfloat16)
    before = run.engine.state()["weight/norm.weight"].clone()
    for step in range(10):
        run.step(batch(step), StepSettings(lr=1e-5, mtp_weight=0.0, bias_speed=0.0, balance_weight=0.0))
    after = run.engine.state()["weight/norm.weight"]
    assert torch.equal(run.engine.objective.model.norm.weight, before.bfloat16())
    assert (after - before).abs().mean() > 3e-5


def test_gradients_are_accumulated_in_fp32() -> None:
    """256 micro-batches of one sequence, bf16: as close to the fp32 gradient as one big bf16 batch is."""
    made = batch(count=64, length=8)
    reference, fine = trainer(micro_batch=64), trainer(dtype=torch.bfloat16, micro_batch=1)
    for run in (reference, fine):
        run.step(made, SETTINGS)
    a = torch.cat([g.flatten() for g in reference.engine.gradients().values()])
    b = torch.cat([g.flatten() for g in fine.engine.gradients().values()])
    assert float((a - b).norm() / a.norm()) < 0.02
    assert all(g.dtype == torch.float32 for g in fine.engine.gradients().values())


def test_parameters_are_views_of_one_buffer_on_cache_lines() -> None:
    net = model()
    flat = FlatParameters(net, torch.bfloat16, group_parameters(net, Optimizer(name="muon")))
    start, end = flat.compute.data_ptr(), flat.compute.data_ptr() + flat.compute.nbytes
    for name, parameter in net.named_parameters():
        assert start <= parameter.data_ptr() < end
        assert (parameter.data_ptr() - start) % 64 == 0
        assert torch.equal(flat.named(flat.master)[name], model().get_parameter(name))


def test_a_parameter_that_was_not_reached_has_a_zero_gradient() -> None:
    run = trainer()
    run.step(batch(), SETTINGS)
    without = StepSettings(lr=1e-3, mtp_weight=0.0, bias_speed=0.0, balance_weight=0.0)
    run.step(batch(1), without)
    gradients = run.engine.gradients()
    assert not gradients["mtp.0.project.weight"].any()
    assert gradients["embed.weight"].any()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_restores_to_the_bit(optimizer: str, dtype: torch.dtype) -> None:
    first = trainer(optimizer, dtype)
    for step in range(3):
        first.step(batch(step), SETTINGS)
    state = {name: tensor.clone() for name, tensor in first.engine.state().items()}
    second = trainer(optimizer, dtype)
    second.step(batch(9), SETTINGS)  # other moments, to be replaced
    second.engine.load(state)
    for step in range(3, 6):
        assert first.step(batch(step), SETTINGS).loss == second.step(batch(step), SETTINGS).loss
    for (name, a), b in zip(first.engine.state().items(), second.engine.state().values(), strict=True):
        assert torch.equal(a, b), name


def test_timed_steps_leave_no_trace() -> None:
    """A step with a learning rate of zero changes no weight, and forgetting the moments undoes the rest."""
    run = trainer()
    before = {name: tensor.clone() for name, tensor in run.engine.state().items()}
    run.step(batch(), StepSettings(lr=0.0, mtp_weight=0.3, bias_speed=0.0, balance_weight=1e-2))
    run.engine.forget_moments()
    after = run.engine.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    run = trainer()
    run.step(batch(), SETTINGS)
    kept = {name: tensor.clone() for name, tensor in run.engine.state().items()}
    spoiled = batch(1)
    infinite = type(spoiled)(spoiled.rows, 1e-300, spoiled.sequences, spoiled.tokens)  # 1/N overflows
    result = run.step(infinite, SETTINGS)
    assert result.skipped
    assert all(torch.equal(kept[name], tensor) for name, tensor in run.engine.state().items())
    assert not run.step(batch(2), SETTINGS).skipped


def test_tied_embeddings_and_a_dense_model_train() -> None:
    dense = CONFIG.model_copy(
        update={
            "kv_lora_rank": None,
            "qk_nope_head_dim": 0,
            "n_routed_experts": None,
            "tie_word_embeddings": True,
            "num_nextn_predict_layers": 0,
        }
    )
    net = model(config=dense)
    run = trainer()
    run.engine = SingleDevice(net, Optimizer(), torch.float32)
    run._routers = []
    losses = [run.step(batch(step, config=dense), SETTINGS).loss for step in range(25)]
    assert losses[-1] < losses[0] - 1
