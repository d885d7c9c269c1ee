"""The router over real replicas in this process, without Ray between: who answers, what is lost, whose the time was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.engine.made import Asked, brute_force
from tests.small import small_folder

from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.model.checkpoint import load
from centime.serve.engine.request import Finished, QueueFull, Usage
from centime.serve.engine.settings import EngineSettings
from centime.serve.grammar.constraint import Grammars, grammar_spec
from centime.serve.replicas.replica import RemoteRequest, Replica, ReplicaInfo, ReplicaSpec, Update
from centime.serve.replicas.router import LOST, ReplicaRouter

PROMPT = [5, 6, 7, 8, 9, 10, 11, 12, 13]


class Method:
    """One of a handle's methods, called as Ray has it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def options(self, *, stream: bool) -> Method:
        assert stream
        return self

    def remote(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class Beside:
    """A replica in this process, which a test may lose or let break."""

    def __init__(self, replica: Replica, name: str, node: str) -> None:
        self.replica, self.name, self.handle = replica, name, self
        self.info = ReplicaInfo(replica._engine.context, replica._engine.vocabulary, node)
        self.prompts: list[list[int]] = []
        self.fault: Exception | None = None
        self.after = 0  # updates that come before the fault
        self.answer, self.abort = Method(self._answer), Method(self._abort)
        self.stats = Method(self._stats)

    async def _answer(self, wanted: RemoteRequest) -> AsyncIterator[Update]:
        self.prompts.append(list(wanted.prompt))
        left = self.after
        async for update in self.replica.answer(wanted):
            if self.fault is not None and left <= 0:
                raise self.fault
            left -= 1
            yield update

    async def _stats(self) -> Update:
        if isinstance(self.fault, ConnectionError):
            raise self.fault
        return await self.replica.stats()

    def _abort(self, number: int) -> None:
        asyncio.get_running_loop().create_task(self.replica.abort(number))


class Fleet:
    """Replicas that are there until `stop`."""

    def __init__(self, *started: Beside) -> None:
        self.started, self.stopped = started, False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("replicas") / "small", positions=256)


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[list[Replica]]:
    settings = EngineSettings(cache_bytes=2**21, block_tokens=4, max_running=2)
    found = [Replica(ReplicaSpec(folder, "cpu", None, None, settings), rank) for rank in range(2)]
    yield found
    for replica in found:
        replica._engine.stop()


Made = tuple[ReplicaRouter, Beside, Beside]


@pytest.fixture
def two(opened: list[Replica]) -> Iterator[Made]:
    """A router over two replicas of one machine."""
    first, second = (Beside(replica, name, "node") for replica, name in zip(opened, "ab", strict=True))
    fleet = Fleet(first, second)
    router = ReplicaRouter(fleet, EngineSettings(block_tokens=4, max_running=2, max_waiting=3), gpu=False)
    yield router, first, second
    router.stop()
    assert fleet.stopped


def ask(router: ReplicaRouter, prompt: list[int] = PROMPT, **options: Any) -> Asked:
    request = Asked(prompt, **options)
    router.submit(request)
    return request


def ended(*requests: Asked) -> list[Finished]:
    until = time.monotonic() + 60
    while not all(request.events and isinstance(request.events[-1], Finished) for request in requests):
        assert time.monotonic() < until, "no end"
        time.sleep(0.005)
    return [request.end for request in requests]


def test_answers_are_the_models_and_a_beginning_goes_where_it_was_computed(two: Made, folder: Path) -> None:
    router, first, second = two
    asked = [ask(router, [*PROMPT, at], max_tokens=6) for at in range(4)]
    ended(*asked)
    model = load(folder)
    assert [one.tokens for one in asked] == [brute_force(model, [*PROMPT, at], 6) for at in range(4)]
    assert (len(first.prompts), len(second.prompts)) != (0, 0)
    first.prompts.clear()
    second.prompts.clear()
    ended(ask(router, list(range(20, 40))))
    (told,) = ended(ask(router, [*range(20, 40), 3]))
    assert told.usage.hit_tokens == 20
    assert sorted((len(first.prompts), len(second.prompts))) == [0, 2]
    assert router.vocabulary == first.info.vocabulary
    assert router.context == first.info.context


def test_a_grammar_goes_along(two: Made, folder: Path) -> None:
    router, *_ = two
    grammars = Grammars(load_tokenizer(folder), router.vocabulary)
    held = ask(
        router,
        constraint=grammars.compile(grammar_spec("regex", "[0-9]{7}")).constraint(),
        max_tokens=40,
        ignore_eos=False,
    )
    (end,) = ended(held)
    assert (end.reason, len(held.text), held.text.isdigit()) == ("end", 7, True)


