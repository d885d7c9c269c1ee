"""OpenAI's Responses API through the gateway: the published client, and the wire form of Codex."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from tests.serve.gateway.put import COST, Put, key
from tests.serve.gateway.running import DONE, answer, chunk, usage_chunk

THINKS = [
    chunk(), {**chunk(), "choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}, "finish_reason": None}]},
    {**chunk(), "choices": [{"index": 0, "delta": {"reasoning_content": "m."}, "finish_reason": None}]},
    chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage_chunk(100, 2, 60), DONE,
]  # fmt: skip


def calls(*pieces: tuple[int, dict[str, Any]], finish: str = "tool_calls") -> list[Any]:
    """A stream of tool calls."""
    chunks = [
        {**chunk(), "choices": [{"index": 0, "delta": {"tool_calls": [{"index": at, **call}]}, "finish_reason": None}]}
        for at, call in pieces
    ]
    return [*chunks, chunk(finish=finish), usage_chunk(100, 2, 60), DONE]


def client_of(made: Put, secret: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=made.url + "/v1", api_key=secret, max_retries=0)


def test_the_openai_client_reads_whole_answers_and_streams(put: Callable[..., Put]) -> None:
    made = put(lambda body: THINKS if body.get("stream") else answer("Hello", 100, 2, 60))
    client = client_of(made)
    whole = client.responses.create(model="org/m", input="Hi", instructions="Be brief.", max_output_tokens=9)
    assert (whole.output_text, whole.status, whole.store) == ("Hello", "completed", False)
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.input_tokens_details.cached_tokens) == (100, 60)
    assert whole.usage.to_dict()["cost"]["list_price"] == "0.000146"  # type: ignore[index]
    assert made.upstream.bodies[0] == {
        "model": "org/m", "max_tokens": 9,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }  # fmt: skip
    with client.responses.stream(model="org/m", input="Hi", include=["reasoning.encrypted_content"]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.output_text == "Hello"
    thought = final.output[0]
    client.responses.create(model="org/m", input=[{"role": "user", "content": "Hi"}, *final.output, thought])  # type: ignore[list-item]
    turns = made.upstream.bodies[-1]["messages"]
    assert turns[1] == {"role": "assistant", "content": "Hello", "reasoning_content": "Hmm."}
    assert made.sums()[0] == 3
    assert made.sums()[4] == 3 * COST


CODEX = {
    "model": "org/m", "instructions": "You are a coding agent.", "store": False, "stream": True, "tool_choice": "auto",
    "parallel_tool_calls": False, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199-session",
    "reasoning": {"effort": "medium", "summary": "auto"},
    "tools": [
        {"type": "function", "name": "shell", "description": "Runs.", "strict": False,
         "parameters": {"type": "object", "properties": {"command": {"type": "array"}}}},
        {"type": "custom", "name": "apply_patch", "description": "Edits.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "web_search", "external_web_access": False},
    ],
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List files."}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "centime:SG1t"},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "call_2"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"},
    ],
}  # fmt: skip


def test_codex_speaks_to_it(put: Callable[..., Put]) -> None:
    """The body is of Codex's shape: its tools, its own thoughts and calls sent back, and events it waits for."""
    patch = json.dumps({"input": "*** Begin Patch\n"})
    reply = calls(
        (0, {"id": "call_3", "type": "function", "function": {"name": "shell", "arguments": ""}}),
        (0, {"function": {"arguments": '{"command":'}}),
        (0, {"function": {"arguments": '["pwd"]}'}}),
        (1, {"id": "call_4", "type": "function", "function": {"name": "apply_patch", "arguments": patch[:9]}}),
        (1, {"function": {"arguments": patch[9:]}}),
    )
    made = put(reply)
    text = made.post(CODEX, "/v1/responses").text
    named = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event:")]
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert named == [event["type"] for event in events]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [(item["type"], item["call_id"], item.get("arguments", item.get("input"))) for item in done] == [
        ("function_call", "call_3", '{"command":["pwd"]}'),
        ("custom_tool_call", "call_4", "*** Begin Patch\n"),
    ]
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["usage"]["total_tokens"] == 102
    sent = made.upstream.bodies[0]
    assert [turn["role"] for turn in sent["messages"]] == [
        "system", "system", "user", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert sent["messages"][3]["reasoning_content"] == "Hmm"
    assert sent["messages"][5]["tool_calls"][0]["function"]["arguments"] == '{"input": "*** Begin"}'
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["shell", "apply_patch"]
    assert (sent["reasoning_effort"], sent["stream_options"]["include_usage"]) == ("medium", True)


def test_a_client_that_leaves_ends_the_upstreams_work(put: Callable[..., Put]) -> None:
    made = put([chunk("Hel"), 20, chunk("lo", "stop"), DONE])
    with client_of(made).responses.create(model="org/m", input="Hi", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    assert made.upstream.left.wait(5)
    assert made.sums()[0] == 1


def test_what_ends_early_says_so(put: Callable[..., Put]) -> None:
    made = put(lambda body: [chunk("Hel"), chunk(finish="length"), usage_chunk(100, 2), DONE])
    (*_, last) = client_of(made).responses.create(model="org/m", input="Hi", stream=True)
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    made.upstream.answer = lambda body: [chunk("Hel"), 0.05, RuntimeError("on purpose")]
    (*_, last) = client_of(made).responses.create(model="org/m", input="Hi", stream=True)
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "cannot be reached" in last.response.error.message
    poor = client_of(made, key(made, budget="$0.0001")["Authorization"].removeprefix("Bearer "))
    with pytest.raises(openai.APIStatusError) as refused:
        poor.responses.create(model="org/m", input="Hi", max_output_tokens=500)
    assert refused.value.status_code == 402


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id: not taken here; nothing is kept between requests"),
        ({"store": True}, "store: nothing is kept between requests; send false, or leave it out."),
        ({"input": []}, "input is empty"),
        ({"input": [{"role": "user"}]}, "input.0.content is null; expected a string or a list of parts."),
        ({"input": [{"role": "pirate", "content": "Arr"}]}, "input.0 has the role 'pirate'"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0 refers to an item of an earlier response"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input.0 needs a string as its call_id; found null."),
        ({"input": [{"type": "reasoning", "encrypted_content": "centime:!"}]}, "input.0 has an encrypted_content"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0 is of type"),
        ({"input": 5}, "input: found 5, expected"),
    ],
)
def test_what_cannot_be_is_a_sentence(put: Callable[..., Put], more: dict[str, Any], said: str) -> None:
    made = put(answer("Hello", 100, 2))
    told = made.post({"model": "org/m", "input": "Hi"} | more, "/responses")
    assert told.status_code == 400
    assert told.json()["error"]["message"].startswith(said)
    assert made.upstream.bodies == []
