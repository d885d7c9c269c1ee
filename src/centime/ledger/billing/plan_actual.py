"""The forecast made before a run's first step, beside what was booked, and how far the run came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from centime.units import format_duration

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"
WHOLE = 0.999  # of the planned tokens: a last batch may be a row short


class Booked(Protocol):
    """A line of the bill (bill.py)."""

    @property
    def device_ns(self) -> int: ...

    @property
    def devices(self) -> int: ...

    def as_json(self) -> dict[str, Any]: ...


def plan_against_actual(
    predicted: dict[str, Any], by_stage: Mapping[str, Booked], training: Booked, running: bool
) -> dict[str, Any]:
    """{predicted: as it was set, actual: the same quantities as booked, stages included, done: the share of the planned
    tokens that was trained on, null where no tokens were planned, state: finished, running or stopped}."""
    actual: dict[str, Any] = _actual(predicted, training)
    stages = predicted.get("stages")
    if isinstance(stages, dict):
        actual["stages"] = {
            stage: _actual(wanted, by_stage[stage])
            for stage, wanted in stages.items()
            if stage in by_stage and isinstance(wanted, dict)
        }
    done = _done(predicted, actual)
    state = RUNNING if running else FINISHED if done is None or done >= WHOLE else STOPPED
    return {"predicted": predicted, "actual": actual, "done": done, "state": state}


def begun_ns(predicted: Mapping[str, Any]) -> int:
    """When the run of a forecast began, in nanoseconds since 1970; 0 for one that does not say, from earlier versions.

    What was booked before that under the same name is of a run whose folder was deleted since.
    """
    found = predicted.get("begun_ns")
    return found if isinstance(found, int) else 0


def state_in_words(plan: Mapping[str, Any]) -> str:
    """': stopped at 16 % of its tokens', to stand behind a title; '' for a finished run."""
    done = plan.get("done")
    if plan.get("state") not in {RUNNING, STOPPED} or done is None:
        return ""
    share = f"{math.floor(min(done, WHOLE) * 100)} % of its tokens"
    return f": stopped at {share}" if plan["state"] == STOPPED else f": still running, at {share}"


def _actual(predicted: Mapping[str, Any], line: Booked) -> dict[str, Any]:
    booked = line.as_json() | {"seconds": line.device_ns / 1e9 / max(1, line.devices)}
    return {key: booked[key] for key in predicted if key in booked}


def _done(predicted: Mapping[str, Any], actual: Mapping[str, Any]) -> float | None:
    """By stage where there are stages: steps that were done again after a kill do not stand in for others."""
    pairs = [(predicted, actual)]
    stages = predicted.get("stages")
    if isinstance(stages, dict) and stages:
        pairs = [(wanted, actual["stages"].get(stage, {})) for stage, wanted in stages.items()]
    counts = [(_tokens(wanted), _tokens(found)) for wanted, found in pairs]
    planned = sum(wanted for wanted, _ in counts)
    return sum(min(wanted, found) for wanted, found in counts) / planned if planned else None


def _tokens(of: object) -> float:
    value = of.get("tokens") if isinstance(of, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def said_between(predicted: Mapping[str, Any]) -> str:
    """' (said 4m 19s to 11m 42s)': the interval that a forecast stated for its seconds; '' where it stated none."""
    low, high = predicted.get("seconds_low"), predicted.get("seconds_high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f" (said {format_duration(low)} to {format_duration(high)})"
