"""`centime serve`: a model folder as a server that OpenAI, DeepSeek and Anthropic clients can use, or a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.generate import AdapterFolder, DeviceName, Dtype, PriceText

MOST_GIB = 2**30  # an exbibyte


def serve(
    model: Annotated[
        Path | None, typer.Argument(help="Model folder, or the folder of a finished run; none with --upstream.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; without any key only this machine's own.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8000,
    name: Annotated[
        list[str] | None, typer.Option(help="What clients call the model; may be repeated. Else the folder's name.")
    ] = None,
    adapter: AdapterFolder = None,
    device: DeviceName = None,
    dtype: Dtype = None,
    price: PriceText = None,
    price_list: Annotated[
        str | None,
        typer.Option(
            help="What keys without prices of their own are charged: a model of the catalogue, or amounts per million "
            "tokens as hit,miss,output, off-peak ones after a slash."
        ),
    ] = None,
    peak_hours: Annotated[str | None, typer.Option(help="UTC, such as '01:00-04:00,06:00-10:00 Mon-Fri'.")] = None,
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more are told to come back (429).")] = 256,
    max_running: Annotated[int, typer.Option(help="Answers in progress at once.")] = 64,
    step_tokens: Annotated[int, typer.Option(help="Tokens computed in one step, prompts and answers.")] = 512,
    cache: Annotated[
        float | None, typer.Option(help="GiB for the cache of latents; else a quarter of the free memory.")
    ] = None,
    prefix_cache: Annotated[
        bool, typer.Option(help="Compute the beginning that a key's prompts have in common only once.")
    ] = True,
    disk_cache: Annotated[Path | None, typer.Option(help="Folder where cached prefixes survive a restart.")] = None,
    disk_size: Annotated[float, typer.Option(help="GiB it may take.")] = 4.0,
    drafts: Annotated[bool, typer.Option(help="Speculate with the model's MTP modules, where it has them.")] = True,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits whatever else runs; slower.")
    ] = False,
    check_cache: Annotated[
        bool, typer.Option("--check-cache", help="Verify the cache's books after every step; slow.")
    ] = False,
    replicas: Annotated[
        int,
        typer.Option(help="Engines side by side, each a process of Ray Serve: a GPU or a share of the cores.", min=1),
    ] = 1,
    chat_format: Annotated[
        str, typer.Option(help="How chats, thoughts and tool calls are written: auto, v3, r1, v3.1 or v3.2.")
    ] = "auto",
    keep_alive: Annotated[float, typer.Option(help="Seconds of waiting after which a client is sent a sign.")] = 10.0,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A page's origin, such as https://app.example, from which browsers may use this server; may be "
            "repeated; '*' for any. Else its own page alone.",
            metavar="ORIGIN",
        ),
    ] = None,
    on_budget: Annotated[
        str,
        typer.Option(
            help="What is done with a request that asks for more than is left: clamp (fewer tokens, and the answer "
            "says so), wait (for those that run, 30 s at most, then as clamp), refuse (402)."
        ),
    ] = "clamp",
    log: Annotated[
        str | None,
        typer.Option(
            help="File for a line of JSON about each request, appended; '-' for standard output.", metavar="FILE"
        ),
    ] = None,
    log_bodies: Annotated[
        bool, typer.Option("--log-bodies", help="What is asked and answered, too: else no text of it is in the log.")
    ] = False,
    otel: Annotated[
        bool,
        typer.Option("--otel", help="Send OpenTelemetry's GenAI spans and metrics to OTEL_EXPORTER_OTLP_ENDPOINT."),
    ] = False,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="Instead of a model: another server with OpenAI's API (vLLM, SGLang, llama-server), to put "
            "keys, budgets, prices and the bill in front of it.",
            metavar="URL",
        ),
    ] = None,
    upstreams: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --upstream: a TOML file of several servers and of their models' names.", metavar="FILE"
        ),
    ] = None,
    upstream_key: Annotated[
        str | None, typer.Option(help="What the upstream asks for as a key.", envvar="CENTIME_UPSTREAM_KEY")
    ] = None,
    upstream_device: Annotated[
        str | None, typer.Option(help="What the upstream runs on, such as H100: its time is priced by the catalogue.")
    ] = None,
    upstream_devices: Annotated[int, typer.Option(help="How many of them.", min=1)] = 1,
) -> None:
    """Serve a model over HTTP until Ctrl-C or SIGTERM; what runs is finished, and the bill is printed.

    With --upstream URL it is a gateway: the model is another server's, and so are the options of the engine.
    """
    from centime.errors import UserError

    def say(line: str) -> None:
        typer.echo(line, err=True)

    if [model, upstream, upstreams].count(None) != 2:
        raise UserError(
            "give one of these: a model's folder to serve, --upstream URL to stand in front of another server, or "
            "--upstreams FILE of several."
        )
    if model is None and adapter is not None:
        raise UserError("--adapter goes with a model's folder; another server's adapters are its own.")
    from centime.serve.http.affordable import on_budget as named
    from centime.serve.http.startup import ServerOptions

    origins = tuple(cors_origin or ())
    server = ServerOptions(
        host, port, price, price_list, peak_hours, keep_alive, origins, named(on_budget), log, log_bodies, otel
    )
    if model is None:
        from centime.serve.gateway.command import GatewayOptions, serve_upstream

        gateway = GatewayOptions(upstream, upstream_key, server, upstream_device, upstream_devices, upstreams)
        serve_upstream(gateway, say)
        return

    from centime.cli.program.unfinished import usable
    from centime.serve.api.command import ServeOptions, serve_folder
    from centime.serve.engine.settings import EngineSettings

    def size(gib: float, flag: str, least: int = 0) -> int:
        if not least <= gib * 2**30 < MOST_GIB * 2**30:
            raise UserError(f"{flag} {gib:g} is not a size in GiB that a machine has; give one below {MOST_GIB:,}.")
        return int(gib * 2**30)

    if not all(word.strip() for word in name or ()):
        raise UserError("--name is empty; give what clients call the model.")
    engine = EngineSettings(
        step_tokens=step_tokens, max_running=max_running, max_waiting=max_queue,
        cache_bytes=None if cache is None else size(cache, "--cache"), prefix_cache=prefix_cache, drafts=drafts,
        deterministic=deterministic, disk=disk_cache, disk_bytes=size(disk_size, "--disk-size", least=1),
        check=check_cache,
    )  # fmt: skip
    options = ServeOptions(
        usable(model), server, engine, names=tuple(name or ()), device=device, dtype=dtype, chat_format=chat_format,
        replicas=replicas, adapter=adapter,
    )  # fmt: skip
    serve_folder(options, say)
