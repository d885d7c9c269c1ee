"""One prompt asked several times at once is read once; who may not share, or whose reader left, reads it himself."""

from __future__ import annotations

import pytest
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_model, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer

PROMPT = [3, *range(40, 57)]  # four blocks and a half


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "drafts"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer, positions=256, mtp=request.param)


@pytest.mark.parametrize("step_tokens", [7, 64])
def test_it_is_read_once(model: Transformer, tokenizer: Tokenizer, step_tokens: int) -> None:
    """Also where reading it takes several steps, and where the answers part at once."""
    served = engine(model, tokenizer, step_tokens=step_tokens)
    asked = [Asked(PROMPT, max_tokens=6) for _ in range(4)]
    other = Asked(PROMPT, max_tokens=6, isolation="other")
    run(served, *asked, other)
    answer = brute_force(model, PROMPT, 6)
    assert all(request.tokens == answer for request in (*asked, other))
    assert [request.end.usage.hit_tokens for request in asked] == [0, *[len(PROMPT) - 1] * 3]
    assert other.end.usage.hit_tokens == 0
    assert served.stats().blocks_used == 0


def test_whose_reader_has_left_reads_it_himself(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, step_tokens=7)
    first, second = (Asked(PROMPT, max_tokens=6) for _ in range(2))
    for request in (first, second):
        served.submit(request)
    served.step()
    served.abort(first.id)
    while served.step():
        pass
    assert first.end.reason == "aborted"
    assert second.tokens == brute_force(model, PROMPT, 6)


def test_without_a_prefix_cache_everybody_reads(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, prefix_cache=False)
    asked = [Asked(PROMPT, max_tokens=3) for _ in range(2)]
    run(served, *asked)
    assert [request.end.usage.hit_tokens for request in asked] == [0, 0]


def test_new_weights_are_read_anew_by_answers_in_progress(model: Transformer, tokenizer: Tokenizer) -> None:
    """The same weights, so that the answer tells: what was cached is gone, the answer goes on."""
    served = engine(model, tokenizer)
    going = Asked(PROMPT, max_tokens=9)
    served.submit(going)
    for _ in range(3):
        served.step()
    served.refresh()
    assert served.stats().blocks_used == 0
    while served.step():
        pass
    assert going.tokens == brute_force(model, PROMPT, 9)
    served.refresh()
    assert served.stats().blocks_cached == 0
    after = Asked(PROMPT, max_tokens=1)
    run(served, after)
    assert after.end.usage.hit_tokens == 0


def test_an_engine_with_a_thread_keeps_its_weights(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer)
    served.start()
    with pytest.raises(RuntimeError, match="stop it"):
        served.refresh()
    served.stop()
