"""Grammars compiled in processes that can be stopped, one at a time for each owner.

A process starts when one is first needed, and is kept. It is killed, and another replaces it, when it takes longer than
the limit or who asked has left. Where the system can, all are forked from one that has imported xgrammar, and with it
torch and transformers: that takes seconds once, and their memory once.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psutil

from centime.children import deaf_to_interrupts
from centime.errors import UserError
from centime.serve.fair_pool import FairPool
from centime.serve.grammar.gate import GrammarSpec
from centime.serve.grammar.worker import serve

PROCESSES = 2
LOOK_SECONDS = 0.1  # between looks at what a process has used
CLOCK = 3.0  # seconds by the clock to a second of processor time, on a machine that has other work
START_SECONDS = 120.0  # where nothing can be forked, a process imports torch and transformers first
GRACE_SECONDS = 1.0  # what is nearly done when its asker leaves may end, and is kept for the next

Made = TypeVar("Made")


@dataclass(eq=False)
class _Job(Generic[Made]):
    spec: GrammarSpec
    known: Callable[[GrammarSpec], Made | None]
    made: Callable[[GrammarSpec, str], Made]
    process: _Process | None = None  # while it compiles this


class Compilers:
    """vocabulary: what a process is given first, pickled; seconds: the limit of one grammar."""

    def __init__(self, vocabulary: Callable[[], bytes], seconds: float) -> None:
        self._vocabulary, self._seconds = vocabulary, seconds
        self._turns = FairPool(PROCESSES, "centime-grammar", _stand_back)
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._lock = threading.Lock()
        self._closed = False

    async def compile(
        self,
        spec: GrammarSpec,
        owner: str,
        known: Callable[[GrammarSpec], Made | None],
        made: Callable[[GrammarSpec, str], Made],
    ) -> Made:
        """What `made` makes, in a thread, of the compiled grammar; or what is known when the owner's turn comes.

        Raises UserError with the process's sentence, or when it takes too long. Cancelled, it stops the process soon;
        until then the owner's next waits.
        """
        job = _Job(spec, known, made)
        try:
            return await self._turns.run(owner, self._work, job)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._leave, job)
            raise

    def close(self) -> None:
        """Kills the processes; what they compile fails."""
        with self._lock:
            self._closed = True
            for process in (*self._idle, *self._busy):
                process.kill()
            self._idle.clear()
        self._turns.close()

    def _work(self, job: _Job[Made]) -> Made:
        if (known := job.known(job.spec)) is not None:
            return known
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or _Process(self._vocabulary())
        with self._lock:
            self._busy.add(process)
            job.process = process
            if self._closed:
                process.kill()
        try:
            text = process.compile(job.spec, self._seconds)
        finally:
            with self._lock:
                job.process = None
                self._busy.discard(process)
                if process.usable and not self._closed:
                    self._idle.append(process)
                else:
                    process.kill()
        return job.made(job.spec, text)

    def _leave(self, job: _Job[Made]) -> None:
        with self._lock:
            if job.process is not None:
                job.process.kill()


def _stand_back() -> None:
    """Gives the engine's threads precedence over this one, where a thread can."""
    with suppress(OSError):
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


@functools.cache
def _context() -> Any:
    """How processes begin: as forks of one that has imported what they need, where there are such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xgrammar"])
    return context


class _Process:
    """One process and our end of its pipe. `usable`: it waits for the next spec."""

    def __init__(self, vocabulary: bytes) -> None:
        self._pipe, theirs = _context().Pipe()
        with deaf_to_interrupts():
            self._process = _context().Process(target=serve, args=(theirs,), daemon=True)
            self._process.start()
        theirs.close()
        self._ready = self.usable = False
        self._send(vocabulary)

    def compile(self, spec: GrammarSpec, seconds: float) -> str:
        """The compiled grammar as JSON. Raises UserError; the process is of no use after one that is not its own."""
        self.usable = False
        if not self._ready:
            self._receive(spec, START_SECONDS)
            self._ready = True
        self._send(pickle.dumps(spec))
        answer = self._receive(spec, seconds)
        self.usable = True
        return _text(answer)

    def kill(self) -> None:
        """Ends it at once; may be called from any thread, and again."""
        self._process.kill()
        self._process.join()

    def _send(self, data: bytes) -> None:
        with suppress(OSError):  # it has ended: so says its answer
            self._pipe.send_bytes(data)

    def _receive(self, spec: GrammarSpec, seconds: float) -> bytes:
        limit = _Limit(self._process.pid, seconds)
        try:
            while not self._pipe.poll(LOOK_SECONDS):
                if limit.over:
                    raise UserError(
                        f"{spec.name} cannot be used: it takes more than {limit.seconds:g} seconds to compile."
                    )
            data = bytes(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise UserError(f"{spec.name} cannot be used: its compiler ended, maybe for want of memory.") from None
        if data[:1] == b"!":  # it could not begin
            raise UserError(data[1:].decode())
        return data


class _Limit:
    """Processor seconds that a process may take from now on; and a few times as many by the clock."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.seconds, self._begun = seconds, time.monotonic()
        with suppress(psutil.Error):
            self._process = psutil.Process(pid)
        self._used = self._taken()

    @property
    def over(self) -> bool:
        """Whether it has taken them."""
        clock = time.monotonic() - self._begun
        return self._taken() - self._used > self.seconds or clock > self.seconds * CLOCK

    def _taken(self) -> float:
        with suppress(psutil.Error, AttributeError):
            used = self._process.cpu_times()
            return float(used.user + used.system)
        return 0.0


def _text(answer: bytes) -> str:
    if answer[:1] == b"-":
        raise UserError(answer[1:].decode())
    return answer[1:].decode()
