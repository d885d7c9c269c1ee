"""The answer to a chat, whole or as a stream of chunks, in the shape that OpenAI's and DeepSeek's clients read."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, NotRequired

from typing_extensions import TypedDict

from centime.serve.api import logprobs
from centime.serve.api.answer import Answer, FinishReason
from centime.serve.api.call import Call
from centime.serve.api.logprobs import ChatLogprob
from centime.serve.api.service import Service
from centime.serve.api.usage import UsageBody, usage_of
from centime.serve.engine.request import Finished, Piece
from centime.serve.formats import Delta
from centime.serve.http.responses import DONE, KEEP_ALIVE, as_event, new_id
from centime.serve.protocol.chat_request import ChatRequest


class FunctionBody(TypedDict):
    """Which function to call; arguments: JSON text, which may not fit the schema unless the tool is strict."""

    name: str
    arguments: str


class ToolCallBody(TypedDict):
    """A call the model makes."""

    id: str
    type: str
    function: FunctionBody


class MessageBody(TypedDict):
    """The answer."""

    role: str
    content: str | None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallBody]]


class ChatLogprobs(TypedDict):
    """Token by token."""

    content: list[ChatLogprob]
    reasoning_content: NotRequired[list[ChatLogprob]]


class ChoiceBody(TypedDict):
    """One of n answers."""

    index: int
    message: MessageBody
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    """The answers to one request."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChoiceBody]
    usage: UsageBody


@dataclass
class Asked:
    """A chat being answered."""

    body: ChatRequest
    service: Service
    call: Call
    answers: list[Answer]
    id: str = field(default_factory=lambda: new_id("chatcmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def usage(self) -> UsageBody:
        """Of all choices, once they have ended."""
        return usage_of(self.call, sum(answer.reasoning_tokens for answer in self.answers))


async def whole(asked: Asked) -> ChatCompletion:
    """The body of an answer that is not streamed."""
    choices = [_Collected() for _ in asked.answers]
    async for told in asked.call.events():
        if told is None:
            continue
        index, event = told
        answer, choice = asked.answers[index], choices[index]
        if isinstance(event, Finished):
            choice.add(answer.end(event))
            choice.finish_reason = answer.finish_reason(event)
        elif isinstance(event, Piece):
            if event.logprobs:
                reported = logprobs.for_chat(asked.service.tokenizer, event.logprobs)
                (choice.reasoning_logprobs if answer.reasons else choice.logprobs).extend(reported)
            choice.add(answer.take(event))
    with_logprobs = asked.body.reported_logprobs is not None
    return {
        "id": asked.id,
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.body.model,
        "system_fingerprint": asked.service.fingerprint,
        "choices": [choice.body(index, with_logprobs) for index, choice in enumerate(choices)],
        "usage": asked.usage(),
    }


@dataclass
class _Collected:
    """One choice, put together."""

    content: str = ""
    reasoning: str = ""
    calls: list[ToolCallBody] = field(default_factory=list)
    logprobs: list[ChatLogprob] = field(default_factory=list)
    reasoning_logprobs: list[ChatLogprob] = field(default_factory=list)
    finish_reason: FinishReason = "stop"

    def add(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            if delta.kind == "content":
                self.content += delta.text
            elif delta.kind == "reasoning":
                self.reasoning += delta.text
            elif delta.kind == "call":
                self.calls.append(_call_body(delta.text))
            else:
                self.calls[delta.index]["function"]["arguments"] += delta.text

    def body(self, index: int, reported: bool) -> ChoiceBody:
        message: MessageBody = {"role": "assistant", "content": self.content or (None if self.calls else "")}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        told: ChatLogprobs | None = {"content": self.logprobs} if reported else None
        if told is not None and self.reasoning_logprobs:
            told["reasoning_content"] = self.reasoning_logprobs
        return {"index": index, "message": message, "logprobs": told, "finish_reason": self.finish_reason}


def _call_body(name: str) -> ToolCallBody:
    return {"id": new_id("call_"), "type": "function", "function": {"name": name, "arguments": ""}}


async def stream(asked: Asked) -> AsyncGenerator[bytes]:
    """Chunks: the role first, then what comes, then why it ended.

    The usage comes once, for clients add chunks up: on a last chunk without choices where they ask for it
    (`include_usage`, OpenAI's way), else on the chunk that says why the last choice ended (DeepSeek's).
    """
    head = {
        "id": asked.id,
        "object": "chat.completion.chunk",
        "created": asked.created,
        "model": asked.body.model,
        "system_fingerprint": asked.service.fingerprint,
    }
    apart = asked.body.stream_options is not None and asked.body.stream_options.include_usage
    begun: set[int] = set()
    open_choices = len(asked.answers)

    def chunk(index: int, delta: dict[str, Any], told: Any = None, reason: FinishReason | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": told, "finish_reason": reason}
        usage = asked.usage() if reason is not None and open_choices == 0 and not apart else None
        return as_event({**head, "choices": [choice], "usage": usage})

    async for told in asked.call.events():
        if told is None:
            yield KEEP_ALIVE
            continue
        index, event = told
        answer = asked.answers[index]
        if index not in begun:
            begun.add(index)
            yield chunk(index, {"role": "assistant", "content": ""})
        if isinstance(event, Finished):
            for delta in answer.end(event):
                yield chunk(index, _delta_body(delta))
            open_choices -= 1
            yield chunk(index, {}, reason=answer.finish_reason(event))
        if not isinstance(event, Piece):
            continue
        reported = _reported(asked, answer, event)
        for delta in answer.take(event):
            yield chunk(index, _delta_body(delta), reported)
            reported = None
        if reported is not None:  # the tokens' text is still held back
            yield chunk(index, {}, reported)
    if apart:
        yield as_event({**head, "choices": [], "usage": asked.usage()})
    yield DONE


def _reported(asked: Asked, answer: Answer, piece: Piece) -> dict[str, Any] | None:
    """The log-probabilities of a piece's tokens, for its first chunk."""
    if not piece.logprobs:
        return None
    name = "reasoning_content" if answer.reasons else "content"
    return {name: logprobs.for_chat(asked.service.tokenizer, piece.logprobs)}


def _delta_body(delta: Delta) -> dict[str, Any]:
    if delta.kind == "reasoning":
        return {"reasoning_content": delta.text}
    if delta.kind == "content":
        return {"content": delta.text}
    if delta.kind == "call":
        return {"tool_calls": [{"index": delta.index, **_call_body(delta.text)}]}
    return {"tool_calls": [{"index": delta.index, "function": {"arguments": delta.text}}]}
