"""What top-k, top-p and min-p keep, found among the likeliest few, is what an order of the whole vocabulary keeps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.serve.engine.draws import sampler
from centime.serve.engine.draws.sampler import Draw, drawn_log_probabilities, uniform
from centime.serve.engine.request import SamplingParams

FEW = sampler.FEW[0]
CUTS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([1.0, 0.3, 2.0]),
        "top_p": st.sampled_from([1.0, 0.1, 0.5, 0.95, 0.9999]),
        "top_k": st.sampled_from([0, 1, 50, FEW - 1, FEW, FEW + 1, 400]),
        "min_p": st.sampled_from([0.0, 0.05, 0.9, 1.0]),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([FEW, 2 * FEW, 2 * FEW + 1, 5 * FEW, 2 * sampler.FEW[1] + 1]),
    st.sampled_from([0.0, 0.1, 1.0, 6.0]),
    st.sampled_from([None, 0, 1]),
    st.lists(CUTS, min_size=1, max_size=4),
)
def test_the_few_likeliest_tell_what_an_order_of_all_would(
    seed: int, size: int, width: float, decimals: int | None, cuts: list[dict[str, float]]
) -> None:
    """Among many equals, of which some are cut and some kept, and where next to nothing may be drawn at all."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(len(cuts), size, generator=generator) * width
    if decimals is not None:  # then many are equal
        scores = scores.round(decimals=decimals)
    scores[0, 3:] = float("-inf") if seed % 3 == 0 else scores[0, 3:]
    draws = [Draw(SamplingParams(**one), seed % 2**60, number) for number, one in enumerate(cuts)]  # type: ignore[arg-type]
    found = sampler.sample(scores, draws).tolist()
    logprobs = drawn_log_probabilities(scores, found, draws)
    for row, one in enumerate(draws):
        ids, likely = in_order(scores[row], one.params)
        point = uniform(one.seed, one.number) * math.fsum(likely)
        if not one.params.cuts:
            continue
        place = ids.index(found[row])  # what is cut is not drawn
        assert math.fsum(likely[:place]) - 1e-12 <= point <= math.fsum(likely[: place + 1]) + 1e-12
        assert logprobs[row] == pytest.approx(math.log(likely[place] / math.fsum(likely)), abs=1e-4)


def in_order(scores_V: torch.Tensor, params: SamplingParams) -> tuple[list[int], list[float]]:
    """What the cuts keep by their definitions, likeliest first, the lowest id among equals; and its probabilities."""
    probabilities = (scores_V.double() / params.temperature).softmax(-1).tolist()
    ids = sorted(range(len(probabilities)), key=lambda token: (-float(scores_V[token]), token))
    kept, reached = list[int](), 0.0
    for token in ids[: params.top_k or None]:
        if (params.top_p < 1 and reached >= params.top_p) or probabilities[token] < params.min_p * max(probabilities):
            break
        kept.append(token)
        reached += probabilities[token]
    return kept, [probabilities[token] for token in kept]
