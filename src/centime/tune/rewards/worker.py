"""Runs a reward function that somebody else wrote. Started by `user.py` as a script, with the standard library alone.

FILE.py has one of these, plain or `async def`:

    reward(prompt, answer, row) -> float                  one answer; row is what the problem's file says of it
    rewards(prompts, answers, rows) -> list[float]        all answers of a step at once

Samples come in as a JSON list a line, and every one's reward goes out as soon as it is there, so that whoever waits
knows where this process hangs. What the function prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import math
import os
import resource
import sys
from typing import Any

Samples = list[dict[str, Any]]


def load(path: str) -> Any:
    """The functions of a file."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("reward_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def number(value: Any) -> dict[str, Any]:
    """What a function returned as a reward, or as an error where it is no finite number."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return {"reward": float(value)}
    return {"error": f"returned {value!r:.80}, which is no finite number"}


def fault(error: BaseException) -> dict[str, Any]:
    return {"error": f"{type(error).__name__}: {error}"[:300]}


class Functions:
    """A file's functions, and where their results go."""

    def __init__(self, module: Any, out: Any, seconds: float) -> None:
        self.one: Any = getattr(module, "reward", None)
        self.many: Any = getattr(module, "rewards", None)
        if not callable(self.one) and not callable(self.many):
            raise AttributeError("it has no function reward(prompt, answer, row), nor rewards(prompts, answers, rows)")
        self._out, self._seconds = out, seconds

    def say(self, tree: dict[str, Any]) -> None:
        print(json.dumps(tree), file=self._out, flush=True)

    def grade(self, samples: Samples, *, together: bool) -> None:
        """Says every sample's reward, by its place."""
        if callable(self.many) and (together or not callable(self.one)):
            self._all(samples)
        elif inspect.iscoroutinefunction(self.one):
            asyncio.run(self._side_by_side(samples))
        else:
            for at, sample in enumerate(samples):
                self._said(at, lambda sample=sample: self.one(sample["prompt"], sample["answer"], sample["row"]))
        self.say({"done": True})

    def _said(self, at: int, call: Any) -> None:
        try:
            found = number(call())
        except BaseException as error:  # SystemExit too: a reward function ends nobody's run
            found = fault(error)
        self.say({"at": at} | found)

    def _all(self, samples: Samples) -> None:
        try:
            found = self.many(*([sample[key] for sample in samples] for key in ("prompt", "answer", "row")))
            if inspect.isawaitable(found):
                found = asyncio.run(asyncio.wait_for(found, self._seconds))
            values = list(found)
            if len(values) != len(samples):
                raise ValueError(f"rewards returned {len(values)} values for {len(samples)} answers")
        except BaseException as error:
            for at in range(len(samples)):
                self.say({"at": at} | fault(error))
            return
        for at, value in enumerate(values):
            self.say({"at": at} | number(value))

    async def _side_by_side(self, samples: Samples) -> None:
        async def graded(at: int, sample: dict[str, Any]) -> None:
            call = self.one(sample["prompt"], sample["answer"], sample["row"])
            try:
                found = number(await asyncio.wait_for(_contained(call), self._seconds))
            except TimeoutError:
                found = {"error": f"took more than {self._seconds:g} s"}
            except BaseException as error:
                found = fault(error)
            self.say({"at": at} | found)

        await asyncio.gather(*(graded(at, sample) for at, sample in enumerate(samples)))


async def _contained(call: Any) -> Any:
    """What would end the whole loop, and every other answer's grading with it, as an error of this call alone."""
    try:
        return await call
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


def main() -> None:
    path, seconds, memory = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        functions = Functions(load(path), out, seconds)
    except BaseException as error:
        print(json.dumps({"broken": fault(error)["error"]}), file=out, flush=True)
        return
    functions.say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        functions.grade(asked["samples"], together=asked["together"])


if __name__ == "__main__":
    main()
