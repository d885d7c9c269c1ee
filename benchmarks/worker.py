"""A contestant's process, asked one JSON line at a time and answering each with one."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO, Any


class Worker:
    """A process whose first line says that it is ready, and whose next ones answer what it was asked."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, text=True
        )

    def answer(self) -> dict[str, Any]:
        """Its next line; a RuntimeError with the end of its log when it ended instead."""
        out: IO[str] = self._process.stdout  # type: ignore[assignment]
        line = out.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.name} ended without an answer:\n{self._log.read()[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One piece of work, and its answer."""
        requests: IO[str] = self._process.stdin  # type: ignore[assignment]
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        return self.answer()

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()
