"""Where electricity comes from, as far as carbon goes."""

from __future__ import annotations

from centime.catalogue.grids.intensity import GridIntensity, grid_intensity

__all__ = ["GridIntensity", "grid_intensity"]
