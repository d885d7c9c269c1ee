"""What an engine behind an address runs on, as far as its energy goes: this machine's counters, or a chip's power."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from centime.catalogue.chips import chip_for
from centime.ledger.device import Device, this_device


def engine_device(url: str, label: str, named: str | None, devices: int) -> Device:
    """The device of an engine. label: its name on the bill; named: what the person says that it runs on.

    An engine at a loopback address is on this machine, and this machine's counters tell its energy, unless the person
    names a chip that is not in it (the address is a tunnel's end, then). Of any other the catalogue knows a chip's
    power at full load, an upper bound, or nobody knows anything.
    """
    chip = chip_for(named) if named else None
    if is_loopback(url):
        local = this_device()
        if named is None or (local.kind == "gpu" and chip is not None and chip_for(local.name) == chip):
            return Device(label, "gpu", devices, 0, local.tdp_watts, local.tdp_source, None, counters=local.kind)
    watts = chip.tdp_watts if chip is not None else None
    return Device(label, "gpu", devices, 0, watts, "catalogue" if watts else "", None, counters="")


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine: localhost, 127.0.0.1, ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
