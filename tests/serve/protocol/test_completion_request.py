"""A text completion's body: its prompts in four forms, what is refused, and what the engine is asked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.small import small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.serve.engine.request import MAX_LOGPROBS
from centime.serve.http.errors import ApiError
from centime.serve.protocol import completion_request
from centime.serve.protocol.completion_request import MAX_ANSWERS, CompletionRequest, begun, prompts_of


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def body(**given: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", **given})


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [
        (None, [""]),
        ("a", ["a"]),
        (["a", ""], ["a", ""]),
        ([0, 7], [[0, 7]]),
        ([[0], [7, 8]], [[0], [7, 8]]),
    ],
)
def test_the_four_forms_of_a_prompt(prompt: Any, taken: list[Any]) -> None:
    assert body(prompt=prompt).prompt == taken


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([], "the list is empty; give a text"),
        ([[]], "the list at 0 has no token ids"),
        ([[1], []], "the list at 1 has no token ids"),
        ([3, True], "the list has a truth value at 1, where a token id is expected"),
        ([[1], [2, "a"]], "the list at 1 has a text at 1, where"),
        ([3, -1, -2], "token ids are not negative; found -2"),
        (["a", 3], "found a list with a text at 0 and a number at 1"),
        ([["a"], "b"], "found a list with a list at 0 and a text at 1"),
        ([1.5], "found a list of a fraction"),
        (7, "found a number; give"),
        ({}, "found an object; give"),
        ([None], "found a list of null"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt: Any, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        body(prompt=prompt)
    assert says in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ({"prompt": ["a"] * (MAX_ANSWERS // 4 + 1), "n": 4}, "prompt", "17 prompts of n = 4 answers each are 68;"),
        ({"best_of": 2}, "best_of", "best_of is 2 and n is 1"),
        ({"best_of": 1, "n": 2}, "best_of", "best_of is 1 and n is 2"),
        ({"prompt_logprobs": 0}, "prompt_logprobs", "`echo` with `logprobs` reports"),
        ({"prompt": ["a", "b"], "suffix": "c"}, "prompt", "With a suffix the prompt is one text"),
        ({"prompt": [1], "suffix": "c"}, "prompt", "With a suffix the prompt is one text"),
        ({"prompt": "a", "suffix": "", "echo": True}, "echo", "with a suffix there is no such place"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(given: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        body(**given).check()
    assert (refused.value.status, refused.value.param) == (422, param)
    assert says in str(refused.value)


def test_what_goes_together_is_taken() -> None:
    for given in (
        {"prompt": ["a"] * (MAX_ANSWERS // 4), "n": 4, "best_of": 4},
        {"best_of": 1},
        {"prompt": "a", "suffix": "b"},
        {"prompt": ["a"], "suffix": "b", "echo": False},
    ):
        body(**given).check()


def test_the_engine_is_asked_for_the_default_length_and_the_prompt_s_own_logprobs() -> None:
    plain, echoed = body().params_for(9), body(max_tokens=0, echo=True, logprobs=2).params_for(9)
    assert (plain.max_tokens, plain.logprobs, plain.prompt_logprobs) == (4096, None, None)
    assert (echoed.max_tokens, echoed.logprobs, echoed.prompt_logprobs) == (0, 2, 2)
    assert body(logprobs=3).params_for(9).prompt_logprobs is None
    scored = [body(echo=echo, logprobs=logprobs).scores_prompts for echo in (None, True) for logprobs in (None, 0)]
    assert scored == [False, False, False, True]
    with pytest.raises(ValidationError, match=f"from 0 to {MAX_LOGPROBS}; true and false are for chats"):
        body(logprobs=True)


def test_ids_are_the_vocabulary_s(tokenizer: Tokenizer) -> None:
    last = tokenizer.vocab_size - 1
    assert prompts_of(body(prompt=[[0, last], [1]]), tokenizer) == [[0, last], [1]]
    for prompt, where in (([last + 1], "prompt"), ([[0], [last + 1]], "prompt 1")):
        with pytest.raises(ApiError, match=f"^{where} has token {last + 1}; this model knows ids from 0 to {last}"):
            prompts_of(body(prompt=prompt), tokenizer)


def test_a_text_begins_once(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("the cat")
    assert prompts_of(body(prompt="the cat"), tokenizer) == [[tokenizer.bos_id, *ids]]
    assert begun(tokenizer, "<｜begin▁of▁sentence｜>the cat") == [tokenizer.bos_id, *ids]
    around = prompts_of(body(prompt="the", suffix=" cat"), tokenizer)[0]
    marks = [tokenizer.token_id(mark) for mark in ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")]
    assert around == [
        *(tokenizer.bos_id, marks[0]), *tokenizer.encode("the"), marks[1], *tokenizer.encode(" cat"), marks[2],
    ]  # fmt: skip


def test_so_many_log_probabilities_of_prompts_are_reported(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five tokens, each with its own and the two likeliest, in two answers."""
    asked = body(prompt=[[1, 2], [3, 4, 5]], echo=True, logprobs=2, n=2)
    monkeypatch.setattr(completion_request, "MAX_REPORTED", 30)
    assert len(prompts_of(asked, tokenizer)) == 2
    monkeypatch.setattr(completion_request, "MAX_REPORTED", 29)
    with pytest.raises(ApiError, match="echo would report 30 log-probabilities of prompts, more than the 29 of one"):
        prompts_of(asked, tokenizer)
    assert len(prompts_of(asked.model_copy(update={"echo": False}), tokenizer)) == 2
