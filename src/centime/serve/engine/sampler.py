"""From logits to tokens, many requests at once: penalties and masks, temperature, cuts, one draw each, logprobs.

A draw is a pure function of the request's seed and the token's number in the answer, so that it depends neither on the
batch nor on whether the position was reached by a draft, and survives preemption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.errors import UserError
from centime.serve.engine.request import SamplingParams, TokenLogprob


@dataclass(frozen=True)
class Draw:
    """One row of logits to draw from. `prompt` and `output` are the tokens before it; `seed` is never None here."""

    params: SamplingParams
    seed: int
    prompt: Sequence[int]
    output: Sequence[int]


def uniform(seed: int, number: int) -> float:
    """A number in [0, 1) with 53 random bits for the `number`-th token of an answer."""
    digest = hashlib.blake2b(number.to_bytes(8), key=seed.to_bytes(16, signed=True), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def sample(logits_RV: Tensor, draws: Sequence[Draw], allowed_RV: Tensor | None = None) -> Tensor:
    """Tokens int64 [R] drawn from logits [R, V].

    allowed: bool [R, V], tokens that a grammar admits. Raises UserError when a logit is not a number.
    """
    scores_RV = logits_RV.to("cpu", torch.float32, copy=True)
    if bool(torch.isnan(scores_RV).any()) or bool(torch.isposinf(scores_RV).any()):
        raise UserError(
            "the model's logits are not finite: the weights are damaged or overflow in this dtype; "
            "try --dtype float32, or another checkpoint."
        )
    for scores_V, draw in zip(scores_RV, draws, strict=True):
        _penalise(scores_V, draw)
    if allowed_RV is not None:
        scores_RV.masked_fill_(~allowed_RV, float("-inf"))
    chosen_R = scores_RV.argmax(-1)
    random = [row for row, draw in enumerate(draws) if draw.params.temperature > 0]
    if random:
        chosen_R[random] = _draw(scores_RV[random], [draws[row] for row in random])
    return chosen_R


def _penalise(scores_V: Tensor, draw: Draw) -> None:
    """Repetition, then frequency and presence penalties, then the bias, in place."""
    params = draw.params
    if params.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*draw.prompt, *draw.output}))
        values = scores_V[seen]
        scores_V[seen] = torch.where(values > 0, values / params.repetition_penalty, values * params.repetition_penalty)
    if draw.output and (params.frequency_penalty or params.presence_penalty):
        tokens, counts = torch.tensor(draw.output).unique(return_counts=True)
        scores_V[tokens] -= params.frequency_penalty * counts + params.presence_penalty
    for token, bias in params.logit_bias.items():
        if 0 <= token < len(scores_V):
            scores_V[token] += bias


def _draw(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """One token a row by inverse transform over the tokens that top-k, top-p and min-p keep, likeliest first."""
    temperature = torch.tensor([draw.params.temperature for draw in draws], dtype=torch.float64)
    ordered, ids = scores_RV.sort(dim=-1, descending=True, stable=True)
    probabilities = ((ordered - ordered[:, :1]).double() / temperature[:, None]).softmax(-1)
    cumulative = probabilities.cumsum(-1)
    V = scores_RV.shape[1]
    top_p = torch.tensor([draw.params.top_p if draw.params.top_p < 1 else 2.0 for draw in draws], dtype=torch.float64)
    top_k = torch.tensor([draw.params.top_k or V for draw in draws])
    min_p = torch.tensor([draw.params.min_p for draw in draws], dtype=torch.float64)
    kept_p = (cumulative < top_p[:, None]).sum(-1) + 1  # the smallest set that reaches top_p
    kept_m = (probabilities >= min_p[:, None] * probabilities[:, :1]).sum(-1)
    kept = torch.minimum(torch.minimum(kept_p, kept_m), top_k).clamp(1, V)
    mass = cumulative.gather(1, kept[:, None] - 1)
    points = torch.tensor([uniform(draw.seed, len(draw.output)) for draw in draws], dtype=torch.float64)[:, None] * mass
    place = torch.searchsorted(cumulative, points, right=True)[:, 0].clamp(max=V - 1)
    return ids.gather(1, torch.minimum(place, kept - 1)[:, None])[:, 0]


def logprobs(logits_V: Tensor, token: int, best: int) -> TokenLogprob:
    """The model's own log-probability of `token` (before penalties and temperature), and the `best` likeliest."""
    found = logits_V.float().log_softmax(-1)
    top: Iterable[tuple[int, float]] = ()
    if best:
        values, ids = found.topk(min(best, len(found)))
        top = zip(ids.tolist(), values.tolist(), strict=True)
    return TokenLogprob(token, float(found[token]), tuple(top))
