"""Attention over latents: the past as a cache shows it, projections by heads, single tokens over pages."""
