"""Real processes at the price of a fork, in a place of their own: a command for every line of JSON that is read.

A child has its own descriptors, folder, environment and limits (memory, processor time, size of files), and as root it
gives up every capability, so that a file without permissions is as closed to it as to anybody.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from tests.forked import import_all

MEMORY = 3 * 2**30  # bytes that a command may take beside what the imports took
PROCESSOR_SECONDS = 30
WAITED = 0.5  # seconds that a command is left after it has said that it waits
DISKS = {"full": "4k", "small": "64k"}  # name -> what it takes; the full one has taken it already
MOUNT = (0x20000, 1 << 18 | 1 << 14)  # CLONE_NEWNS; MS_PRIVATE | MS_REC


def without_capabilities() -> None:
    """The process keeps its user and loses what root may do beyond its own files (capset(2), version 3)."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: what it executes gets none either
        if libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)):
            raise OSError(ctypes.get_errno(), "capset")


def child(wanted: dict[str, Any]) -> None:
    """Becomes the command; does not return."""
    os.setsid()
    os.chdir(wanted["folder"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if wanted[name] is None:
            os.close(number)
            continue
        handle = os.open(wanted[name], os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.update(wanted["environment"])
    without_capabilities()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if wanted["file_bytes"] is not None:  # a disk that is full after so much
        resource.setrlimit(resource.RLIMIT_FSIZE, (wanted["file_bytes"], wanted["file_bytes"]))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = None if wanted[name] is None else os.fdopen(number, "r" if number == 0 else "w", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = ["centime", *wanted["arguments"]]
    from centime.cli import main

    main()


def run(wanted: dict[str, Any]) -> dict[str, Any]:
    """The exit code (minus the signal for one that was killed), whether it was too slow, and how long it took."""
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            child(wanted)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
        except BaseException as error:
            print("escaped:", type(error).__name__, error, file=sys.stderr)
            code = 99
        atexit._run_exitfuncs()  # as the interpreter does; the ledger writes its last word there
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
    late, seconds = False, wanted["seconds"]
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        passed = time.monotonic() - started
        if passed > seconds:
            late = True
            os.killpg(pid, signal.SIGKILL)
        elif wanted["waits"] and wanted["waits"] in Path(wanted["stderr"]).read_text(errors="replace"):
            seconds = min(seconds, passed + WAITED)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # nothing of it goes on
    return {"code": os.waitstatus_to_exitcode(status), "late": late, "seconds": time.monotonic() - started}


def mount(folder: Path) -> bool:
    """Puts DISKS into `folder`, for this process and its children alone (mount(2)); whether the system let it."""
    libc = ctypes.CDLL(None, use_errno=True)
    unshare, private = MOUNT
    if libc.unshare(unshare) or libc.mount(b"none", b"/", None, private, None):
        return False
    for name, size in DISKS.items():
        (folder / name).mkdir()
        if libc.mount(b"tmpfs", os.fsencode(folder / name), b"tmpfs", 0, f"size={size}".encode()):
            return False
    with contextlib.suppress(OSError), (folder / "full" / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 1024)
    return True


def main() -> None:
    """Imports everything that a verb would, then answers requests until its input ends."""
    import_all()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write(json.dumps(mount(Path(sys.argv[1]))) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