def test_books_are_those_of_all_and_a_shared_machines_time_is_halved(two: Made, opened: list[Replica]) -> None:
    router, *_ = two
    before = sum(replica._engine.stats().output_tokens for replica in opened)
    ends = ended(*(ask(router, [at] * 9, max_tokens=5) for at in range(3, 7)))
    stats = router.stats()
    assert sum(replica._engine.stats().output_tokens for replica in opened) - before == 20
    assert stats.output_tokens == before + 20
    assert (stats.running, stats.failed, router.devices) == (0, False, 1)
    busy = sum(replica._engine.stats().busy_ns for replica in opened)
    assert abs(stats.busy_ns - busy // 2) <= 2
    assert 0 < sum(end.usage.machine_ns for end in ends) <= busy // 2


def test_devices_of_their_own_are_not_shared(opened: list[Replica]) -> None:
    links = [Beside(replica, name, "node") for replica, name in zip(opened, "ab", strict=True)]
    for fleet, gpu, devices in (
        (Fleet(*links), True, 2),
        (Fleet(links[0], Beside(opened[1], "b", "elsewhere")), False, 2),
        (Fleet(links[0]), False, 1),
    ):
        router = ReplicaRouter(fleet, EngineSettings(block_tokens=4), gpu=gpu)
        assert router.devices == devices
        router.stop()


def test_before_a_word_came_another_replica_answers_and_later_it_has_failed(two: Made, folder: Path) -> None:
    router, first, second = two
    ended(ask(router))  # so that the next goes to the same
    (holder, other) = (first, second) if first.prompts else (second, first)
    holder.fault = ConnectionError("gone")
    moved = ask(router, max_tokens=6)
    (end,) = ended(moved)
    assert (end.reason, end.error) == ("length", None)
    assert moved.tokens == brute_force(load(folder), PROMPT, 6)
    assert len(other.prompts) == 1
    other.fault, other.after = ConnectionError("gone"), 1
    cut = ask(router, max_tokens=200)
    (end,) = ended(cut)
    assert (end.reason, end.error) == ("failed", LOST)
    assert 0 < len(cut.tokens) < 200
    assert (end.usage.prompt_tokens, end.usage.output_tokens, end.usage.machine_ns) == (0, 0, 0)
    assert end.usage.total_ns == end.usage.queued_ns > 0
    other.after = 0
    (end,) = ended(ask(router))
    assert (end.reason, end.error) == ("failed", LOST)
    assert router.stats().failed
    holder.fault = other.fault = None
    until = time.monotonic() + 30
    while router.stats().failed:  # the next reading finds them
        assert time.monotonic() < until
        time.sleep(0.01)
    assert ended(ask(router))[0].reason == "length"


def test_what_a_replica_says_is_wrong_is_told_and_asked_of_no_other(two: Made) -> None:
    router, first, second = two
    first.fault = second.fault = UserError("no such thing")
    (end,) = ended(ask(router))
    assert (end.reason, end.error) == ("failed", "no such thing")
    assert len(first.prompts) + len(second.prompts) == 1


def test_who_leaves_is_aborted_whether_it_says_so_or_breaks(two: Made, opened: list[Replica]) -> None:
    router, *_ = two
    left = ask(router, max_tokens=240)
    while not left.tokens:
        time.sleep(0.001)
    router.abort(left.id)
    (end,) = ended(left)
    assert end.reason == "aborted"
    assert end.usage.output_tokens < 240
    router.abort(10**9)  # nobody's

    class Broken(Asked):
        def broken(self, event: object) -> None:
            self.events.append(event)  # type: ignore[arg-type]
            raise RuntimeError("it has left")

    broken = Broken(PROMPT, max_tokens=240)
    broken.deliver = broken.broken
    router.submit(broken)
    assert [end.reason for end in ended(broken)] == ["aborted"]
    assert all(replica._engine.stats().running == 0 for replica in opened)


def test_a_full_queue_and_a_server_that_ends_refuse(opened: list[Replica]) -> None:
    links = [Beside(replica, name, "node") for replica, name in zip(opened, "ab", strict=True)]
    router = ReplicaRouter(Fleet(*links), EngineSettings(block_tokens=4, max_running=2, max_waiting=3), gpu=False)
    with pytest.raises(UserError, match="the prompt has no token"):
        router.submit(Asked([]))
    with pytest.raises(UserError, match="shorten the prompt"):
        router.submit(Asked([5] * 256))
    taken = [ask(router, [at] * 5, max_tokens=200, owner="alice") for at in range(3, 10)]  # 2 places twice, and 3
    with pytest.raises(QueueFull, match="too many requests of 'alice' wait"):
        ask(router, owner="alice")
    other = ask(router, owner="bob")
    while not any(one.tokens for one in taken):
        time.sleep(0.001)
    router.stop()
    ends = ended(*taken, other)
    assert {end.reason for end in ends} <= {"aborted", "length"}
    cut = [(end, one) for end, one in zip(ends, [*taken, other], strict=True) if end.reason == "aborted"]
    assert cut
    # its replica tells what it took: an answer that had begun is no gift
    assert all(end.usage.output_tokens >= len(one.tokens) for end, one in cut)
    assert any(end.usage.prompt_tokens for end, _ in cut)
    with pytest.raises(QueueFull, match="the server is shutting down"):
        ask(router)


def test_an_abort_that_overtakes_its_request_counts(opened: list[Replica]) -> None:
    async def overtaken() -> list[Usage]:
        await opened[0].abort(77)
        wanted = Asked(PROMPT, max_tokens=240)
        remote = RemoteRequest(77, PROMPT, wanted.params, "", "", None)
        updates = [update async for update in opened[0].answer(remote)]
        assert {update.life for update in updates} == {(await opened[0].stats()).life}
        return [event.usage for update in updates for event in update.events if isinstance(event, Finished)]

    (usage,) = asyncio.run(overtaken())
    assert usage.output_tokens < 240
