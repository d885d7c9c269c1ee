"""Joules and grams: read from counters or estimated, how surely they are known, and what they come to as carbon."""

from __future__ import annotations

from centime.ledger.energy.carbon import Footprint
from centime.ledger.energy.counter import EnergyCounter
from centime.ledger.energy.use import NO_ENERGY, EnergyUse

__all__ = ["NO_ENERGY", "EnergyCounter", "EnergyUse", "Footprint"]
