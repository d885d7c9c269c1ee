"""Steps that are replayed give what steps that are computed give, and what cannot be recorded is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from tests.model.tiny import build
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.serve.engine.decode_graphs import SIZES, GraphedModelRunner
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.kv_cache.paged_cache import Pages, TokenSpan

CONFIG = ModelConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, n_routed_experts=4)


class Recorded:
    """Stands for a GPU's recorder: counts what is recorded, and repeats it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.count += 1
        compute()  # as a recorder runs it once before
        return lambda: compute().clone()


@pytest.fixture(scope="module")
def model() -> Transformer:
    return build(CONFIG)


def both(model: Transformer, record: Callable[..., Callable[[], Tensor]]) -> tuple[ModelRunner, GraphedModelRunner]:
    pages = [Pages(model.config, 12, 4, torch.float32, drafts=False) for _ in range(2)]
    for each in pages:
        each.stored.zero_()
    return ModelRunner(model, pages[0], 61), GraphedModelRunner(model, pages[1], 61, record)


def play(runner: ModelRunner, steps: Sequence[tuple[list[TokenSpan], list[int]]]) -> list[Tensor]:
    return [runner.hidden(spans, tokens) for spans, tokens in steps]


def test_a_replayed_step_is_the_computed_one(model: Transformer) -> None:
    first, second, third = [1], [2, 3, 4], [5, 6, 7]
    steps = [
        ([TokenSpan(second, 0, 9)], list(range(9))),  # a prompt: computed
        ([TokenSpan(third, 0, 6)], list(range(20, 26))),
        ([TokenSpan(second, 9, 1)], [7]),  # alone
        ([TokenSpan(first, 0, 1), TokenSpan(second, 10, 1), TokenSpan(third, 6, 1)], [1, 2, 3]),  # filled up to four
        ([TokenSpan(first, 1, 1), TokenSpan(second, 11, 1), TokenSpan(third, 7, 1)], [4, 5, 6]),  # the same recording
        ([TokenSpan(first, 2, 1), TokenSpan(third, 8, 2)], [7, 8, 9]),  # one with two tokens: computed
    ]
    recorder = Recorded()
    plain, graphed = both(model, recorder)
    for expected, found in zip(play(plain, steps), play(graphed, steps), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(graphed.pages.stored[:, 4:], plain.pages.stored[:, 4:], rtol=1e-4, atol=1e-5)
    assert recorder.count == 2


def test_what_cannot_be_recorded_is_computed_and_said_once(
    model: Transformer, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    plain, graphed = both(model, refuses)
    steps = [([TokenSpan([1], place, 1)], [place + 5]) for place in range(3)]
    for expected, found in zip(play(plain, steps), play(graphed, steps), strict=True):
        torch.testing.assert_close(found, expected)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "slower: operation not permitted when stream is capturing" in said


def test_more_requests_than_the_largest_step_are_computed(model: Transformer) -> None:
    recorder = Recorded()
    pages = Pages(model.config, SIZES[-1] + 2, 1, torch.float32, drafts=False)
    pages.stored.zero_()
    runner = GraphedModelRunner(model, pages, 61, recorder)
    spans = [TokenSpan([1 + row], 0, 1) for row in range(SIZES[-1] + 1)]
    assert runner.hidden(spans, [1] * len(spans)).shape == (len(spans), 32)
    assert recorder.count == 0
