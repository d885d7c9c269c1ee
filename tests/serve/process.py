"""A server's process: `centime serve` on a free port, and what it says."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from typing import Self

from tests.forked import centime_process


class ServerProcess:
    """`centime serve` with these arguments, once it says where it listens; `said` is its standard error so far.

    program: another `centime` than that of the environment that runs the tests.
    A context manager: a test that fails leaves no server behind.
    """

    def __init__(self, *arguments: str, program: Path | None = None) -> None:
        words = ("serve", *arguments, "--port", "0")
        if program is None:
            self.process = centime_process(*words, stderr=subprocess.PIPE, text=True)
        else:
            self.process = subprocess.Popen([program, *words], stderr=subprocess.PIPE, text=True)
        self.said, self.url = "", ""
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            assert self._listening.wait(120), self.said
            found = re.findall(r"http://\S+", self.said)
            assert found, self.said
        except BaseException:
            self.__exit__()
            raise
        self.url = found[-1]  # a gateway names the server behind it first
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.end()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if "http://" in line:
                self._listening.set()
        self._listening.set()

    def end(self) -> int:
        """The exit code, once it has one; all it said is in `said`."""
        code = self.process.wait(120)
        self._reader.join()
        return code
