"""Slurm's accounting: the output of `sacct --parsable2`, one statement a job.

    sacct --parsable2 --allusers --starttime 2026-11-01 \
          --format JobID,JobName,Cluster,Partition,State,Start,End,ElapsedRaw,AllocTRES

Columns are found by the header. A job's devices are the GPUs that AllocTRES names (gres/gpu=8, gres/gpu:h100=8), else
its CPUs. Steps (123.batch) are parts of their job and left out, as are jobs that never started. Times without a zone
are taken for UTC; SLURM_TIME_FORMAT=%s makes sacct write seconds since the epoch, which are exact.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from centime.errors import UserError
from centime.ledger.imported import Imported
from centime.ledger.imports.terms import NamedDevice, Terms

_NEVER = {"", "Unknown", "None"}


def is_sacct(text: str) -> bool:
    """Whether the first line is a header of sacct's: it names the job's number."""
    return bool({"JobID", "JobIDRaw"} & set(text.split("\n", 1)[0].strip().split("|")))


def read_sacct(text: str, origin: str, moment_ns: int, terms: Terms) -> list[Imported]:
    """One statement a job that has run. moment_ns: when the file was written, for jobs that still run.

    Raises UserError for a missing column, or a line that cannot be read, with its number.
    """
    lines = text.splitlines()
    header = lines[0].strip().rstrip("|").split("|")
    job_column = "JobID" if "JobID" in header else "JobIDRaw"
    elapsed = next((name for name in ("ElapsedRaw", "Elapsed") if name in header), None)
    missing = [name for name in ("Start", "AllocTRES") if name not in header] + ([] if elapsed else ["ElapsedRaw"])
    if missing:
        raise UserError(
            f"{origin} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}: ask for "
            "sacct --parsable2 --format JobID,JobName,Cluster,Partition,State,Start,End,ElapsedRaw,AllocTRES"
        )
    assert elapsed is not None
    found = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        values = line.rstrip("\n").split("|")
        if len(values) == len(header) + 1 and not values[-1]:  # --parsable ends lines with a bar
            values.pop()
        if len(values) != len(header):
            raise UserError(f"{origin}, line {number}: {len(values)} fields under {len(header)} headings.")
        row = dict(zip(header, values, strict=True))
        if "." in row[job_column]:
            continue
        try:
            job = _job(row, row[job_column], row[elapsed], moment_ns)
        except ValueError as error:
            raise UserError(f"{origin}, line {number}, job {row[job_column]}: {error}.") from None
        if job is not None:
            found.append(_statement(job, origin, terms))
    if not found:
        raise UserError(f"{origin} has no job that ran: {len(lines) - 1} lines under the header.")
    return found


@dataclass(frozen=True)
class _SlurmJob:
    """One job that has run."""

    id: str
    name: str
    start_ns: int
    end_ns: int
    device: NamedDevice
    device_ns: int


def _job(row: dict[str, str], job: str, elapsed: str, moment_ns: int) -> _SlurmJob | None:
    """None for a job that has not run. Raises ValueError on a cell that cannot be read."""
    seconds = _seconds(elapsed)
    if row["Start"] in _NEVER or seconds == 0:
        return None
    start_ns = _moment(row["Start"])
    device, devices = _devices(row["AllocTRES"])
    running = row.get("End", "") in _NEVER
    return _SlurmJob(
        id=f"slurm:{row.get('Cluster', '')}:{job}:{row['Start']}",
        name=row.get("JobName") or job,
        start_ns=start_ns,
        end_ns=moment_ns if running else start_ns + seconds * 10**9,
        device=device,
        device_ns=seconds * 10**9 * devices,
    )


def _statement(job: _SlurmJob, origin: str, terms: Terms) -> Imported:
    device = job.device if terms.device is None else NamedDevice(terms.device, job.device.kind, job.device.vcpus)
    cost, currency, source = terms.cost(device, job.device_ns)
    return Imported(
        id=job.id,
        source="slurm",
        origin=origin,
        name=job.name,
        start_ns=job.start_ns,
        end_ns=job.end_ns,
        device=f"{device.name} ({device.vcpus} vCPU)" if device.vcpus else device.name,
        device_ns=job.device_ns,
        cost_pico=cost,
        cost_currency=currency,
        cost_source=source,
    )


def _devices(tres: str) -> tuple[NamedDevice, int]:
    """'cpu=96,gres/gpu:h100=8,gres/gpu=8' -> (H100, 8); without GPUs one device of so many vCPUs. Raises ValueError."""
    amounts = dict(part.split("=", 1) for part in tres.split(",") if "=" in part)
    typed = {name.partition(":")[2]: count for name, count in amounts.items() if name.startswith("gres/gpu:")}
    gpus = _whole(amounts["gres/gpu"], tres) if "gres/gpu" in amounts else sum(_whole(n, tres) for n in typed.values())
    if gpus:
        return NamedDevice(next(iter(typed)).upper() if len(typed) == 1 else "GPU"), gpus
    cpus = _whole(amounts.get("cpu", ""), tres)
    return NamedDevice("CPU", "cpu", cpus), 1


def _whole(text: str, tres: str) -> int:
    if not text.isdigit():
        raise ValueError(f"AllocTRES {tres!r} names no count of GPUs or CPUs")
    return int(text)


def _seconds(text: str) -> int:
    """'3600', '01:00:00' or '2-03:04:05' (days) -> seconds. Raises ValueError."""
    if text.isdigit():
        return int(text)
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?", text)
    if match is None:
        raise ValueError(f"the elapsed time is {text!r}, not seconds or [days-]hours:minutes:seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _moment(text: str) -> int:
    """'2026-11-01T12:00:00' (UTC) or seconds since the epoch -> nanoseconds. Raises ValueError."""
    if text.isdigit():
        return int(text) * 10**9
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the start is {text!r}, not a time such as 2026-11-01T12:00:00") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return round(aware.timestamp()) * 10**9
