"""What served tokens are charged: price lists in integers, each from its own instant, with the hours of a peak.

A request is priced by the moment at which it was admitted: by the list in force then, never by a later one.
`tariff_for` makes what a person names; `priced` prices a request of any instant, `vectors.csv` has such requests with
what they cost, for whoever computes the same.
"""

from centime.catalogue.tariffs.amounts import MILLION, MOST, PICO, TokenPrices, decimal, picos
from centime.catalogue.tariffs.instants import instant_ns
from centime.catalogue.tariffs.named import tariff_for
from centime.catalogue.tariffs.peak_hours import PeakHours, peak_hours
from centime.catalogue.tariffs.tariff import Asked, Hours, Tariff

__all__ = [
    "MILLION",
    "MOST",
    "PICO",
    "Asked",
    "Hours",
    "PeakHours",
    "Tariff",
    "TokenPrices",
    "decimal",
    "instant_ns",
    "peak_hours",
    "picos",
    "tariff_for",
]
