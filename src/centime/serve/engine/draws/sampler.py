"""From logits to tokens, many requests at once: temperature, cuts, one draw each, and log-probabilities of both.

What a request adds to its own logits beforehand is in logits_processor.py. A draw is a pure function of the request's
seed and the token's number in the answer, so that it depends neither on the batch nor on whether the position was
reached by a draft, and survives preemption.

Letters of shapes: R rows, V the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.serve.engine.request import SamplingParams, TokenLogprob

PIECE = 64  # ids whose probabilities are added up first


@dataclass(slots=True)
class Draw:
    """One row of scores to draw from: the answer's `number`-th token. `seed` is never None here."""

    params: SamplingParams
    seed: int
    number: int


def uniform(seed: int, number: int) -> float:
    """A number in [0, 1) with 53 random bits for the `number`-th token of an answer."""
    digest = hashlib.blake2b(number.to_bytes(8), key=seed.to_bytes(16, signed=True), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def sample(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Tokens int64 [R] drawn from scores float32 [R, V]. Minus infinity is never drawn; each row has a finite score."""
    ways = [_draw_best if not d.params.temperature else _draw_kept if d.params.cuts else _draw_any for d in draws]
    chosen_R = torch.empty(len(draws), dtype=torch.int64)
    for way in {*ways}:
        rows = [row for row, of_row in enumerate(ways) if of_row is way]
        if len(rows) == len(draws):
            return way(scores_RV, draws)
        chosen_R[rows] = way(scores_RV[rows], [draws[row] for row in rows])
    return chosen_R


def _draw_best(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """The likeliest token of each row, the lowest id among equals."""
    return scores_RV.argmax(-1)


def finite_rows(logits_RV: Tensor) -> Tensor:
    """Which rows have a likeliest token, bool [R]: no NaN, no plus infinity, not minus infinity alone."""
    return torch.isfinite(logits_RV.amax(-1))  # amax gives NaN where there is one


def _warmed(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Scores below their row's best, over each row's temperature, float64: 0 for the best, minus infinity at the least.

    The best is taken away first: a score over a temperature next to nothing is infinite, and has no softmax.
    """
    temperatures_R1 = torch.tensor([draw.params.temperature for draw in draws], dtype=torch.float64)[:, None]
    return (scores_RV - scores_RV.amax(-1, keepdim=True)).double() / temperatures_R1


def _points(draws: Sequence[Draw], mass: Tensor) -> Tensor:
    """Where each row's draw falls in its cumulative probabilities, whose whole is `mass` [R, 1]."""
    return torch.tensor([uniform(draw.seed, draw.number) for draw in draws], dtype=torch.float64)[:, None] * mass


def _draw_any(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """One token a row by inverse transform over the whole vocabulary in the order of ids: nothing need be sorted.

    In two steps: which piece of PIECE ids, then which of them. Only sums of pieces and the ids of one piece are added
    up in float64, not the whole vocabulary.
    """
    V = scores_RV.shape[1]
    warm_RV = scores_RV if all(draw.params.temperature == 1 for draw in draws) else _warmed(scores_RV, draws)
    likely_RV = warm_RV.float().softmax(-1)
    whole = V - V % PIECE
    sums_RP = likely_RV[:, :whole].unflatten(1, (-1, PIECE)).sum(-1) if whole else likely_RV[:, :0]
    if whole < V:
        sums_RP = torch.cat((sums_RP, likely_RV[:, whole:].sum(-1, keepdim=True)), 1)
    until_RP = sums_RP.double().cumsum(-1)
    point_R1 = _points(draws, until_RP[:, -1:])
    piece_R1 = _first_above(until_RP, point_R1)
    before_R1 = until_RP.gather(1, piece_R1) - sums_RP.double().gather(1, piece_R1)
    ids_RI = piece_R1 * PIECE + torch.arange(PIECE)
    within_RI = likely_RV.gather(1, ids_RI.clamp(max=V - 1)).double().masked_fill_(ids_RI >= V, 0).cumsum(-1)
    return ids_RI.gather(1, _first_above(within_RI, (point_R1 - before_R1).clamp(min=0)))[:, 0]


def _first_above(cumulative_RN: Tensor, point_R1: Tensor) -> Tensor:
    """The first place of each row whose sum is above its point, which has something of its own; int64 [R, 1].

    By rounding a point may lie at the very end: then the last place that has something.
    """
    place_R1 = torch.searchsorted(cumulative_RN, point_R1, right=True)
    last_R1 = torch.searchsorted(cumulative_RN, cumulative_RN[:, -1:].contiguous(), right=False)
    return torch.minimum(place_R1, last_R1)


def _draw_kept(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """One token a row by inverse transform over the tokens that top-k, top-p and min-p keep, likeliest first."""
    ids, cumulative, kept = _kept(scores_RV, draws)
    mass = cumulative.gather(1, kept[:, None] - 1)
    place = torch.searchsorted(cumulative, _points(draws, mass), right=True)[:, 0].clamp(max=ids.shape[1] - 1)
    return ids.gather(1, torch.minimum(place, kept - 1)[:, None])[:, 0]


def _kept(scores_RV: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids by likelihood [R, V], their cumulative probabilities [R, V], and how many the cuts keep of each row [R]."""
    ordered, ids = scores_RV.sort(dim=-1, descending=True, stable=True)
    probabilities = _warmed(ordered, draws).softmax(-1)
    cumulative = probabilities.cumsum(-1)
    V = scores_RV.shape[1]
    top_p = torch.tensor([draw.params.top_p if draw.params.top_p < 1 else 2.0 for draw in draws], dtype=torch.float64)
    top_k = torch.tensor([draw.params.top_k or V for draw in draws])
    min_p = torch.tensor([draw.params.min_p for draw in draws], dtype=torch.float64)
    kept_p = (cumulative < top_p[:, None]).sum(-1) + 1  # the smallest set that reaches top_p
    kept_m = (probabilities >= min_p[:, None] * probabilities[:, :1]).sum(-1)
    return ids, cumulative, torch.minimum(torch.minimum(kept_p, kept_m), top_k).clamp(1, V)


def drawn_log_probabilities(scores_RV: Tensor, tokens: Sequence[int], draws: Sequence[Draw]) -> list[float]:
    """Natural log-probability of each row's token under what it was drawn from: 0 where the choice was greedy."""
    found = [0.0] * len(draws)
    rows = [row for row, draw in enumerate(draws) if draw.params.temperature > 0]
    if not rows:
        return found
    chosen = [draws[row] for row in rows]
    warm_RV = _warmed(scores_RV[rows], chosen).float()
    cut = [place for place, draw in enumerate(chosen) if draw.params.cuts]
    if cut:
        ids, _, kept = _kept(scores_RV[[rows[place] for place in cut]], [chosen[place] for place in cut])
        outside = torch.arange(ids.shape[1]) >= kept[:, None]
        warm_RV[cut] = warm_RV[cut].masked_fill(torch.zeros_like(outside).scatter_(1, ids, outside), float("-inf"))
    own = warm_RV.log_softmax(-1).gather(1, torch.tensor([tokens[row] for row in rows])[:, None])[:, 0]
    for row, logprob in zip(rows, own.tolist(), strict=True):
        found[row] = logprob
    return found


def log_probabilities(logits_RV: Tensor, tokens: Sequence[int], best: int) -> list[TokenLogprob]:
    """The model's own of the token of each row (before penalties and temperature), and of the `best` likeliest ones."""
    if not tokens:
        return []
    found_RV = logits_RV.float().log_softmax(-1)
    chosen = found_RV.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
    values, ids = found_RV.topk(min(best, found_RV.shape[1]))
    return [
        TokenLogprob(token, logprob, tuple(zip(row_ids, row_values, strict=True)))
        for token, logprob, row_ids, row_values in zip(tokens, chosen, ids.tolist(), values.tolist(), strict=True)
    ]
