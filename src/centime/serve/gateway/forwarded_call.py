"""One request through the gateway: reserved for, sent on, read as it passes, charged before its end is reported.

The upstream is read by a task of its own. However that ends, with the answer, by an error of whatever kind, or
cancelled because the client left, `_over` follows: it stops the clock, and the ticket is settled or released. So no
answer that goes wrong, and no client that leaves, keeps anything that others need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import httpx2

from centime.serve.accounts import Charge, Refused, Ticket
from centime.serve.engine.request import Finish, Finished, Usage
from centime.serve.gateway.answer_meter import AnswerMeter, StreamMeter
from centime.serve.gateway.charging import charged_counts, estimated_counts, most_prompt
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.sse import Malformed, events_of, object_of
from centime.serve.gateway.token_counts import TokenCounts, usage_body
from centime.serve.gateway.upstreams.cache_salt import salted
from centime.serve.gateway.upstreams.upstream import lost, read_whole, unusable
from centime.serve.http.errors import ApiError
from centime.serve.http.responses import DONE, KEEP_ALIVE

log = logging.getLogger("centime.serve")

AHEAD = 64  # events read before the client has taken them
AFTER_END, AFTER_END_S = 64, 2.0  # events and seconds that an upstream may add to an answer that has ended


class ForwardedCall:
    """A request that was admitted, and what the upstream makes of it."""

    def __init__(self, gateway: Gateway, inbound: Inbound, ticket: Ticket, most: TokenCounts) -> None:
        self._gateway, self._inbound, self._ticket, self._most = gateway, inbound, ticket, most
        self._number = gateway.clock.enter()
        self._began_ns = time.monotonic_ns()
        self._first_ns = 0
        self._meter = StreamMeter(inbound) if inbound.stream else AnswerMeter(inbound)
        self._body: dict[str, Any] | None = None  # of an answer that is not streamed
        self._waiting: deque[bytes] = deque()  # events that the client has not taken yet
        self._news, self._room, self._done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._error: ApiError | None = None
        self.usage: Usage | None = None
        self.charge: Charge | None = None
        gateway.calls.add(self)
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self._reading.add_done_callback(self._over)

    @staticmethod
    async def start(gateway: Gateway, ticket: Ticket, inbound: Inbound) -> ForwardedCall:
        """Reserves what the request could cost and sends it. The ticket is the call's from then on.

        What a prompt costs at most is known from its bytes first; only where that does not fit the balance is the
        upstream asked to count. Raises ApiError (422) and Refused (402, 503); the ticket is released then.
        """
        context = gateway.facts.context
        try:
            most = TokenCounts(most_prompt(inbound, context), 0, inbound.most_output(context))
            try:
                await _reserve(ticket, most)
            except Refused as refused:
                counted = await gateway.upstream.count(inbound, gateway.facts) if refused.status == 402 else None
                if counted is None or counted >= most.prompt:
                    raise
                most = TokenCounts(counted, 0, inbound.most_output(context, counted))
                await _reserve(ticket, most)
            return ForwardedCall(gateway, inbound, ticket, most)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(ticket.release))
            raise

    async def whole(self) -> dict[str, Any]:
        """The upstream's body, the cost in its usage. Raises ApiError."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._body is not None, "a call ends with a body or an error"
        if self.charge is not None:
            counted = self._counted_usage()
            reported = self._body.get("usage") if counted is None else counted
            self._body["usage"] = {**(reported if isinstance(reported, dict) else {}), "cost": self._cost()}
        return self._body

    async def stream(self) -> AsyncGenerator[bytes]:
        """The upstream's events as they come, with signs of life between them. Raises ApiError."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
                self._room.set()
            if self._done.is_set():
                break
            self._news.clear()
            try:
                async with asyncio.timeout(self._gateway.patience):
                    await self._news.wait()
            except TimeoutError:
                yield KEEP_ALIVE
        if self._error is not None:
            raise self._error
        assert isinstance(self._meter, StreamMeter)
        for event in self._meter.last_events(self._counted_usage(), self._cost()):
            yield event

    def abort(self) -> None:
        """The client left: the upstream's connection is closed, which ends its work. What has ended is left alone."""
        self._reading.cancel()

    async def _read(self) -> None:
        facts, kind = self._gateway.facts, self._inbound.kind
        body = self._inbound.for_upstream(facts.kind, facts.context)
        body = salted(body, kind, facts.kind, self._ticket.account.name, self._gateway.secret)
        response = await self._gateway.upstream.send(kind, body, facts)
        try:
            said = response.headers.get("content-type", "").lower()
            if "event-stream" in said or (self._inbound.stream and "json" not in said):
                await self._read_events(response)
            else:
                await self._read_body(response)
        finally:
            with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, OSError):
                await response.aclose()

    async def _read_events(self, response: httpx2.Response) -> None:
        meter = self._meter if isinstance(self._meter, StreamMeter) else StreamMeter(self._inbound)
        self._meter, after = meter, 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, contextlib.aclosing(events_of(response.aiter_bytes())) as events:
                async for event in events:
                    passed = meter.take(event)
                    if meter.chunks and not self._first_ns:
                        self._first_ns = time.monotonic_ns() - self._began_ns
                    if passed is not None and self._inbound.stream:
                        await self._pass(passed)
                    if meter.ended:
                        after += 1
                    if after > AFTER_END:
                        break
                    if meter.done and limit.when() is None:  # the connection is kept where its end comes soon
                        limit.reschedule(asyncio.get_running_loop().time() + AFTER_END_S)
        if not self._inbound.stream:
            raise unusable("a stream of events where one body was asked for")

    async def _read_body(self, response: httpx2.Response) -> None:
        raw = await read_whole(response)
        body = object_of(raw)
        if body is None:
            if raw.lstrip().startswith(b"{"):
                self._meter.take_texts(raw.decode("utf-8", "replace"))  # an answer was made, if not one to be read
            raise unusable("something that is no JSON object")
        error = body.get("error")
        if error and not body.get("choices"):  # reported under 200, as by servers that have begun to answer
            message = error.get("message") if isinstance(error, dict) else error
            raise ApiError(503, str(message or "The model's server failed on this request."), code="upstream_failed")
        self._meter.take_body(body)
        self._body = body
        if isinstance(self._meter, StreamMeter):  # a stream was asked for: the answer is its one event
            self._meter.held = [b"data: " + raw.translate(None, b"\r\n") + b"\n\n", DONE]

    async def _pass(self, event: bytes) -> None:
        while len(self._waiting) >= AHEAD:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(event)
        self._news.set()

    def _over(self, reading: asyncio.Task[None]) -> None:
        """The upstream is done with it, or it with the upstream: the clock stops here, a task of its own charges."""
        machine_ns = self._gateway.clock.leave(self._number)
        total_ns = time.monotonic_ns() - self._began_ns
        reason: Finish = "end"
        if reading.cancelled():
            reason = "aborted"
        elif (error := reading.exception()) is not None:
            if not (self._inbound.stream and self._meter.ended):  # an answer that is whole needs nothing more
                reason, self._error = "failed", _as_api_error(error)
        elif self._meter.failed:
            reason = "failed"
        self._settling = reading.get_loop().create_task(self._settle(reason, machine_ns, total_ns))

    async def _settle(self, reason: Finish, machine_ns: int, total_ns: int) -> None:
        try:
            counts = await self._counts(reason, total_ns)
            if counts is None:
                await asyncio.to_thread(self._ticket.release)
                return
            self.usage = Usage(
                counts.prompt, counts.hit, counts.output, machine_ns, queued_ns=0,
                first_token_ns=self._first_ns, total_ns=total_ns,
            )  # fmt: skip
            self.charge = await asyncio.to_thread(self._ticket.settle, self.usage)
            self._gateway.ended([Finished(reason, self.usage)], self.usage, self.charge)
            if reason == "end":
                self._gateway.pace.ended(total_ns, counts.output / self._inbound.answers)
        except Exception:  # nobody waits for this task: what it raised would be lost, and the reservation kept for good
            log.exception("a request through the gateway could not be charged")
            await asyncio.to_thread(self._ticket.release)
        finally:
            self._gateway.calls.discard(self)
            self._done.set()
            self._news.set()

    async def _counts(self, reason: Finish, total_ns: int) -> TokenCounts | None:
        if reason == "aborted" and not self._inbound.stream:
            return await estimated_counts(self._gateway, self._inbound, total_ns, self._most)
        if reason == "failed" and not self._meter.chunks:
            return None
        return await charged_counts(self._gateway, self._inbound, self._meter, self._most)

    def _counted_usage(self) -> dict[str, Any] | None:
        """The usage as it was counted here; None where the upstream has reported it."""
        if self.usage is None or self._meter.final_counts is not None:
            return None
        used = self.usage
        return usage_body(TokenCounts(used.prompt_tokens, used.hit_tokens, used.output_tokens), self._inbound.kind)

    def _cost(self) -> dict[str, Any] | None:
        if self.charge is None or self.usage is None:
            return None
        return {"machine_seconds": self.usage.machine_ns / 1e9, **self.charge.as_json()}


async def _reserve(ticket: Ticket, most: TokenCounts) -> None:
    await asyncio.to_thread(ticket.raise_to, prompt_tokens=most.prompt, max_tokens=most.output)


def _as_api_error(error: BaseException) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Malformed):
        return unusable(str(error))
    if isinstance(error, httpx2.HTTPError | httpx2.StreamError | OSError):
        return lost(error)
    log.error("a request through the gateway failed", exc_info=error)
    return ApiError(500, "The gateway failed on this request; its log says why.")
