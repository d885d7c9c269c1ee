"""The test's end of the zygote: a command in, its exit code and what it printed out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.zygote import DISKS
from tests.forked import python_process

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("CENTIME_CELL_SECONDS", "60"))  # that a command may take; nothing here is large


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    late: bool
    seconds: float


class Zygote:
    """Commands run in `with Zygote(scratch) as zygote`, each in a process forked from one that has centime imported."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    def __enter__(self) -> Zygote:
        (self.scratch / "disks").mkdir()
        self.process = python_process(
            "tests.cli.zygote",
            str(self.scratch / "disks"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.scratch / "zygote", "w"),
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        )
        assert self.process.stdout is not None
        self.disks = self.scratch / "disks" if json.loads(self.process.stdout.readline()) else None
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def left_on_disks(self) -> list[str]:
        """Takes away what the commands left on the full and the small disk: the names of it."""
        if self.disks is None:
            return []
        left = []
        for disk in DISKS:  # seen with the eyes of the zygote: its mounts are its own
            for path in Path(f"/proc/{self.process.pid}/root{self.disks / disk}").iterdir():
                if path.name != "filler":
                    left.append(f"{disk} disk/{path.name}")
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return left

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        stdin: str | None = os.devnull,
        stdout: str | None = "",
        home: Path | None = None,
        file_bytes: int | None = None,
        seconds: float = SECONDS,
        waits: str = "",
    ) -> Done:
        """Runs `centime ARGUMENTS` in `folder`, its home in folder/home unless another is given.

        stdin, stdout: another file, or None for closed. file_bytes: what any file may grow to. waits: on standard error
        it says that the command waits for others, and is late soon.
        """
        out, err = self.scratch / "stdout", self.scratch / "stderr"
        out.write_bytes(b"")
        wanted = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": {"CENTIME_HOME": str(home or folder / "home"), "COLUMNS": "120"},
            "stdin": stdin,
            "stdout": str(out) if stdout == "" else stdout,
            "stderr": str(err),
            "file_bytes": file_bytes,
            "seconds": seconds,
            "waits": waits,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Done(
            answer["code"],
            out.read_text(encoding="utf-8", errors="replace"),
            err.read_text(encoding="utf-8", errors="replace"),
            answer["late"],
            answer["seconds"],
        )
