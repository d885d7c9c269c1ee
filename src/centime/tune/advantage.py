"""What a sample's reward is worth beside those of its group, and how much each of its tokens weighs."""

from __future__ import annotations

import torch
from torch import Tensor

from centime.recipe.policy import PolicyLoss

SMALL = 1e-4  # added to a group's deviation, as TRL does: a group of equal rewards has an advantage of zero, not 0/0


def advantages(rewards_NG: Tensor, kind: str) -> Tensor:
    """float32 [N, G]: each reward less its group's mean, and for "std" over the group's (sample) deviation.

    DeepSeekMath, arXiv 2402.03300, section 4.1.2, and Dr.GRPO, arXiv 2503.20783, which leaves the deviation out.
    """
    rewards = rewards_NG.float()
    centred = rewards - rewards.mean(-1, keepdim=True)
    centred = centred * (~silent(rewards_NG))[:, None]  # means of equal numbers are rounded: equal is zero
    if kind == "mean" or rewards.shape[1] < 2:
        return centred
    return centred / (rewards.std(-1, keepdim=True) + SMALL)


def silent(rewards_NG: Tensor) -> Tensor:
    """bool [N]: groups whose samples all got the same reward, from which nothing can be learned."""
    return (rewards_NG == rewards_NG[:, :1]).all(-1)


def token_weights(answer_BT: Tensor, settings: PolicyLoss, longest: int) -> tuple[Tensor, float]:
    """(weights float32 [B, T], divisor): sum of weight times loss over divisor is the step's loss.

    answer: bool [B, T], tokens that the policy drew and that count. longest: the most that an answer may have, what
    `normalise = "length"` divides by (Dr.GRPO). Answers without a token that counts weigh nothing, and are counted.
    """
    mask = answer_BT.float()
    answers = answer_BT.shape[0]
    if settings.normalise == "token":
        return mask, max(float(mask.sum()), 1.0)
    if settings.normalise == "length":
        return mask, float(answers * longest)
    return mask / mask.sum(-1, keepdim=True).clamp(min=1), float(answers)


def interval(rewards: Tensor) -> float:
    """Half the width of a 95 % interval of the mean, from the groups' means: samples of one prompt are no strangers."""
    means = rewards.float().mean(-1)
    return float(1.96 * means.std() / len(means) ** 0.5) if len(means) > 1 else float("nan")


def pass_at(right_NG: Tensor, k: int) -> float:
    """Chance that one of k answers is right, unbiased from G >= k of them (arXiv 2107.03374, eq. 1)."""
    G = right_NG.shape[1]
    wrong = (G - right_NG.sum(-1)).double()
    miss = torch.ones_like(wrong)
    for i in range(k):
        miss *= ((wrong - i) / (G - i)).clamp(min=0)
    return float((1 - miss).mean())
