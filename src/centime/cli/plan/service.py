"""What is served, and within which limits: the options of every verb that asks `plan serve`'s model, said once.

`Isl[str]` where the verb has a usual length, `Isl[str | None]` where leaving it out means something of its own.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer

T = TypeVar("T", bound=str | float | None)

Isl = Annotated[T, typer.Option("--isl", help="Mean prompt, in tokens.")]
Osl = Annotated[T, typer.Option("--osl", help="Mean answer, in tokens.")]
Hit = Annotated[T, typer.Option("--hit", help="Share of prompts in the cache.")]
Ttft = Annotated[str, typer.Option("--ttft", help="Limit of the time to first token, 99th percentile.")]
Tpot = Annotated[str, typer.Option("--tpot", help="Limit of the mean time per output token.")]
ISL, OSL, TTFT, TPOT = "4096", "1024", "5s", "50ms"  # what verbs take where nothing is said
Precision = Annotated[str | None, typer.Option("--precision", help="bf16, fp8, fp4, mxfp4 or int4.")]
Layout = Annotated[str, typer.Option("--layout", help="auto, prefill=ep32,decode=ep144 or mixed=tp8.")]
Engine = Annotated[str, typer.Option("--engine", help="vllm, sglang or trt, where it is known.")]
PeakToMean = Annotated[float | None, typer.Option("--peak-to-mean", help="Load of the busiest time over the mean.")]
