"""One engine in its own process: answers prompts when told to, and reports seconds in JSON lines.

usage: contestant.py NAME FOLDER     (serve.py starts it; by hand: type {"prompts": 1, "length": 128, "new": 8})

All prompts of a request are answered together. "first" is the seconds until every one of them has its first token,
"rest" those until all have the rest; tokens are the likeliest ones, and an end token does not end an answer.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
from pathlib import Path
from typing import Protocol

NAMES = (
    *("centime", "centime int8", "centime int4", "deterministic", "transformers"),
    *("llama.cpp", "llama.cpp q8_0", "llama.cpp q4_0", "vllm"),
)


class Contestant(Protocol):
    """What each peer's file makes of a model folder."""

    def answer(self, prompts: list[list[int]], new: int) -> tuple[float, float]:
        """(first, rest), in seconds."""


def build(name: str, folder: Path, threads: int) -> Contestant:
    """Heavy imports happen here, so that a contestant's start counts them. What follows a name is a form of weights."""
    if name not in NAMES:
        raise SystemExit(f"no contestant is called {name!r}; there are {', '.join(NAMES)}")
    engine, _, form = name.partition(" ")
    if engine in ("centime", "deterministic"):
        from serving.ours import Ours

        return Ours(folder, form, deterministic=engine == "deterministic")
    if engine == "transformers":
        from serving.transformers_v3 import Transformers

        return Transformers(folder)
    if engine == "llama.cpp":
        from serving.llama_cpp_v3 import LlamaCpp

        return LlamaCpp(folder, threads, form or "bf16")
    from serving.vllm_v3 import Vllm

    return Vllm(folder)


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import torch

    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    vocabulary = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])  # ids that mean something
    draw = random.Random(0)

    def prompts(count: int, length: int) -> list[list[int]]:
        return [[draw.randrange(2, vocabulary) for _ in range(length)] for _ in range(count)]

    contestant = build(name, folder, threads)
    contestant.answer(prompts(1, 8), 2)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        first, rest = contestant.answer(prompts(asked["prompts"], asked["length"]), asked["new"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answers.write(json.dumps({"first": first, "rest": rest, "peak_bytes": peak}) + "\n")


if __name__ == "__main__":
    main()
