"""What `centime serve --upstream URL` does: find the server, open the accounts and a socket, serve, tell the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from centime.catalogue.home import centime_home
from centime.catalogue.prices import Price, price_for
from centime.ledger import Book, Meter
from centime.ledger.device import Device
from centime.serve.accounts import Accounts
from centime.serve.gateway.app import create_app
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.upstreams.cache_salt import SALTED, SHARED, installation_secret
from centime.serve.gateway.upstreams.upstream import Facts, Upstream
from centime.serve.http.server import bind, run, url_of
from centime.serve.http.startup import ServerOptions, announcement, check_reach
from centime.units import format_money


@dataclass(frozen=True)
class GatewayOptions:
    """The verb's options. device, devices: what the upstream runs on, for the price of its time."""

    upstream: str
    upstream_key: str | None
    server: ServerOptions
    device: str | None
    devices: int


def serve_upstream(options: GatewayOptions, say: Callable[[str], None]) -> None:
    """Serves until a signal. Raises UserError on what the person can mend."""
    server = options.server
    tariff = server.tariff()
    facts = asyncio.run(_ask(options))
    listening = bind(server.host, server.port)
    name = options.device or f"upstream {facts.kind or 'server'}"
    device = Device(name, "gpu", options.devices, 0, None, "", None)
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
        upstream = Upstream(options.upstream, options.upstream_key)
        secret = installation_secret(centime_home())
        gateway = Gateway(upstream=upstream, facts=facts, accounts=accounts, patience=server.keep_alive, secret=secret)

        def ready() -> None:
            models = ", ".join(facts.models)
            say(f"{models} of {gateway.upstream.url}{_hour(price, options.devices)}: {url_of(listening)}")
            say(announcement(accounts))
            if facts.kind not in SALTED and not accounts.open:
                say(SHARED)

        run(create_app(gateway, server.origins), gateway, listening, ready)
        spent = meter.spent()
    accounts.close()
    for line in gateway.tally.lines(spent):
        say(line)


async def _ask(options: GatewayOptions) -> Facts:
    upstream = Upstream(options.upstream, options.upstream_key)
    try:
        return await upstream.facts()
    finally:
        await upstream.close()


def _hour(price: Price | None, devices: int) -> str:
    if price is None:
        return ", its time at no price (--price, or --upstream-device)"
    return f", {format_money(price.per_device_hour * devices, price.currency)} per hour"
