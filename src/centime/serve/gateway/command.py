"""What `centime serve --upstream URL` and `--upstreams FILE` do: find the servers, serve before them, tell the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.home import centime_home
from centime.catalogue.prices import Price, price_for
from centime.ledger import Book, Meter, Spent
from centime.ledger.device import Device
from centime.ledger.energy import EnergyCounter
from centime.ledger.engines.engine_device import engine_device
from centime.serve.accounts import Accounts
from centime.serve.gateway.app import create_app
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.gateway.upstreams.cache_salt import SALTED, SHARED, installation_secret
from centime.serve.gateway.upstreams.clock import UpstreamClock
from centime.serve.gateway.upstreams.gateway_file import GatewayFile, read_gateway_file
from centime.serve.gateway.upstreams.pool import FilePool, Pool, single
from centime.serve.gateway.upstreams.upstream import Facts, Upstream
from centime.serve.http.server import bind, run, url_of
from centime.serve.http.startup import ServerOptions, announcement, check_reach
from centime.serve.telemetry.exchange import Observer
from centime.units import format_money

MOST_NAMED = 8  # models of a file, where it is told what there is


@dataclass(frozen=True)
class GatewayOptions:
    """The verb's options. upstream: a server's address, or None with `upstreams`, a file of several.

    device, devices: what the one upstream runs on, for the price of its time.
    """

    upstream: str | None
    upstream_key: str | None
    server: ServerOptions
    device: str | None
    devices: int
    upstreams: Path | None = None


def serve_upstream(options: GatewayOptions, say: Callable[[str], None]) -> None:
    """Serves until a signal. Raises UserError on what the person can mend."""
    if options.upstreams is not None:
        _serve_file(options.upstreams, options.server, say)
    else:
        _serve_one(options, say)


def _serve_one(options: GatewayOptions, say: Callable[[str], None]) -> None:
    server = options.server
    tariff = server.tariff()
    facts = asyncio.run(_ask(options))
    listening = bind(server.host, server.port)
    observers = server.observers()
    name = options.device or f"upstream {facts.kind or 'server'}"
    device = engine_device(options.upstream or "", name, options.device, options.devices)
    price = price_for(device, server.price) if server.price or options.device else None
    run_name = facts.models[0].replace("/", "_") if facts.models else "upstream"
    accounts = Accounts(run=run_name, tariff=tariff, price=price, devices=options.devices)
    check_reach(accounts, server.host)
    with (
        Book() as book,
        Meter(
            book, run=run_name, verb="serve", stage="serve", device=device, devices=options.devices, price=price
        ) as meter,
    ):
        clock = UpstreamClock(counter=EnergyCounter(device, options.devices), devices=options.devices)
        backend = Backend(name=run_name, upstream=_upstream(options), facts=facts, clock=clock)
        pool = Pool(single(backend), accounts=accounts)
        gateway = _gateway(pool, accounts, server, observers)

        def ready() -> None:
            models = ", ".join(facts.models)
            say(f"{models} of {backend.upstream.url}{_hour(price, options.devices)}: {url_of(listening)}")
            say(announcement(accounts))
            if facts.kind not in SALTED and not accounts.open:
                say(SHARED)

        run(create_app(gateway, server.origins), gateway, listening, ready)
        spent = meter.spent()
    accounts.close()
    for line in gateway.tally.lines(spent):
        say(line)


def _serve_file(path: Path, server: ServerOptions, say: Callable[[str], None]) -> None:
    tariff = server.tariff()
    file = read_gateway_file(path)
    listening = bind(server.host, server.port)
    observers = server.observers()
    accounts = Accounts(run="gateway", tariff=tariff, priced_later=True)
    check_reach(accounts, server.host)
    meters: list[Meter] = []

    def metered(name: str, device: Device, devices: int, price: Price | None) -> Meter:
        meters.append(Meter(book, run=name, verb="serve", stage="serve", device=device, devices=devices, price=price))
        return meters[-1]

    with Book() as book:
        pool = FilePool(path, accounts, metered)
        gateway = _gateway(pool, accounts, server, observers)

        def ready() -> None:
            upstreams = ", ".join(f"{one.name} ({one.upstream.url})" for one in pool.backends)
            say(f"{offered(file)}; upstreams {upstreams}: {url_of(listening)}")
            say(announcement(accounts, file.tariffs()))

        run(create_app(gateway, server.origins), gateway, listening, ready)
    accounts.close()
    for line in gateway.tally.lines(together([meter.spent() for meter in meters])):
        say(line)


def _gateway(pool: Pool, accounts: Accounts, server: ServerOptions, observers: Sequence[Observer]) -> Gateway:
    secret = installation_secret(centime_home())
    return Gateway(
        pool=pool, accounts=accounts, patience=server.keep_alive, secret=secret, on_budget=server.on_budget,
        observers=observers,
    )  # fmt: skip


def offered(file: GatewayFile) -> str:
    """What a gateway's clients may name, in words: its models, and what its upstreams list themselves."""
    names = [one.name + (f" (also {', '.join(one.aliases)})" if one.aliases else "") for one in file.model[:MOST_NAMED]]
    if more := len(file.model) - len(names):
        names.append(f"{more} more")
    lists = [one.name for one in file.upstream if one.models is None]
    names += [name for one in file.upstream for name in (one.models or [])[:MOST_NAMED]]
    names += [f"all that {' and '.join(lists)} list{'s' if len(lists) == 1 else ''}"] if lists else []
    return ", ".join(names) or "no model"


def together(spent: Sequence[Spent]) -> Spent:
    """Of several machines: the money where they are all priced in one currency, else the time alone."""
    currencies = {one.currency for one in spent if one.cost is not None}
    cost = sum(one.cost or 0.0 for one in spent) if len(currencies) == 1 else None
    return Spent(sum(one.device_ns for one in spent), cost, currencies.pop() if cost is not None else None)


def _upstream(options: GatewayOptions) -> Upstream:
    assert options.upstream is not None
    return Upstream(options.upstream, options.upstream_key)


async def _ask(options: GatewayOptions) -> Facts:
    upstream = _upstream(options)
    try:
        return await upstream.facts()
    finally:
        await upstream.close()


def _hour(price: Price | None, devices: int) -> str:
    if price is None:
        return ", its time at no price (--price, or --upstream-device)"
    return f", {format_money(price.per_device_hour * devices, price.currency)} per hour"
