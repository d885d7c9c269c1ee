"""An engine over a small random model, requests that collect their events, and the brute force it is held against."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Event, Finished, Piece, Request, SamplingParams
from centime.serve.engine.settings import EngineSettings


class Asked(Request):
    """A request that keeps what it is told."""

    def __init__(self, prompt: Sequence[int], **options: object) -> None:
        self.events: list[Event] = []
        owner, isolation = str(options.pop("owner", "")), str(options.pop("isolation", ""))
        constraint = options.pop("constraint", None)
        params = SamplingParams(**({"temperature": 0.0, "max_tokens": 12, "ignore_eos": True} | options))  # type: ignore[arg-type]
        super().__init__(list(prompt), params, self.events.append, owner, isolation, constraint)  # type: ignore[arg-type]

    @property
    def tokens(self) -> list[int]:
        return [token for event in self.events if isinstance(event, Piece) for token in event.tokens]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Piece))

    @property
    def end(self) -> Finished:
        assert isinstance(self.events[-1], Finished), "not over yet"
        return self.events[-1]


def engine(model: Transformer, tokenizer: Tokenizer, **settings: object) -> Engine:
    """Integrity is checked after every step; the cache holds 64 blocks of 4 tokens unless told otherwise."""
    from centime.serve.kv_cache.paged_cache import Pages

    block = int(settings.get("block_tokens", 4))  # type: ignore[call-overload]
    blocks = int(settings.pop("blocks", 64))  # type: ignore[call-overload]
    size = Pages.token_bytes(model.config, model.head_weight.dtype) * block * blocks
    options = {"block_tokens": block, "cache_bytes": size, "check": True} | settings
    return Engine(model, tokenizer, EngineSettings(**options))  # type: ignore[arg-type]


def run(served: Engine, *requests: Request) -> None:
    """Submits them and steps until all are over."""
    for request in requests:
        served.submit(request)
    while served.step():
        pass


@torch.inference_mode()
def brute_force(model: Transformer, prompt: Sequence[int], count: int) -> list[int]:
    """The greedy answer, everything computed anew for every token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]
