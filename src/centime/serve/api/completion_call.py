"""The answers to a text completion, whole or as a stream of chunks. Choices are numbered prompt by prompt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import TypedDict

from centime.serve.accounts import Ticket
from centime.serve.api import logprobs
from centime.serve.api.answer import FinishReason, finish_reason
from centime.serve.api.call import Call, Choice
from centime.serve.api.echo import Echo
from centime.serve.api.logprobs import CompletionLogprobs, PlacedToken, Placing
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


@dataclass(frozen=True)
class Added:
    """What one choice gets more of: text and its tokens, if log-probabilities are asked for, or its end."""

    index: int
    text: str
    tokens: Sequence[PlacedToken] = ()
    reason: FinishReason | None = None


class CompletionCall(Call):
    """Text completions being made. echoes: what stands before the answers, one a prompt; none without `echo`."""

    def __init__(
        self,
        service: Service,
        ticket: Ticket,
        body: CompletionRequest,
        choices: Sequence[Choice],
        echoes: Sequence[Echo],
    ) -> None:
        super().__init__(service, ticket, choices, body.isolation)
        self.body, self._echoes = body, echoes
        self.id, self.created = new_id("cmpl-"), int(time.time())

    async def whole(self) -> bytes:
        """A `Completion` as JSON."""
        choices = [_EncodedChoice() for _ in range(len(self.body.prompt) * (self.body.n or 1))]
        async for added in self._added():
            if added is not None:
                choices[added.index].add(added.text, self._reported(added.tokens), added.reason)
        reported = self.body.logprobs is not None
        body = as_json(self._body([], usage_of(self)))
        filled = b'"choices":[' + b",".join(choice.json(index, reported) for index, choice in enumerate(choices)) + b"]"
        return body.replace(b'"choices":[]', filled, 1)

    async def stream(self) -> AsyncGenerator[bytes]:
        """Chunks of text; the usage once: on the last choice's end, or by itself after it if the client asks for it."""
        apart = self.body.stream_options is not None and self.body.stream_options.include_usage
        left = len(self.body.prompt) * (self.body.n or 1)
        async for added in self._added():
            if added is None:
                yield KEEP_ALIVE
                continue
            left -= added.reason is not None
            usage = usage_of(self) if left == 0 and not apart else None
            choice: CompletionChoice = {
                "index": added.index,
                "text": added.text,
                "logprobs": self._reported(added.tokens) if added.tokens else None,
                "finish_reason": added.reason,
            }
            yield as_event(self._body([choice], usage))
        if apart:
            yield as_event(self._body([], usage_of(self)))
        yield DONE

    def _body(self, choices: Sequence[CompletionChoice], usage: UsageBody | None) -> Completion:
        """The body of a whole answer, and of every chunk of a stream."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": self._service.fingerprint,
            "choices": list(choices),
            "usage": usage,
        }

    def _reported(self, tokens: Sequence[PlacedToken]) -> CompletionLogprobs:
        return logprobs.for_completion(self._service.tokenizer, tokens)

    async def _added(self) -> AsyncIterator[Added | None]:
        """What comes, in each choice's order: its prompt if it is echoed, its answer, its end. None: nothing yet."""
        n = self.body.n or 1
        groups = [self._group(prompt, n) for prompt in range(len(self.body.prompt))]
        for group in groups:
            for added in group.begin():
                yield added
        async for news in self.events():
            if news is None:
                yield None
                continue
            index, event = news
            for added in groups[index // n].take(index % n, event):
                yield added
                if isinstance(event, PromptLogprobs):  # many parts, and each takes milliseconds: others get their turn
                    await asyncio.sleep(0)

    def _group(self, prompt: int, n: int) -> _Group:
        echo = self._echoes[prompt] if self._echoes else None
        offset = echo.length if echo is not None else 0
        places = self.body.logprobs is not None
        return _Group(
            echo,
            [
                _TextAnswer(index, Placing(self._service.tokenizer, offset) if places else None)
                for index in range(prompt * n, prompt * n + n)
            ],
        )


class _Group:
    """The choices of one prompt. All have its echo from the first one; what another answers meanwhile waits."""

    def __init__(self, echo: Echo | None, answers: Sequence[_TextAnswer]) -> None:
        self._echo, self._answers = echo, answers
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

    def _echoed(self, echo: Echo, parts: Iterator[tuple[str, Sequence[PlacedToken]]]) -> Iterator[Added]:
        for text, tokens in parts:
            yield from (Added(answer.index, text, tokens) for answer in self._answers)
        if echo.over:
            held, self._held = self._held, []
            for which, event in held:
                yield from self._answers[which].take(event)


class _TextAnswer:
    """One choice's answer while it comes. placing: of its tokens in its text, where log-probabilities are reported."""

    def __init__(self, index: int, placing: Placing | None) -> None:
        self.index, self._placing = index, placing

    def take(self, event: Event) -> Iterator[Added]:
        if isinstance(event, Piece):
            placed = [] if self._placing is None else self._placing.take(event.text, event.logprobs)
            yield Added(self.index, event.text, placed)
        elif isinstance(event, Finished):
            placed = [] if self._placing is None else self._placing.end()
            yield Added(self.index, "", placed, finish_reason(event))


class _EncodedChoice:
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
