"""One call of the API while it runs: an engine request for each choice, one ticket, and one charge at its end."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from centime.ledger.energy import NO_ENERGY
from centime.serve.accounts import Charge, Ticket
from centime.serve.api.service import Service
from centime.serve.engine.request import (
    Constraint,
    Event,
    Finished,
    Piece,
    QueueFull,
    Request,
    SamplingParams,
    Usage,
)
from centime.serve.http.affordable import afford, shared_out
from centime.serve.http.errors import ApiError, PromptTooLong

FAILED = "The engine failed on this request; the server's log says why."


@dataclass(frozen=True)
class Choice:
    """One answer to make to a prompt. Choices of one `prompt`, the same object, are charged for it once."""

    prompt: Sequence[int]
    params: SamplingParams
    constraint: Constraint | None = None


class Call(ABC):
    """Runs the choices of one call and writes its answer. All but `deliver` and `_begin` runs in the event loop.

    Its charge is committed before the last choice's end is told, so that no client knows of an answer that a killed
    server would not remember. A call whose client leaves is aborted, and charged for what was computed until then; one
    that fails by the server's fault is not charged at all. The ticket is the call's once it is made: after `start` it
    is settled or released, whatever happens.
    """

    def __init__(self, service: Service, ticket: Ticket, choices: Sequence[Choice], isolation: str = "") -> None:
        self._service, self._ticket = service, ticket
        self._choices = choices
        self.prompt_tokens = sum(len(prompt) for prompt in {id(c.prompt): c.prompt for c in choices}.values())
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, Event]] = []  # for the reader
        self._news = asyncio.Event()
        self._ends: dict[int, Finished] = {}
        # no key can tell by its hits what another one asked
        self._isolation = f"{ticket.account.name}\n{isolation}"
        self._requests = [self._request(index, choice) for index, choice in enumerate(choices)]
        self._settling: asyncio.Task[None] | None = None
        self.lowered: int | None = None  # the most tokens of each choice, where what is left pays no more
        self.usage: Usage | None = None  # of all choices together, once they have ended
        self.charge: Charge | None = None  # None of a call that failed

    @abstractmethod
    async def whole(self) -> Mapping[str, object] | bytes:
        """The body of an answer that is not streamed, as JSON or its values. Raises ApiError."""

    @abstractmethod
    def stream(self) -> AsyncGenerator[bytes]:
        """The answer as server-sent events, each as soon as it is there. Raises ApiError."""

    async def start(self) -> None:
        """Reserves what the choices could cost and submits them.

        Raises ApiError (400, 429), Refused (402, 503), UserError on a bad prompt; the ticket is released then. A client
        that leaves meanwhile is aborted, as later.
        """
        service, submitted = self._service, list[Request]()
        beginning: asyncio.Task[None] | None = None
        try:
            await self._afford([min(c.params.max_tokens, _room(service, c.prompt)) for c in self._choices])
            service.began(self)
            beginning = self._loop.create_task(asyncio.to_thread(self._begin, submitted))
            await asyncio.shield(beginning)
        except BaseException as error:
            if beginning is not None:
                await asyncio.wait({beginning})
            for request in submitted:
                service.engine.abort(request.id)
            if len(submitted) < len(self._choices):  # else their ends come, and settle it
                service.over(self)
                await asyncio.shield(asyncio.to_thread(self._ticket.release))
            if isinstance(error, QueueFull):
                raise ApiError(
                    429, f"{error}; come back later.", code="queue_full", retry_after=_seconds_an_answer(service)
                ) from None
            raise

    async def _afford(self, asked: Sequence[int]) -> None:
        """Reserves for the choices, which may make so many tokens each, and lowers their max_tokens to what is paid."""
        granted = await afford(
            self._ticket,
            prompt_tokens=self.prompt_tokens,
            max_tokens=sum(asked),
            least=sum(min(1, tokens) for tokens in asked),
            on_budget=self._service.on_budget,
        )
        if granted < sum(asked):
            self.lowered = most = shared_out(asked, granted)
            self._choices = [
                replace(choice, params=replace(choice.params, max_tokens=min(tokens, most)))
                for choice, tokens in zip(self._choices, asked, strict=True)
            ]
            self._requests = [self._request(index, choice) for index, choice in enumerate(self._choices)]

    def _begin(self, submitted: list[Request]) -> None:
        """In a thread: the engine counts a prompt's tokens for every choice, which takes its time with long ones."""
        for request in self._requests:
            self._service.engine.submit(request)
            submitted.append(request)

    def _request(self, index: int, choice: Choice) -> Request:
        def deliver(event: Event) -> None:  # in the engine's thread
            try:
                self._loop.call_soon_threadsafe(self._take, index, event)
            except RuntimeError:  # the loop is closed: a second signal has ended the server
                if self._ended(index, event):
                    self._charge_it()
                    self._count()

        return Request(
            choice.prompt,
            choice.params,
            deliver,
            owner=self._ticket.account.name,
            isolation=self._isolation,
            constraint=choice.constraint,
        )

    def _take(self, index: int, event: Event) -> None:
        if self._ended(index, event):
            self._settling = self._loop.create_task(self._settle(index, event))
        else:
            self._tell(index, event)

    def _ended(self, index: int, event: Event) -> bool:
        """Whether this was the last choice's end."""
        if isinstance(event, Finished):
            self._ends[index] = event
        return isinstance(event, Finished) and len(self._ends) == len(self._requests)

    def _tell(self, index: int, event: Event) -> None:
        self._waiting.append((index, event))
        self._news.set()

    async def _settle(self, index: int, last: Event) -> None:
        try:
            await asyncio.shield(asyncio.to_thread(self._charge_it))  # a second signal must not leave it unbooked
            self._count()
        finally:
            self._service.over(self)
            self._tell(index, last)

    def _charge_it(self) -> None:
        ends = [self._ends[number] for number in range(len(self._requests))]
        self.usage = _together(self._choices, [end.usage for end in ends])
        if any(end.reason == "failed" for end in ends):
            self._ticket.release()
        else:
            self.charge = self._ticket.settle(self.usage)

    def _count(self) -> None:
        assert self.usage is not None
        self._service.ended(self, self._ends.values(), self.usage, self.charge)

    def abort(self) -> None:
        """The client left: nothing more is computed for it."""
        for index, request in enumerate(self._requests):
            if index not in self._ends:
                self._service.engine.abort(request.id)

    async def events(self) -> AsyncIterator[tuple[int, Event] | None]:
        """(choice, event) up to the last choice's end; None whenever nothing came for the server's patience.

        Pieces that wait for a slow reader are joined, so that it costs no more than a fast one. Raises ApiError when
        the engine failed on a choice (500), or the choice's own grammar led nowhere (422).
        """
        ended = 0
        while ended < len(self._requests):
            self._news.clear()
            if not self._waiting:
                try:
                    async with asyncio.timeout(self._service.patience):
                        await self._news.wait()
                except TimeoutError:
                    yield None
                    continue
            waiting, self._waiting = self._waiting, []
            for index, event in joined(waiting):
                if isinstance(event, Finished):
                    ended += 1
                    if event.reason in {"failed", "refused"}:
                        self.abort()
                        raise ApiError(500 if event.reason == "failed" else 422, event.error or FAILED)
                yield index, event


