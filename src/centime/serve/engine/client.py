"""What the API asks of an engine, whether it runs in this process or is several of them, behind a router."""

from __future__ import annotations

from typing import Protocol

from centime.serve.engine.request import Request
from centime.serve.engine.stats import EngineStats


class EngineClient(Protocol):
    """`engine.Engine`, or `replicas.router.ReplicaRouter`. All of it may be called from any thread."""

    context: int  # most tokens of a prompt and its answer together
    vocabulary: int  # ids below it stand for something: those of prompts and answers

    def start(self) -> None:
        """Begins to answer."""

    def submit(self, request: Request) -> None:
        """Takes a request in. Raises UserError on a prompt it cannot answer, QueueFull when too many wait."""

    def abort(self, request_id: int) -> None:
        """Ends a request soon; unknown ids are ignored."""

    def stop(self) -> None:
        """Ends it: takes no new request, and aborts those still in progress."""

    def stats(self) -> EngineStats:
        """Gauges of now and counters since the start; times in nanoseconds."""
