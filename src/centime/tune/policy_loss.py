"""The policy loss: GRPO and what the field has made of it, as settings of one function.

Letters of shapes: B answers, T tokens (of prompt and answer, as the model predicts them).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from centime.recipe.policy import PolicyLoss

MOST_LOG_RATIO = 20.0  # e^20 is 5e8: beyond it a ratio is no number to compute with, and is clipped anyway


class Policy(NamedTuple):
    """What the loss of some answers is made of."""

    logp: Tensor  # float32 [B, T], of the weights that are trained; the only one with a gradient
    old: Tensor  # float32 [B, T], of the weights that drew the answers
    advantage: Tensor  # float32 [B]
    weight: Tensor  # float32 [B, T]: 0 outside the answers; with the step's divisor they make its mean
    reference: Tensor | None = None  # float32 [B, T], of the reference model


class PolicySums(NamedTuple):
    """Sums over the tokens of some answers, to be added up and divided by `tokens`."""

    tokens: Tensor
    clipped: Tensor  # tokens whose gradient the clip has taken
    kl: Tensor  # from the reference model, in nats
    moved: Tensor  # from the weights that drew the answers, in nats: the mismatch, where these are the same weights
    furthest: Tensor  # largest |logp - old|; a maximum, no sum


def policy_loss(policy: Policy, settings: PolicyLoss) -> tuple[Tensor, PolicySums]:
    """Sum over tokens of weight times loss, a float32 scalar to differentiate, and what happened.

    With r = exp(logp - old) of a token (`ratio = "token"`), e and e' for clip_low and clip_high:

    GRPO (arXiv 2402.03300, eq. 3; R1, arXiv 2501.12948, eq. 1), e' = e:
        J = 1/G sum_i 1/|o_i| sum_t { min[r A, clip(r, 1 - e, 1 + e) A] - beta D_KL(pi || pi_ref) },
        D_KL = pi_ref / pi - log(pi_ref / pi) - 1 (eq. 4), and A = (reward - mean) / std of its group.
    Dr.GRPO (arXiv 2503.20783, section 3.2): A = reward - mean, and one constant in place of 1/|o_i|.
    DAPO (arXiv 2503.14476, eq. 8): J = 1 / sum_i |o_i| sum_i sum_t min[r A, clip(r, 1 - e, 1 + e') A], no KL.
    CISPO (arXiv 2506.13585, eq. 4 and 5): J = 1 / sum_i |o_i| sum_i sum_t sg(clip(r, 1 - e, 1 + e')) A log pi.
    GSPO (arXiv 2507.18071, eq. 5 to 7): J = 1/G sum_i min[s A, clip(s, 1 - e, 1 + e') A],
        s = exp(1/|o_i| sum_t (logp - old)), a ratio of whole answers.

    What is returned is -J: `weight` has the 1/G, 1/|o_i| and the like (`advantage.token_weights`).
    """
    mask = policy.weight != 0
    far = (policy.logp - policy.old) * mask
    log_ratio = far
    if settings.ratio == "sequence":
        log_ratio = far.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    ratio = log_ratio.clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO).exp()
    bounded = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    A = policy.advantage[:, None]
    if settings.clipped == "weight":
        objective = bounded.detach() * A * policy.logp
        lost = bounded != ratio
    else:
        objective = torch.minimum(ratio * A, bounded * A)
        lost = bounded * A < ratio * A
    kl = torch.zeros_like(policy.logp)
    if policy.reference is not None:
        away = (policy.reference - policy.logp) * mask
        kl = away.exp() - away - 1
    loss = ((settings.kl * kl - objective) * policy.weight * mask).sum()
    with torch.no_grad():
        moved = (-far).exp() + far - 1  # the same estimator, from the drawing weights to these
        sums = PolicySums(
            tokens=mask.sum(),
            clipped=(lost & mask).sum(),
            kl=(kl * mask).sum().detach(),
            moved=moved.sum(),
            furthest=far.abs().amax() if far.numel() else far.new_zeros(()),
        )
    return loss, sums
