"""Log-probabilities of a prompt are those of the model's own forward pass, whatever cache, step and company."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.engine.request import Piece, PromptLogprobs, TokenLogprob
from centime.serve.engine.scheduler import SCORED_TOKENS


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "drafts"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    made = Transformer(
        small_config(tokenizer.vocab_size + 7, 256).model_copy(update={"num_nextn_predict_layers": request.param})
    )
    made.init_weights(1)
    return made.eval()


def reported(request: Asked) -> list[TokenLogprob]:
    kinds = [type(event) for event in request.events]
    if Piece in kinds:
        assert PromptLogprobs not in kinds[kinds.index(Piece) :], "the prompt's come first"
    return [one for event in request.events if isinstance(event, PromptLogprobs) for one in event.logprobs]


@torch.inference_mode()
def exact(model: Transformer, tokenizer: Tokenizer, prompt: list[int]) -> torch.Tensor:
    """[S - 1, V] of the tokens that follow."""
    logits: torch.Tensor = model(torch.tensor([prompt]))[0, :-1, : tokenizer.vocab_size]
    return logits.log_softmax(-1)


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_they_are_the_forward_passs(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    served = engine(
        model,
        tokenizer,
        blocks=data.draw(st.sampled_from([40, 200])),
        step_tokens=data.draw(st.sampled_from([1, 7, 64])),
        max_running=data.draw(st.sampled_from([1, 8])),
        deterministic=data.draw(st.booleans()),
    )
    common = [draw.randrange(tokenizer.vocab_size) for _ in range(40)]
    asked = []
    for number in range(4):
        prompt = common[: draw.randrange(1, 40)] + [draw.randrange(tokenizer.vocab_size) for _ in range(number)]
        best = draw.choice([0, 3, 20])
        asked.append(Asked(prompt, max_tokens=draw.choice([0, 1, 4]), prompt_logprobs=best, logprobs=2))
    run(served, *asked[:2])  # whose prefixes the others would find
    run(served, *asked[2:], Asked(common, max_tokens=20))
    for request in asked:
        wanted = exact(model, tokenizer, list(request.prompt))
        found = reported(request)
        assert [one.token for one in found] == list(request.prompt[1:])
        own = torch.tensor([one.logprob for one in found])
        torch.testing.assert_close(own, wanted[range(len(found)), request.prompt[1:]], atol=2e-5, rtol=1e-4)
        for one, row in zip(found, wanted, strict=True):
            assert len(one.best) == request.params.prompt_logprobs
            for token, logprob in one.best:
                assert logprob == pytest.approx(float(row[token]), abs=2e-5)
        assert len(request.tokens) == request.params.max_tokens
        assert request.end.reason == "length"
        assert request.end.usage.prompt_tokens == len(request.prompt)


def test_a_prompt_alone_is_read_and_kept(model: Transformer, tokenizer: Tokenizer) -> None:
    """max_tokens 0: no token is drawn; the prefix is there for the next request."""
    served = engine(model, tokenizer)
    read, after = Asked(range(3, 25), max_tokens=0), Asked(range(3, 25), max_tokens=4)
    run(served, read)
    assert (read.end.reason, read.text, read.tokens) == ("length", "", [])
    run(served, after)
    assert after.end.usage.hit_tokens >= 20
    assert after.tokens == brute_force(model, list(range(3, 25)), 4)


def test_preemption_tells_nothing_twice(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, blocks=14, step_tokens=5 * SCORED_TOKENS)
    asked = [Asked([3, *range(5 + n, 25 + n)], max_tokens=12, prompt_logprobs=0) for n in range(3)]
    run(served, *asked)
    assert served.stats().preemptions > 0
    for request in asked:
        assert [one.token for one in reported(request)] == list(request.prompt[1:])


def test_the_end_token_is_reported_to_whoever_scores(model: Transformer, tokenizer: Tokenizer) -> None:
    """Scorers count from the end: a draw that ended the answer has its entry, though it is no token of the answer."""
    served = engine(model, tokenizer)
    ending: dict[str, object] = {"logit_bias": {tokenizer.eos_id: 100.0}, "ignore_eos": False, "logprobs": 1}
    scored, plain = Asked([1, 2, 3], prompt_logprobs=0, **ending), Asked([1, 2, 3], **ending)
    run(served, scored, plain)
    told = [[one for e in asked.events if isinstance(e, Piece) for one in e.logprobs] for asked in (scored, plain)]
    assert [[one.token for one in ones] for ones in told] == [[tokenizer.eos_id], []]
    for asked in (scored, plain):
        assert (asked.tokens, asked.end.reason, asked.end.usage.output_tokens) == ([], "end", 0)


def test_a_step_scores_few_of_a_prompts_tokens(model: Transformer, tokenizer: Tokenizer) -> None:
    """Each needs the logits of the whole vocabulary, and everybody else's next token waits for them."""
    prompt = [token % tokenizer.vocab_size for token in range(200)]
    sizes: list[int] = []
    for best in (None, 5):
        served = engine(model, tokenizer, blocks=200, step_tokens=64)
        served.submit(Asked(prompt, max_tokens=1, prompt_logprobs=best))
        served.step()
        sizes += [generation.computed for generation in served.scheduler.running]
    assert sizes == [64, 64 // SCORED_TOKENS]


def test_what_stands_before_the_first_that_is_asked_for_may_be_cached(model: Transformer, tokenizer: Tokenizer) -> None:
    """As a question with several answers is scored: the question is read once."""
    served, question = engine(model, tokenizer), list(range(3, 25))
    for number, answer in enumerate(([30, 31, 32], [30, 40], [5])):
        prompt = question + answer
        asked = Asked(prompt, max_tokens=0, prompt_logprobs=1, score_from=len(question))
        run(served, asked)
        wanted = exact(model, tokenizer, prompt)
        found = reported(asked)
        assert [one.token for one in found] == answer
        for place, one in enumerate(found, len(question) - 1):
            assert one.logprob == pytest.approx(float(wanted[place, prompt[place + 1]]), abs=2e-5)
        assert asked.end.usage.hit_tokens == (len(question) - 1 if number else 0)


def test_nothing_is_told_of_a_prompt_that_ends_before(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer)
    asked = Asked([1, 2, 3], max_tokens=2, prompt_logprobs=0, score_from=3)
    run(served, asked)
    assert reported(asked) == []
    assert asked.tokens == brute_force(model, [1, 2, 3], 2)
