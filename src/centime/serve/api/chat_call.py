"""The answer to a chat, whole or as a stream of chunks, in the shape that OpenAI's and DeepSeek's clients read."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired

from typing_extensions import TypedDict

from centime.serve.accounts import Ticket
from centime.serve.api import logprobs
from centime.serve.api.answer import Answer, FinishReason
from centime.serve.api.call import Call, Choice
from centime.serve.api.logprobs import ChatLogprob
from centime.serve.api.service import Service
from centime.serve.api.usage import UsageBody, usage_of
from centime.serve.engine.request import Finished, Piece
from centime.serve.formats import Delta
from centime.serve.http.responses import DONE, KEEP_ALIVE, as_event, as_json, new_id
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


class ChatCall(Call):
    """A conversation being answered, in OpenAI's and DeepSeek's words. answers: one for each of the choices."""

    id_prefix = "chatcmpl-"

    def __init__(
        self, service: Service, ticket: Ticket, body: ChatRequest, choices: Sequence[Choice], answers: Sequence[Answer]
    ) -> None:
        super().__init__(service, ticket, choices, body.isolation)
        self.body, self.answers = body, answers
        self.id, self.created = new_id(self.id_prefix), int(time.time())

    async def whole(self) -> Mapping[str, object] | bytes:
        """A `ChatCompletion` as JSON."""
        choices = [_WholeChoice() for _ in self.answers]
        async for news in self.events():
            if news is None:
                continue
            index, event = news
            answer, choice = self.answers[index], choices[index]
            if isinstance(event, Finished):
                choice.add(answer.end(event))
                choice.finish_reason = answer.finish_reason(event)
            elif isinstance(event, Piece):
                if event.logprobs:
                    reported = as_json(logprobs.for_chat(self._service.tokenizer, event.logprobs))[1:-1]
                    (choice.reasoning_logprobs if answer.reasons else choice.logprobs).append(reported)
                choice.add(answer.take(event))
        with_logprobs = self.body.reported_logprobs is not None
        body = as_json(
            {
                "id": self.id,
                "object": "chat.completion",
                "created": self.created,
                "model": self.body.model,
                "system_fingerprint": self._service.fingerprint,
                "choices": [],
                "usage": self._usage_body(),
            }
        )
        filled = b",".join(choice.json(index, with_logprobs) for index, choice in enumerate(choices))
        return body.replace(b'"choices":[]', b'"choices":[' + filled + b"]", 1)

    async def stream(self) -> AsyncGenerator[bytes]:
        """Chunks: the role first, then what comes, then why it ended.

        The usage comes once, for clients add chunks up: on a last chunk without choices where they ask for it
        (`include_usage`, OpenAI's way), else on the chunk that says why the last choice ended (DeepSeek's).
        """
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": self._service.fingerprint,
        }
        apart = self.body.stream_options is not None and self.body.stream_options.include_usage
        begun: set[int] = set()
        open_choices = len(self.answers)

        def chunk(index: int, delta: dict[str, Any], reported: Any = None, reason: FinishReason | None = None) -> bytes:
            choice = {"index": index, "delta": delta, "logprobs": reported, "finish_reason": reason}
            usage = self._usage_body() if reason is not None and open_choices == 0 and not apart else None
            return as_event({**head, "choices": [choice], "usage": usage})

        async for news in self.events():
            if news is None:
                yield KEEP_ALIVE
                continue
            index, event = news
            answer = self.answers[index]
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
            reported = self._reported(answer, event)
            for delta in answer.take(event):
                yield chunk(index, _delta_body(delta), reported)
                reported = None
            if reported is not None:  # the tokens' text is still held back
                yield chunk(index, {}, reported)
        if apart:
            yield as_event({**head, "choices": [], "usage": self._usage_body()})
        yield DONE

    def _reported(self, answer: Answer, piece: Piece) -> dict[str, Any] | None:
        """The log-probabilities of a piece's tokens, for its first chunk."""
        if not piece.logprobs:
            return None
        name = "reasoning_content" if answer.reasons else "content"
        return {name: logprobs.for_chat(self._service.tokenizer, piece.logprobs)}

    def _usage_body(self) -> UsageBody:
        """Of all choices, once they have ended."""
        return usage_of(self, sum(answer.reasoning_tokens for answer in self.answers))


@dataclass
class _WholeChoice:
    """One choice, put together; log-probabilities as JSON while they come: encoding many at once would hold up
    everybody's answers."""

    content: str = ""
    reasoning: str = ""
    calls: list[ToolCallBody] = field(default_factory=list)
    logprobs: list[bytes] = field(default_factory=list)
    reasoning_logprobs: list[bytes] = field(default_factory=list)
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

    def json(self, index: int, reported: bool) -> bytes:
        """A `ChoiceBody` as JSON."""
        message: MessageBody = {"role": "assistant", "content": self.content or (None if self.calls else "")}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        shown = b"null"
        if reported:
            shown = b'{"content":[' + b",".join(self.logprobs) + b"]"
            if self.reasoning_logprobs:
                shown += b',"reasoning_content":[' + b",".join(self.reasoning_logprobs) + b"]"
            shown += b"}"
        head, end = as_json({"index": index, "message": message}), as_json({"finish_reason": self.finish_reason})
        return head[:-1] + b',"logprobs":' + shown + b"," + end[1:]


def _call_body(name: str) -> ToolCallBody:
    return {"id": new_id("call_"), "type": "function", "function": {"name": name, "arguments": ""}}


def _delta_body(delta: Delta) -> dict[str, Any]:
    if delta.kind == "reasoning":
        return {"reasoning_content": delta.text}
    if delta.kind == "content":
        return {"content": delta.text}
    if delta.kind == "call":
        return {"tool_calls": [{"index": delta.index, **_call_body(delta.text)}]}
    return {"tool_calls": [{"index": delta.index, "function": {"arguments": delta.text}}]}
