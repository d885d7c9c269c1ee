"""The engine for the page: what it does now and did in the last minutes, and what a token has taken so far."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.serve.engine.client import EngineClient
    from centime.serve.engine.stats import EngineStats

EVERY_S = 2.0
SPAN_S = 300.0  # of the past that a page shows


@dataclass
class EngineView:
    """The live view of an engine; calling it takes one reading.

    model: the name it is served by; device: what it runs on, as the bill names it; price: of that device's hour, or
    None. devices: how many of them the engine works on; chat: whether the model was tuned to chat.
    """

    engine: EngineClient
    model: str
    device: str
    price: Price | None
    devices: int = 1
    chat: bool = True
    _past: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=round(SPAN_S / EVERY_S)), init=False)

    def __call__(self) -> dict[str, Any]:
        """JSON values: rates in tokens a second, cache in blocks, times in nanoseconds, the price of an hour of all
        devices. The hit rate is of prompt tokens since the start; None before the first."""
        stats, price = self.engine.stats(), self.price
        return {
            "model": self.model,
            "chat": self.chat,
            "context": self.engine.context,
            "device": self.device,
            "now": reading(stats),
            "cache": {
                "used": stats.blocks_used,
                "findable": stats.blocks_cached,
                "total": stats.blocks,
                "block_tokens": stats.block_tokens,
            },
            "drafts": {"made": stats.drafted_tokens, "kept": stats.accepted_tokens},
            "machine_ns": {"requests": stats.busy_ns, "idle": stats.idle_ns},
            "seconds_per_token": seconds_per_token(stats),
            "price": price
            and {
                "per_hour": price.per_device_hour * self.devices,
                "currency": price.currency,
                "date": price.date,
                "kind": price.kind,
            },
        }

    def past(self) -> dict[str, Any]:
        """The readings of the last SPAN_S seconds, oldest first."""
        return {"span_s": SPAN_S, "readings": list(self._past)}

    async def watch(self) -> None:
        """Takes readings until it is cancelled, so that whoever opens the page sees what was before."""
        while True:
            self._past.append(reading(self.engine.stats()))
            await asyncio.sleep(EVERY_S)


def reading(stats: EngineStats) -> dict[str, Any]:
    """What changes from second to second; at: seconds of Unix time, shares from 0 to 1, None where there is none."""
    return {
        "at": time.time(),
        "output_tokens_per_second": stats.output_tokens_per_s,
        "computed_tokens_per_second": stats.computed_tokens_per_s,
        "running": stats.running,
        "waiting": stats.waiting,
        "cache": stats.blocks_used / stats.blocks if stats.blocks else None,
        "hits": stats.hit_tokens / stats.prompt_tokens if stats.prompt_tokens else None,
        "drafts": stats.accepted_tokens / stats.drafted_tokens if stats.drafted_tokens else None,
    }


def seconds_per_token(stats: EngineStats) -> dict[str, float] | None:
    """The machine's time for requests since the start, per token; None before the first token.

    prompt: over all tokens that were computed; output: over those of answers alone. Both are more than such a token
    took by itself, a little for a prompt's and a little for an answer's, so that a forecast errs on the dear side.
    """
    computed = stats.prompt_tokens - stats.hit_tokens + stats.output_tokens
    if not stats.output_tokens or not stats.busy_ns:
        return None
    seconds = stats.busy_ns / 1e9
    return {"prompt": seconds / max(1, computed), "output": seconds / stats.output_tokens}
