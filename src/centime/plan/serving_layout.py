"""Whether the units that `--layout` names exist for a model, and whether the GPUs there are hold one of each."""

from __future__ import annotations

from centime.catalogue.architecture import Architecture, Experts, SoftmaxAttention, StateSpace
from centime.errors import UserError
from centime.plan.serving_units import Unit

COPIES = 2  # of an expert, redundant ones included: DeepSeek's EP320 (V3 report, section 3.4.2) holds 1.25


def check_units(units: dict[str, Unit], arch: Architecture, gpus: int | None) -> None:
    """Raises UserError naming the degree that does not divide, is larger than what it splits, or finds no GPUs."""
    for unit in units.values():
        _check(unit, arch)
    needed = sum(unit.chips for unit in units.values())
    if gpus is not None and needed > gpus:
        named = ", ".join(f"{role} {unit.text()} takes {unit.chips}" for role, unit in units.items())
        raise UserError(f"--layout: one unit of each kind takes {needed} GPUs ({named}), and there are {gpus}.")


def _check(unit: Unit, arch: Architecture) -> None:
    heads = {
        block.mixer.heads
        for block in arch.blocks
        if block.mixer is not None and not isinstance(block.mixer, StateSpace)
    }
    for count in sorted(heads):
        if count % unit.tp:
            raise UserError(f"--layout: tp {unit.tp} does not divide the {count} attention heads of {arch.name}.")
    for count in {block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)}:
        if count % unit.tp and unit.tp % count:
            raise UserError(f"--layout: tp {unit.tp} neither divides nor is a multiple of {count} key-value heads.")
    experts = {block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, Experts)}
    if experts and unit.ep > COPIES * min(experts):
        raise UserError(
            f"--layout: ep {unit.ep} has no experts for its ranks: {arch.name} routes to {min(experts)}, of which "
            f"units hold at most {COPIES} copies."
        )
    depth = sum(block.repeat for block in arch.blocks)
    if unit.pp > depth:
        raise UserError(f"--layout: pp {unit.pp} is more than the {depth} layers of {arch.name}.")