def _room(service: Service, prompt: Sequence[int]) -> int:
    """Tokens that the context leaves for an answer. Raises ApiError (400) where it leaves none."""
    room = service.engine.context - len(prompt)
    if room < 1:
        raise PromptTooLong(len(prompt), service.engine.context)
    return room


def _together(choices: Sequence[Choice], usages: Sequence[Usage]) -> Usage:
    """Of all choices: every prompt once, as the choice found it that had most of it to compute."""
    prompts: dict[int, Usage] = {}
    for choice, usage in zip(choices, usages, strict=True):
        known = prompts.get(id(choice.prompt), usage)
        prompts[id(choice.prompt)] = max(known, usage, key=lambda one: (one.miss_tokens, one.prompt_tokens))
    return replace(
        usages[0],
        prompt_tokens=sum(usage.prompt_tokens for usage in prompts.values()),
        hit_tokens=sum(usage.hit_tokens for usage in prompts.values()),
        output_tokens=sum(usage.output_tokens for usage in usages),
        machine_ns=sum(usage.machine_ns for usage in usages),
        total_ns=max(usage.total_ns for usage in usages),
        drafted_tokens=sum(usage.drafted_tokens for usage in usages),
        accepted_tokens=sum(usage.accepted_tokens for usage in usages),
        energy=sum((usage.energy for usage in usages), NO_ENERGY),
    )


def _seconds_an_answer(service: Service) -> float:
    """After which a place in a full queue is likely to be free: the engine's time per answer so far, within reason."""
    stats = service.engine.stats()
    return min(60.0, stats.busy_ns / 1e9 / max(1, stats.finished))


def joined(events: Sequence[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
    """The events in their order, neighbouring pieces of one choice as one piece."""
    for (index, kind), group in itertools.groupby(events, key=lambda pair: (pair[0], type(pair[1]))):
        ones = [event for _, event in group]
        pieces = [event for event in ones if isinstance(event, Piece)]
        if kind is Piece and len(pieces) > 1:
            yield (
                index,
                Piece(
                    "".join(piece.text for piece in pieces),
                    tuple(token for piece in pieces for token in piece.tokens),
                    tuple(logprob for piece in pieces for logprob in piece.logprobs),
                ),
            )
        else:
            yield from ((index, event) for event in ones)
