"""Work in few threads, each owner's in turn."""

from __future__ import annotations

import asyncio
import threading

import pytest

from centime.serve.fair_pool import FairPool


def test_one_owners_work_before_the_engine_leaves_others_theirs() -> None:
    """Two threads, an owner with a hundred slow pieces: another's is next; what nobody waits for is not begun."""
    pool, begun, release = FairPool(2, "test"), list[str](), threading.Event()

    def slow(name: str) -> str:
        begun.append(name)
        release.wait(30)
        return name

    async def ask() -> None:
        flood = [asyncio.create_task(pool.run("flood", slow, f"flood {n}")) for n in range(100)]
        await asyncio.sleep(0)
        while not begun:
            await asyncio.sleep(0.001)
        quiet = asyncio.create_task(pool.run("quiet", slow, "quiet"))
        while len(begun) < 2:
            await asyncio.sleep(0.001)
        assert begun == ["flood 0", "quiet"]
        for task in flood[1:90]:
            task.cancel()
        flood[0].cancel()  # its thread goes on: the owner's turn is not over before it is
        await asyncio.sleep(0.05)
        assert begun == ["flood 0", "quiet"]
        release.set()
        assert await quiet == "quiet"
        assert await asyncio.gather(*flood[90:]) == [f"flood {n}" for n in range(90, 100)]
        assert len(begun) == 12
        await asyncio.sleep(0)
        assert not pool._turns

    asyncio.run(ask())


def test_closing_waits_for_nothing_and_begins_nothing_more() -> None:
    pool, begun, release = FairPool(1, "test"), threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        return release.wait(30)

    async def ask() -> None:
        first, second = (asyncio.create_task(pool.run(owner, slow)) for owner in ("one", "another"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        late = threading.Timer(5, release.set)  # who waits for the first sees it released
        late.start()
        pool.close()
        assert not release.is_set()
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        assert await first
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            await pool.run("one", slow)

    asyncio.run(ask())
