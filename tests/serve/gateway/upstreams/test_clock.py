"""The upstream's clock: whatever comes and goes, shares and idle time are the wall-clock to the nanosecond."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from centime.ledger.served import EngineTotals
from centime.serve.gateway.upstreams.clock import Pace, UpstreamClock

STEPS = st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from(["enter", "leave", "look"])), max_size=60)


@given(STEPS, st.integers(0, 10**15))
def test_shares_and_idle_add_up(steps: list[tuple[int, str]], start: int) -> None:
    now = start
    clock = UpstreamClock(lambda: now)
    running: list[int] = []
    had: dict[int, int] = {}
    for passed, what in steps:
        now += passed
        if what == "enter":
            running.append(clock.enter())
        elif what == "leave" and running:
            number = running.pop(len(running) // 2)
            had[number] = clock.leave(number).ns
        totals = clock.totals()
        requests_ns, idle_ns = totals.requests_ns, totals.idle_ns
        assert requests_ns + idle_ns == now - start
        assert clock.running == len(running)
    had |= {number: clock.leave(number).ns for number in running}
    assert sum(had.values()) == clock.totals().requests_ns


def test_side_by_side_they_share_equally() -> None:
    now = 0
    clock = UpstreamClock(lambda: now)
    now = 5  # idle
    first = clock.enter()
    now = 15  # alone
    second = clock.enter()
    now = 26  # both: 6 and 5
    assert clock.leave(first).ns == 10 + 6
    now = 30
    assert clock.leave(second).ns == 5 + 4
    now = 37
    assert clock.totals() == EngineTotals(25, 12)


def test_the_pace_is_that_of_the_latest_answers() -> None:
    """Each weighs nine tenths of the one after it; before there is any, a token takes a tenth of a second."""
    pace = Pace()
    assert [pace.tokens_in(ns) for ns in (0, 99_999_999, 100_000_000, 10**9)] == [0, 0, 1, 10]
    pace.ended(1_000, 0)  # one without a token says nothing
    assert pace.tokens_in(10**9) == 10
    pace.ended(1_000, 10)
    assert [pace.tokens_in(ns) for ns in (99, 100, 250)] == [0, 1, 2]
    pace.ended(9_100, 1)  # (900 + 9,100) / (9 + 1)
    assert [pace.tokens_in(ns) for ns in (999, 1_000, 2_500)] == [0, 1, 2]
    at_once = Pace()
    at_once.ended(0, 10)
    assert at_once.tokens_in(7) == 7  # a nanosecond each at least
