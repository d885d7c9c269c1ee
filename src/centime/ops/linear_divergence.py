"""How far one model's next tokens lie from another's, straight from hidden states, without [T, V] logits in memory.

Letters of shapes: T tokens, D and E the widths of two models, V their common vocabulary.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from centime.ops.cross_entropy import CHUNK


def divergence(teacher_TV: Tensor, student_TV: Tensor, beta: float) -> Tensor:
    """Generalised Jensen-Shannon divergence of log-probabilities, float32 [T] (GKD, arXiv 2306.13649, eq. 1).

    beta KL(P || M) + (1 - beta) KL(Q || M) with P the teacher, Q the student and M = beta P + (1 - beta) Q. At its
    ends, where that is 0, what it tends to over beta or 1 - beta: KL(P || Q) at 0 (forward), KL(Q || P) at 1 (reverse).
    """
    if beta == 0:
        return _kl(teacher_TV, student_TV)
    if beta == 1:
        return _kl(student_TV, teacher_TV)
    mixed = torch.logaddexp(teacher_TV + math.log(beta), student_TV + math.log1p(-beta))
    return beta * _kl(teacher_TV, mixed) + (1 - beta) * _kl(student_TV, mixed)


def _kl(p_TV: Tensor, q_TV: Tensor) -> Tensor:
    """sum p (log p - log q); a token that p never gives adds nothing."""
    return torch.where(p_TV == -math.inf, 0.0, p_TV.exp() * (p_TV - q_TV)).sum(-1)


def linear_divergence_reference(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], beta: float, temperature: float = 1.0
) -> Tensor:
    """Float32 [T] of (hidden states [T, D], head [V, D]) of the student and of (states [T, E], head [V, E]) of the
    teacher, both softmaxes at `temperature`."""
    student_TV, teacher_TV = (
        (F.linear(hidden, head).float() / temperature).log_softmax(-1) for hidden, head in (student, teacher)
    )
    return divergence(teacher_TV, student_TV, beta)


def linear_divergence(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], beta: float, temperature: float = 1.0
) -> Tensor:
    """The same a block of rows at a time, whose logits are computed again in the backward pass. Gradients reach the
    student's states and head."""
    (hidden_TD, head), (theirs_TE, their_head) = student, teacher
    found = [
        checkpoint(_block, hidden, head, theirs.detach(), their_head.detach(), beta, temperature, use_reentrant=False)
        for hidden, theirs in zip(hidden_TD.split(CHUNK), theirs_TE.split(CHUNK), strict=True)
    ]
    return torch.cat(found) if found else hidden_TD.new_zeros(0, dtype=torch.float32)


def _block(hidden: Tensor, head: Tensor, theirs: Tensor, their_head: Tensor, beta: float, temperature: float) -> Tensor:
    return linear_divergence_reference((hidden, head), (theirs, their_head), beta, temperature)
