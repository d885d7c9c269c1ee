"""centime's engine as `centime serve` runs it, stepped by hand."""

from __future__ import annotations

import time
from pathlib import Path

from centime.model.quantised.quantise import Formats, quantise_folder
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Event, Request, SamplingParams
from centime.serve.engine.settings import EngineSettings
from centime.serve.loading import load_for_inference, open_folder


def quantised(folder: Path, form: str) -> Path:
    """A folder beside it of matrices in `form`, made if need be. The head has 8 bits, as in llama.cpp's files."""
    out = folder.with_name(f"{folder.name}-{form}")
    if not out.exists():
        quantise_folder(folder, out, Formats(form, head="int8"))
    return out


class Ours:
    """Settings are the defaults; the prompts are random, so that no prefix is found in the cache."""

    def __init__(self, folder: Path, form: str = "", *, deterministic: bool = False) -> None:
        opened = load_for_inference(open_folder(quantised(folder, form) if form else folder))
        self.engine = Engine(opened.model, opened.tokenizer, EngineSettings(deterministic=deterministic))

    def answer(self, prompts: list[list[int]], new: int) -> tuple[float, float]:
        events: list[list[Event]] = [[] for _ in prompts]
        params = SamplingParams(max_tokens=new, temperature=0, ignore_eos=True)
        began = time.perf_counter()
        for prompt, own in zip(prompts, events, strict=True):
            self.engine.submit(Request(prompt, params, own.append))
        first = None
        while self.engine.step():
            if first is None and all(events):
                first = time.perf_counter()
        assert first is not None
        return first - began, time.perf_counter() - first
