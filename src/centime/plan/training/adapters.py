"""What a plan says of adapters that are tuned in place of the weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from centime.catalogue.architecture import Architecture
from centime.messages import Said, said
from centime.plan.counts.adapters import Adapters, adapter_sizes

UNMEASURED = said(
    "The adapters' own products, and the unpacking of weights kept in fewer than 16 bits, are counted at the rates of "
    "arithmetic and memory, from no measured step."
)
WIDER = said(
    "The interval is wider than that of an ordinary step, by the errors of five published speeds: LoRA took 0.88 and "
    "1.12 times as long as predicted, QLoRA 0.91, 1.31 and 1.59 times."
)
EXPERTS = said("Experts have no adapters, nor have routers; targets=all-linear+experts gives the experts some.")


def adapters_json(arch: Architecture, adapters: Adapters | None) -> dict[str, Any] | None:
    """The adapters with their number of parameters, None where the model itself is trained."""
    if adapters is None:
        return None
    return asdict(adapters) | {"parameters": round(adapter_sizes(arch, adapters).parameters)}


def adapters_assumed(arch: Architecture, adapters: Adapters) -> list[Said]:
    """How the adapters are counted, a sentence each."""
    found = [
        said(
            "Adapters of rank {rank} beside {targets}, in {dtype} with their gradients; the frozen matrices in {base}, "
            "tables and norms in 16 bits.",
            rank=adapters.rank,
            targets=", ".join(adapters.targets),
            dtype=adapters.dtype,
            base=adapters.base,
        ),
        UNMEASURED,
        WIDER,
    ]
    if arch.is_mixture and "experts" not in adapters.targets:
        found.append(EXPERTS)
    return found
