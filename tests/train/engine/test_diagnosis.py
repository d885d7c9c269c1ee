"""What is said of numbers that stopped being finite: which weight, layer or gradient; or that it has passed."""

from __future__ import annotations

import pytest
import torch
from tests.train.made import SETTINGS, batch, trainer

from centime.train.engine import Trainer, diagnose
from centime.train.engine.diagnosis import first_bad_output
from centime.train.engine.loss import LossShare, MicroBatch

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def run() -> Trainer:
    """After a step whose gradients are there."""
    made = trainer()
    made.step(batch(), SETTINGS)
    return made


def said(run: Trainer) -> str:
    made = batch(1)
    return diagnose(run.engine, MicroBatch(made.rows), LossShare(made.loss_tokens, made.sequences, 0.3, 1e-2))


def set_weight(run: Trainer, name: str, value: float) -> None:
    """One number of a parameter."""
    with torch.no_grad():
        run.engine.objective.model.get_parameter(name).view(-1)[0] = value


def test_damaged_weights_are_counted_and_the_first_is_named(run: Trainer) -> None:
    set_weight(run, "norm.weight", NAN)
    assert said(run) == "the weights are already damaged, first in norm.weight (1 tensors)"
    set_weight(run, "layers.1.attention_norm.weight", INF)
    assert said(run) == "the weights are already damaged, first in layers.1.attention_norm.weight (2 tensors)"


def test_an_overflow_is_named_with_its_layer_and_the_largest_weight(run: Trainer) -> None:
    """Two layers in a row overflow: the first of them, and in it the innermost module."""
    for layer in (1, 2):
        weight = run.engine.objective.model.get_parameter(f"layers.{layer}.attention_norm.weight")
        with torch.no_grad():
            weight.fill_(-3e38)
    found = said(run)
    assert found.startswith("the forward pass overflows first in layers.1.")
    assert found.endswith("; the largest weight is in layers.1.attention_norm.weight (3e+38)")
    made = batch(1)
    share = LossShare(made.loss_tokens, made.sequences, 0.3, 1e-2)
    name = first_bad_output(run.engine.objective, MicroBatch(made.rows), share)
    assert name is not None
    assert name in found
    inner = [one for one, _ in run.engine.objective.model.named_modules() if one.startswith(f"{name}.")]
    assert inner == [], "no module inside it was the first"


def test_a_gradient_that_is_not_finite_is_named(run: Trainer) -> None:
    assert first_bad_output(run.engine.objective, MicroBatch(batch().rows), LossShare(192, 8, 0.0, 0.0)) is None
    run.engine.gradients()["embed.weight"].view(-1)[3] = NAN
    assert said(run) == "the forward pass is finite and the gradient is not, first seen in embed.weight (1 tensors)"
    run.engine.gradients()["norm.weight"].view(-1)[0] = INF
    assert "first seen in norm.weight (2 tensors)" in said(run)  # the backward pass comes from the end


def test_what_is_finite_again_has_passed_and_nothing_watches_any_more(run: Trainer) -> None:
    assert said(run) == "loss and gradients are finite again: a passing fault of the data or the device"
    assert not any(module._forward_hooks for module in run.engine.objective.modules())
