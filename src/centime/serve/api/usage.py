"""The `usage` of an answer: its tokens as DeepSeek counts them, and what it cost."""

from __future__ import annotations

from typing_extensions import TypedDict

from centime.serve.api.call import Call


class Cost(TypedDict):
    """Money as exact decimal strings; null where there is no price.

    energy_joules: its share of the devices' energy, null where nobody knows; energy_source: measured, estimated (power
    at full load), mixed or none. hours: which of the list's prices applied; doubt: why that is a reading of the list,
    null where the list is plain. max_tokens_lowered_to: of each answer, where what is left of a budget paid no more
    than so many; null where it paid for all.
    """

    machine_seconds: float
    energy_joules: float | None
    energy_source: str
    machine_cost: str | None
    machine_currency: str | None
    list_price: str | None
    hit: str | None
    miss: str | None
    output: str | None
    currency: str | None
    price_list: str | None
    hours: str | None
    doubt: str | None
    max_tokens_lowered_to: int | None


class PromptDetails(TypedDict):
    """Of the prompt's tokens."""

    cached_tokens: int


class CompletionDetails(TypedDict):
    """Of the answer's tokens."""

    reasoning_tokens: int


class UsageBody(TypedDict):
    """prompt_tokens = prompt_cache_hit_tokens + prompt_cache_miss_tokens. `cost` is this server's own."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_cache_hit_tokens: int
    prompt_cache_miss_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    cost: Cost | None


def cost_of(call: Call) -> Cost | None:
    """What an ended call cost; None when it could not be charged."""
    if call.charge is None or call.usage is None:
        return None
    told = {"machine_seconds": call.usage.machine_ns / 1e9, **call.usage.energy.told(), **call.charge.as_json()}
    cost: Cost = told | {"max_tokens_lowered_to": call.lowered}  # type: ignore[assignment]
    return cost


def usage_of(call: Call, reasoning_tokens: int = 0) -> UsageBody:
    """The usage of a call that has ended, over all its choices; the prompt counts once."""
    usage = call.usage
    assert usage is not None, "the call has not ended"
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_cache_hit_tokens": usage.hit_tokens,
        "prompt_cache_miss_tokens": usage.miss_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.hit_tokens},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "cost": cost_of(call),
    }
