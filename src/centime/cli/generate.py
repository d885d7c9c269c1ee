"""`centime generate`: complete a prompt with a model folder; the cost of the answer after it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="Model folder, GGUF file, or the folder of a finished run.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to generate.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy; DeepSeek evaluates at 0.6.")]
TopP = Annotated[float, typer.Option(help="Nucleus sampling: the share of probability to draw from.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Stop = Annotated[list[str] | None, typer.Option(help="Text that ends the answer; may be repeated.")]
AdapterFolder = Annotated[
    Path | None, typer.Option("--adapter", help="Folder of a LoRA adapter of the model, as PEFT or a run wrote it.")
]
DeviceName = Annotated[str | None, typer.Option("--device", help="cpu or cuda; else cuda where there is one.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; else as the folder says.")]
PriceText = Annotated[
    str | None, typer.Option("--price", help="Per device-hour, such as '$2/h'; else the catalogue's.")
]


def generate(
    model: Model,
    prompt: Annotated[str | None, typer.Option(help="Text to go on from; '-' or none: standard input.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the tokenizer's chat template.")] = False,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.6,
    top_p: TopP = 0.95,
    seed: Seed = None,
    stop: Stop = None,
    adapter: AdapterFolder = None,
    device: DeviceName = None,
    dtype: Dtype = None,
    price: PriceText = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: the answer and its cost.")] = False,
) -> None:
    """Complete a prompt, streaming; the cost of the answer on standard error after it."""
    from centime.catalogue.prices import price_for
    from centime.cli.program.streams import read_input
    from centime.cli.program.unfinished import usable
    from centime.data.tokenizers import ChatEncoder
    from centime.errors import UserError
    from centime.plan.counts import count
    from centime.serve.engine.request import SamplingParams
    from centime.serve.loading import load_for_inference, metered, open_folder
    from centime.serve.offline.receipt import Receipt
    from centime.serve.offline.session import Session

    params = SamplingParams(max_tokens, temperature, top_p, seed=seed, stop=tuple(stop or ()))
    if prompt is None and sys.stdin.isatty():
        raise UserError("no prompt; give --prompt TEXT, or pipe one in.")
    text = read_input() if prompt is None or prompt == "-" else prompt
    opened = load_for_inference(open_folder(usable(model), device, dtype, adapter), dtype)
    tokenizer = opened.tokenizer
    if chat:
        ids = ChatEncoder(tokenizer).ids([{"role": "user", "content": text}], add_generation_prompt=True)
    else:
        ids = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        ids += tokenizer.encode(text)

    def write(piece: str) -> None:
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()

    found = price_for(opened.device, price)
    with metered("generate", opened, found) as meter:
        before = meter.spent()
        answer = Session(opened.model, tokenizer).answer(ids, params, write=write)
        tokens = answer.prompt_tokens + len(answer.tokens)
        meter.add(tokens=tokens, flops=tokens * count(opened.model.config, tokens).forward_flops_per_token)
        receipt = Receipt.of(answer, before, meter.spent(), opened.device, found)
    if as_json:
        typer.echo(json.dumps(receipt.as_json(), ensure_ascii=False))
        return
    typer.echo("" if answer.text.endswith("\n") else "\n", nl=False)
    typer.echo(receipt.line(), err=True)
