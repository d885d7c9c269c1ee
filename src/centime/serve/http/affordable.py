"""When what a request asks for does not fit what is left: it is answered with fewer tokens, waits, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, get_args

from centime.errors import UserError
from centime.serve.accounts import Refused, Ticket

OnBudget = Literal["clamp", "wait", "refuse"]
WAIT_S = 30.0  # at most, for others that run to end
LOOK_S = 0.05  # between two looks
LOWERED = "x-centime-max-tokens"  # the header of an answer that was given fewer tokens than it asked for: how many


def on_budget(word: str) -> OnBudget:
    """The word of --on-budget. Raises UserError for another."""
    for known in get_args(OnBudget):
        if word == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"--on-budget {word!r} is nothing that can be done; give clamp, wait or refuse.")


async def afford(
    ticket: Ticket, *, prompt_tokens: int, max_tokens: int, least: int, on_budget: OnBudget = "clamp"
) -> int:
    """Reserves what a request could cost, or as much of it as is left; how many tokens of output are paid for.

    least: with how many it is still worth answering. clamp: at once; wait: once all of them are paid for, or nothing
    that could still be let go is held, or WAIT_S have passed; refuse: all of them or none. Raises Refused.
    """
    refusal = await _try(ticket, prompt_tokens, max_tokens, None)
    loop = asyncio.get_running_loop()
    ends = loop.time() + (WAIT_S if on_budget == "wait" else 0.0)
    while refusal is not None and refusal.waits and loop.time() < ends:
        await asyncio.sleep(LOOK_S)
        refusal = await _try(ticket, prompt_tokens, max_tokens, None)
    if refusal is None:
        return max_tokens
    if on_budget == "refuse" or refusal.status != 402:
        raise refusal
    return await asyncio.to_thread(
        ticket.raise_to, prompt_tokens=prompt_tokens, max_tokens=max_tokens, least=min(least, max_tokens)
    )


async def _try(ticket: Ticket, prompt_tokens: int, max_tokens: int, least: int | None) -> Refused | None:
    try:
        await asyncio.to_thread(ticket.raise_to, prompt_tokens=prompt_tokens, max_tokens=max_tokens, least=least)
    except Refused as refused:
        return refused
    return None


def shared_out(asked: Sequence[int], granted: int) -> int:
    """The most tokens of each answer, so that all of them together, none longer than it asked, have no more than were
    granted."""
    rest = granted
    for at, tokens in enumerate(sorted(asked)):
        answers = len(asked) - at
        if tokens * answers > rest:
            return rest // answers
        rest -= tokens
    return max(asked, default=0)


def lowered_headers(lowered: int | None) -> dict[str, str]:
    """The headers of an answer whose max_tokens were lowered to `lowered`; None: they were not."""
    return {} if lowered is None else {LOWERED: str(lowered)}
