"""Readings to hours: nothing lost, nothing below nought, idle only where nothing ran, whatever the engine does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.engines.pages import START, Did, llamacpp, reading, sglang, vllm

from centime.ledger.engines.split import IDLE, UNFINISHED, UNSEEN, MeteredHour
from centime.ledger.engines.statements import Statements
from centime.ledger.engines.watch import EngineWatch
from centime.ledger.imports import Terms
from centime.units import HOUR_NS

SECOND = 10**9
SPAN = 5  # seconds between readings
STEP = st.tuples(
    st.sampled_from([SPAN, SPAN, SPAN, 4000]),  # seconds until the next reading; a gap
    st.integers(0, 10**6),  # computed
    st.integers(0, 10**4),  # cached
    st.integers(0, 10**5),  # decoded
    st.integers(0, 3),  # running
    st.booleans(),  # whether the engine began anew
)


def watched(steps: list[tuple[float, Did]], page: object = vllm, devices: int = 1) -> EngineWatch:
    """A watch that was shown what an engine did by so many seconds."""
    watch = EngineWatch("http://gpu1:8000/metrics", devices, SPAN * SECOND)
    for seconds, did in steps:
        watch.take(reading(page(did), seconds))  # type: ignore[operator]
    return watch


def parts(hour: MeteredHour) -> dict[str, int]:
    return {part.name: part.device_ns for part in hour.parts}


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12), st.integers(1, 9), st.sampled_from([vllm, sglang, llamacpp]))
def test_hours_add_up_whatever_the_load(steps: list[tuple[int, ...]], devices: int, page: object) -> None:
    seconds, did = 3000.0, Did()
    shown = [(seconds, did)]
    for wait, computed, cached, decoded, running, anew in steps:
        seconds += wait
        base = Did(started=did.started + 1) if anew else did
        did = replace(
            base, computed=base.computed + computed, cached=base.cached + cached, decoded=base.decoded + decoded,
            running=running, held=1000 * running, requests=base.requests + 1, spent=base.spent + 1,
            busy=base.busy + wait / 2,
        )  # fmt: skip
        shown.append((seconds, did))
    hours = watched(shown, page, devices).hours()
    assert sum(hour.device_ns for hour in hours) == round((seconds - 3000) * SECOND) * devices
    for hour in hours:
        assert sum(part.device_ns for part in hour.parts) == hour.device_ns
        assert all(part.device_ns >= 0 and min(part.kinds_ns) >= 0 for part in hour.parts)
        assert all(sum(part.kinds_ns) == part.device_ns for part in hour.parts if part.of_work)
        assert hour.end_ns - hour.start_ns <= HOUR_NS
    booked = Statements("http://gpu1:8000/metrics", Terms("$2.17/h", "", devices), START).of(hours)
    for hour in hours:
        money = [one.cost_pico or 0 for one in booked if one.start_ns == hour.start_ns]
        assert sum(money) == Terms("$2.17/h").cost(_NOBODY, hour.device_ns)[0]


class _Nobody:
    name, kind, vcpus, instance = "", "gpu", 0, None


_NOBODY = _Nobody()


def test_idle_only_when_idle() -> None:
    """Ten seconds of work between two rests; a request that came and went inside a span took its own time alone."""
    worked = Did(computed=100, decoded=10, requests=1, spent=1.5)
    (hour,) = watched(
        [(0, Did()), (5, Did(running=1)), (10, worked), (15, worked), (20, replace(worked, decoded=11, spent=3.5))]
    ).hours()
    assert parts(hour) == {"m": 12 * SECOND, IDLE: 8 * SECOND}
    always = [(SPAN * n, Did(computed=n, decoded=n, running=1)) for n in range(5)]
    assert IDLE not in parts(watched(always).hours()[0])


def test_the_engines_own_clock_goes_first() -> None:
    (hour,) = watched([(0, Did(running=1)), (5, Did(computed=9, running=1, busy=1.25))], sglang, 8).hours()
    assert parts(hour) == {"m": 10 * SECOND, IDLE: 30 * SECOND}


def test_busy_without_a_word_of_work_is_unfinished() -> None:
    (hour,) = watched([(0, Did()), (5, Did(running=1))]).hours()
    assert parts(hour) == {UNFINISHED: 5 * SECOND}


@pytest.mark.parametrize("anew", [Did(computed=50, started=2), Did(computed=50, decoded=1)])
def test_an_engine_that_began_anew(anew: Did) -> None:
    """Told by another start, or by counters that fell; what it did since is counted, the time is nobody's."""
    watch = watched([(0, Did(computed=900, decoded=90)), (5, anew), (10, replace(anew, computed=80, running=1))])
    (hour,) = watch.hours()
    assert parts(hour) == {"m": 5 * SECOND, UNSEEN: 5 * SECOND}
    assert next(part.work.computed for part in hour.parts if part.of_work) == 80
    assert "the engine began anew 1 time: unseen from the reading before" in watch.notes()


def test_silence_is_unseen_and_its_work_is_not_lost() -> None:
    watch = watched([(0, Did(running=1)), (60, Did(computed=900, running=1)), (65, Did(computed=900))])
    (hour,) = watch.hours()
    assert parts(hour) == {"m": 5 * SECOND, UNSEEN: 60 * SECOND}


def test_an_hour_that_is_over_stays_as_it_was() -> None:
    shown = [(3590 + SPAN * n, Did(computed=100 * n, decoded=7 * n, running=1)) for n in range(40)]
    watch = watched(shown[:4])
    before = watch.hours()[0]
    for seconds, did in shown[4:]:
        watch.take(reading(vllm(did), seconds))
    assert watch.hours()[0] == before
    assert [hour.hour for hour in watch.hours()] == [before.hour, before.hour + 1]


def test_a_part_that_an_hour_no_longer_has_is_stated_as_nothing() -> None:
    statements = Statements("http://gpu1:8000/metrics", Terms("$1/h"), START)
    watch = watched([(0, Did()), (5, Did(running=1))])
    assert [one.name for one in statements.of(watch.hours())] == ["gpu1:8000 unfinished"]
    watch.take(reading(vllm(Did(computed=5)), 10))
    assert {one.name: one.device_ns for one in statements.of(watch.hours())} == {
        "gpu1:8000 m": 10 * SECOND,
        "gpu1:8000 unfinished": 0,
    }
