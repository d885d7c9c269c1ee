"""A model's parameters as one headline, the same in every plan."""

from __future__ import annotations

from collections.abc import Mapping

from centime.messages import Writer
from centime.plan.show.sections import Figure


def parameters_figure(counted: Mapping[str, float], w: Writer) -> Figure:
    """counted: `total`, `active` and `active_without_embedding`, as `ArchitectureCount.said` has them."""
    return Figure(
        w.say("Parameters"),
        w.count(counted["total"], 4),
        w.say(
            "{active:count4} for a token, {without:count4} without the input embedding",
            active=counted["active"],
            without=counted["active_without_embedding"],
        ),
    )
