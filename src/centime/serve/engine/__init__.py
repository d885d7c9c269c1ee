"""The serving engine: one scheduler over a paged cache of latents, a step at a time. Start reading at `engine.py`.

A step is: `scheduler.py` picks tokens, `cache_manager.py` finds them room, `executor.py` runs the model and draws.
"""
