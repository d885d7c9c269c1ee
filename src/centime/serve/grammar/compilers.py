"""Grammars compiled in processes that can be stopped, one at a time for each owner.

A process starts when one is first needed, and is kept. It is killed, and another replaces it, when it takes longer than
the limit or who asked has left.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar

import psutil

import centime
from centime.children import deaf_to_interrupts
from centime.errors import UserError
from centime.serve.fair_pool import FairPool
from centime.serve.grammar.gate import GrammarSpec
from centime.serve.grammar.worker import HEAD, write

PROCESSES = 2
LOOK_SECONDS = 0.1  # between looks at what a process has used
CLOCK = 3.0  # seconds by the clock to a second of processor time, on a machine that has other work
START_SECONDS = 120.0  # a process imports torch and transformers first
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


class _Process:
    """One process and its pipes. `usable`: it waits for the next spec."""

    def __init__(self, vocabulary: bytes) -> None:
        paths = [str(Path(centime.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        with deaf_to_interrupts():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "centime.serve.grammar.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
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
        self._process.wait()

    def _send(self, data: bytes) -> None:
        with suppress(OSError):  # it has ended: so says its answer
            write(_given(self._process.stdin), data)

    def _receive(self, spec: GrammarSpec, seconds: float) -> bytes:
        limit = _Limit(self._process.pid, seconds)
        (length,) = struct.unpack(HEAD, self._bytes(spec, struct.calcsize(HEAD), limit))
        data = self._bytes(spec, length, limit)
        if data[:1] == b"!":  # it could not begin
            raise UserError(data[1:].decode())
        return data

    def _bytes(self, spec: GrammarSpec, length: int, limit: _Limit) -> bytes:
        source = _given(self._process.stdout).fileno()
        poll = select.poll()
        poll.register(source, select.POLLIN | select.POLLHUP)
        data = bytearray()
        while len(data) < length:
            if not poll.poll(LOOK_SECONDS * 1000):
                if limit.over:
                    raise UserError(
                        f"{spec.name} cannot be used: it takes more than {limit.seconds:g} seconds to compile."
                    )
                continue
            piece = os.read(source, length - len(data))
            if not piece:
                raise UserError(f"{spec.name} cannot be used: its compiler ended, maybe for want of memory.")
            data += piece
        return bytes(data)


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


def _given(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
