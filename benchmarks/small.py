"""Many short answers of a small model, as reinforcement learning wants them: the engine beside plain batched loops.

usage: benchmarks/small.py [--answers 512] [--together 256] [--rounds 5] [--threads 2] [--skip transformers] [--json]

The quickstart's shape (2.1 M parameters, random weights), prompts of 6 to 11 tokens, answers of 5 to 32, drawn at
temperature 1; --together of them at once. In turns, round by round in one process:

- engine: the roll-out engine, with the log-probability of every token that it draws;
- engine, text: the same engine as a server runs it, text made and no log-probabilities;
- loop: a plain loop over the same modules, whole batches of equal prompts, a dense cache, until the batch's longest
  answer is done; no log-probabilities;
- transformers: the same loop over its DeepseekV3ForCausalLM and dynamic cache.

Tokens/s count the tokens of answers alone. CPU time a token is the process's own, and so beside others the better
figure; "outside the model" is what the engine takes beside the forward pass and the head.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from centime.catalogue.presets import from_depth
from centime.data.tokenizers import load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.model import Transformer
from centime.model.cache import Attention, Queries
from centime.model.checkpoint import save
from centime.serve.engine.request import DrawRecord, Request, SamplingParams
from centime.serve.offline.rollouts import RolloutEngine

Work = list[tuple[list[int], int]]  # prompts, and how many tokens answer each


class DenseCache:
    """Entries of a batch of equal prompts, one tensor a layer: what a loop written by hand has."""

    def __init__(self, layers: int) -> None:
        self.stored: list[Tensor | None] = [None] * layers
        self.length = 0

    def positions(self, tokens: int) -> Tensor:
        return torch.arange(self.length, self.length + tokens)

    def layer(self, number: int) -> Callable[[Attention, Queries, Tensor], Tensor]:
        def attend(attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
            before = self.stored[number]
            self.stored[number] = stored = entry_BSW if before is None else torch.cat((before, entry_BSW), 1)
            return attention.over(queries, stored)

        return attend

    def advance(self, tokens: int) -> None:
        self.length += tokens


class EngineTimes:
    """The roll-out engine, its time in the model told apart."""

    def __init__(self, model: Transformer, folder: Path, together: int, text: bool) -> None:
        self.rollouts = RolloutEngine(model, load_tokenizer(folder), together=together, cache_bytes=64 << 20)
        self.text, self.model_seconds = text, 0.0
        runner = self.rollouts.engine.executor.runner
        runner._forward = self._timed(runner._forward)  # type: ignore[method-assign]
        runner.logits = self._timed(runner.logits)  # type: ignore[method-assign]

    def _timed(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def timed(*arguments: object) -> Tensor:
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.model_seconds += time.process_time() - began

        return timed

    def __call__(self, work: Work) -> None:
        self.model_seconds = 0.0
        self.rollouts.refresh()
        for seed, (prompt, answer) in enumerate(work):
            params = SamplingParams(max_tokens=answer, ignore_eos=True, seed=seed)
            record = None if self.text else DrawRecord()
            request = Request(prompt, params, lambda event: None, record=record, silent=not self.text)
            self.rollouts.engine.submit(request)
        while self.rollouts.engine.step():
            pass


@torch.inference_mode()
def loop(step: Callable[[Tensor, object], tuple[Tensor, object]], work: Work, together: int) -> None:
    """Batches of equal prompts, until each batch's longest answer is done."""
    for length in {len(prompt) for prompt, _ in work}:
        alike = [(prompt, answer) for prompt, answer in work if len(prompt) == length]
        for first in range(0, len(alike), together):
            batch = alike[first : first + together]
            ids, cache = torch.tensor([prompt for prompt, _ in batch]), None
            for _ in range(max(answer for _, answer in batch)):
                logits, cache = step(ids, cache)
                ids = torch.multinomial(logits.softmax(-1), 1)


def plain(model: Transformer) -> Callable[[Tensor, object], tuple[Tensor, object]]:
    def step(ids: Tensor, cache: object) -> tuple[Tensor, object]:
        cache = cache or DenseCache(len(model.layers))
        return model.unembed(model.advance(ids, cache)[:, -1]), cache  # type: ignore[arg-type]

    return step


def transformers(folder: Path) -> Callable[[Tensor, object], tuple[Tensor, object]]:
    from transformers import DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def step(ids: Tensor, cache: object) -> tuple[Tensor, object]:
        out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1], out.past_key_values

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=512)
    parser.add_argument("--together", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    draw = random.Random(0)
    work = [
        ([draw.randrange(256) for _ in range(draw.randrange(6, 12))], draw.randrange(5, 33))
        for _ in range(options.answers)
    ]
    tokens = sum(answer for _, answer in work)
    with tempfile.TemporaryDirectory() as temporary:
        tokenizer, folder = Path(temporary) / "tokenizer", Path(temporary) / "model"
        write_tokenizer(train_tokenizer(["\n".join(f"{n} + {n * n}" for n in range(2000))], 512), tokenizer)
        model = Transformer(from_depth(2))
        model.init_weights(seed=0)
        save(model.eval(), folder, tokenizer=tokenizer)
        engines = {
            "engine": EngineTimes(model, tokenizer, options.together, text=False),
            "engine, text": EngineTimes(model, tokenizer, options.together, text=True),
        }
        runs: dict[str, Callable[[Work], None]] = {
            **engines,
            "loop": lambda work: loop(plain(model), work, options.together),
        }
        if "transformers" not in options.skip:
            peer = transformers(folder)
            runs["transformers"] = lambda work: loop(peer, work, options.together)
        found = measure(runs, engines, work, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.answers} answers, {tokens:,} tokens, {options.together} together, {options.threads} threads")
    for name, row in found.items():
        inside = f", {row['outside_us']:.0f} of them outside the model" if "outside_us" in row else ""
        print(
            f"{name:13} {row['tokens_per_second']:8,.0f} tokens/s, {row['cpu_us']:4.0f} CPU us a token{inside}; "
            f"the engine's speed over it {row['engine_over_it']:.2f}, in CPU time {row['engine_over_it_cpu']:.2f}"
        )


def measure(
    runs: dict[str, Callable[[Work], None]], engines: dict[str, EngineTimes], work: Work, rounds: int
) -> dict[str, dict[str, float]]:
    """Medians over rounds, of ratios too, after a round that warms up; times of a token."""
    tokens = sum(answer for _, answer in work)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    outside: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began, used = time.perf_counter(), time.process_time()
            run(work)
            took, spent = time.perf_counter() - began, time.process_time() - used
            if number:
                wall[name].append(took)
                cpu[name].append(spent)
                if name in engines:
                    outside[name].append(spent - engines[name].model_seconds)

    def over(times: dict[str, list[float]], name: str) -> float:
        return statistics.median(theirs / ours for theirs, ours in zip(times[name], times["engine"], strict=True))

    return {
        name: {
            "tokens_per_second": tokens / statistics.median(wall[name]),
            "cpu_us": statistics.median(cpu[name]) / tokens * 1e6,
            "engine_over_it": over(wall, name),
            "engine_over_it_cpu": over(cpu, name),
        }
        | ({"outside_us": statistics.median(outside[name]) / tokens * 1e6} if name in engines else {})
        for name in runs
    }


if __name__ == "__main__":
    main()
