"""From logits to tokens, many requests at once: temperature, cuts, one draw each, and log-probabilities of both.

What a request adds to its own logits beforehand is in logits_processor.py. A draw is a pure function of the request's
seed and the token's number in the answer, so that it depends neither on the batch nor on whether the position was
reached by a draft, and survives preemption.

Letters of shapes: R rows, V the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.serve.engine.request import SamplingParams, TokenLogprob

PIECE = 64  # ids whose probabilities are added up first
FEW = (256, 4096)  # of the likeliest, which are looked at before a whole vocabulary is put in order


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


@dataclass(slots=True)
class _Cut:
    """What the cuts leave of some rows, likeliest first: their N likeliest at least as far as anything is kept."""

    rows: Tensor  # which they are [C]
    ids: Tensor  # [C, N], the lowest first among equals
    cumulative: Tensor  # their probabilities added up [C, N]
    kept: Tensor  # how many of them are drawn from [C]


def _draw_kept(scores_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """One token a row by inverse transform over the tokens that top-k, top-p and min-p keep, likeliest first."""
    chosen_R = torch.empty(len(draws), dtype=torch.int64)
    for cut in _cuts(scores_RV, draws):
        mass = cut.cumulative.gather(1, cut.kept[:, None] - 1)
        points = _points([draws[row] for row in cut.rows.tolist()], mass)
        place = torch.searchsorted(cut.cumulative, points, right=True)[:, 0]
        chosen_R[cut.rows] = cut.ids.gather(1, torch.minimum(place, cut.kept - 1)[:, None])[:, 0]
    return chosen_R


def _cuts(scores_RV: Tensor, draws: Sequence[Draw]) -> Iterator[_Cut]:
    """What the cuts leave of every row: by its FEW likeliest where they tell, else with all of it put in order.

    Either way has the same bits: probabilities are those of the whole row, and are added up likeliest first.
    """
    likely_RV, V = _warmed(scores_RV, draws).softmax(-1), scores_RV.shape[1]
    left_C, left_CV = torch.arange(len(draws)), scores_RV  # rows that are not told yet
    for few in (few for few in FEW if 2 * few < V):
        values, ids = left_CV.topk(few, sorted=False)
        ids, by_id = ids.sort()
        values, by_value = values.gather(1, by_id).sort(descending=True, stable=True)
        cut = _cut(left_C, ids.gather(1, by_value), likely_RV, draws)
        # of those equal to the last there may be more, of which the lowest ids come first
        told_C = cut.kept <= (values > values[:, -1:]).sum(-1)
        yield _Cut(left_C[told_C], cut.ids[told_C], cut.cumulative[told_C], cut.kept[told_C])
        if bool(told_C.all()):
            return
        left_C, left_CV = left_C[~told_C], left_CV[~told_C]
    yield _cut(left_C, left_CV.sort(dim=-1, descending=True, stable=True).indices, likely_RV, draws)


def _cut(rows_C: Tensor, ids_CN: Tensor, likely_RV: Tensor, draws: Sequence[Draw]) -> _Cut:
    """The cuts on some rows, of which the likeliest ids are known: what is kept seems to end where they do."""
    likely_CN = likely_RV[rows_C[:, None], ids_CN]
    cumulative_CN = likely_CN.cumsum(-1)
    V, params = likely_RV.shape[1], [draws[row].params for row in rows_C.tolist()]
    top_p = torch.tensor([one.top_p if one.top_p < 1 else 2.0 for one in params], dtype=torch.float64)
    top_k = torch.tensor([one.top_k or V for one in params])
    min_p = torch.tensor([one.min_p for one in params], dtype=torch.float64)
    kept_p = (cumulative_CN < top_p[:, None]).sum(-1) + 1  # the smallest set that reaches top_p
    kept_m = ((likely_CN >= min_p[:, None] * likely_CN[:, :1]) & (likely_CN > 0)).sum(-1)
    kept = torch.minimum(torch.minimum(kept_p, kept_m), top_k).clamp(1, ids_CN.shape[1])
    return _Cut(rows_C, ids_CN, cumulative_CN, kept)


def drawn_log_probabilities(scores_RV: Tensor, tokens: Sequence[int], draws: Sequence[Draw]) -> list[float]:
    """Natural log-probability of each row's token under what it was drawn from: 0 where the choice was greedy."""
    found = [0.0] * len(draws)
    rows = [row for row, draw in enumerate(draws) if draw.params.temperature > 0]
    if not rows:
        return found
    chosen = [draws[row] for row in rows]
    warm_RV = _warmed(scores_RV[rows], chosen).float()
    places = [place for place, draw in enumerate(chosen) if draw.params.cuts]
    if places:
        inside = torch.zeros(len(places), scores_RV.shape[1], dtype=torch.bool)
        for cut in _cuts(scores_RV[[rows[place] for place in places]], [chosen[place] for place in places]):
            inside[cut.rows[:, None], cut.ids] = torch.arange(cut.ids.shape[1]) < cut.kept[:, None]
        warm_RV[places] = warm_RV[places].masked_fill(~inside, float("-inf"))
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
