"""What `centime serve` does: open the folder, the accounts and a socket, serve, and say what it came to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from centime.catalogue.prices import ask_for_price, price_for
from centime.installation import needs
from centime.ledger.energy import EnergyCounter
from centime.serve.accounts import Accounts
from centime.serve.api.app import create_app
from centime.serve.api.service import Service
from centime.serve.engine.client import EngineClient
from centime.serve.engine.engine import Engine
from centime.serve.engine.settings import EngineSettings
from centime.serve.formats import find_format
from centime.serve.grammar.constraint import Grammars
from centime.serve.http.server import bind, run, url_of
from centime.serve.http.startup import ServerOptions, announcement, check_reach
from centime.serve.kv_cache.cache_folder import CacheFolder
from centime.serve.loading import ModelFolder, load_for_inference, metered, name_of, open_folder
from centime.units import format_money


@dataclass(frozen=True)
class ServeOptions:
    """The verb's options. names: what clients call the model, by default what the bill calls it."""

    folder: Path
    server: ServerOptions
    engine: EngineSettings
    names: tuple[str, ...]
    device: str | None
    dtype: str | None
    chat_format: str
    replicas: int
    adapter: Path | None = None


def serve_folder(options: ServeOptions, say: Callable[[str], None]) -> None:
    """Serves until a signal. Raises UserError on what the person can mend, before the weights are read if possible."""
    server = options.server
    tariff = server.tariff()
    found = open_folder(options.folder, options.device, options.dtype, options.adapter)
    listening = bind(server.host, server.port)
    observers = server.observers()
    price = price_for(found.device, server.price)
    with closing(Accounts(run=found.run, tariff=tariff, price=price)) as accounts:
        check_reach(accounts, server.host)
        chat_format = find_format(found.tokenizer, options.chat_format)
        engine, devices = _engine(options, found)
        with metered("serve", found, price, devices) as meter:
            service = Service(
                engine=engine,
                tokenizer=found.tokenizer,
                format=chat_format,
                grammars=Grammars(found.tokenizer, engine.vocabulary),
                accounts=accounts,
                names=options.names or (name_of(found),),
                device=str(found.device),
                devices=devices,
                price=price,
                patience=server.keep_alive,
                on_budget=server.on_budget,
                observers=observers,
            )

            def ready() -> None:
                hour = "" if price is None else f", {format_money(price.per_device_hour, price.currency)} per hour"
                times = f", {options.replicas} replicas" if options.replicas > 1 else ""
                where = f"{devices} x {found.device.name}" if devices > 1 else found.device.name
                say(f"{service.names[0]}{times} on {where}{hour}: {url_of(listening)}")
                say(announcement(accounts))
                if price is None:
                    say(ask_for_price(found.device))

            run(create_app(service, server.origins), service, listening, ready)
            spent = meter.spent()
        for line in service.tally.lines(spent):
            say(line)


def _engine(options: ServeOptions, found: ModelFolder) -> tuple[EngineClient, int]:
    """(engine, devices it works on): in this process, or replicas in theirs."""
    settings = options.engine
    if options.replicas == 1:
        if settings.disk is not None:
            CacheFolder(settings.disk).close()  # another server's is known before the weights are read
        opened = load_for_inference(found, options.dtype, keep=True)
        engine = Engine(opened.model, opened.tokenizer, settings, opened.files)
        engine.clock.measure(EnergyCounter(found.device, 1))
        return engine, 1
    try:
        from centime.serve.replicas.ray_serve import UNLIMITED, RayReplicas
    except ImportError:
        raise needs("replicas", "--replicas", "Ray Serve") from None
    from centime.serve.replicas.replica import ReplicaSpec
    from centime.serve.replicas.router import ReplicaRouter

    gpu = found.device.kind == "gpu"
    if settings.disk is not None:
        settings = replace(settings, disk=settings.disk.resolve())
    waits_here = replace(settings, max_waiting=UNLIMITED)  # the router counts who waits, for all replicas together
    spec = ReplicaSpec(found.folder.resolve(), options.device, options.dtype, None, waits_here, found.adapter)
    router = ReplicaRouter(RayReplicas(spec, options.replicas, gpu), settings, gpu=gpu)
    return router, router.devices
