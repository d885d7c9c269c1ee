"""The preference loss held to TRL's own method: same weights, same pairs, loss and every gradient within 1e-4."""

from __future__ import annotations

import types
from collections import defaultdict
from typing import Any

import pytest
import torch
from tests.train.made import CONFIG, model
from torch import Tensor

from centime.recipe import Dpo
from centime.train.engine import REFERENCE, LossShare, MicroBatch, PreferenceObjective
from centime.train.stages import EXAMPLES

trl = pytest.importorskip("trl", reason="of the extra `peers`")

PLAIN = CONFIG.model_copy(update={"num_nextn_predict_layers": 0})
PAIRS = [((4, 9), (4, 6)), ((7, 8), (7, 15)), ((3, 5), (3, 4))]  # (tokens of the prompt, of all) of chosen and rejected
WIDTH = 24


def drawn() -> list[list[tuple[Tensor, int]]]:
    """[(tokens, of which so many are the prompt)] of the chosen and the rejected answer of each pair."""
    generator = torch.Generator().manual_seed(5)
    return [
        [(torch.randint(0, PLAIN.vocab_size, (whole,), generator=generator), prompt) for prompt, whole in pair]
        for pair in PAIRS
    ]


def ours(section: Dpo, reference: Tensor) -> tuple[float, dict[str, Tensor], dict[str, float]]:
    net = model(config=PLAIN)
    rows, weights, examples = (torch.zeros(len(PAIRS), WIDTH, dtype=torch.long) for _ in range(3))
    for r, pair in enumerate(drawn()):
        at = 0
        for number, (tokens, prompt) in enumerate(pair, start=1):
            rows[r, at : at + len(tokens)], examples[r, at : at + len(tokens)] = tokens, number
            weights[r, at + prompt : at + len(tokens)] = 1
            at += len(tokens)
    objective = PreferenceObjective(net, section)
    batch = MicroBatch(rows, weights[:, 1:].float(), None, {EXAMPLES: examples, REFERENCE: reference})
    losses = objective(batch, LossShare(len(PAIRS), 2 * len(PAIRS), 0.0, 0.0))
    losses.total.backward()
    measures = dict(zip(objective.measures, losses.parts[3:].tolist(), strict=True))
    return float(losses.total), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}, measures


def theirs(section: Dpo, reference: Tensor) -> tuple[float, dict[str, Tensor], dict[str, float]]:
    net = model(config=PLAIN).train()

    def forward(**inputs: Any) -> Any:
        ids, labels = inputs["input_ids"], inputs["labels"][:, 1:]
        logits = net(ids)[:, :-1].float()
        logp = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0].masked_fill(labels == -100, 0.0)
        none = torch.zeros_like(logp)
        return types.SimpleNamespace(log_probs=logp, entropy=none, mean_logits=none, is_top1=none.bool())

    every = [side[which] for which in (0, 1) for side in drawn()]
    ids, mask = torch.zeros(len(every), WIDTH, dtype=torch.long), torch.zeros(len(every), WIDTH, dtype=torch.long)
    for r, (tokens, prompt) in enumerate(every):
        ids[r, : len(tokens)] = tokens
        mask[r, prompt : len(tokens)] = 1
    trainer = object.__new__(trl.DPOTrainer)
    whole = types.SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer.__dict__ |= {
        **{"accelerator": whole, "model": types.SimpleNamespace(training=True), "aux_loss_enabled": False},
        **{"ld_alpha": None, "precompute_ref_logps": True, "f_divergence_type": "reverse_kl", "use_weighting": False},
        **{"loss_types": [section.loss], "loss_weights": [1.0], "beta": section.beta},
        **{"label_smoothing": section.label_smoothing, "_metrics": {"train": defaultdict(list)}},
        **{"_total_train_tokens": 0, "_tp_size": 1},
    }
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask,
        "ref_chosen_logps": reference[:, 0],
        "ref_rejected_logps": reference[:, 1],
    }
    loss = trainer._compute_loss(forward, inputs, return_outputs=False)
    loss.backward()
    said = {name: values[0] for name, values in trainer._metrics["train"].items() if name != "num_tokens"}
    return float(loss.detach()), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}, said


@pytest.mark.parametrize("case", [{}, {"beta": 0.5}, {"loss": "robust", "label_smoothing": 0.2}])
def test_loss_and_gradients_are_those_of_trl(case: dict[str, Any]) -> None:
    section = Dpo(data="pairs", **case)
    reference = torch.tensor([[-20.0, -11.0], [-5.0, -30.0], [-9.0, -4.0]])
    loss, grads, measures = ours(section, reference)
    expected, their_grads, said = theirs(section, reference)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert grads.keys() == their_grads.keys()
    for name, grad in their_grads.items():
        assert torch.allclose(grads[name], grad, atol=1e-6, rtol=1e-4), name
    for name, their_name in {
        "reward_margin": "rewards/margins",
        "reward_accuracy": "rewards/accuracies",
        "reward_chosen": "rewards/chosen",
        "reward_rejected": "rewards/rejected",
    }.items():
        assert measures[name] == pytest.approx(said[their_name], rel=1e-4, abs=1e-5), name


def test_smoothed_labels_are_the_loss_of_both_ways_round() -> None:
    """TRL's `sigmoid` no longer takes label_smoothing: cDPO is the mean of the loss and of that of swapped labels."""
    reference = torch.tensor([[-20.0, -11.0], [-5.0, -30.0], [-9.0, -4.0]])
    plain, _, measures = ours(Dpo(data="pairs"), reference)
    smooth, _, _ = ours(Dpo(data="pairs", label_smoothing=0.25), reference)
    assert smooth == pytest.approx(plain + 0.25 * measures["reward_margin"], rel=1e-5), "-log s(-m) = -log s(m) + m"
