"""The engine in figures: what it does now, and whose the time was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineStats:
    """The engine now, and since it started. Times in nanoseconds; requests' and idle time add up to the wall-clock."""

    running: int
    waiting: int
    blocks: int
    blocks_used: int  # by requests in progress
    blocks_cached: int  # free, but still findable
    block_tokens: int
    cache_bytes: int
    steps: int
    preemptions: int
    finished: int
    prompt_tokens: int
    hit_tokens: int
    output_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    busy_ns: int
    idle_ns: int
    output_tokens_per_s: float  # over the last seconds
    computed_tokens_per_s: float
    failed: bool  # by a fault of its own it answers no more


@dataclass(frozen=True)
class EngineClock:
    """The wall-clock shared out until `until_ns`; replaced as a whole, so that any thread reads figures that fit."""

    until_ns: int
    busy_ns: int = 0
    idle_ns: int = 0
