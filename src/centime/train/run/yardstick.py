"""The peak that a run's MFU is measured by: chosen at its start, and raised by a step that goes above it."""

from __future__ import annotations

from centime.ledger import Meter
from centime.train.forecast import kept_peak, measured_peak, raise_peak
from centime.train.run.setup import Setup
from centime.units import format_flops


class Yardstick:
    """What is published of the device; else what `centime calibrate` found; else what was measured here first."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        device, dtype, profile = setup.metered, setup.dtype, setup.profile
        if device.peak_flops:
            self.each = device.peak_flops
        elif profile:
            self.each = raise_peak(device, dtype, profile.peak())
        else:
            self.each = kept_peak(device, setup.device, dtype)

    @property
    def of_all(self) -> float:
        """FLOP/s of all devices together; `each` is one's."""
        return self.each * self._setup.ranks.world

    def above(self, flops_per_s: float, meter: Meter) -> float:
        """A step was faster than all devices' peak: measures that again, says so, and returns the new one of all."""
        setup = self._setup
        step, again = flops_per_s / setup.ranks.world, measured_peak(setup.device, setup.dtype)
        peak = max(again, step)
        how = "measured again" if again >= step else "what that step did"
        setup.say(
            f"A step was faster than the yardstick of MFU, which was measured on a busier machine: it is now {how}, "
            f"{format_flops(peak)}/s instead of {format_flops(self.each)}/s."
        )
        if setup.metered.peak_flops is None:
            raise_peak(setup.metered, setup.dtype, peak)
        meter.set_peak(peak)
        self.each = peak
        return self.of_all
