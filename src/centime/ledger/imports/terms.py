"""What whoever imports a statement says beside it: the price of a device-hour, the device, how many of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from centime.catalogue.prices import Price, price_for, price_given
from centime.catalogue.tariffs import PICO, Tariff
from centime.units import HOUR_NS


@dataclass(frozen=True)
class NamedDevice:
    """A device that somebody named: what a price is looked up by."""

    name: str
    kind: str = "gpu"
    vcpus: int = 0
    instance: str | None = None


@dataclass(frozen=True)
class Terms:
    """What a source does not say and the person does. price: of one device-hour; devices: how many a server has."""

    price: str | None = None
    device: str | None = None
    devices: int | None = None
    tariff: Tariff | None = None

    def cost(self, device: NamedDevice, device_ns: int) -> tuple[int | None, str, str]:
        """(pico-units, currency, where the price is from) of device-time; (None, '', '') without a price."""
        price: Price | None
        if self.price is not None:
            price = price_given(self.price)
        elif device.name:
            price = price_for(device)
        else:
            price = None
        if price is None:
            return None, "", ""
        per_hour = int(Decimal(repr(price.per_device_hour)) * PICO)
        return (device_ns * per_hour + HOUR_NS // 2) // HOUR_NS, price.currency, price.kind
