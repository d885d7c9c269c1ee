"""Every verb asked rightly, where something around it is wrong: its streams, its home, the size a file may grow to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.cells import GOES_ON, Bench
from tests.cli.kinds import Kinds
from tests.cli.roles import RIGHT, command

STREAMS: dict[str, dict[str, Any]] = {
    "output full": {"stdout": "/dev/full"},
    "output closed": {"stdout": None},
    "input closed": {"stdin": None},
    "files of 4 KiB": {"file_bytes": 4096},
}
DRAWN = "output full"  # of the streams, in every run of the suite
SILENT = {"chat", "export", "train"}  # what they say goes to standard error; chat has nobody to answer here
HOMES = ("closed", "read-only", "empty", "loop", "dangling")


def ended_badly(bench: Bench, verb: str, **around: Any) -> list[str]:
    """What is wrong with how the verb ended there."""
    done = bench.go(verb, command(verb, {}), **around)
    bench.restore()
    said = [line for line in done.stderr.splitlines() if line.startswith("centime: ")]
    found = []
    if done.late:
        return [] if verb in GOES_ON else ["it went on for too long"]
    if "Traceback" in done.stderr + done.stdout:
        found.append("a traceback")
    if done.code not in (0, 2) and not (verb == "doctor" and done.code == 1):
        found.append(f"exit code {done.code}")
    if done.code == 2 and len(said) != 1:
        found.append(f"{len(said)} sentences")
    if done.code == 2 and "standard output" not in "".join(said) and around.get("stdout", "") != "":
        found.append(f"it blames something else: {said}")
    if done.code == 0 and around.get("stdout", "") != "" and verb not in SILENT:
        found.append("what it printed is lost, and it says that all is well")
    return [f"{done.code} {fault}: {done.stderr[-300:]}" for fault in found]


@pytest.mark.parametrize(
    "around", [pytest.param(name, marks=pytest.mark.slow if name == DRAWN else pytest.mark.long) for name in STREAMS]
)
def test_streams_and_limits(bench: Bench, around: str) -> None:
    found = {verb: ended_badly(bench, verb, **STREAMS[around]) for verb in RIGHT}
    assert {verb: wrong for verb, wrong in found.items() if wrong} == {}


@pytest.mark.long
def test_a_home_where_nothing_can_be_written(bench: Bench, kinds: Kinds) -> None:
    homes = [kinds.made / name for name in HOMES] + [disk / "home" for disk in _disks(kinds)]
    found = {f"{verb} {home.name}": ended_badly(bench, verb, home=home) for home in homes for verb in RIGHT}
    assert {verb: wrong for verb, wrong in found.items() if wrong} == {}


def _disks(kinds: Kinds) -> list[Path]:
    return [] if kinds.disks is None else [kinds.disks / "full"]
