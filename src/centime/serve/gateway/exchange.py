"""One request through the gateway: admitted, sent on, read as it passes, charged before its end is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2

from centime.serve.accounts import Account, Charge, Refused, Ticket
from centime.serve.api.errors import ApiError
from centime.serve.api.respond import DONE, KEEP_ALIVE, as_event
from centime.serve.engine.request import Finish, Finished, Usage
from centime.serve.gateway.asked import UNKNOWN_CONTEXT, Asked, for_upstream, most_tokens
from centime.serve.gateway.told import Tokens, Watched, events_of, tokens_of
from centime.serve.gateway.upstream import lost

if TYPE_CHECKING:
    from centime.serve.gateway.gateway import Gateway


class Exchange:
    """A request that was admitted. It is charged for what the upstream says it used; of a stream cut short, for what
    had come until then; an answer of which nothing came costs nothing."""

    def __init__(self, gateway: Gateway, asked: Asked, ticket: Ticket) -> None:
        self._gateway, self._asked, self._ticket = gateway, asked, ticket
        self._number = gateway.clock.enter()
        self._began_ns = time.monotonic_ns()
        self._first_ns = 0
        self._watched = Watched(asked)
        self.usage: Usage | None = None
        self.charge: Charge | None = None

    @staticmethod
    async def start(gateway: Gateway, account: Account, asked: Asked) -> Exchange:
        """Admits the request. Raises ApiError (503 while draining) and Refused (402, 429, 503).

        What a prompt costs at most is told from its bytes first; only where that does not fit the balance is the
        upstream asked to count.
        """
        if gateway.draining:
            raise ApiError(503, "The server is shutting down; send the request again, elsewhere or later.")
        context = gateway.facts.context
        bound = min(asked.prompt_bound or UNKNOWN_CONTEXT, context or UNKNOWN_CONTEXT)
        try:
            ticket = await _admit(gateway, account, asked, bound)
        except Refused as refused:
            counted = await gateway.upstream.count(asked, gateway.facts) if refused.status == 402 else None
            if counted is None or counted >= bound:
                raise
            ticket = await _admit(gateway, account, asked, counted)
        exchange = Exchange(gateway, asked, ticket)
        gateway.exchanges.add(exchange)
        return exchange

    async def whole(self) -> dict[str, Any]:
        """The upstream's body, the cost in its usage. Raises ApiError."""
        tokens: Tokens | None = None
        reason: Finish = "failed"
        try:
            response = await self._send()
            try:
                raw = await response.aread()
            finally:
                await response.aclose()
            body = json.loads(raw)
            tokens = tokens_of(body.get("usage"))
            reason = "end"
        except httpx2.HTTPError as error:
            raise lost(error) from None
        except (ValueError, AttributeError):
            raise ApiError(503, "The model's server answered with something that is no JSON object.") from None
        except asyncio.CancelledError:
            reason = "aborted"
            raise
        finally:
            ending = self._end(tokens, reason)
        await asyncio.shield(ending)
        if tokens is not None:
            body["usage"]["cost"] = self._cost()
        found: dict[str, Any] = body
        return found

    async def stream(self) -> AsyncGenerator[bytes]:
        """The upstream's events as they come, with signs of life between them. Raises ApiError."""
        events = self._events()
        following: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                following = following or asyncio.create_task(_next(events))
                await asyncio.wait({following}, timeout=self._gateway.patience)
                if not following.done():
                    yield KEEP_ALIVE
                    continue
                event, following = following.result(), None
                if event is None:
                    return
                yield event
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await events.aclose()

    async def _events(self) -> AsyncGenerator[bytes]:
        """The last events, from the one that ends the answer on, are held until the charge is committed."""
        watched, held = self._watched, list[bytes]()
        reason: Finish = "aborted"
        try:
            response = await self._send()
            try:
                async for event in events_of(response.aiter_bytes()):
                    passed = watched.take(event)
                    if not self._first_ns and watched.chunks:
                        self._first_ns = time.monotonic_ns() - self._began_ns
                    if passed is not None and (watched.complete or held):
                        held.append(passed)
                    elif passed is not None:
                        yield passed
                reason = "end"
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            reason = "failed"
            raise lost(error) from None
        except ApiError:
            reason = "failed"
            raise
        finally:
            ending = self._end(watched.tokens, reason)
        await asyncio.shield(ending)
        for event in self._last(held):
            yield event

    def _last(self, held: list[bytes]) -> list[bytes]:
        """The held events, and the usage with its cost where the client is to see it."""
        usage = self._watched.usage_event
        if usage is None:
            return held
        if isinstance(usage.get("usage"), dict):
            usage["usage"]["cost"] = self._cost()
        if self._asked.kind == "messages":
            return [as_event(usage, "message_delta"), *held]
        if not self._asked.wants_usage:
            return held
        before = [event for event in held if event.strip() != DONE.strip()]
        return [*before, as_event(usage), *([DONE] if len(before) < len(held) else [])]

    async def _send(self) -> httpx2.Response:
        facts = self._gateway.facts
        body = for_upstream(self._asked, context=facts.context, upstream=facts.kind)
        return await self._gateway.upstream.send(self._asked, body, facts)

    def _end(self, tokens: Tokens | None, reason: Finish) -> asyncio.Task[None]:
        """The upstream is done with it: the clock stops here, the charge is booked by a task of its own."""
        machine_ns = self._gateway.clock.leave(self._number)
        total_ns = time.monotonic_ns() - self._began_ns
        return asyncio.get_running_loop().create_task(self._settle(tokens, reason, machine_ns, total_ns))

    async def _settle(self, tokens: Tokens | None, reason: Finish, machine_ns: int, total_ns: int) -> None:
        try:
            if tokens is None and self._watched.chunks:
                prompt = await self._gateway.upstream.count(self._asked, self._gateway.facts)
                guessed = (self._asked.prompt_bound or UNKNOWN_CONTEXT) // 4  # bytes of text are about four a token
                tokens = Tokens(prompt or guessed, 0, self._watched.chunks)
            if tokens is None:
                await asyncio.to_thread(self._ticket.release)
                return
            self.usage = Usage(
                tokens.prompt, tokens.hit, tokens.output, machine_ns, queued_ns=0,
                first_token_ns=self._first_ns, total_ns=total_ns,
            )  # fmt: skip
            self.charge = await asyncio.to_thread(self._ticket.settle, self.usage)
            self._gateway.ended(Finished(reason, self.usage), self.charge)
        finally:
            self._gateway.exchanges.discard(self)

    def _cost(self) -> dict[str, Any] | None:
        if self.charge is None or self.usage is None:
            return None
        return {"machine_seconds": self.usage.machine_ns / 1e9, **self.charge.as_json()}

    def abort(self) -> None:
        """The client left: whoever reads the upstream is cancelled, which closes the connection and ends its work."""


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _admit(gateway: Gateway, account: Account, asked: Asked, prompt_tokens: int) -> Ticket:
    most = most_tokens(asked, gateway.facts.context)
    return await asyncio.to_thread(gateway.accounts.admit, account, prompt_tokens=prompt_tokens, max_tokens=most)
