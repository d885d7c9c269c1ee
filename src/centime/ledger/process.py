"""Which process this is and whether another one still lives, so that a killed process's open intervals can be closed.

A process id alone is not an identity: ids are reused, and start again after a boot or in another container. The
boot's id, the pid namespace, the pid and the moment the process started are one together.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

# A process in another pid namespace cannot be asked for; its heartbeat (every 0.25 s) being this old says it is gone.
SILENT_NS = 60 * 10**9


@dataclass(frozen=True)
class Identity:
    """One process, for ever: `started` is in clock ticks since boot (Linux) or 0.01 s since the epoch (elsewhere)."""

    boot: str
    namespace: str
    pid: int
    started: int


@functools.cache
def boot_id() -> str:
    """A name of the running boot: monotonic clocks compare only within one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"boot-{round(psutil.boot_time())}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "host"


def _started(pid: int) -> int | None:
    """When the process began; None when there is none, or a zombie. Raises PermissionError if it is hidden from us."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        if Path("/proc/self/stat").exists():
            return None
        return _started_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()  # the name before ')' may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])  # field 22 of proc(5): start time in ticks after boot


def _started_elsewhere(pid: int) -> int | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 100)
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise PermissionError(pid) from None


def this_process() -> Identity:
    """The identity of the calling process."""
    return Identity(boot_id(), _namespace(), os.getpid(), _started(os.getpid()) or 0)


def alive(identity: Identity, heartbeat_age_ns: int, silent_ns: int = SILENT_NS) -> bool:
    """Whether that process still runs.

    heartbeat_age_ns: monotonic nanoseconds since its last sign of life; where the process cannot be asked for, one of
    `silent_ns` says that it is gone.
    A stopped (SIGSTOP) or frozen process is alive: it keeps its device, and books the time when it goes on.
    """
    if identity.boot != boot_id():
        return False
    if identity.namespace != _namespace():
        return heartbeat_age_ns < silent_ns
    try:
        return _started(identity.pid) == identity.started
    except PermissionError:  # somebody else's process, or /proc mounted with hidepid
        return heartbeat_age_ns < silent_ns


def process_start_ns() -> int:
    """The monotonic nanosecond at which this process was created (fork), or up to a kernel tick (10 ms) after it.

    Time before the first line of Python is device-time too: the stopwatch outside began when the process did.
    """
    now = time.monotonic_ns()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        age = since_boot - (ticks + 1) * 10**9 // os.sysconf("SC_CLK_TCK")  # the tick's end: never before the process
    except (OSError, AttributeError, ValueError):
        import psutil

        age = time.time_ns() - round(psutil.Process().create_time() * 1e9)
    return now - max(0, age)
