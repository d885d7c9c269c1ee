"""A user's own reward: a file of Python in a process of its own, where what hangs, raises or leaks costs one sample."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.tune.rewards.grader import AnswerText

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 10.0  # that one answer may take to be graded
MEMORY = 8 * 2**30  # bytes of address space of the process
GRACE = 1.0  # seconds more, in which the process says by itself that an answer took too long
START_SECONDS = 120.0  # that the file may take to be imported


class _Hangs(Exception):
    """Nothing came from the process in time, or it has died: why."""


class UserRule:
    """The reward function of a file. What goes wrong with an answer makes its reward 0, and stands in `notes`."""

    def __init__(self, path: Path, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        """Raises UserError where the file is not there, cannot be imported, or has no such function."""
        if not path.is_file():
            raise UserError(
                f"{path} is no file; give rl.reward a file with reward(prompt, answer, row), or a rule's name."
            )
        self._path, self._seconds, self._memory = path, seconds, memory
        self.notes: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._start()

    def __call__(self, answers: Sequence[AnswerText]) -> list[float]:
        """Rewards in order. Where all at once comes to nothing, each is graded by itself."""
        rewards: list[float | None] = [None] * len(answers)
        together = True
        while None in rewards:
            left = [at for at, reward in enumerate(rewards) if reward is None]
            asked = left if together else left[:1]
            try:
                self._ask(asked, answers, rewards, together)
            except _Hangs as error:
                unanswered = [at for at in asked if rewards[at] is None]
                if unanswered and (len(asked) == 1 or not together):
                    self._wrong(rewards, unanswered[0], str(error))
                self._restart()
                together = False
        return [reward or 0.0 for reward in rewards]

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _ask(
        self, asked: Sequence[int], answers: Sequence[AnswerText], rewards: list[float | None], together: bool
    ) -> None:
        samples = [
            {
                "prompt": answers[at].problem.prompt,
                "answer": answers[at].text,
                "row": dict(answers[at].problem.row) | {"right": answers[at].problem.answer},
            }
            for at in asked
        ]
        self._send({"samples": samples, "together": together})
        while not (said := self._hear(self._seconds + GRACE)).get("done"):
            at = asked[said["at"]]
            if "reward" in said:
                rewards[at] = said["reward"]
            else:
                self._wrong(rewards, at, said["error"])

    def _wrong(self, rewards: list[float | None], at: int, why: str) -> None:
        rewards[at] = 0.0
        self.notes.append(why)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(self._path), str(self._seconds), str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_listen, args=(self._process, self._said), daemon=True).start()
        try:
            said = self._hear(START_SECONDS)
        except _Hangs as error:
            said = {"broken": str(error)}
        if "broken" in said:
            self.close()
            raise UserError(f"{self._path} cannot be used as a reward: {said['broken']}.")

    def _restart(self) -> None:
        self.close()
        self._start()

    def _send(self, tree: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(tree, default=str) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise _Hangs("its process has died") from error

    def _hear(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._said.get(timeout=seconds)
        except queue.Empty:
            raise _Hangs(f"took more than {self._seconds:g} s") from None
        if not line:
            raise _Hangs("its process has died")
        found: dict[str, Any] = json.loads(line)
        return found


def _listen(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
    """Lines as they come, and '' at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        said.put(line)
    said.put("")
