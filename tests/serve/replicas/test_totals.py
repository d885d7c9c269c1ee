"""The books of several engines as one: nothing counted twice, nothing lost with a process."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from centime.ledger.energy import EnergyUse
from centime.serve.engine.stats import EngineStats
from centime.serve.replicas.totals import ENERGIES, Lives, SharedDevice, together

_COUNTED = {field.name: 0 for field in fields(EngineStats) if field.name not in ENERGIES}
NOTHING = EngineStats(**_COUNTED | {"failed": False, "block_tokens": 32})  # type: ignore[arg-type]


def test_each_replica_counts_the_whole_device_and_gets_its_part_of_the_joules() -> None:
    use = EnergyUse(1001, 0, 100)
    lives = {name: Lives() for name in "ab"}
    for one in lives.values():
        one.read("life", replace(NOTHING, busy_energy=use, idle_energy=EnergyUse(0, 6, 8)))
    both = together(lives, [(2, ["a", "b"])])
    assert (both.busy_energy, both.idle_energy) == (EnergyUse(1000, 0, 100), EnergyUse(0, 6, 8))
    assert SharedDevice(2).energy_of(use) == EnergyUse(500, 0, 50)


@given(st.integers(1, 7), st.lists(st.integers(0, 10**12)))
def test_parts_of_a_shared_device_add_up_to_the_nanosecond(replicas: int, parts: list[int]) -> None:
    device = SharedDevice(replicas)
    assert sum(device.of(part) for part in parts) == sum(parts) // replicas


def test_what_a_dead_replica_did_still_counts_and_what_it_held_does_not() -> None:
    a, b = Lives(), Lives()
    a.read("first", replace(NOTHING, running=3, output_tokens=10, busy_ns=7, idle_ns=4))
    b.read("only", replace(NOTHING, running=1, output_tokens=5, busy_ns=5, idle_ns=6))
    a.bury()
    lives, device = {"a": a, "b": b}, [(2, ["a", "b"])]
    dead = together(lives, device)
    assert (dead.running, dead.output_tokens, dead.busy_ns, dead.idle_ns, dead.failed) == (1, 15, 6, 5, False)
    a.read("second", replace(NOTHING, running=2, output_tokens=1, busy_ns=1))
    assert a.alive is not None
    alive = together(lives, device)
    assert (alive.running, alive.output_tokens, alive.busy_ns, alive.block_tokens) == (3, 16, 6, 32)


def test_books_that_come_late_are_dropped() -> None:
    lives = Lives()
    lives.read("one", replace(NOTHING, output_tokens=9, busy_ns=100))
    lives.read("one", replace(NOTHING, output_tokens=8, busy_ns=90))
    assert lives.total("output_tokens") == 9


def test_a_replica_that_tells_newer_books_after_all_lives() -> None:
    lives = Lives()
    lives.read("one", replace(NOTHING, running=2, busy_ns=100, idle_ns=20))
    lives.bury()
    lives.read("one", replace(NOTHING, running=1, busy_ns=90, idle_ns=29))  # it was on its way
    assert lives.alive is None
    lives.read("one", replace(NOTHING, running=3, busy_ns=100, idle_ns=30))
    assert lives.alive is not None
    assert lives.alive.running == 3


def test_a_fleet_without_a_replica_has_failed() -> None:
    assert together({"a": Lives()}, [(1, ["a"])]).failed
