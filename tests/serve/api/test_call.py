"""The parts of a call that need no server: room, usage of all choices together, events joined, an answer's parts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from centime.serve.api.answer import Answer, finish_reason
from centime.serve.api.call import Choice, _room, _seconds_an_answer, _together, joined
from centime.serve.api.chat_call import _delta_body
from centime.serve.api.completion_call import _EncodedChoice
from centime.serve.engine.request import Event, Finished, Piece, SamplingParams, TokenLogprob, Usage
from centime.serve.formats.parser import AnswerParser
from centime.serve.formats.tool_calls import Delta, Json
from centime.serve.http.errors import PromptTooLong

NOTHING = Usage(0, 0, 0, 0, 0, 0, 0)


def serving(**stats: Any) -> Any:
    return SimpleNamespace(engine=SimpleNamespace(context=8, stats=lambda: SimpleNamespace(**stats)))


def test_the_context_has_room_for_one_token_at_least() -> None:
    assert [_room(serving(), [0] * tokens) for tokens in (1, 7)] == [7, 1]
    for tokens in (8, 9):
        with pytest.raises(PromptTooLong, match=f"{tokens} tokens long; this model's maximum context length is 8 "):
            _room(serving(), [0] * tokens)


@pytest.mark.parametrize(
    ("busy_s", "finished", "seconds"), [(8, 0, 8), (8, 1, 8), (8, 4, 2), (240, 4, 60), (244, 4, 60)]
)
def test_who_finds_the_queue_full_comes_back_after_an_answer(busy_s: int, finished: int, seconds: float) -> None:
    assert _seconds_an_answer(serving(busy_ns=busy_s * 10**9, finished=finished)) == seconds


def test_a_prompt_counts_once_as_the_choice_found_it_that_computed_most() -> None:
    one, other, params = [1, 2, 3], [4, 5], SamplingParams()
    choices = [Choice(one, params), Choice(one, params), Choice(other, params)]
    usages = [
        Usage(3, 2, 5, 10, 1, 2, 30, 4, 1),
        Usage(3, 0, 6, 20, 1, 2, 20, 4, 2),
        Usage(2, 1, 7, 30, 1, 2, 10, 4, 3),
    ]
    found = _together(choices, usages)
    assert (found.prompt_tokens, found.hit_tokens, found.miss_tokens, found.output_tokens) == (5, 1, 4, 18)
    assert (found.machine_ns, found.total_ns, found.drafted_tokens, found.accepted_tokens) == (60, 30, 12, 6)


def test_neighbouring_pieces_of_one_choice_are_joined() -> None:
    probability, end = TokenLogprob(1, -0.5), Finished("end", NOTHING)
    events: list[tuple[int, Event]] = [
        (0, Piece("a", (1,), (probability,))), (0, Piece("b", (2, 3))), (1, Piece("c")), (0, Piece("d")),
        (0, end), (1, end),
    ]  # fmt: skip
    assert list(joined(events)) == [
        (0, Piece("ab", (1, 2, 3), (probability,))), (1, Piece("c")), (0, Piece("d")), (0, end), (1, end),
    ]  # fmt: skip


def test_tokens_of_reasoning_are_counted_up_to_its_end() -> None:
    answer = Answer(AnswerParser("reasoning"), think_end=9)
    told = answer.deltas(Piece("hm", (1, 2)))
    told += answer.deltas(Piece(" so</think>yes", (3, 9, 4)))
    told += answer.deltas(Piece("!", (5,)))
    assert answer.reasoning_tokens == 4
    assert not answer.reasons
    told += answer.deltas(Finished("end", NOTHING))
    assert "".join(delta.text for delta in told if delta.kind == "content") == "yes!"
    without = Answer(AnswerParser("reasoning"), think_end=None)
    without.deltas(Piece("hm", (1, 2)))
    assert (without.reasoning_tokens, without.reasons) == (2, True)


def test_why_an_answer_ended_in_the_api_s_words() -> None:
    words = {
        reason: (finish_reason(Finished(reason, NOTHING)), finish_reason(Finished(reason, NOTHING), calls=True))
        for reason in ("end", "stop", "length", "aborted", "failed", "refused")
    }
    cut = ("insufficient_system_resource",) * 2
    ended = ("stop", "tool_calls")
    assert words == {
        "end": ended, "stop": ended, "length": ("length", "length"), "aborted": cut, "failed": cut, "refused": ended,
    }  # fmt: skip
    calls = Json(fenced=False)
    answer = Answer(AnswerParser("content", calls), think_end=None)
    assert answer.finish_reason(Finished("end", NOTHING)) == "stop"
    answer.deltas(Piece(calls.write([{"function": {"name": "f", "arguments": "{}"}}] * 2)))
    assert answer.calls == 2
    assert answer.finish_reason(Finished("end", NOTHING)) == "tool_calls"


def test_a_delta_of_each_kind() -> None:
    assert _delta_body(Delta("reasoning", "a", 0)) == {"reasoning_content": "a"}
    assert _delta_body(Delta("content", "a", 0)) == {"content": "a"}
    assert _delta_body(Delta("arguments", "a", 1)) == {"tool_calls": [{"index": 1, "function": {"arguments": "a"}}]}
    (begun,) = _delta_body(Delta("call", "f", 2))["tool_calls"]
    assert begun.pop("id").startswith("call_")
    assert begun == {"index": 2, "type": "function", "function": {"name": "f", "arguments": ""}}


def test_a_choice_put_together_piece_by_piece_is_json() -> None:
    choice = _EncodedChoice()
    for at, text in enumerate(("é", "", '"b')):
        reported = {
            "tokens": [text] if text else [], "token_logprobs": [None] if text else [],
            "top_logprobs": [{text: -1.0}] if text else [], "text_offset": [at] if text else [],
        }  # fmt: skip
        choice.add(text, reported, "length" if at == 1 else None)  # type: ignore[arg-type]
    whole = {"index": 3, "text": 'é"b', "finish_reason": "length"}
    assert json.loads(choice.json(3, reported=False)) == {**whole, "logprobs": None}
    assert json.loads(choice.json(3, reported=True)) == {
        **whole,
        "logprobs": {
            "tokens": ["é", '"b'], "token_logprobs": [None, None],
            "top_logprobs": [{"é": -1.0}, {'"b': -1.0}], "text_offset": [0, 2],
        },
    }  # fmt: skip
