"""Draws follow the distribution that the parameters ask for; penalties, cuts, biases and masks do what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.errors import UserError
from centime.serve.engine.draws import sampler
from centime.serve.engine.draws.logits_processor import LogitsProcessor
from centime.serve.engine.draws.sampler import (
    Draw,
    drawn_log_probabilities,
    finite_rows,
    log_probabilities,
    uniform,
)
from centime.serve.engine.request import MAX_BIASES, MAX_STOP_CHARACTERS, MAX_STOPS, SamplingParams

V = 12
LOGITS = torch.linspace(-2, 2, V)


@dataclass(frozen=True)
class Row:
    """What one row is drawn by: the draw, and what the request adds to its logits."""

    draw: Draw
    logits_processor: LogitsProcessor


def draw(
    seed: int = 0, prompt: tuple[int, ...] = (), output: tuple[int, ...] = (), size: int = V, **params: object
) -> Row:
    chosen = SamplingParams(**params)  # type: ignore[arg-type]
    logits_processor = LogitsProcessor(chosen, prompt, size)
    for token in output:
        logits_processor.add(token)
    return Row(Draw(chosen, seed, len(output)), logits_processor)


def sample(logits_RV: torch.Tensor, rows: list[Row]) -> torch.Tensor:
    """As a step does it: what each request adds, then the draws together."""
    scores_RV = logits_RV.clone()
    for scores_V, row in zip(scores_RV, rows, strict=True):
        row.logits_processor.apply(scores_V)
    return sampler.sample(scores_RV, [row.draw for row in rows])


def frequencies(times: int, **params: object) -> torch.Tensor:
    """How often each token comes up under as many seeds."""
    draws = [draw(seed, **params) for seed in range(times)]
    return torch.bincount(sample(LOGITS.expand(times, -1), draws), minlength=V) / times


def close(found: torch.Tensor, expected: torch.Tensor, times: int) -> bool:
    """Within five standard deviations of a binomial, for every token."""
    spread = (expected * (1 - expected) / times).sqrt()
    return bool(((found - expected).abs() <= 5 * spread + 1e-12).all())


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({}, range(V)),
        ({"top_k": 3}, range(9, V)),
        ({"top_p": 0.5}, [10, 11]),  # 0.31 and 0.21 reach a half together
        ({"min_p": 0.3}, range(8, V)),  # e^(-0.36 n) against 0.3
        ({"top_k": 5, "top_p": 0.6, "min_p": 0.6}, [10, 11]),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_cut_distribution(params: dict[str, float], kept: list[int], temperature: float) -> None:
    times = 4000
    exact = (LOGITS.double() / temperature).softmax(-1)
    if temperature == 1.0:
        cut = torch.zeros(V, dtype=torch.float64)
        cut[list(kept)] = exact[list(kept)]
    else:  # the cuts act on the sharpened distribution
        order = exact.sort(descending=True)
        keep = torch.ones(V, dtype=torch.bool)
        if "top_k" in params:
            keep &= torch.arange(V) < params["top_k"]
        if "top_p" in params:
            keep &= order.values.cumsum(0) - order.values < params["top_p"]
        if "min_p" in params:
            keep &= order.values >= params["min_p"] * order.values[0]
        cut = torch.zeros(V, dtype=torch.float64).scatter(0, order.indices[keep], order.values[keep])
    assert close(frequencies(times, temperature=temperature, **params).double(), cut / cut.sum(), times)


def test_greedy_takes_the_best_and_the_lowest_of_equals() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0]])
    assert sample(logits, [draw(temperature=0)]).tolist() == [1]


def test_penalties_are_those_of_the_papers() -> None:
    """frequency and presence count the answer, repetition the prompt too; greedy shows what is left on top."""
    logits = torch.tensor([[2.0, 1.9, 1.0, -1.0]])
    assert sample(logits, [draw(size=4, output=(0,), temperature=0, presence_penalty=0.2)]).tolist() == [1]
    assert sample(logits, [draw(size=4, output=(0, 0), temperature=0, frequency_penalty=0.04)]).tolist() == [0]
    assert sample(logits, [draw(size=4, output=(0, 0, 0), temperature=0, frequency_penalty=0.04)]).tolist() == [1]
    assert sample(
        logits, [draw(size=4, prompt=(0,), temperature=0, presence_penalty=2, frequency_penalty=2)]
    ).tolist() == [0]
    assert sample(logits, [draw(size=4, prompt=(0,), output=(1,), temperature=0, repetition_penalty=2.0)]).tolist() == [
        0
    ]
    assert sample(logits, [draw(size=4, prompt=(0, 1), temperature=0, repetition_penalty=2.1)]).tolist() == [2]
    low = torch.tensor([[-1.0, -1.1]])
    assert sample(low, [draw(size=2, prompt=(0,), temperature=0, repetition_penalty=1.2)]).tolist() == [1]


def test_a_bias_forces_and_what_is_forbidden_is_not_drawn() -> None:
    bias = draw(temperature=1.0, logit_bias={3: 100.0, 10**6: 1.0})
    assert sample(LOGITS[None], [bias]).tolist() == [3]
    only = torch.full((1, V), -math.inf)
    only[0, 5] = 0.0
    assert sample(only, [draw(temperature=1.0)]).tolist() == [5]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_adjustments_are_those_of_the_formula(data: st.DataObject) -> None:
    """Kept up token by token, guesses beside: the same as computing all of it anew from prompt and answer."""
    tokens = st.lists(st.integers(0, V - 1), max_size=12)
    prompt, output, guesses = data.draw(tokens), data.draw(tokens), data.draw(tokens)
    repetition = data.draw(st.sampled_from([1.0, 0.5, 1.7]))
    frequency, presence = data.draw(st.sampled_from([0.0, -2.0, 0.3])), data.draw(st.sampled_from([0.0, 1.1]))
    bias = data.draw(st.dictionaries(st.integers(0, V - 1), st.sampled_from([-100.0, 2.5]), max_size=3))
    row = draw(
        0, tuple(prompt), tuple(output), repetition_penalty=repetition, frequency_penalty=frequency,
        presence_penalty=presence, logit_bias=bias,
    )  # fmt: skip

    def exact(answer: list[int]) -> torch.Tensor:
        scores = LOGITS.clone()
        for token in range(V):
            if token in prompt + answer:
                scores[token] = scores[token] / repetition if scores[token] > 0 else scores[token] * repetition
            scores[token] -= frequency * answer.count(token) + presence * (token in answer)
            scores[token] += bias.get(token, 0.0)
        return scores

    for answer, beside in ((output + guesses, guesses), (output, [])):
        scores = LOGITS.clone()
        with row.logits_processor.beside(beside):
            row.logits_processor.apply(scores)
        torch.testing.assert_close(scores, exact(answer))


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**64), st.integers(0, 10**6))
def test_a_draw_is_a_function_of_seed_and_place(seed: int, number: int) -> None:
    assert 0 <= uniform(seed, number) < 1
    assert uniform(seed, number) == uniform(seed, number) != uniform(seed, number + 1)


def test_a_rows_draw_does_not_depend_on_the_other_rows() -> None:
    rows = torch.randn(6, V)
    draws = [draw(n, temperature=0.3 * n, top_p=1 - 0.1 * n, output=(n,), presence_penalty=0.1 * n) for n in range(6)]
    together = sample(rows, draws).tolist()
    assert together == [int(sample(rows[n : n + 1], [draws[n]])) for n in range(6)]


def test_reported_logprobs_are_the_models_own() -> None:
    [found] = log_probabilities(LOGITS[None], [2], 3)
    exact = LOGITS.double().log_softmax(-1)
    assert math.isclose(found.logprob, float(exact[2]), rel_tol=1e-6)
    assert [token for token, _ in found.best] == [11, 10, 9]
    assert found.best[0][1] == pytest.approx(float(exact[11]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parameters_at_their_edges_draw_tokens(data: st.DataObject) -> None:
    """Whatever is allowed, next to nothing and the largest: a token of the vocabulary, the same alone and together."""

    def any_of(low: float, high: float) -> float:
        edges = st.sampled_from([low, high, 1e-310, 1e-30, 1.0])
        return data.draw(edges.filter(lambda x: low <= x <= high) | st.floats(low, high))

    rows = [
        draw(
            data.draw(st.integers(-(2**63), 2**64)),
            (1, 2, 3),
            tuple(data.draw(st.lists(st.integers(0, V - 1), max_size=5))),
            temperature=any_of(0, 2),
            top_p=any_of(5e-324, 1),
            min_p=any_of(0, 1),
            top_k=data.draw(st.sampled_from([0, 1, 2**31])),
            repetition_penalty=any_of(5e-324, 10),
            frequency_penalty=any_of(-2, 2),
            presence_penalty=any_of(-2, 2),
            logit_bias={0: any_of(-100, 100)},
        )
        for _ in range(3)
    ]
    logits = torch.randn(3, V) * any_of(1e-3, 1e4)
    found = sample(logits, rows)
    assert 0 <= int(found.min()) <= int(found.max()) < V
    assert found.tolist() == [int(sample(logits[n : n + 1], [rows[n]])) for n in range(3)]


@pytest.mark.parametrize("params", [{}, {"top_k": 5}, {"min_p": 0.1}], ids=["whole", "cut", "floor"])
@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-40, 1e-20])
def test_next_to_no_temperature_draws_the_best(temperature: float, params: dict[str, float]) -> None:
    """A score over it is infinite in float32, and in float64: the best is drawn all the same, and with certainty."""
    rows = [draw(0, temperature=temperature, **params), draw(1, temperature=1)]
    logits = torch.stack((LOGITS * 1e26, LOGITS))
    best = int(LOGITS.argmax())
    assert int(sample(logits, rows)[0]) == best
    assert drawn_log_probabilities(logits, [best, best], [row.draw for row in rows])[0] == 0


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_rows_without_a_likeliest_token_are_told_apart(broken: float) -> None:
    rows = LOGITS.expand(3, -1).clone()
    rows[1, 4] = broken
    rows[2] = -math.inf
    assert finite_rows(rows).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("top_p", 0.0),
        ("min_p", 1.5),
        ("max_tokens", -1),
        ("prompt_logprobs", 21),
        ("logprobs", 21),
    ],
)
def test_parameters_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        SamplingParams(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "most", "more"),
    [
        ("logit_bias", dict.fromkeys(range(MAX_BIASES), 100), dict.fromkeys(range(MAX_BIASES + 1), 0)),
        ("logit_bias", {0: -100}, {0: -100.5}),
        ("stop", ("x",) * MAX_STOPS, ("x",) * (MAX_STOPS + 1)),
        ("stop", ("x" * MAX_STOP_CHARACTERS,), ("x" * (MAX_STOP_CHARACTERS + 1),)),
        ("stop", ("x",), ("",)),
    ],
)
def test_as_much_as_may_be_is_taken_and_one_more_is_named(name: str, most: object, more: object) -> None:
    SamplingParams(**{name: most})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"^{name} "):
        SamplingParams(**{name: more})  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.sampled_from([1.0, 0.3]))
def test_a_draw_is_where_the_sum_of_probabilities_passes_its_number(seed: int, size: int, temperature: float) -> None:
    """Whatever the size of the vocabulary, and tokens without any probability are never drawn."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(6, size, generator=generator) * 4
    banned = torch.rand(6, size, generator=generator) < 0.5
    banned[:, int(torch.randint(size, (1,), generator=generator))] = False
    scores = scores.masked_fill(banned, float("-inf"))
    draws = [Draw(SamplingParams(temperature=temperature), seed % 2**60, number) for number in range(6)]
    for row, (token, one) in enumerate(zip(sampler.sample(scores, draws).tolist(), draws, strict=True)):
        assert not banned[row, token]
        sums = (scores[row].double() / temperature).softmax(-1).cumsum(-1)
        point = uniform(one.seed, one.number)
        assert sums[token] >= point - 1e-6
        assert token == 0 or sums[token - 1] <= point + 1e-6
