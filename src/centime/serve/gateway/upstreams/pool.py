"""The servers behind the gateway and the way to them: looked at, and read again when their file changes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from centime.catalogue.prices import Price, price_for
from centime.errors import UserError
from centime.ledger.device import Device
from centime.ledger.energy import EnergyCounter
from centime.ledger.engines.engine_device import engine_device
from centime.serve.accounts import Accounts, Machine
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.gateway.upstreams.clock import UpstreamClock
from centime.serve.gateway.upstreams.gateway_file import GatewayFile, ModelSection, UpstreamSection, read_gateway_file
from centime.serve.gateway.upstreams.routing import Route, Routes, Target
from centime.serve.gateway.upstreams.upstream import Facts, Upstream

UNKNOWN = Facts("", (), None)  # of a server that has not been reached yet
BOOKED_EVERY_S = 1.0

Metered = Callable[[str, Device, int, Price | None], AbstractContextManager[object]]
"""(name, device, devices, price) -> what books a server's device-time while it is open: `centime.ledger.Meter`."""


class Pool:
    """Holds `routes`, which requests read once: one that has begun keeps what it began with, whatever is read later.

    Of the one server of --upstream: every model is its own.
    """

    def __init__(self, routes: Routes, *, accounts: Accounts) -> None:
        self.routes, self._accounts = routes, accounts
        self._leaving: list[Backend] = []  # taken out of the file, with requests still running

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All that requests go to."""
        return self.routes.backends

    @property
    def running(self) -> int:
        """Requests in flight, those of servers that are leaving too."""
        return sum(one.clock.running for one in (*self.backends, *self._leaving))

    async def models(self) -> Any:
        """What `/v1/models` tells, here the server's own words. Raises ApiError."""
        return await self.backends[0].upstream.models()

    async def answers(self) -> bool:
        """Whether any of them is there."""
        looks = await asyncio.gather(*(one.upstream.answers() for one in self.backends))
        return any(looks)

    async def work(self) -> None:
        """Books the servers' time every second, until it is cancelled."""
        while True:
            await asyncio.sleep(BOOKED_EVERY_S)
            await self._book()

    async def close(self) -> None:
        """The last time booked, every connection closed."""
        await self._book()
        for one in (*self.backends, *self._leaving):
            await self._end(one)

    async def _book(self) -> None:
        for one in (*self.backends, *self._leaving):
            await asyncio.to_thread(self._accounts.machine_time, one.clock.totals(), one.machine)
        for one in [one for one in self._leaving if not one.clock.running]:
            self._leaving.remove(one)
            await self._end(one)

    async def _end(self, backend: Backend) -> None:
        """Nothing is asked of it any more."""
        await backend.upstream.close()


class FilePool(Pool):
    """Of a file, which is read again when it changes: a request in flight never notices.

    metered: books a server's device-time, for those that have a price or a device. A server that cannot be reached at
    the start is no error: it is looked at every `check_s` seconds, as they all are.
    """

    def __init__(self, path: Path, accounts: Accounts, metered: Metered) -> None:
        self._path, self._metered = path, metered
        self._meters: dict[Backend, ExitStack] = {}
        self._sections: dict[str, UpstreamSection] = {}
        self._keys: dict[str, str | None] = {}
        super().__init__(Routes(named={}), accounts=accounts)
        self._read: bytes | None = None
        self._file = self._load()

    def _load(self) -> GatewayFile:
        with contextlib.suppress(OSError):
            self._read = self._path.read_bytes()
        found = read_gateway_file(self._path)
        before = {one.name: one for one in self.backends}
        backends: dict[str, Backend] = {}
        for section in found.upstream:
            key, old = section.key(self._path.parent), before.get(section.name)
            if old is not None and (self._sections[section.name], self._keys[section.name]) == (section, key):
                backends[section.name] = old
            else:
                backends[section.name] = self._backend(section, key, old.facts if old is not None else UNKNOWN)
            self._sections[section.name], self._keys[section.name] = section, key
        self.routes = routes_of(found, backends)
        self._leaving += [one for one in before.values() if one not in backends.values()]
        for name, tariff in found.tariffs().items():
            self._accounts.offer(name, tariff)
        return found

    def _backend(self, section: UpstreamSection, key: str | None, facts: Facts) -> Backend:
        price, meter = None, ExitStack()
        label = section.device or f"upstream {section.name}"
        device = engine_device(section.url, label, section.device, section.devices)
        if section.price is not None or section.device is not None:
            price = price_for(device, section.price)
            meter.enter_context(self._metered(section.name, device, section.devices, price))
        machine = Machine(section.name, price, section.devices)
        self._accounts.add_machine(machine)
        upstream = Upstream(section.url, key, connect_s=section.connect_s, silence_s=section.silence_s)
        backend = Backend(
            name=section.name, upstream=upstream, facts=facts, machine=machine, tariff=section.tariff(),
            first_token_s=section.first_token_s,
            clock=UpstreamClock(counter=EnergyCounter(device, section.devices), devices=section.devices),
        )  # fmt: skip
        self._meters[backend] = meter
        return backend

    async def models(self) -> Any:
        """Names, aliases, and the servers' own models where they are offered."""
        return {"object": "list", "data": list(self.routes.listed())}

    async def look(self) -> None:
        """At every server: whether it is there, and what it serves now."""

        async def one(backend: Backend) -> None:
            try:
                backend.facts = await backend.upstream.facts()
                backend.health.seen(True)
            except UserError as error:
                backend.health.seen(False)
                backend.tell_once(f"it is left out until it answers: {str(error).rstrip('.')}")

        await asyncio.gather(*map(one, self.backends))

    async def work(self) -> None:
        """Beside the booking, looks at the servers and at the file."""
        looking = asyncio.create_task(self._watch())
        try:
            await super().work()
        finally:
            looking.cancel()

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._file.gateway.check_s)
            self.reload()

    def reload(self) -> None:
        """Reads the file if it has changed. What is wrong with it is told on standard error, and all stays as it is."""
        with contextlib.suppress(OSError):
            if self._path.read_bytes() == self._read:
                return
        try:
            self._file = self._load()
            print(f"centime: {self._path} is read again.", file=sys.stderr, flush=True)
        except UserError as error:
            print(f"centime: the upstreams stay as they were: {error}", file=sys.stderr, flush=True)

    async def _end(self, backend: Backend) -> None:
        await super()._end(backend)
        await asyncio.to_thread(self._meters.pop(backend).close)


def single(backend: Backend) -> Routes:
    """All requests go to one server, once."""
    return Routes(named={}, backends=(backend,), default=backend)


def routes_of(file: GatewayFile, backends: dict[str, Backend]) -> Routes:
    """The way to each model that the file names."""
    named: dict[str, Route] = {}
    for model in file.model:
        targets = tuple(_targets(model, backends))
        route = Route(targets, model.tariff())
        named |= dict.fromkeys((model.name, *model.aliases), route)
    settings = file.gateway
    return Routes(
        named=named,
        aliases={alias: model.name for model in file.model for alias in model.aliases},
        backends=tuple(backends.values()),
        offered={one.name: None if one.models is None else frozenset(one.models) for one in file.upstream},
        prefixes=frozenset(settings.prefixes),
        default=backends[settings.default] if settings.default is not None else None,
        sticky=settings.balance == "sticky",
        attempts=settings.attempts,
    )


def _targets(model: ModelSection, backends: dict[str, Backend]) -> Iterator[Target]:
    for one in model.route:
        yield Target(backends[one.upstream], one.model or model.name, one.weight, one.fallback)
