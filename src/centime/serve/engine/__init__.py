"""The serving engine: one scheduler over a paged cache of latents, a step at a time. Start reading at `engine.py`."""
