"""A response put together from a chat's answer, whole or chunk by chunk, with the events that tell of it on the way."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from centime.serve.http.responses import new_id
from centime.serve.protocol.responses.chat_of import CUSTOM, THOUGHTS, custom_tools
from centime.serve.protocol.responses.responses_request import ResponsesRequest

Event = dict[str, Any]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseMaker:
    """`begin`, `take` for each chunk (or once for a whole answer's choice), `finish`: each yields the events it makes.

    `response` is the whole as it stands.
    """

    def __init__(self, asked: ResponsesRequest) -> None:
        self._asked, self._custom = asked, custom_tools(asked)
        self._number = 0
        self._open: Event | None = None  # the item that is being written
        self._call: Any = None  # the index of its call, where it is one
        self._reason: str | None = None
        self.response: Event = {
            "id": new_id("resp_"), "object": "response", "created_at": int(time.time()), "status": "in_progress",
            "error": None, "incomplete_details": None, "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens, "model": asked.model, "output": [],
            "parallel_tool_calls": asked.parallel_tool_calls is not False, "previous_response_id": None,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "store": False, "temperature": asked.temperature, "text": {"format": _format_of(asked)},
            "tool_choice": asked.tool_choice or "auto", "tools": asked.tools or [], "top_p": asked.top_p,
            "truncation": "disabled", "usage": None, "user": asked.user, "metadata": asked.metadata or {},
        }  # fmt: skip

    def begin(self) -> Iterator[Event]:
        """Before anything has come."""
        yield self._event("response.created", response=dict(self.response))
        yield self._event("response.in_progress", response=dict(self.response))

    def take(self, body: Mapping[str, Any]) -> Iterator[Event]:
        """A chunk of the chat's stream, or all of its answer."""
        if isinstance(usage := body.get("usage"), dict):
            self.response["usage"] = _usage(usage)
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        delta = choice.get("delta") or choice.get("message")
        delta = delta if isinstance(delta, dict) else {}
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            yield from self._write("reasoning", thought)
        for name in ("content", "refusal"):
            if isinstance(text := delta.get(name), str) and text:
                yield from self._write("message", text)
        calls = delta.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                yield from self._take_call(call, call.get("index", number))
        if isinstance(reason := choice.get("finish_reason"), str):
            self._reason = reason

    def finish(self) -> Iterator[Event]:
        """The answer is whole."""
        yield from self._close()
        if self._reason is not None and self._reason in _INCOMPLETE:
            self.response["status"] = "incomplete"
            self.response["incomplete_details"] = {"reason": _INCOMPLETE[self._reason]}
            yield self._event("response.incomplete", response=self.response)
        else:
            self.response["status"] = "completed"
            yield self._event("response.completed", response=self.response)

    def fail(self, code: str | None, message: str) -> Iterator[Event]:
        """Nothing more comes."""
        yield from self._close("incomplete")
        self.response |= {"status": "failed", "error": {"code": code or "server_error", "message": message}}
        yield self._event("response.failed", response=self.response)

    def _write(self, kind: str, text: str) -> Iterator[Event]:
        """More of a thought or of the answer's text."""
        part = "reasoning_text" if kind == "reasoning" else "output_text"
        if self._open is None or self._open["type"] != kind:
            yield from self._close()
            own: Event = {"summary": []} if kind == "reasoning" else {"role": "assistant"}
            yield from self._add({"id": new_id("rs_" if kind == "reasoning" else "msg_"), "type": kind, **own})
            yield self._told("response.content_part.added", content_index=0, part=_part(part, ""))
            assert self._open is not None
            self._open["content"] = [_part(part, "")]
        self._open["content"][0]["text"] += text
        logprobs: Event = {"logprobs": []} if part == "output_text" else {}
        yield self._told(f"response.{part}.delta", content_index=0, delta=text, **logprobs)

    def _take_call(self, call: Any, index: Any) -> Iterator[Event]:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        if self._open is None or self._open["type"] != "function_call" or index != self._call:
            yield from self._close()
            self._call = index
            name, number = str(function.get("name") or ""), str(call.get("id") or new_id("call_"))
            item = {"id": new_id("fc_"), "type": "function_call", "call_id": number, "name": name, "arguments": ""}
            if name in self._custom:  # its text is known once its arguments are whole
                self._open = item
            else:
                yield from self._add(item)
        assert self._open is not None
        if isinstance(piece := function.get("arguments"), str) and piece:
            self._open["arguments"] += piece
            if self._open["name"] not in self._custom:
                yield self._told("response.function_call_arguments.delta", delta=piece)

    def _add(self, item: Event) -> Iterator[Event]:
        self._open = item | {"status": "in_progress"}
        empty: Event = {"content": []} if item["type"] == "message" else {}
        self.response["output"].append(self._open)
        yield self._event("response.output_item.added", output_index=self._at, item=self._open | empty)

    def _close(self, status: str = "completed") -> Iterator[Event]:
        """The item that was being written is whole."""
        item, self._call = self._open, None
        if item is None:
            return
        if item["type"] == "function_call" and item["name"] in self._custom:
            yield from self._custom_call(item)
        elif item["type"] == "function_call":
            yield self._told("response.function_call_arguments.done", name=item["name"], arguments=item["arguments"])
        else:
            part = item["content"][0]
            logprobs: Event = {"logprobs": []} if item["type"] == "message" else {}
            yield self._told(f"response.{part['type']}.done", content_index=0, text=part["text"], **logprobs)
            yield self._told("response.content_part.done", content_index=0, part=part)
            if item["type"] == "reasoning" and self._asked.keeps_thoughts:
                item["encrypted_content"] = THOUGHTS + base64.b64encode(part["text"].encode()).decode()
        item = self._open or item
        item["status"] = status
        yield self._event("response.output_item.done", output_index=self._at, item=item)
        self._open = None

    def _custom_call(self, call: Event) -> Iterator[Event]:
        """A call of a tool whose input is any text, which came as the one argument of a function."""
        try:
            text = json.loads(call["arguments"])[CUSTOM]
        except (ValueError, KeyError, TypeError):
            text = call["arguments"]
        text = text if isinstance(text, str) else call["arguments"]
        named = {"call_id": call["call_id"], "name": call["name"], "input": ""}
        yield from self._add({"id": new_id("ctc_"), "type": "custom_tool_call", **named})
        assert self._open is not None
        self._open["input"] = text
        yield self._told("response.custom_tool_call_input.delta", delta=text)
        yield self._told("response.custom_tool_call_input.done", input=text)

    @property
    def _at(self) -> int:
        return len(self.response["output"]) - 1

    def _told(self, kind: str, **more: Any) -> Event:
        """An event about the item that is being written."""
        assert self._open is not None
        return self._event(kind, item_id=self._open["id"], output_index=self._at, **more)

    def _event(self, kind: str, **more: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **more}


def _part(kind: str, text: str) -> Event:
    return {"type": kind, "text": text, **({"annotations": [], "logprobs": []} if kind == "output_text" else {})}


def _format_of(asked: ResponsesRequest) -> Event:
    given = asked.text.format if asked.text else None
    return given.model_dump(by_alias=True, exclude_none=True) if given else {"type": "text"}


def _usage(usage: Mapping[str, Any]) -> Event:
    def count(name: str, within: str | None = None) -> int:
        found = usage if within is None else usage.get(within)
        value = found.get(name) if isinstance(found, Mapping) else None
        return value if isinstance(value, int) else 0

    prompt, output = count("prompt_tokens"), count("completion_tokens")
    found = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": count("cached_tokens", "prompt_tokens_details")},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": count("reasoning_tokens", "completion_tokens_details")},
        "total_tokens": prompt + output,
    }
    return found | ({"cost": usage["cost"]} if "cost" in usage else {})
