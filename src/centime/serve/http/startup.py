"""On what terms a server serves: what keys pay, who may reach it, how long a client waits for a sign of life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from centime.catalogue.tariffs import Tariff, tariff_for
from centime.errors import UserError
from centime.serve.accounts import Accounts
from centime.serve.http.affordable import OnBudget
from centime.serve.http.auth import is_loopback
from centime.serve.telemetry.exchange import Observer
from centime.serve.telemetry.request_log import RequestLog


@dataclass(frozen=True)
class ServerOptions:
    """The options of the verb that both applications have; origins: whose pages may ask, besides the server's own."""

    host: str
    port: int
    price: str | None
    price_list: str | None
    peak_hours: str | None
    keep_alive: float  # seconds
    origins: tuple[str, ...] = ()
    on_budget: OnBudget = "clamp"
    log: str | None = None  # a file for a line of each request, '-': standard output
    log_bodies: bool = False
    otel: bool = False

    def observers(self) -> list[Observer]:
        """Who is told of each request. Raises UserError where one of them cannot be had."""
        if self.log_bodies and self.log is None:
            raise UserError("--log-bodies goes with --log.")
        found: list[Observer] = [] if self.log is None else [RequestLog(self.log, self.log_bodies)]
        if self.otel:
            from centime.serve.telemetry.spans import otlp_spans

            found.append(otlp_spans())
        return found

    def tariff(self) -> Tariff | None:
        """What keys without prices of their own pay. Raises UserError where any of these options cannot be."""
        check_patience(self.keep_alive)
        check_origins(self.origins)
        return tariff_of(self.price_list, self.peak_hours)


def tariff_of(price_list: str | None, peak_hours: str | None) -> Tariff | None:
    """What keys without prices of their own pay; None: no price list. Raises UserError for what is none."""
    if price_list is None:
        if peak_hours is not None:
            raise UserError("--peak-hours go with --price-list.")
        return None
    return tariff_for(price_list, hours=peak_hours)


def check_patience(seconds: float) -> None:
    """Raises UserError for a --keep-alive that is none."""
    if not 0 < seconds <= 600:
        raise UserError(f"--keep-alive is {seconds:g} seconds; give more than 0 and at most 600.")


def check_origins(origins: Sequence[str]) -> None:
    """Raises UserError for an --cors-origin that no browser would send."""
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "*" and (parts.scheme not in {"http", "https"} or f"{parts.scheme}://{parts.netloc}" != origin):
            raise UserError(
                f"--cors-origin is {origin!r}; give what a browser sends as the page's origin, such as "
                "https://app.example or http://localhost:3000, or '*' for any page."
            )


def check_reach(accounts: Accounts, host: str) -> None:
    """Raises UserError where a server without a key could be reached from elsewhere."""
    if accounts.open and not is_loopback(host):
        raise UserError(
            f"there is no key yet, and --host {host} can be reached from elsewhere: anybody could use the "
            "machine. Make a key with `centime keys add NAME`, or keep to --host 127.0.0.1."
        )


def announcement(accounts: Accounts, own: Mapping[str, Tariff] = MappingProxyType({})) -> str:
    """Who may ask, and what it costs them, in sentences for whoever started the server.

    own: prices that stand before the server's, by the name of the model or of the upstream that has them.
    """
    who = "Open to this machine, no key needed" if accounts.open else "Keys only (`centime keys list`)"
    asks = f"prices {accounts.tariff}" if accounts.tariff else "no price list (--price-list)"
    if own:
        asks = "; ".join([*(f"{name} at {tariff}" for name, tariff in own.items()), f"all else: {asks}"])
    lines = [f"{who}; {asks}. The API is described at /docs. Ctrl-C ends it with the bill."]
    priced = [*own.values(), *([accounts.tariff] if accounts.tariff else [])]
    currencies = sorted({tariff.currency for tariff in priced})
    here = f"prices are in {' and '.join(currencies)}" if currencies else "there is no price list"
    lines += (
        f"Budgets in {currency} cannot pay here, where {here}: {', '.join(names[:5])}"
        f"{f' and {len(names) - 5} more' if len(names) > 5 else ''} will be refused (402)."
        for currency, names in accounts.unpayable(currencies).items()
    )
    return "\n".join(lines)
