"""Threads for work before the engine: at most one piece of it an owner at a time, so that nobody fills them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FairPool:
    """`workers` threads. With k owners asking, an owner's work begins after at most k pieces of others' work.

    begin: what each thread does first.
    """

    def __init__(self, workers: int, name: str, begin: Callable[[], None] | None = None) -> None:
        self._threads = ThreadPoolExecutor(workers, name, begin)
        self._turns: dict[str, asyncio.Lock] = {}  # of owners who have work here
        self._users: dict[str, int] = {}

    async def run(self, owner: str, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """The result of `work` in a thread, after what this owner asked for before.

        Work that nobody waits for any more is not begun; what has begun keeps its owner's turn until it is over.
        """
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(owner, asyncio.Lock())
        self._users[owner] = self._users.get(owner, 0) + 1
        running: Future[T] | None = None

        def over(_: object = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(self._leave, owner, turn, running is not None)

        try:
            await turn.acquire()
            running = self._threads.submit(work, *arguments, **options)
            return await asyncio.wrap_future(running)
        finally:
            if running is None:
                over()
            else:
                running.add_done_callback(over)

    def close(self) -> None:
        """Takes no more work; what has not begun is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, owner: str, turn: asyncio.Lock, had_it: bool) -> None:
        if had_it:
            turn.release()
        self._users[owner] -= 1
        if not self._users[owner]:
            del self._users[owner], self._turns[owner]
