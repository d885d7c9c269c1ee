"""Newer prices from public catalogues, `centime catalogue update`: SkyPilot's offers of clouds, LiteLLM's prices of
model APIs, Epoch's release prices of chips. Each becomes a file of `centime.catalogue.refreshed`, whole or not at all.
"""

from centime.catalogue.updates.update import SOURCES, Refresh, update

__all__ = ["SOURCES", "Refresh", "update"]
