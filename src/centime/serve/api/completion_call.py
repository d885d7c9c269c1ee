"""The answers to a text completion, whole or as a stream of chunks. Choices are numbered prompt by prompt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from typing_extensions import TypedDict

from centime.serve.api import logprobs
from centime.serve.api.answer import FinishReason
from centime.serve.api.call import Call
from centime.serve.api.echo import Echo
from centime.serve.api.logprobs import CompletionLogprobs, Placed, Placing
from centime.serve.api.service import Service
from centime.serve.api.usage import UsageBody, usage_of
from centime.serve.engine.request import Event, Finished, Piece, PromptLogprobs
from centime.serve.http.responses import DONE, KEEP_ALIVE, as_event, as_json, new_id
from centime.serve.protocol.completion_request import CompletionRequest


class CompletionChoice(TypedDict):
    """One of the answers."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class Completion(TypedDict):
    """The answers to one request."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageBody | None


@dataclass
class Asked:
    """A completion being made. echoes: what stands before the answers, one a prompt; none without `echo`."""

    body: CompletionRequest
    service: Service
    call: Call
    echoes: Sequence[Echo]
    id: str = field(default_factory=lambda: new_id("cmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def told(self, choices: Sequence[CompletionChoice], usage: UsageBody | None) -> Completion:
        """The body of a whole answer, and of every chunk of a stream."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": self.service.fingerprint,
            "choices": list(choices),
            "usage": usage,
        }


@dataclass(frozen=True)
class Added:
    """What one choice gets more of: text and its tokens, if log-probabilities are asked for, or its end."""

    index: int
    text: str
    tokens: Sequence[Placed] = ()
    reason: FinishReason | None = None


async def whole(asked: Asked) -> bytes:
    """The body of an answer that is not streamed, as JSON."""
    choices = [_Collected() for _ in range(len(asked.body.prompt) * (asked.body.n or 1))]
    async for added in _added(asked):
        if added is not None:
            choices[added.index].add(added.text, _reported(asked, added.tokens), added.reason)
    reported = asked.body.logprobs is not None
    body = as_json(asked.told([], usage_of(asked.call)))
    filled = b'"choices":[' + b",".join(choice.json(index, reported) for index, choice in enumerate(choices)) + b"]"
    return body.replace(b'"choices":[]', filled, 1)


async def stream(asked: Asked) -> AsyncGenerator[bytes]:
    """Chunks of text; the usage once: on the last choice's end, or by itself after it if the client asks for that."""
    apart = asked.body.stream_options is not None and asked.body.stream_options.include_usage
    left = len(asked.body.prompt) * (asked.body.n or 1)
    async for added in _added(asked):
        if added is None:
            yield KEEP_ALIVE
            continue
        left -= added.reason is not None
        usage = usage_of(asked.call) if left == 0 and not apart else None
        choice: CompletionChoice = {
            "index": added.index,
            "text": added.text,
            "logprobs": _reported(asked, added.tokens) if added.tokens else None,
            "finish_reason": added.reason,
        }
        yield as_event(asked.told([choice], usage))
    if apart:
        yield as_event(asked.told([], usage_of(asked.call)))
    yield DONE


def _reported(asked: Asked, tokens: Sequence[Placed]) -> CompletionLogprobs:
    return logprobs.for_completion(asked.service.tokenizer, tokens)


class _Collected:
    """One choice, put together as JSON while it comes: encoding much at once would hold up everybody's answers."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._columns: dict[str, list[bytes]] = {name: [] for name in CompletionLogprobs.__annotations__}
        self._reason: FinishReason | None = None

    def add(self, text: str, reported: CompletionLogprobs, reason: FinishReason | None) -> None:
        self._text.append(text)
        for name, column in self._columns.items():
            if values := reported[name]:  # type: ignore[literal-required]
                column.append(as_json(values)[1:-1])
        self._reason = reason or self._reason

    def json(self, index: int, reported: bool) -> bytes:
        head = as_json({"index": index, "text": "".join(self._text), "finish_reason": self._reason})
        columns = b",".join(as_json(name) + b":[" + b",".join(parts) + b"]" for name, parts in self._columns.items())
        return head[:-1] + b',"logprobs":' + (b"{" + columns + b"}" if reported else b"null") + b"}"


async def _added(asked: Asked) -> AsyncIterator[Added | None]:
    """What comes, in each choice's order: its prompt if that is echoed, its answer, its end. None: nothing yet."""
    n = asked.body.n or 1
    groups = [_Group(asked, prompt) for prompt in range(len(asked.body.prompt))]
    for group in groups:
        for added in group.begin():
            yield added
    async for told in asked.call.events():
        if told is None:
            yield None
            continue
        index, event = told
        for added in groups[index // n].take(index % n, event):
            yield added
            if isinstance(event, PromptLogprobs):  # many parts, and each takes milliseconds: others get their turn
                await asyncio.sleep(0)


class _Group:
    """The choices of one prompt. All have its echo from the first one; what another answers meanwhile waits."""

    def __init__(self, asked: Asked, prompt: int) -> None:
        n = asked.body.n or 1
        self._echo = asked.echoes[prompt] if asked.echoes else None
        self._indexes = range(prompt * n, prompt * n + n)
        offset = self._echo.length if self._echo is not None else 0
        self._answers = [_Answer(asked, index, offset) for index in self._indexes]
        self._held: list[tuple[int, Event]] = []

    def begin(self) -> Iterator[Added]:
        """What is there before anything is computed."""
        if self._echo is not None:
            yield from self._echoed(self._echo, self._echo.begin())

    def take(self, which: int, event: Event) -> Iterator[Added]:
        """What an event of one of the choices adds to them."""
        echo = self._echo
        if isinstance(event, PromptLogprobs):
            assert echo is not None
            yield from self._echoed(echo, echo.take(event.logprobs))
        elif echo is None or echo.over:
            yield from self._answers[which].take(event)
        else:
            self._held.append((which, event))
            if which == 0 and isinstance(event, Finished):  # it ended within the prompt
                yield from self._echoed(echo, echo.cut())

    def _echoed(self, echo: Echo, parts: Iterator[tuple[str, Sequence[Placed]]]) -> Iterator[Added]:
        for text, tokens in parts:
            yield from (Added(index, text, tokens) for index in self._indexes)
        if echo.over:
            held, self._held = self._held, []
            for which, event in held:
                yield from self._answers[which].take(event)


class _Answer:
    """One choice's answer while it comes; `offset` characters stand before it."""

    def __init__(self, asked: Asked, index: int, offset: int) -> None:
        self._index = index
        self._placing = None if asked.body.logprobs is None else Placing(asked.service.tokenizer, offset)

    def take(self, event: Event) -> Iterator[Added]:
        if isinstance(event, Piece):
            placed = [] if self._placing is None else self._placing.take(event.text, event.logprobs)
            yield Added(self._index, event.text, placed)
        elif isinstance(event, Finished):
            placed = [] if self._placing is None else self._placing.end()
            yield Added(self._index, "", placed, _reason(event))


def _reason(end: Finished) -> FinishReason:
    if end.reason == "length":
        return "length"
    return "insufficient_system_resource" if end.reason in {"aborted", "failed"} else "stop"
