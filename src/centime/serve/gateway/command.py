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
from centime.serve.gateway.cache_salt import SALTED, SHARED, installation_secret
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.upstream import Facts, Upstream
from centime.serve.http.server import bind, run, url_of
from centime.serve.http.startup import announcement, check_origins, check_patience, check_reach, tariff_of
from centime.units import format_money


@dataclass(frozen=True)
class GatewayOptions:
    """The verb's options. device, devices: what the upstream runs on, for the price of its time."""

    upstream: str
    upstream_key: str | None
    host: str
    port: int
    device: str | None
    devices: int
    price: str | None
    price_list: str | None
    peak_hours: str | None
    keep_alive: float
    origins: tuple[str, ...] = ()  # whose pages may ask, besides the gateway's own


def serve_upstream(options: GatewayOptions, say: Callable[[str], None]) -> None:
    """Serves until a signal. Raises UserError on what the person can mend."""
    check_patience(options.keep_alive)
    check_origins(options.origins)
    tariff = tariff_of(options.price_list, options.peak_hours)
    facts = asyncio.run(_ask(options))
    listening = bind(options.host, options.port)
    name = options.device or f"upstream {facts.kind or 'server'}"
    device = Device(name, "gpu", options.devices, 0, None, "", None)
    price = price_for(device, options.price) if options.price or options.device else None
    run_name = facts.models[0].replace("/", "_") if facts.models else "upstream"
    accounts = Accounts(run=run_name, tariff=tariff, price=price, devices=options.devices)
    check_reach(accounts, options.host)
    with (
        Book() as book,
        Meter(
            book, run=run_name, verb="serve", stage="serve", device=device, devices=options.devices, price=price
        ) as meter,
    ):
        upstream = Upstream(options.upstream, options.upstream_key)
        secret = installation_secret(centime_home())
        gateway = Gateway(upstream=upstream, facts=facts, accounts=accounts, patience=options.keep_alive, secret=secret)

        def ready() -> None:
            models = ", ".join(facts.models)
            say(f"{models} of {gateway.upstream.url}{_hour(price, options.devices)}: {url_of(listening)}")
            say(announcement(accounts))
            if facts.kind not in SALTED and not accounts.open:
                say(SHARED)

        run(create_app(gateway, options.origins), gateway, listening, ready)
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
