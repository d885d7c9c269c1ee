"""The tests of a room, as scripts/mutants.py runs them: what each calls, and in which order a mutant meets them."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutations
import pytest
from hypothesis import Phase, settings


@dataclass
class Tests:
    """What running a room's tests once told of each: its seconds, and the functions of the room that it called."""

    seconds: dict[str, float] = field(default_factory=dict)
    called: dict[str, list[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def waves(self, mutant: mutations.Mutation, most: float) -> list[list[str]]:
        """Those that were seen to call the mutant's function, then the others; of each the quick files first.

        The others still count: they may have called it in a process of their own, or read what it left in a cache.
        What stands at the top of a file is near to all that call a function of the file. most: seconds of all of them;
        where they take more, the longest are left out.
        """
        place, found = f"{mutant.file}:{mutant.first_line or ''}", []
        for near in (True, False):
            names = [test for test in self.seconds if self.calls(test, place) is near]
            names.sort(key=lambda test: self.seconds[test])
            ends = itertools.accumulate(self.seconds[test] for test in names)
            taken = [test for test, end in zip(names, ends, strict=True) if end <= most]
            cost = Counter[str]()
            for test in taken:
                cost[file_of(test)] += self.seconds[test]  # type: ignore[assignment]
            found.append(sorted(taken, key=lambda test: (cost[file_of(test)], file_of(test))))
            most -= sum(cost.values())
        return found

    def calls(self, test: str, place: str) -> bool:
        return any(call.startswith(place) if place.endswith(":") else call == place for call in self.called[test])


def file_of(test: str) -> str:
    return test.partition("::")[0]


class Forks:
    """A pytest plugin: commands that tests start are forks of a process that has every library already.

    tests/forked.py would start one that imports them all again, for every mutant whose tests start a command.
    """

    def pytest_sessionstart(self) -> None:
        forked = sys.modules.get("tests.forked")
        if forked is None or not forked.FORKS:
            return
        name = f"centime-mutants-{os.getpid()}"
        (input_, self.held), (said, output) = os.pipe(), os.pipe()  # it ends when nobody holds its input
        if os.fork() == 0:
            os.close(self.held)
            os.dup2(input_, 0)
            os.dup2(output, 1)
            sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
            forked.serve(name)
        os.close(input_)
        os.close(output)
        assert os.read(said, 64) == b"listening\n"
        os.close(said)
        forked.share(f"\0{name}")


class Recorder:
    """A pytest plugin: times the tests, and sees which functions below `folder` each of them calls, in any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tests = f"{folder}/", Tests()
        self.calls: set[str] = set()

    def trace(self, frame: Any, event: str, _: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.folder):
            self.calls.add(f"{code.co_filename.removeprefix(self.folder)}:{code.co_firstlineno}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        begun, self.calls = time.monotonic(), set()
        sys.settrace(self.trace)
        threading.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.tests.seconds[item.nodeid] = time.monotonic() - begun
            self.tests.called[item.nodeid] = sorted(self.calls)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tests.failed.append(f"{report.nodeid}, which does not import")


class Ordered:
    """A pytest plugin: these tests in this order, and which of them failed first."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: at for at, name in enumerate(names)}
        self.failed: list[str] = []

    def pytest_sessionstart(self) -> None:
        """One example that fails is enough: it need not be the smallest."""
        settings.register_profile("noticed", settings.default, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("noticed")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((one for one in items if one.nodeid in self.place), key=lambda one: self.place[one.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}, which does not import")
