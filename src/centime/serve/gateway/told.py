"""What an upstream tells of an answer's tokens: in a whole body, chunk by chunk, or not at all, and then counted.

OpenAI's shape: `usage` with `prompt_tokens_details.cached_tokens`; DeepSeek's: `prompt_cache_hit_tokens`; Anthropic's:
`input_tokens` (those no cache held), `cache_read_input_tokens`, `cache_creation_input_tokens`, `output_tokens`.
llama-server tells `timings` with a chunk: `cache_n`, `prompt_n` (computed), `predicted_n`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from centime.serve.api.respond import as_event
from centime.serve.gateway.asked import Asked


@dataclass(frozen=True)
class Tokens:
    """Of one request. hit: of the prompt's, found in the upstream's cache."""

    prompt: int
    hit: int
    output: int


def tokens_of(usage: Any) -> Tokens | None:
    """The tokens of a `usage` object in any of the shapes; None where it is none."""
    if not isinstance(usage, dict):
        return None
    if "input_tokens" in usage:
        read = _number(usage, "cache_read_input_tokens")
        made = _number(usage, "cache_creation_input_tokens")
        return Tokens(_number(usage, "input_tokens") + read + made, read, _number(usage, "output_tokens"))
    if "prompt_tokens" not in usage:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _number(details, "cached_tokens") if isinstance(details, dict) else 0
    prompt = _number(usage, "prompt_tokens")
    hit = min(prompt, max(cached, _number(usage, "prompt_cache_hit_tokens")))
    return Tokens(prompt, hit, _number(usage, "completion_tokens"))


class Watched:
    """Reads a stream's events as they pass: what has been told of the usage, and whether the answer is complete.

    `complete` is set by the event with which the client would know the answer's end. `take` says what to pass on.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._ended: set[int] = set()  # choices with a finish_reason
        self._chunks = 0  # with text in them: an upstream sends one a token, or more tokens in one
        self._told: Tokens | None = None
        self._final = False  # the usage of the whole answer was told
        self.complete = False
        self.usage_event: dict[str, Any] | None = None  # the last event with the usage, for the cost beside it

    @property
    def tokens(self) -> Tokens | None:
        """What was told, the output counted by chunks where less was told yet. None: the prompt is not known."""
        if self._told is None:
            return None
        if self._final or self._told.output >= self._chunks:
            return self._told
        return Tokens(self._told.prompt, self._told.hit, self._chunks)

    @property
    def chunks(self) -> int:
        """Chunks with text so far."""
        return self._chunks

    def take(self, event: bytes) -> bytes | None:
        """The event as the client gets it; None where it is for us alone, or held until the charge is booked."""
        data = data_of(event)
        if data is None:
            self.complete = self.complete or event.strip() == b"data: [DONE]"
            return event
        if self._asked.kind == "messages":
            return self._take_message(event, data)
        return self._take_chunk(event, data)

    def _take_message(self, event: bytes, data: dict[str, Any]) -> bytes | None:
        if data.get("type") == "content_block_delta":
            self._chunks += 1
        usage = (data.get("message") or {}).get("usage") if data.get("type") == "message_start" else data.get("usage")
        told = tokens_of(usage)
        if told is None and isinstance(usage, dict) and self._told is not None:  # message_delta: the output alone
            told = Tokens(self._told.prompt, self._told.hit, _number(usage, "output_tokens"))
        if told is not None:
            self._told = (
                told if told.prompt or self._told is None else Tokens(self._told.prompt, self._told.hit, told.output)
            )
        if data.get("type") == "message_delta":
            self._final = told is not None
            self.complete, self.usage_event = True, data
            return None
        return event

    def _take_chunk(self, event: bytes, data: dict[str, Any]) -> bytes | None:
        choices = [choice for choice in data.get("choices") or () if isinstance(choice, dict)]
        told = tokens_of(data.get("usage")) or _timed(data.get("timings"))
        if told is not None:
            self._told = told
        for choice in choices:
            self._chunks += _has_text(choice)
            if choice.get("finish_reason") is not None:
                self._ended.add(int(choice.get("index") or 0))
        if not choices and told is not None:
            self._final = True
            self.usage_event = data
            return None
        if len(self._ended) >= self._asked.choices:
            self.complete = True
        unasked = {"timings"} if not self._asked.body.get("timings_per_token") else set()
        if told is None or not ({"usage"} | unasked) & data.keys():
            return event
        shown = {name: value for name, value in data.items() if name not in unasked and name != "usage"}
        return as_event(shown | ({"usage": None} if self._asked.wants_usage and "usage" in data else {}))


def data_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object in an event's data; None where it has none (a comment, [DONE])."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        found = json.loads(b"\n".join(lines))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The server-sent events of a body that comes in pieces, each with its blank line; a rest at the end as it is."""
    held = b""
    async for piece in pieces:
        held = (held + piece).replace(b"\r\n", b"\n")
        *whole, held = held.split(b"\n\n")
        for event in whole:
            if event.strip():
                yield event + b"\n\n"
    if held.strip():
        yield held + b"\n\n"


def _timed(timings: Any) -> Tokens | None:
    if not isinstance(timings, dict) or "predicted_n" not in timings:
        return None
    hit = _number(timings, "cache_n")
    return Tokens(hit + _number(timings, "prompt_n"), hit, _number(timings, "predicted_n"))


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls"))
    return bool(choice.get("text"))


def _number(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) and value > 0 else 0
