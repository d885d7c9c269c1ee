"""The answer to a conversation in the words of Anthropic's Messages API: blocks of thinking, text and tool use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from centime.serve.api.chat_call import ChatCall
from centime.serve.api.usage import Cost, cost_of
from centime.serve.engine.request import Finished
from centime.serve.formats import Delta
from centime.serve.http.responses import as_event, new_id
from centime.serve.json_body import UnreadableJson, read_json

Stop = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn"]


class AnthropicUsage(TypedDict):
    """input_tokens are those that no cache held. `cost` is this server's own."""

    input_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    output_tokens: int
    cost: Cost | None


class AnthropicMessage(TypedDict):
    """An answer: blocks of thinking, text and tool use."""

    id: str
    type: str
    role: str
    model: str
    content: list[dict[str, Any]]
    stop_reason: Stop | None
    stop_sequence: str | None
    usage: AnthropicUsage


class MessagesCall(ChatCall):
    """A conversation being answered in Anthropic's words, which know one choice alone."""

    id_prefix = "msg_"

    async def whole(self) -> Mapping[str, object]:
        """An `AnthropicMessage`."""
        blocks: list[dict[str, Any]] = []
        kind: tuple[str, int] | None = None
        arguments: dict[int, str] = {}
        end: Finished | None = None
        async for news in self.events():
            if news is None:
                continue
            event = news[1]
            if isinstance(event, Finished):
                end = event
            for delta in self.answers[0].deltas(event):
                if delta.kind == "arguments":
                    arguments[delta.index] = arguments.get(delta.index, "") + delta.text
                    continue
                if kind != (delta.kind, delta.index):
                    kind = delta.kind, delta.index
                    blocks.append(_block(delta))
                if delta.kind != "call":
                    blocks[-1]["text" if delta.kind == "content" else "thinking"] += delta.text
        assert end is not None
        calls = [block for block in blocks if block["type"] == "tool_use"]
        for index, text in arguments.items():
            calls[index]["input"] = _object(text)
        stop, sequence = self._stop(end)
        message: AnthropicMessage = {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.body.model,
            "content": blocks,
            "stop_reason": stop,
            "stop_sequence": sequence,
            "usage": self._usage(),
        }
        return message

    async def stream(self) -> AsyncGenerator[bytes]:
        """Anthropic's events: the message begins, its blocks one after the other, how it ended, its end."""
        start: dict[str, Any] = {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.body.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self.prompt_tokens, "output_tokens": 0},
        }
        begun, at = False, -1
        kind: tuple[str, int] | None = None

        def event(name: str, **fields: Any) -> bytes:
            return as_event({"type": name, **fields}, name)

        async for news in self.events():
            if not begun:
                begun = True
                yield event("message_start", message=start)
            if news is None:
                yield event("ping")
                continue
            for delta in self.answers[0].deltas(news[1]):
                now = ("call" if delta.kind == "arguments" else delta.kind), delta.index
                if now != kind:
                    if kind is not None:
                        yield event("content_block_stop", index=at)
                    kind, at = now, at + 1
                    yield event("content_block_start", index=at, content_block=_block(delta))
                if delta.kind != "call":
                    yield event("content_block_delta", index=at, delta=_delta(delta))
            if isinstance(news[1], Finished):
                if kind is not None:
                    yield event("content_block_stop", index=at)
                stop, sequence = self._stop(news[1])
                ended = {"stop_reason": stop, "stop_sequence": sequence}
                yield event("message_delta", delta=ended, usage=self._usage())
                yield event("message_stop")

    def _usage(self) -> AnthropicUsage:
        usage = self.usage
        assert usage is not None, "the call has not ended"
        return {
            "input_tokens": usage.miss_tokens,
            "cache_read_input_tokens": usage.hit_tokens,
            "cache_creation_input_tokens": 0,
            "output_tokens": usage.output_tokens,
            "cost": cost_of(self),
        }

    def _stop(self, end: Finished) -> tuple[Stop, str | None]:
        reason = self.answers[0].finish_reason(end)
        if reason == "stop":
            return ("stop_sequence", end.stop) if isinstance(end.stop, str) else ("end_turn", None)
        known: dict[str, Stop] = {"length": "max_tokens", "tool_calls": "tool_use"}
        return known.get(reason, "pause_turn"), None


def _block(delta: Delta) -> dict[str, Any]:
    """A block as it begins."""
    if delta.kind == "reasoning":
        return {"type": "thinking", "thinking": "", "signature": ""}
    if delta.kind == "content":
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": new_id("toolu_"), "name": delta.text, "input": {}}


def _object(text: str) -> dict[str, Any]:
    """A call's arguments. The API knows only objects: what a model wrote that is none goes in under one name."""
    try:
        found = read_json((text or "{}").encode("utf-8", "replace"))
    except UnreadableJson:
        found = None
    return found if isinstance(found, dict) else {"arguments": text}


def _delta(delta: Delta) -> dict[str, Any]:
    if delta.kind == "reasoning":
        return {"type": "thinking_delta", "thinking": delta.text}
    if delta.kind == "content":
        return {"type": "text_delta", "text": delta.text}
    return {"type": "input_json_delta", "partial_json": delta.text}
