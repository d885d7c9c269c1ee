"""Matrices in panels, the form in which our own kernels (native/centime.h) read them, and products with them."""

from centime.ops.panels.packing import Panels, can_panel, library_of_panels, panels, use_torch_threads
from centime.ops.panels.products import panel_experts, panel_feed_forward, panel_linear, panels_by_heads

__all__ = [
    "Panels",
    "can_panel",
    "library_of_panels",
    "panel_experts",
    "panel_feed_forward",
    "panel_linear",
    "panels",
    "panels_by_heads",
    "use_torch_threads",
]
