"""Several replicas behind the interface of one engine: who answers what, what becomes of it, and one set of books.

Requests come in from any thread; a thread of the router's own sends them, hands out what comes back and reads the
replicas' books. A request whose replica dies before a word of it came goes to another; later it has failed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from centime.errors import UserError
from centime.serve.engine.request import Event, Finish, Finished, QueueFull, Request, Usage, check_prompt
from centime.serve.engine.settings import EngineSettings
from centime.serve.engine.stats import EngineStats
from centime.serve.faults import report
from centime.serve.grammar.constraint import GrammarConstraint
from centime.serve.replicas.affinity import Affinity
from centime.serve.replicas.replica import RemoteRequest, Update
from centime.serve.replicas.totals import Lives, SharedDevice, together

if TYPE_CHECKING:
    from centime.serve.replicas.ray_serve import RayReplicas

READ_SECONDS = 0.5  # between two readings of a replica's books
END_SECONDS = 10.0  # that the last reading may take
LOST = "the replica that computed this answer was lost; ask again."


@dataclass(eq=False)
class Sent:
    """A request on its way: which replica has it, and what came of it."""

    request: Request
    replica: str | None = None
    delivered: bool = False  # something came
    aborted: bool = False


class ReplicaRouter:
    """See `engine.client.EngineClient`. devices: how many the replicas work on, where those on one machine without GPUs
    share that machine.
    """

    def __init__(self, replicas: RayReplicas, settings: EngineSettings, *, gpu: bool) -> None:
        self._replicas = replicas
        self._links = {link.name: link for link in replicas.started}
        info = [link.info for link in replicas.started]
        self.context = min(one.context for one in info)
        self.vocabulary = info[0].vocabulary
        places = {link.name: link.name if gpu else link.info.node for link in replicas.started}
        sizes = Counter(places.values())
        self._shared = {place: SharedDevice(size) for place, size in sizes.items()}
        self._places = places
        self.devices = len(sizes)
        self._most = settings.max_running * len(info) + max(1, settings.max_waiting)  # of one owner
        self._affinity = Affinity(settings.block_tokens)
        self._lives = {name: Lives() for name in self._links}
        self._lock = threading.Lock()
        self._sent: dict[int, Sent] = {}
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="centime-router", daemon=True)
        self._thread.start()
        self._reading = asyncio.run_coroutine_threadsafe(self._read_on(), self._loop)

    # -- from any thread

    def start(self) -> None:
        """The replicas answer since they were made."""

    def submit(self, request: Request) -> None:
        """Sends a request out. Raises UserError on a prompt that cannot be answered, QueueFull when too many wait."""
        check_prompt(request.prompt, self.context, self.vocabulary)
        with self._lock:
            if self._stopping:
                raise QueueFull("the server is shutting down")
            if sum(sent.request.owner == request.owner for sent in self._sent.values()) >= self._most:
                raise QueueFull.of(request.owner)
            sent = self._sent[request.id] = Sent(request)
        asyncio.run_coroutine_threadsafe(self._carry(sent), self._loop)

    def abort(self, request_id: int) -> None:
        """Ends a request soon; unknown ids are ignored."""
        with self._lock:
            sent = self._sent.get(request_id)
        if sent is not None:
            sent.aborted = True
            self._loop.call_soon_threadsafe(self._tell_abort, sent)

    def stop(self) -> None:
        """Takes no new request, aborts what is in progress, reads the books a last time and ends the replicas."""
        self._stopping = True
        for number in list(self._sent):
            self.abort(number)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._replicas.stop()

    def stats(self) -> EngineStats:
        """The replicas' books as they were last read: at the end of every answer, and every half second."""
        return together(
            self._lives,
            [
                (shared.replicas, [name for name in self._links if self._places[name] == place])
                for place, shared in self._shared.items()
            ],
        )

    # -- the router's thread

    async def _carry(self, sent: Sent) -> None:
        """One request from its sending to its end, whatever happens to replicas."""
        lost = set[str]()
        while True:
            replica: str | None = None
            try:
                replica = sent.replica = self._choose(sent.request, lost)
                if replica is None or sent.aborted:
                    self._deliver(sent, _unfinished(sent.request, "aborted" if sent.aborted else "failed"))
                    return
                answer = self._links[replica].handle.answer.options(stream=True).remote(_remote_request(sent.request))
                async for update in answer:
                    self._take(sent, update)
                return
            except UserError as error:  # the replica lives and says what is wrong; Ray hides its sentence in `cause`
                self._deliver(sent, _unfinished(sent.request, "failed", str(getattr(error, "cause", error))))
                return
            except Exception as error:  # whatever of Ray's: it has not answered, perhaps another will
                if replica is None:
                    report(error, "no replica could be chosen for a request")
                    self._deliver(sent, _unfinished(sent.request, "failed"))
                    return
                lost.add(replica)
                self._lose(replica)
                if sent.delivered:
                    self._deliver(sent, _unfinished(sent.request, "aborted" if sent.aborted else "failed"))
                    return

    def _choose(self, request: Request, lost: set[str]) -> str | None:
        running = Counter(sent.replica for sent in list(self._sent.values()))
        able = {name: running[name] for name in self._links if name not in lost}
        if not able:
            return None
        found = self._affinity.choose(request.prompt, request.isolation, able)
        self._affinity.sent(request.prompt, request.isolation, found)
        return found

    def _take(self, sent: Sent, update: Update) -> None:
        assert sent.replica is not None
        self._lives[sent.replica].read(update.life, update.stats)
        sent.delivered = True
        shared = self._shared[self._places[sent.replica]]
        for event in update.events:
            if isinstance(event, Finished):
                used = event.usage
                usage = replace(used, machine_ns=shared.of(used.machine_ns), energy=shared.energy_of(used.energy))
                self._deliver(sent, replace(event, usage=usage))
            else:
                self._deliver(sent, event)

    def _deliver(self, sent: Sent, event: Event) -> None:
        with self._lock:
            if sent.request.id not in self._sent:  # it was ended while this was on its way
                return
            if isinstance(event, Finished):
                del self._sent[sent.request.id]
        try:
            sent.request.deliver(event)
        except Exception as error:  # a receiver that raises is one that has left, and no fault of the replica
            report(error, "a receiver of events failed; its request ends")
            self.abort(sent.request.id)

    def _lose(self, replica: str) -> None:
        self._affinity.forget(replica)
        self._lives[replica].bury()

    def _tell_abort(self, sent: Sent) -> None:
        if sent.replica is not None:
            self._links[sent.replica].handle.abort.remote(sent.request.id)

    async def _read(self, name: str) -> None:
        try:
            update: Update = await self._links[name].handle.stats.remote()
        except Exception:  # dead or restarting; the next reading tells
            self._lose(name)
        else:
            self._lives[name].read(update.life, update.stats)

    async def _read_on(self) -> None:
        while not self._loop.is_closed():
            await asyncio.gather(*(self._read(name) for name in self._links))
            await asyncio.sleep(READ_SECONDS)

    async def _end(self) -> None:
        self._reading.cancel()
        until = time.monotonic() + END_SECONDS
        while self._sent and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for sent in list(self._sent.values()):
            self._deliver(sent, _unfinished(sent.request, "aborted"))
        await asyncio.wait([asyncio.ensure_future(self._read(name)) for name in self._links], timeout=END_SECONDS)


def _remote_request(request: Request) -> RemoteRequest:
    grammar = request.constraint.origin if isinstance(request.constraint, GrammarConstraint) else None
    return RemoteRequest(request.id, list(request.prompt), request.params, request.owner, request.isolation, grammar)


def _unfinished(request: Request, reason: Finish, error: str = LOST) -> Finished:
    """The end of a request whose replica said nothing of what it took: nothing that could be charged."""
    waited = time.monotonic_ns() - request.arrived_ns
    usage = Usage(0, 0, 0, 0, waited, 0, waited)
    return Finished(reason, usage, error=None if reason == "aborted" else error)
