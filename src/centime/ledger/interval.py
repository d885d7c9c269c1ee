"""One row of the book: a stretch of time on a device, in one stage of one run, by one process."""

from __future__ import annotations

import platform
import time
import uuid
from dataclasses import dataclass, fields

from centime.catalogue.prices import Price
from centime.ledger.device import Device
from centime.ledger.process import this_process
from centime.units import HOUR_NS

# Between two heartbeats of an open interval. Four to the second, so that a late one is still no more than a second old.
HEARTBEAT_NS = 250_000_000

OPEN, CLOSED, RECOVERED = "open", "closed", "recovered"


@dataclass(slots=True)
class Interval:
    """A row of the ledger: time of one process on its devices, in one stage of a run, in integer nanoseconds.

    Its own process alone writes its times; others may mark it recovered.
    """

    id: str
    run: str  # '' while its process has not said which
    run_path: str | None  # the run's folder, absolute
    verb: str
    stage: str
    # what was used
    device: str
    device_kind: str  # cpu, gpu
    vcpus: int  # in one device; 0 for a GPU
    devices: int
    # whose it is
    host: str
    boot: str
    namespace: str
    pid: int
    started: int
    # when: the wall clock says the date alone, durations come from the monotonic clock
    wall_start_ns: int
    mono_start_ns: int
    measured_ns: int  # per device, from the start to the end, or to the last heartbeat
    estimated_ns: int  # per device, after the last heartbeat of a process that was killed
    state: str  # open; closed by its process; recovered: its process is gone, others found
    # what for
    tokens: int
    flops: float
    energy_uj: float  # microjoules; not an integer column, for 2,048 GPUs pass 2^63 of them in a quarter
    energy_source: str  # nvml, rapl: measured; tdp: estimated; none
    # at what price per device-hour; None: no price known
    price_per_hour: float | None
    currency: str | None
    price_date: str | None
    price_source: str | None
    price_kind: str | None  # given, overlay, catalogue, assumed
    price_note: str | None
    peak_flops: float | None  # of one device, FLOP/s
    device_ids: str = ""  # which devices: GPUs' UUIDs, 'cpu' or a rank's share of it, blanks between; '': unknown

    @property
    def device_label(self) -> str:
        """The device with its size, which is part of what it is: 'AMD EPYC (2 vCPU)'."""
        return f"{self.device} ({self.vcpus} vCPU)" if self.vcpus else self.device

    @property
    def device_ns(self) -> int:
        """Device-nanoseconds, measured and estimated."""
        return (self.measured_ns + self.estimated_ns) * self.devices

    @property
    def cost(self) -> float | None:
        """Money, in `currency`; None without a price."""
        return None if self.price_per_hour is None else self.device_ns * self.price_per_hour / HOUR_NS

    def set_price(self, price: Price | None) -> None:
        """What an hour of one device costs; None: nobody knows."""
        self.price_per_hour = price.per_device_hour if price else None
        self.currency = price.currency if price else None
        self.price_date = price.date if price else None
        self.price_source = price.source if price else None
        self.price_kind = price.kind if price else None
        self.price_note = price.note if price else None


def begin_interval(
    run: tuple[str, str | None],
    verb: str,
    stage: str,
    device: Device,
    devices: int = 1,
    price: Price | None = None,
    start_ns: int | None = None,
) -> Interval:
    """An open interval of this process that starts now, or at the monotonic nanosecond `start_ns`; not yet recorded."""
    who, now = this_process(), time.monotonic_ns()
    start = now if start_ns is None else start_ns
    interval = Interval(
        id=uuid.uuid4().hex, run=run[0], run_path=run[1], verb=verb, stage=stage,
        device=device.name, device_kind=device.kind, vcpus=device.vcpus, devices=devices,
        device_ids=" ".join(device.ids[:devices]) if len(device.ids) >= devices else "",
        host=platform.node(), boot=who.boot, namespace=who.namespace, pid=who.pid, started=who.started,
        wall_start_ns=time.time_ns() - (now - start), mono_start_ns=start, measured_ns=now - start, estimated_ns=0,
        state=OPEN, tokens=0, flops=0.0, energy_uj=0.0, energy_source="none", price_per_hour=None, currency=None,
        price_date=None, price_source=None, price_kind=None, price_note=None, peak_flops=None,
    )  # fmt: skip
    interval.set_price(price)
    return interval


COLUMNS = tuple(field.name for field in fields(Interval))
