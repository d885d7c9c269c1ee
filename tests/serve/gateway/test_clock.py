"""The upstream's clock: whatever comes and goes, shares and idle time are the wall-clock to the nanosecond."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from centime.serve.gateway.clock import UpstreamClock

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
            had[number] = clock.leave(number)
        requests_ns, idle_ns = clock.totals()
        assert requests_ns + idle_ns == now - start
        assert clock.running == len(running)
    had |= {number: clock.leave(number) for number in running}
    assert sum(had.values()) == clock.totals()[0]


def test_side_by_side_they_share_equally() -> None:
    now = 0
    clock = UpstreamClock(lambda: now)
    now = 5  # idle
    first = clock.enter()
    now = 15  # alone
    second = clock.enter()
    now = 26  # both: 6 and 5
    assert clock.leave(first) == 10 + 6
    now = 30
    assert clock.leave(second) == 5 + 4
    now = 37
    assert clock.totals() == (25, 12)
