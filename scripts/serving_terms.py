"""What the speeds of a serving engine may differ by from those of all: by maker, generation, engine and year.

What no measurement speaks of stays at its prior, so that the spreads here say how far a group may lie from the others.
"""

from __future__ import annotations

_FOREIGN = {  # what chips of other makers than NVIDIA differ by in 2024, before any row is seen
    "memory": (-0.4, 0.4),
    "gemm": (-0.3, 0.4),
    "pass": (-2.0, 0.8),
    "rows": (4.0, 0.7),
    "attention": (-0.5, 0.4),
    "launch": (1.0, 0.8),
    "host": (0.5, 0.6),
}
_FOREIGN_YEAR = {  # and what a year of their software makes of it
    "memory": (0.1, 0.2),
    "gemm": (0.1, 0.2),
    "pass": (1.0, 0.5),
    "rows": (-2.0, 0.7),
    "attention": (0.2, 0.4),
    "launch": (-0.3, 0.4),
}
_MAKER = {"memory": 0.2, "gemm": 0.3, "pass": 0.4, "rows": 0.7, "attention": 0.4, "launch": 0.4}
_MAKER |= {"experts": 0.4, "latent": 0.4, "expert_launch": 0.5, "latent_launch": 0.5, "exchange": 0.5}
_KERNELS = {"memory": 0.1, "gemm": 0.2, "narrow": 0.2, "eight": 0.2, "pass": 0.3, "rows": 0.3, "experts": 0.2}
_KERNELS |= {"grouped": 0.2, "unpacked": 0.3}
_KERNELS |= {"attention": 0.2, "prompts": 0.2, "latent": 0.2}
_GENERATION = _KERNELS | {"launch": 0.2, "latent_launch": 0.3, "expert_launch": 0.3, "reduce": 0.3, "exchange": 0.3}
_GENERATION |= {"mixing": 0.2, "link": 0.2, "host": 0.3}
_ENGINE = _KERNELS | {"launch": 0.25, "latent_launch": 0.4, "expert_launch": 0.4, "reduce": 0.4, "exchange": 0.4}
_ENGINE |= {"mixing": 0.3, "gathering": 0.3, "host": 0.5, "request": 0.7, "wave": 0.7}
_YEAR = {
    **{"gemm": (0.03, 0.1), "attention": (0.05, 0.1), "launch": (-0.1, 0.15), "host": (-0.2, 0.2)},
    **{"experts": (0.0, 0.1), "expert_launch": (0.0, 0.2), "request": (0.0, 0.3), "mixing": (0.0, 0.2)},
    **{"memory": (0.0, 0.05), "reduce": (0.0, 0.2), "latent": (0.0, 0.1), "wave": (0.0, 0.3)},
}
_NEW_YEAR = {"memory": 0.1, "eight": 0.2, "launch": 0.2, "expert_launch": 0.2, "prompts": 0.2}
_PAIR = ("memory", "gemm", "narrow", "eight", "attention", "prompts", "launch", "expert_launch", "reduce", "host")
# term.group: (prior mean, prior spread), in logarithms
TERMS: dict[str, tuple[float, float]] = {
    **{f"foreign.{group}": prior for group, prior in _FOREIGN.items()},
    **{f"foreign_year.{group}": prior for group, prior in _FOREIGN_YEAR.items()},
    **{f"{maker}.{group}": (0.0, spread) for maker in ("amd", "intel") for group, spread in _MAKER.items()},
    **{
        f"{generation}.{group}": (0.0, spread)
        for generation in ("ampere", "blackwell", "card")
        for group, spread in _GENERATION.items()
    },
    **{f"{engine}.{group}": (0.0, spread) for engine in ("vllm", "sglang", "trt") for group, spread in _ENGINE.items()},
    **{f"{engine}_blackwell.{group}": (0.0, 0.2) for engine in ("vllm", "sglang", "trt") for group in _PAIR},
    **{f"year.{group}": prior for group, prior in _YEAR.items()},
    **{f"blackwell_year.{group}": (0.0, spread) for group, spread in _NEW_YEAR.items()},
}
