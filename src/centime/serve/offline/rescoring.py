"""What the training forward pass says of an answer that the engine drew, in the very shapes that training can have it.

Sampling and training order the same sums differently: the engine absorbs W_UK into queries and reads a cache, training
expands keys and values (model/attention.py), so that float32 log-probabilities differ by some 1e-7 to 1e-5. An update
that compares the two would correct for rounding. So deterministic roll-outs are told as training computes them: each
answer alone, with its gradients' own operations, padded to a whole number of POSITIONS. A trainer whose micro-batch is
that one row, so padded, gets the same bits by construction. In other shapes or company a row gets them where the matrix
library treats it alike, which none promises: `centime train` lets each update tell its own (tune/stage/steps.py).

Letters of shapes: S tokens read, D the model's width, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from centime.ops.linear_logprob import linear_logprob

if TYPE_CHECKING:
    from centime.model import Transformer

POSITIONS = 64  # rows are padded to a multiple of so many: few shapes, none of them one where libraries turn to GEMV


class Mismatch(NamedTuple):
    """How far the probabilities that tokens were drawn with are from those of the training forward pass.

    largest: of the differences of log-probabilities, in nats. kl: mean of log p(drawn) - log p(training) over what was
    drawn, an estimate of the divergence of the two a token.
    """

    tokens: int
    largest: float
    kl: float

    @staticmethod
    def of(drawn: Sequence[float], training: Sequence[float]) -> Mismatch:
        """Of as many log-probabilities of the same tokens."""
        apart = [a - b for a, b in zip(drawn, training, strict=True)]
        return Mismatch(len(apart), max(map(abs, apart), default=0.0), sum(apart) / max(1, len(apart)))


def padded_row(tokens: Sequence[int]) -> torch.Tensor:
    """A prompt and its answer as training's row int64 [1, S + 1]: S, a multiple of POSITIONS, has all but the last."""
    read = -(-(len(tokens) - 1) // POSITIONS) * POSITIONS
    return torch.tensor([[*tokens, *[0] * (read + 1 - len(tokens))]])


def training_logprobs(
    model: Transformer, prompt: Sequence[int], answer: Sequence[int], vocabulary: int, temperature: float = 1.0
) -> list[float]:
    """Natural log-probabilities of the answer's tokens by the training forward pass, its logits over `temperature`.

    vocabulary: ids that stand for something. Rows of the head beyond them are never drawn, and no part of the softmax
    that reinforcement learns by (tune/objective.py).
    """
    row = padded_row([*prompt, *answer]).to(model.head_weight.device)
    answered = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
    with torch.enable_grad():  # without gradients the same products are computed in another order
        hidden_SD = model.features(row[:, :-1]).hidden[0]
        head_VD = model.head_weight[:vocabulary]
        found, _ = linear_logprob(hidden_SD[answered], head_VD, row[0, 1:][answered], temperature)
    logprobs: list[float] = found.tolist()
    return logprobs
