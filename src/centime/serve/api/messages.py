"""Anthropic's Messages API over the same engine, keys and prices."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from typing_extensions import TypedDict

from centime.serve.api.chat import begin_chat, chat_of, prompt_of
from centime.serve.api.chat_call import Asked
from centime.serve.api.service import CurrentService, Service
from centime.serve.api.usage import Cost, cost_of
from centime.serve.engine.request import Finished, Piece
from centime.serve.formats import Delta
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import GENERATES, AnthropicErrorBody, described
from centime.serve.http.json_route import JsonRoute
from centime.serve.http.paths import post
from centime.serve.http.responses import STREAMED, EventStream, Whole, as_event, new_id
from centime.serve.json_body import Unreadable, read_json
from centime.serve.protocol.messages_request import CountRequest, MessagesRequest, chat_request
from centime.serve.protocol.structured_output import offered_tools

router = APIRouter(tags=["Anthropic"], route_class=JsonRoute)

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


class TokenCount(TypedDict):
    """Tokens of a conversation."""

    input_tokens: int


@post(
    router,
    "messages",
    response_model=None,
    responses={
        200: {"model": AnthropicMessage, "content": STREAMED},
        **described([status for status in GENERATES if status != 404], AnthropicErrorBody),
    },
)
async def messages(
    body: MessagesRequest, request: Request, service: CurrentService, account: CurrentAccount
) -> Response:
    """Answer a conversation. Names that begin with 'claude' mean the model that is served."""
    _check_model(service, body.model)
    asked = await begin_chat(chat_request(body), service, request)
    if body.stream:
        return EventStream(asked.call, _stream(asked))
    return Whole(asked.call, _whole(asked), service.patience)


@post(router, "count_tokens", responses=described((400, 401, 422), AnthropicErrorBody))
async def count_tokens(body: CountRequest, service: CurrentService, account: CurrentAccount) -> TokenCount:
    """How many tokens the model would read."""
    _check_model(service, body.model)
    chat = chat_request(body)
    prompt = await service.reading.run(account.name, prompt_of, service.format, chat_of(chat, offered_tools(chat)))
    return {"input_tokens": len(prompt.ids)}


def _check_model(service: Service, name: str) -> None:
    """DeepSeek maps Anthropic's names to its own models, and answers 400 for any other name."""
    if not name.startswith("claude"):
        service.check_model(name, 400)


def _usage(asked: Asked) -> AnthropicUsage:
    usage = asked.call.usage
    assert usage is not None, "the call has not ended"
    return {
        "input_tokens": usage.miss_tokens,
        "cache_read_input_tokens": usage.hit_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output_tokens,
        "cost": cost_of(asked.call),
    }


def _stop(asked: Asked, end: Finished) -> tuple[Stop, str | None]:
    reason = asked.answers[0].finish_reason(end)
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


async def _whole(asked: Asked) -> AnthropicMessage:
    blocks: list[dict[str, Any]] = []
    kind: tuple[str, int] | None = None
    arguments: dict[int, str] = {}
    end: Finished | None = None
    async for told in asked.call.events():
        if told is None:
            continue
        event = told[1]
        if isinstance(event, Finished):
            end, deltas = event, asked.answers[0].end(event)
        else:
            deltas = asked.answers[0].take(event) if isinstance(event, Piece) else []
        for delta in deltas:
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
    stop, sequence = _stop(asked, end)
    return {
        "id": asked.id.replace("chatcmpl-", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.body.model,
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": sequence,
        "usage": _usage(asked),
    }


def _object(text: str) -> dict[str, Any]:
    """A call's arguments. The API knows only objects: what a model wrote that is none goes in under one name."""
    try:
        found = read_json((text or "{}").encode("utf-8", "replace"))
    except Unreadable:
        found = None
    return found if isinstance(found, dict) else {"arguments": text}


async def _stream(asked: Asked) -> AsyncGenerator[bytes]:
    """Anthropic's events: the message begins, its blocks one after the other, how it ended, its end."""
    start: dict[str, Any] = {
        "id": asked.id.replace("chatcmpl-", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.body.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": asked.call.prompt_tokens, "output_tokens": 0},
    }
    begun, at = False, -1
    kind: tuple[str, int] | None = None

    def event(name: str, **fields: Any) -> bytes:
        return as_event({"type": name, **fields}, name)

    async for told in asked.call.events():
        if not begun:
            begun = True
            yield event("message_start", message=start)
        if told is None:
            yield event("ping")
            continue
        piece = told[1]
        answer = asked.answers[0]
        deltas = (
            answer.end(piece) if isinstance(piece, Finished) else answer.take(piece) if isinstance(piece, Piece) else []
        )
        for delta in deltas:
            now = ("call" if delta.kind == "arguments" else delta.kind), delta.index
            if now != kind:
                if kind is not None:
                    yield event("content_block_stop", index=at)
                kind, at = now, at + 1
                yield event("content_block_start", index=at, content_block=_block(delta))
            if delta.kind != "call":
                yield event("content_block_delta", index=at, delta=_delta(delta))
        if isinstance(piece, Finished):
            if kind is not None:
                yield event("content_block_stop", index=at)
            stop, sequence = _stop(asked, piece)
            told_stop = {"stop_reason": stop, "stop_sequence": sequence}
            yield event("message_delta", delta=told_stop, usage=_usage(asked))
            yield event("message_stop")


def _delta(delta: Delta) -> dict[str, Any]:
    if delta.kind == "reasoning":
        return {"type": "thinking_delta", "thinking": delta.text}
    if delta.kind == "content":
        return {"type": "text_delta", "text": delta.text}
    return {"type": "input_json_delta", "partial_json": delta.text}
