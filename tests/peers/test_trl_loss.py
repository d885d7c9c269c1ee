"""One fixed batch through TRL's GRPOTrainer and through our engine: the same loss and the same gradients, by option."""

from __future__ import annotations

import types
from collections import defaultdict
from typing import Any

import pytest
import torch
from tests.train.made import CONFIG, model
from torch import Tensor

from centime.model import Transformer
from centime.recipe import Optimizer
from centime.recipe.policy import PolicyLoss
from centime.train.engine import LossShare, MicroBatch, SingleDevice
from centime.tune.advantage import advantages, token_weights
from centime.tune.objective import PolicyObjective

trl = pytest.importorskip("trl", reason="of the extra `peers`")

PROMPT, LONGEST, GROUPS, SAMPLES = 5, 9, 3, 4
CONFIG_1 = CONFIG.model_copy(update={"num_nextn_predict_layers": 0})
CASES = {
    "grpo": ({"algorithm": "grpo"}, {"loss_type": "grpo", "beta": 0.04}),
    "grpo as R1 had it": (
        {"algorithm": "grpo", "clip_low": 1.0, "clip_high": 10.0, "kl": 0.001},
        {"loss_type": "grpo", "beta": 0.001, "epsilon_low": 1.0, "epsilon_high": 10.0},
    ),
    "dr-grpo": ({"algorithm": "dr-grpo"}, {"loss_type": "dr_grpo"}),
    "dapo": ({"algorithm": "dapo"}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "dapo with a divergence": (
        {"algorithm": "dapo", "kl": 0.1},
        {"loss_type": "dapo", "epsilon_high": 0.28, "beta": 0.1},
    ),
    "cispo": ({"algorithm": "cispo", "clip_high": 0.5}, {"loss_type": "cispo", "epsilon_high": 1.5}),
    "gspo": (
        {"algorithm": "gspo", "clip_low": 0.05, "clip_high": 0.1},
        {
            **{"loss_type": "grpo", "importance_sampling_level": "sequence"},
            **{"epsilon_low": 0.05, "epsilon_high": 0.1},
        },
    ),
}  # fmt: skip


def batch(seed: int = 0) -> dict[str, Tensor]:
    """Answers of unequal length to prompts of one length, drawn by weights a little way off, and their rewards."""
    generator = torch.Generator().manual_seed(seed)
    count = GROUPS * SAMPLES
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=generator)
    return {
        "rows": torch.randint(0, CONFIG_1.vocab_size, (count, PROMPT + LONGEST), generator=generator),
        "mask": torch.arange(LONGEST)[None] < lengths[:, None],
        "rewards": torch.randint(0, 3, (GROUPS, SAMPLES), generator=generator).float(),
        "off": 0.3 * torch.randn(count, LONGEST, generator=generator),
        "away": 0.5 * torch.randn(count, LONGEST, generator=generator),
    }


def plain_logp(net: Transformer, rows: Tensor) -> Tensor:
    """[B, LONGEST]: of the answers' tokens, from whole logits."""
    logp = net(rows[:, :-1]).float().log_softmax(-1).gather(2, rows[:, 1:, None])[..., 0]
    return logp[:, PROMPT - 1 :]


def theirs(options: dict[str, Any], made: dict[str, Tensor], advantage: Tensor, old: Tensor, reference: Tensor) -> Any:
    """Loss and gradients by parameter, from GRPOTrainer's own method on the same weights."""
    net = model(config=CONFIG_1).train()

    def forward(**inputs: Any) -> Any:
        logp = plain_logp(net, inputs["input_ids"])
        return types.SimpleNamespace(log_probs=logp, entropy=torch.zeros_like(logp))

    forward.training = True  # type: ignore[attr-defined]
    trainer = object.__new__(trl.GRPOTrainer)
    settings = {"beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2, "importance_sampling_level": "token"} | options
    args = types.SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    whole = types.SimpleNamespace(
        num_processes=1,
        sync_gradients=True,
        is_main_process=False,
        gather=lambda x: x,
        reduce=lambda x, reduction: x,
        autocast=torch.enable_grad,
    )
    trainer.__dict__ |= settings | {
        **{"args": args, "accelerator": whole, "model": types.SimpleNamespace(training=True)},
        **{"aux_loss_enabled": False, "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None},
        **{"use_vllm": False, "current_gradient_accumulation_steps": 1, "max_completion_length": LONGEST},
        **{"_entropy_bonus_enabled": False, "_metrics": {"train": defaultdict(list)}},
    }
    inputs = {
        "prompt_ids": made["rows"][:, :PROMPT],
        "prompt_mask": torch.ones(len(old), PROMPT, dtype=torch.long),
        "completion_ids": made["rows"][:, PROMPT:],
        "completion_mask": made["mask"].long(),
        "advantages": advantage,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": made["mask"].sum(),
    }
    loss = trainer._compute_loss(forward, inputs)
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("micro", [12, 5])
def test_loss_and_gradients_are_those_of_trl(case: str, micro: int) -> None:
    ours, options = CASES[case]
    settings, made = PolicyLoss(**ours), batch()
    start = model(config=CONFIG_1)
    with torch.no_grad():
        logp = plain_logp(start, made["rows"])
    old, reference = logp + made["off"], logp + made["away"]
    advantage = advantages(made["rewards"], settings.advantage).flatten()
    expected, gradients = theirs(options, made, advantage, old, reference)

    engine = SingleDevice(
        start, Optimizer(), torch.float32, lambda net: PolicyObjective(net, settings, 1.0, CONFIG_1.vocab_size)
    )
    weights, divisor = token_weights(made["mask"], settings, LONGEST)

    def whole(answers: Tensor) -> Tensor:
        return torch.nn.functional.pad(answers, (PROMPT - 1, 0))

    beside = {"old": whole(old), "advantage": advantage, "reference": whole(reference)}
    if not settings.kl:
        del beside["reference"]
    parts = [
        MicroBatch(
            made["rows"][i : i + micro],
            whole(weights)[i : i + micro],
            beside={name: tensor[i : i + micro] for name, tensor in beside.items()},
        )
        for i in range(0, len(old), micro)
    ]
    losses, _ = engine.forward_backward(parts, LossShare(divisor, len(old), 0.0, 0.0))
    engine.gradient_norm()
    assert float(losses[0]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    found = engine.gradients()
    assert len(gradients) > 20
    for name, gradient in gradients.items():
        worst = float((found[name] - gradient).abs().max())
        assert worst <= 1e-4 * max(float(gradient.abs().max()), 1e-3), name


def test_advantages_are_those_of_trl() -> None:
    """(reward - mean) / (std + 1e-4) by group, as `_generate_and_score_completions` has it."""
    rewards = batch(3)["rewards"]
    grouped = rewards - rewards.mean(1, keepdim=True)
    torch.testing.assert_close(advantages(rewards, "mean"), grouped)
    torch.testing.assert_close(advantages(rewards, "std"), grouped / (rewards.std(1, keepdim=True) + 1e-4))
