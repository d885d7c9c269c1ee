"""`centime chat`: talk to a model folder; the cost of each answer after it, and of the whole at the end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from centime.cli.generate import (
    AdapterFolder,
    DeviceName,
    Dtype,
    MaxTokens,
    Model,
    PriceText,
    Seed,
    Stop,
    Temperature,
    TopP,
)
from centime.cli.program.streams import read_input


def chat(
    model: Model,
    system: Annotated[str | None, typer.Option(help="A system message before the first turn.")] = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.6,
    top_p: TopP = 0.95,
    seed: Seed = None,
    stop: Stop = None,
    adapter: AdapterFolder = None,
    device: DeviceName = None,
    dtype: Dtype = None,
    price: PriceText = None,
) -> None:
    """Talk to a model: a line is a message; /clear forgets the conversation, /quit or Ctrl-D ends it."""
    from centime.catalogue.prices import price_for
    from centime.cli.program.unfinished import usable
    from centime.errors import UserError
    from centime.plan.counts import count
    from centime.serve.engine.request import SamplingParams
    from centime.serve.loading import load_for_inference, metered, open_folder
    from centime.serve.offline.conversation import Conversation
    from centime.serve.offline.receipt import Receipt
    from centime.serve.offline.session import Session
    from centime.units import format_duration, format_money

    params = SamplingParams(max_tokens, temperature, top_p, seed=seed, stop=tuple(stop or ()))
    opened = load_for_inference(open_folder(usable(model), device, dtype, adapter), dtype)
    conversation = Conversation(Session(opened.model, opened.tokenizer), system)
    found = price_for(opened.device, price)

    def write(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    with metered("chat", opened, found) as meter:
        while True:
            meter.stage("idle")
            text = _read_line()
            if text is None or text == "/quit":
                break
            if text == "/clear":
                conversation.clear()
                continue
            if not text.strip():
                continue
            meter.stage("chat")
            before = meter.spent()
            try:
                answer, forgotten = conversation.say(text, params, write=write)
            except UserError as error:
                typer.echo(f"centime: {error}", err=True)
                continue
            tokens = answer.prompt_tokens - answer.reused_tokens + len(answer.tokens)
            forward = count(opened.model.config, answer.prompt_tokens + len(answer.tokens)).forward_flops_per_token
            meter.add(tokens=tokens, flops=tokens * forward)
            write("" if answer.text.endswith("\n") else "\n")
            if forgotten:
                typer.echo(f"The oldest {forgotten} exchange(s) no longer fit the context and are forgotten.", err=True)
            typer.echo(Receipt.of(answer, before, meter.spent(), opened.device, found).line(), err=True)
        spent = meter.spent()
    money = "" if spent.cost is None or not spent.currency else f", {format_money(spent.cost, spent.currency)}"
    typer.echo(f"The whole conversation, waiting included: {format_duration(spent.device_ns / 1e9)}{money}.", err=True)


def _read_line() -> str | None:
    """The next line the person types, without its end; None at the end of input or on Ctrl-C."""
    try:
        if sys.stdin.isatty():
            import readline  # noqa: F401 (gives input() its line editing)

            return input("> ")
        line = read_input(line=True)
        return line.rstrip("\r\n") if line else None
    except (EOFError, KeyboardInterrupt):
        typer.echo("", err=True)
        return None
