"""What both applications keep while they serve: accounts, the calls that run, what those that ended came to."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends, Request

from centime.serve.accounts import Accounts, Charge
from centime.serve.accounts.tally import Tally
from centime.serve.engine.request import Finished, Usage
from centime.serve.http.affordable import OnBudget
from centime.serve.http.metrics import CallMetrics
from centime.serve.http.responses import Abortable
from centime.serve.telemetry.exchange import Exchange, Observer, current_exchange


class RunningCall(Abortable, Protocol):
    """A call that is not settled."""

    @property
    def lowered(self) -> int | None:
        """The most tokens of each answer, where what is left of a budget pays no more; None: as many as were asked."""


@dataclass(kw_only=True)
class ServerState(ABC):
    """The state of one application, at `app.state.server`.

    patience: seconds a client waits before it hears that the connection is alive. book: the ledger's file, None for the
    person's own. on_budget: what is done with a request that asks for more than is left. calls: those that are not
    settled, each with what is to be told of it. observers: who is told. draining: new requests are refused (503).
    """

    accounts: Accounts
    patience: float = 10.0
    book: Path | None = None
    on_budget: OnBudget = "clamp"
    observers: Sequence[Observer] = ()
    tally: Tally = field(default_factory=Tally, init=False)
    metrics: CallMetrics = field(init=False)
    calls: dict[RunningCall, Exchange | None] = field(default_factory=dict, init=False)
    draining: bool = field(default=False, init=False)

    def began(self, call: RunningCall) -> Exchange | None:
        """A call of the request that is being answered begins; what is told of it, where somebody is told."""
        exchange = self.calls[call] = current_exchange()
        if exchange is not None:
            exchange.hold()
        return exchange

    def over(self, call: RunningCall) -> None:
        """A call is settled, or never came about."""
        exchange = self.calls.pop(call, None)
        if exchange is not None:
            exchange.let_go()

    def ended(self, call: RunningCall, ends: Iterable[Finished], usage: Usage, charge: Charge | None) -> None:
        """Counts a call that has ended; charge: None of one that failed."""
        ends = list(ends)
        if (exchange := self.calls.get(call)) is not None:
            exchange.ended(ends, usage, charge)
            exchange.lowered = call.lowered
        self.metrics.ended(ends, usage, charge)
        if charge is not None:
            self.tally.add(usage, charge)

    async def settled(self) -> None:
        """Returns once the charges of all calls are committed."""
        while self.calls:
            await asyncio.sleep(0.01)

    @abstractmethod
    def stop(self) -> None:
        """Ends at once what a second signal kept the application from ending."""


async def state_of(request: Request) -> ServerState:
    """The state that the application was made with: no thread is asked for what does not wait."""
    state: ServerState = request.app.state.server
    return state


CurrentServer = Annotated[ServerState, Depends(state_of)]
