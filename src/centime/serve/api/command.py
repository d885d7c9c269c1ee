"""What `centime serve` does: open the folder, the accounts and a socket, serve, and say what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.prices import Price, ask_for_price, price_for
from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.serve.accounts import Accounts
from centime.serve.api.formats import find_format
from centime.serve.api.server import bind, run, url_of
from centime.serve.api.serving import Serving, is_loopback
from centime.serve.engine.engine import Engine
from centime.serve.engine.grammar import Grammars
from centime.serve.engine.settings import EngineSettings
from centime.serve.opening import find, metered, open_model
from centime.units import format_money


@dataclass(frozen=True)
class Options:
    """The verb's options. `max_waiting` and what follows it are the engine's: see EngineSettings."""

    folder: Path
    host: str
    port: int
    names: tuple[str, ...]
    device: str | None
    dtype: str | None
    price: str | None
    price_list: str | None
    peak_hours: str | None
    chat_format: str
    keep_alive: float
    max_waiting: int
    max_running: int
    step_tokens: int
    cache_bytes: int | None
    disk: Path | None
    disk_bytes: int
    drafts: bool
    deterministic: bool


def serve_folder(options: Options, say: Callable[[str], None]) -> None:
    """Serves until a signal. Raises UserError on what the person can mend, before the weights are read if possible."""
    if not 0 < options.keep_alive <= 600:
        raise UserError(f"--keep-alive is {options.keep_alive:g} seconds; give more than 0 and at most 600.")
    if options.peak_hours is not None and options.price_list is None:
        raise UserError("--peak-hours go with --price-list.")
    settings = EngineSettings(
        step_tokens=options.step_tokens,
        max_running=options.max_running,
        max_waiting=options.max_waiting,
        cache_bytes=options.cache_bytes,
        drafts=options.drafts,
        deterministic=options.deterministic,
        disk=options.disk,
        disk_bytes=options.disk_bytes,
    )
    tariff = tariff_for(options.price_list, hours=options.peak_hours) if options.price_list is not None else None
    _, billed = find(options.folder)
    listening = bind(options.host, options.port)
    opened = open_model(options.folder, options.device, options.dtype)
    price = price_for(opened.device, options.price)
    accounts = Accounts(run=billed, tariff=tariff, price=price)
    if accounts.open and not is_loopback(options.host):
        raise UserError(
            f"there is no key yet, and --host {options.host} can be reached from elsewhere: anybody could use the "
            "machine. Make a key with `centime keys add NAME`, or keep to --host 127.0.0.1."
        )
    with metered("serve", opened, price) as meter:
        serving = Serving(
            engine=Engine(opened.model, opened.tokenizer, settings),
            tokenizer=opened.tokenizer,
            format=find_format(opened.tokenizer, options.chat_format),
            grammars=Grammars(opened.tokenizer, opened.model.config.vocab_size),
            accounts=accounts,
            names=options.names or (billed.resolve().name,),
            device=str(opened.device),
            price=price,
            patience=options.keep_alive,
        )

        def ready() -> None:
            hour = "" if price is None else f", {format_money(price.per_device_hour, price.currency)} per hour"
            say(f"{serving.names[0]} on {opened.device.name}{hour}: {url_of(listening)}")
            say(_terms(accounts, price))
            if price is None:
                say(ask_for_price(opened.device))

        run(serving, listening, ready=ready)
        spent = meter.spent()
    accounts.close()
    for line in serving.tally.lines(spent):
        say(line)


def _terms(accounts: Accounts, price: Price | None) -> str:
    """Who may ask, and what it costs them."""
    who = "Open to this machine, no key needed" if accounts.open else "Keys only (`centime keys list`)"
    asks = f"prices {accounts.tariff}" if accounts.tariff else "no price list (--price-list)"
    return f"{who}; {asks}. The API is described at /docs. Ctrl-C ends it with the bill."
