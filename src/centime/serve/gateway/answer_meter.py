"""What of an answer has been delivered, and what the upstream reported of its tokens: of a stream, event by event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.sse import DONE_DATA, data_of, object_of
from centime.serve.gateway.token_counts import TokenCounts, counts_of, output_of, texts_of, timed_counts
from centime.serve.http.responses import DONE, as_event


class AnswerMeter:
    """The text and the counts of one answer. `counts`: as reported; None: nothing readable was reported so far."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self.texts: list[str] = []
        self.chunks = 0  # pieces with text: an upstream sends one a token, or more tokens in one
        self.counts: TokenCounts | None = None
        self.final = False  # they are those of the whole answer
        self.ended = False  # the answer is whole
        self.failed = False  # the upstream has reported an error

    @property
    def came(self) -> bool:
        """Whether anything of the answer came."""
        return self.ended or self.chunks > 0 or (self.counts is not None and self.counts.output > 0)

    @property
    def final_counts(self) -> TokenCounts | None:
        """The upstream's counts of the whole answer; None where it reported none, or none that fit what came."""
        if self.counts is None or not self.final or not self.counts.prompt:
            return None
        textless = not self.chunks or self._inbound.echoes  # what came may be the prompt alone
        return self.counts if self.counts.output or textless else None

    def take_texts(self, value: Any) -> None:
        """Text that the model wrote, wherever it stands in `value`."""
        texts = list(texts_of(value))
        self.texts += texts
        self.chunks += bool(texts)

    def take_body(self, body: dict[str, Any]) -> None:
        """A whole answer."""
        self.counts = counts_of(body.get("usage"))
        self.final = True
        self.take_texts([body.get("choices"), body.get("content")])
        self.ended = self.counts is not None or self.chunks > 0 or bool(body.get("data"))


@dataclass
class UsageEvent:
    """An event whose usage is completed with the charge before it is sent. name: the event's, where it has one."""

    body: dict[str, Any]
    name: str | None = None


class StreamMeter(AnswerMeter):
    """Reads events as they pass. What ends the answer, and all that follows it, is held until the charge is booked."""

    def __init__(self, inbound: Inbound) -> None:
        super().__init__(inbound)
        self._finished: set[Any] = set()  # choices with a finish_reason
        self._last: dict[str, Any] = {}  # of the chunks, for a usage that none of them reported
        self.held: list[bytes | UsageEvent] = []
        self.done = False  # nothing that counts follows

    def take(self, event: bytes) -> bytes | None:
        """The event as it is passed on now; None where it is held, or is not for the client."""
        passed = self._read(event)
        if passed is None or not (self.ended or self.held):
            return passed if isinstance(passed, bytes) else None
        self.held.append(passed)
        return None

    def last_events(self, usage: dict[str, Any] | None, cost: dict[str, Any] | None) -> list[bytes]:
        """What was held, with the usage and its cost where the client is to see them.

        usage: the gateway's own, for an upstream that reported none that can be read.
        """
        events: list[bytes] = []
        reported = False
        for held in self.held:
            if isinstance(held, UsageEvent):
                reported = True
                held.body["usage"] = {**(usage or held.body.get("usage") or {}), "cost": cost}
                events.append(as_event(held.body, held.name))
            else:
                events.append(held)
        if self.ended and not reported and self._inbound.wants_usage and usage is not None:
            at = len(events) - 1 if events and events[-1] == DONE else len(events)
            events.insert(at, as_event({**self._last, "choices": [], "usage": {**usage, "cost": cost}}))
        return events

    def _read(self, event: bytes) -> bytes | UsageEvent | None:
        data = data_of(event)
        if data is None:
            return event
        if data == DONE_DATA:
            self.done = self.ended = True
            return DONE
        body = object_of(data)
        if body is None:
            self.take_texts(data.decode("utf-8", "replace"))  # whatever it is, it was delivered
            return event
        if body.get("error") and not body.get("choices"):
            self.failed = True
            return event
        return self._message(event, body) if self._inbound.kind == "messages" else self._chunk(event, body)

    def _message(self, event: bytes, body: dict[str, Any]) -> bytes | UsageEvent:
        kind, usage = body.get("type"), body.get("usage")
        if kind == "message_start" and isinstance(body.get("message"), dict):
            usage = body["message"].get("usage")
        elif kind in ("content_block_start", "content_block_delta"):  # anything may stand there
            self.take_texts([body.get("content_block"), body.get("delta")])
        elif kind == "message_stop":
            self.done = self.ended = True
        self._count_message(usage, kind == "message_delta")
        if kind != "message_delta":
            return event
        self.ended = True
        return UsageEvent(body, "message_delta")

    def _count_message(self, usage: Any, last: bool) -> None:
        before, reported = self.counts, counts_of(usage)
        if reported is None and before is not None and (output := output_of(usage)) is not None:
            reported = TokenCounts(before.prompt, before.hit, output)
        if reported is None:
            return
        if before is not None and not reported.prompt:  # the end tells the output alone, or zeros beside it
            reported = TokenCounts(before.prompt, before.hit, reported.output)
        self.counts, self.final = reported, last

    def _chunk(self, event: bytes, body: dict[str, Any]) -> bytes | UsageEvent | None:
        choices = body.get("choices")
        choices = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        self._last = body
        reported = counts_of(body.get("usage")) or timed_counts(body.get("timings"))
        self.counts = reported or self.counts
        for choice in choices:
            self.take_texts(choice.get("delta") if "delta" in choice else choice.get("text"))
            if choice.get("finish_reason") is not None:
                self._finished.add(repr(choice.get("index")))
        if len(self._finished) >= self._inbound.answers:
            self.ended = True
        if reported is not None:
            self.final = self.ended or not choices
        if not choices and isinstance(body.get("usage"), dict):  # what include_usage asks for, after the last choice
            self.held = [held for held in self.held if not isinstance(held, UsageEvent)]
            self.ended = True
            return UsageEvent(body) if self._inbound.wants_usage else None
        return self._without_usage(event, body)

    def _without_usage(self, event: bytes, body: dict[str, Any]) -> bytes:
        """The chunk without counts that the client did not ask for: clients add up what they are reported."""
        hidden = {"usage"} if body.get("usage") is not None else set()
        if not self._inbound.wants_timings:
            hidden |= {"timings"} & body.keys()
        if not hidden:
            return event
        shown = {name: value for name, value in body.items() if name not in hidden}
        return as_event(shown | ({"usage": None} if self._inbound.wants_usage and "usage" in hidden else {}))
