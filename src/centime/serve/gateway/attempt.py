"""One sending of a request to one server: what came of it, read into a meter as it passes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from centime.serve.gateway.answer_meter import AnswerMeter, StreamMeter
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.sse import events_of, object_of
from centime.serve.gateway.token_counts import TokenCounts
from centime.serve.gateway.upstreams.cache_salt import salted
from centime.serve.gateway.upstreams.clock import ClockShare
from centime.serve.gateway.upstreams.routing import Target
from centime.serve.gateway.upstreams.upstream import read_whole, unusable
from centime.serve.http.errors import ApiError
from centime.serve.http.responses import DONE
from centime.serve.telemetry.exchange import current_exchange

AFTER_END, AFTER_END_S = 64, 2.0  # events and seconds that an upstream may add to an answer that has ended


class Attempt:
    """What one server makes of a request. most: what is reserved for it, at this server's prices.

    Of a stream nothing is passed on before its first token, so that until then another server may be asked instead.
    meter: of what came; body: of an answer that is not streamed; share: of the server's time, once it is over.
    """

    def __init__(self, target: Target, inbound: Inbound, most: TokenCounts) -> None:
        self.backend, self.inbound, self.most = target.backend, inbound, most
        self.model = target.model
        self.meter: AnswerMeter = StreamMeter(inbound) if inbound.stream else AnswerMeter(inbound)
        self.body: dict[str, Any] | None = None
        self.began_ns = time.monotonic_ns()
        self.share = ClockShare()
        self.first_token_ns = self.total_ns = 0  # total_ns: until the server was done with it
        self.passed = False  # something of it has gone to the client
        self._held: list[bytes] = []

    async def run(self, key: str, secret: bytes, pass_on: Callable[[bytes], Awaitable[None]]) -> None:
        """Sends the request and reads the answer to its end. key, secret: whose prefix cache it uses (cache_salt.py).

        Raises ApiError, Malformed, or httpx2's errors; the server's clock is stopped however it ends.
        """
        number = self.backend.clock.enter()
        self.began_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(self.backend.first_token_s if self.inbound.stream else None) as first:
                await self._run(key, secret, pass_on, first)
        except TimeoutError:
            raise ApiError(
                504, f"The model's server sent no token in {self.backend.first_token_s:g} seconds.",
                code="upstream_timeout",
            ) from None  # fmt: skip
        finally:
            self.share = self.backend.clock.leave(number)
            self.total_ns = time.monotonic_ns() - self.began_ns

    async def _run(
        self, key: str, secret: bytes, pass_on: Callable[[bytes], Awaitable[None]], first: asyncio.Timeout
    ) -> None:
        facts, inbound = self.backend.facts, self.inbound
        body = inbound.for_upstream(facts.kind, facts.context)
        if self.model is not None:
            body["model"] = self.model
        body = salted(body, inbound.kind, facts.kind, key, secret)
        exchange = current_exchange()
        request_id = exchange.request_id if exchange is not None else None
        response = await self.backend.upstream.send(inbound.kind, body, facts, request_id)
        try:
            said = response.headers.get("content-type", "").lower()
            if "event-stream" in said or (inbound.stream and "json" not in said):
                await self._read_events(response, pass_on, first)
            else:
                await self._read_body(response)
        finally:
            with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, OSError):
                await response.aclose()

    async def _read_events(
        self, response: httpx2.Response, pass_on: Callable[[bytes], Awaitable[None]], first: asyncio.Timeout
    ) -> None:
        meter = self.meter if isinstance(self.meter, StreamMeter) else StreamMeter(self.inbound)
        self.meter, after = meter, 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, contextlib.aclosing(events_of(response.aiter_bytes())) as events:
                async for event in events:
                    passed = meter.take(event)
                    if meter.chunks and not self.first_token_ns:
                        self.first_token_ns = time.monotonic_ns() - self.began_ns
                        if not first.expired():  # else it ends at the next pause
                            first.reschedule(None)
                    if passed is not None and self.inbound.stream:
                        await self._pass(passed, pass_on)
                    if meter.ended:
                        after += 1
                    if after > AFTER_END:
                        break
                    if meter.done and limit.when() is None:  # the connection is kept where its end comes soon
                        limit.reschedule(asyncio.get_running_loop().time() + AFTER_END_S)
        if not self.inbound.stream:
            raise unusable("a stream of events where one body was asked for")

    async def _pass(self, event: bytes, pass_on: Callable[[bytes], Awaitable[None]]) -> None:
        self._held.append(event)
        if self.meter.chunks:
            self.passed = True
            held, self._held = self._held, []
            for one in held:
                await pass_on(one)

    @property
    def came_to_nothing(self) -> bool:
        """Whether a stream is over and brought neither token nor end: an error alone, or less."""
        return self.inbound.stream and self.meter.chunks == 0 and not self.meter.ended

    def unsent(self) -> list[bytes]:
        """The events of a stream that brought no token; from now on they count as passed on."""
        held, self._held = self._held, []
        return held

    async def _read_body(self, response: httpx2.Response) -> None:
        raw = await read_whole(response)
        body = object_of(raw)
        if body is None:
            if raw.lstrip().startswith(b"{"):
                self.meter.take_texts(raw.decode("utf-8", "replace"))  # an answer was made, if not one to be read
            raise unusable("something that is no JSON object")
        error = body.get("error")
        if error and not body.get("choices"):  # reported under 200, as by servers that have begun to answer
            message = error.get("message") if isinstance(error, dict) else error
            raise ApiError(503, str(message or "The model's server failed on this request."), code="upstream_failed")
        self.meter.take_body(body)
        self.body = body
        if isinstance(self.meter, StreamMeter):  # a stream was asked for: the answer is its one event
            self.meter.held = [b"data: " + raw.translate(None, b"\r\n") + b"\n\n", DONE]
