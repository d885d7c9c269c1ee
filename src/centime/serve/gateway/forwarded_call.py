"""One request through the gateway: reserved for, sent on, read as it passes, charged before its end is reported.

The upstreams are read by a task of its own, in one attempt after the other (attempt.py). However that ends, with the
answer, by an error of whatever kind, or cancelled because the client left, `_over` follows, and the ticket is settled
or released. So no answer that goes wrong, and no client that leaves, keeps anything that others need.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import httpx2

from centime.serve.accounts import Charge, Refused, Ticket
from centime.serve.engine.request import Finish, Finished, Usage
from centime.serve.gateway.answer_meter import StreamMeter
from centime.serve.gateway.attempt import Attempt
from centime.serve.gateway.charging import charged_counts, estimated_counts, reserve
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.sse import Malformed
from centime.serve.gateway.token_counts import TokenCounts, usage_body
from centime.serve.gateway.upstreams.backend import is_worth_another_try
from centime.serve.gateway.upstreams.routing import Route, Target, at_random, by_conversation
from centime.serve.gateway.upstreams.upstream import lost, unusable
from centime.serve.http.errors import ApiError
from centime.serve.http.responses import KEEP_ALIVE

log = logging.getLogger("centime.serve")

AHEAD = 64  # events read before the client has taken them
PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # before a server that has just failed is asked again, twice as long each time


class ForwardedCall:
    """A request that was admitted, and what the servers that it may go to make of it.

    Until the first token of an answer, or the end of one that is no stream, another server is asked where one fails;
    what failed costs nothing. Each attempt is reserved for at the prices of whoever is asked.
    """

    def __init__(
        self,
        gateway: Gateway,
        inbound: Inbound,
        ticket: Ticket,
        route: Route,
        first: Attempt,
        others: list[Target],
    ) -> None:
        self._gateway, self._inbound, self._ticket, self._route = gateway, inbound, ticket, route
        self._attempt, self._others = first, deque(others)
        self._began_ns = time.monotonic_ns()
        self._waiting: deque[bytes] = deque()  # events that the client has not taken yet
        self._news, self._room, self._done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._error: ApiError | None = None
        self.usage: Usage | None = None
        self.charge: Charge | None = None
        self._exchange = gateway.began(self)
        self._attempts = 1
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self._reading.add_done_callback(self._over)

    @staticmethod
    async def start(gateway: Gateway, ticket: Ticket, inbound: Inbound) -> ForwardedCall:
        """Finds the servers of the request's model, reserves what it could cost at the first of them, and sends it. The
        ticket is the call's from then on.

        Raises ApiError (400, 404, 422) and Refused (402, 503); the ticket is released then.
        """
        try:
            routes = gateway.pool.routes
            route = routes.find(inbound.body.get("model"))
            draw = by_conversation(inbound.body, ticket.account.name) if routes.sticky else at_random
            targets = list(itertools.islice(itertools.cycle(route.order(draw)), routes.attempts))
            tariff, backend = gateway.tariff_of(route, targets[0]), targets[0].backend
            payable, most = await reserve(ticket, tariff, inbound, backend, gateway.on_budget)
            first = Attempt(targets[0], payable, most)
            return ForwardedCall(gateway, inbound, ticket, route, first, targets[1:])
        except BaseException:
            await asyncio.shield(asyncio.to_thread(ticket.release))
            raise

    @property
    def lowered(self) -> int | None:
        """The most tokens of each answer, where what is left of a budget pays no more; None: as many as were asked."""
        return self._attempt.inbound.lowered

    async def whole(self) -> dict[str, Any]:
        """The upstream's body, the cost in its usage. Raises ApiError."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        body = self._attempt.body
        assert body is not None, "a call ends with a body or an error"
        if self.charge is not None:
            counted = self._counted_usage()
            reported = body.get("usage") if counted is None else counted
            body["usage"] = {**(reported if isinstance(reported, dict) else {}), "cost": self._cost()}
        return body

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
        assert isinstance(self._attempt.meter, StreamMeter)
        for event in self._attempt.unsent() + self._attempt.meter.last_events(self._counted_usage(), self._cost()):
            yield event

    def abort(self) -> None:
        """The client left: the upstream's connection is closed, which ends its work. What has ended is left alone."""
        self._reading.cancel()

    async def _read(self) -> None:
        pause = PAUSE_S
        while True:
            attempt, health = self._attempt, self._attempt.backend.health
            try:
                await attempt.run(self._ticket.account.name, self._gateway.secret, self._pass)
                if attempt.came_to_nothing and self._others:
                    raise unusable("a stream without an answer")
                health.answered()
                return
            except Exception as error:
                told = _as_api_error(error)
                again = is_worth_another_try(told)
                health.failed(told) if again else health.answered()
                self._gateway.metrics.failed(attempt.backend.name)
                if attempt.passed or not again or not await self._next():
                    raise told from error
            if self._attempt.backend is attempt.backend:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, 2 * pause)

    async def _next(self) -> bool:
        """Reserves for the next server that the request may go to; whether there is one that it can pay."""
        while self._others:
            target = self._others.popleft()
            try:
                tariff = self._gateway.tariff_of(self._route, target)
                on_budget = self._gateway.on_budget
                payable, most = await reserve(self._ticket, tariff, self._inbound, target.backend, on_budget)
            except (ApiError, Refused):
                continue
            self._attempt = Attempt(target, payable, most)
            self._attempts += 1
            return True
        return False

    async def _pass(self, event: bytes) -> None:
        while len(self._waiting) >= AHEAD:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(event)
        self._news.set()

    def _over(self, reading: asyncio.Task[None]) -> None:
        """The servers are done with it, or it with them: a task of its own charges."""
        reason: Finish = "end"
        if reading.cancelled():
            reason = "aborted"
        elif (error := reading.exception()) is not None:
            if not (self._inbound.stream and self._attempt.meter.ended):  # an answer that is whole needs nothing more
                reason, self._error = "failed", _as_api_error(error)
        elif self._attempt.meter.failed:
            reason = "failed"
        self._settling = reading.get_loop().create_task(self._settle(reason))

    async def _settle(self, reason: Finish) -> None:
        attempt, total_ns = self._attempt, time.monotonic_ns() - self._began_ns
        if self._exchange is not None:
            backend, asked = attempt.backend, self._inbound.body.get("model")
            self._exchange.upstream, self._exchange.attempts = backend.name, self._attempts
            self._exchange.model = attempt.model or (asked if isinstance(asked, str) else "")
            self._exchange.provider = backend.facts.kind or backend.name
        try:
            counts = await self._counts(reason)
            if counts is None:
                await asyncio.to_thread(self._ticket.release)
                return
            first_ns = attempt.first_token_ns and attempt.first_token_ns + attempt.began_ns - self._began_ns
            self.usage = Usage(
                counts.prompt, counts.hit, counts.output, attempt.share.ns, queued_ns=0,
                first_token_ns=first_ns, total_ns=total_ns, energy=attempt.share.energy,
            )  # fmt: skip
            attempt.backend.answered = attempt.backend.answered.plus(counts)
            self.charge = await asyncio.to_thread(self._ticket.settle, self.usage, attempt.backend.machine)
            self._gateway.ended(self, [Finished(reason, self.usage)], self.usage, self.charge)
            if reason == "end":
                attempt.backend.pace.ended(attempt.total_ns, counts.output / self._inbound.answers)
        except Exception:  # nobody waits for this task: what it raised would be lost, and the reservation kept for good
            log.exception("a request through the gateway could not be charged")
            await asyncio.to_thread(self._ticket.release)
        finally:
            self._gateway.over(self)
            self._done.set()
            self._news.set()

    async def _counts(self, reason: Finish) -> TokenCounts | None:
        attempt = self._attempt
        if reason == "aborted" and not self._inbound.stream:
            return await estimated_counts(attempt.backend, self._inbound, attempt.total_ns, attempt.most)
        if reason == "failed" and not attempt.meter.chunks:
            return None
        return await charged_counts(attempt.backend, self._inbound, attempt.meter, attempt.most)

    def _counted_usage(self) -> dict[str, Any] | None:
        """The usage as it was counted here; None where the upstream has reported it."""
        if self.usage is None or self._attempt.meter.final_counts is not None:
            return None
        used = self.usage
        return usage_body(TokenCounts(used.prompt_tokens, used.hit_tokens, used.output_tokens), self._inbound.kind)

    def _cost(self) -> dict[str, Any] | None:
        if self.charge is None or self.usage is None:
            return None
        return {
            "machine_seconds": self.usage.machine_ns / 1e9,
            **self.usage.energy.told(),
            **self.charge.as_json(),
            "max_tokens_lowered_to": self.lowered,
        }


def _as_api_error(error: BaseException) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Malformed):
        return unusable(str(error))
    if isinstance(error, httpx2.HTTPError | httpx2.StreamError | OSError):
        return lost(error)
    log.error("a request through the gateway failed", exc_info=error)
    return ApiError(500, "The gateway failed on this request; its log says why.")
