"""One engine in a process of Ray Serve: requests come in by message, what comes out streams back."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from centime.ledger.energy import EnergyCounter
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Constraint, Event, Finished, Request, SamplingParams
from centime.serve.engine.settings import EngineSettings
from centime.serve.engine.stats import EngineStats
from centime.serve.grammar.constraint import Grammars, GrammarSpec
from centime.serve.kv_cache.cache_folder import PATIENCE_S, CacheFolder
from centime.serve.loading import load_for_inference, open_folder


@dataclass(frozen=True)
class ReplicaSpec:
    """What a replica serves, and how: the model's folder, its device and dtype as of `load_model`, its threads."""

    folder: Path
    device: str | None
    dtype: str | None
    threads: int | None
    settings: EngineSettings
    adapter: Path | None = None


@dataclass(frozen=True)
class ReplicaInfo:
    """A replica that has started. context, vocabulary: its engine's; node: the machine it runs on, as Ray names it."""

    context: int
    vocabulary: int
    node: str


@dataclass(frozen=True)
class RemoteRequest:
    """A request as it travels: `Request` without its receiver, and with the spec of its grammar."""

    id: int
    prompt: Sequence[int]
    params: SamplingParams
    owner: str
    isolation: str
    grammar: tuple[GrammarSpec, int | None] | None


@dataclass(frozen=True)
class Update:
    """What came out since the last update, and the engine's books that hold it. life: of the process that tells it."""

    life: str
    stats: EngineStats
    events: list[Event] = field(default_factory=list)


class Replica:
    """Opens the model and answers until Ray ends it. Raises UserError as `load_model` does."""

    def __init__(self, spec: ReplicaSpec, rank: int) -> None:
        import torch

        if spec.threads is not None:
            torch.set_num_threads(spec.threads)
        settings = spec.settings
        if settings.disk is not None:
            own = settings.disk / f"replica-{rank}"
            settings = dataclasses.replace(settings, disk=own)
            CacheFolder(own, PATIENCE_S).close()  # another server's is known before the weights are read
        found = open_folder(spec.folder, spec.device, spec.dtype, spec.adapter)
        opened = load_for_inference(found, spec.dtype, keep=True)
        self._engine = Engine(opened.model, opened.tokenizer, settings, opened.files)
        self._engine.clock.measure(EnergyCounter(found.device, 1))
        self._grammars = Grammars(opened.tokenizer, self._engine.vocabulary)
        self._engine.start()
        self._life = uuid.uuid4().hex
        self._running: set[int] = set()
        self._early: deque[int] = deque(maxlen=1024)  # aborted before they came: messages may overtake each other

    async def info(self) -> ReplicaInfo:
        """What the router must know."""
        import ray

        return ReplicaInfo(self._engine.context, self._engine.vocabulary, ray.get_runtime_context().get_node_id())

    async def answer(self, wanted: RemoteRequest) -> AsyncIterator[Update]:
        """The events of one request, up to its end. Whoever stops listening aborts it."""
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[Event]()
        constraint = await asyncio.to_thread(self._constraint, wanted)
        request = Request(
            wanted.prompt,
            wanted.params,
            lambda event: loop.call_soon_threadsafe(waiting.put_nowait, event),  # type: ignore[arg-type]
            owner=wanted.owner,
            isolation=wanted.isolation,
            constraint=constraint,
            id=wanted.id,
        )
        self._engine.submit(request)
        self._running.add(request.id)
        if request.id in self._early:
            self._engine.abort(request.id)
        try:
            ended = False
            while not ended:
                events = [await waiting.get()]
                while not waiting.empty():
                    events.append(waiting.get_nowait())
                ended = isinstance(events[-1], Finished)
                yield self._update(events)
        finally:
            self._running.discard(request.id)
            self._engine.abort(request.id)

    def _constraint(self, wanted: RemoteRequest) -> Constraint | None:
        if wanted.grammar is None:
            return None
        spec, after = wanted.grammar
        return self._grammars.compile(spec).constraint(after)

    async def abort(self, request_id: int) -> None:
        """Ends a request before the next step."""
        if request_id in self._running:
            self._engine.abort(request_id)
        else:
            self._early.append(request_id)

    async def stats(self) -> Update:
        """The engine's books alone."""
        return self._update([])

    def _update(self, events: list[Event]) -> Update:
        return Update(self._life, self._engine.stats(), events)

    def __del__(self) -> None:  # Ray calls it before it ends the process
        if hasattr(self, "_engine"):
            self._engine.stop()

    def check_health(self) -> None:
        """Ray asks now and then, and starts another replica in place of one that raises."""
        if self._engine.stats().failed:
            raise RuntimeError("the engine has failed")
