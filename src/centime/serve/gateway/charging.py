"""How many tokens are reserved for a request, and how many its answer is charged for.

Charged is what the upstream reported, else what was delivered, counted here.
"""

from __future__ import annotations

import asyncio

from centime.catalogue.tariffs import Tariff
from centime.serve.accounts import Refused, Ticket
from centime.serve.gateway.answer_meter import AnswerMeter
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.token_counts import TokenCounts
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.http.affordable import OnBudget, afford

BYTES_PER_TOKEN = 4  # of text, about, where nobody can be asked to count it
UNKNOWN_CONTEXT = 131_072  # tokens, of an upstream that does not say how many it has room for


def most_prompt(inbound: Inbound, context: int | None) -> int:
    """Tokens of all prompts at most, as their bytes and the upstream's room for each of them tell."""
    room = (context or UNKNOWN_CONTEXT) * inbound.prompts
    return room if inbound.prompt_bound is None else min(inbound.prompt_bound, room)


async def reserve(
    ticket: Ticket, tariff: Tariff | None, inbound: Inbound, backend: Backend, on_budget: OnBudget = "clamp"
) -> tuple[Inbound, TokenCounts]:
    """Holds what the request could cost at this server and these prices; returns it as it may be sent, and the most
    tokens that it may have.

    What a prompt costs at most is known from its bytes first; only where that does not fit the balance is the server
    asked to count. Where even that is more than is left, its answers may be made shorter: see `afford`. Raises ApiError
    (422) and Refused (402, 503).
    """
    context = backend.facts.context
    ticket.price(tariff)
    most = TokenCounts(most_prompt(inbound, context), 0, inbound.most_output(context))
    try:
        await asyncio.to_thread(ticket.raise_to, prompt_tokens=most.prompt, max_tokens=most.output)
        return inbound, most
    except Refused as refused:
        if refused.status != 402:
            raise
    counted = await backend.upstream.count(inbound, backend.facts)
    if counted is not None and counted < most.prompt:
        most = TokenCounts(counted, 0, inbound.most_output(context, counted))
    granted = await afford(
        ticket, prompt_tokens=most.prompt, max_tokens=most.output, least=inbound.answers, on_budget=on_budget
    )
    if granted >= most.output:
        return inbound, most
    each = granted // inbound.answers
    return inbound.lowered_to(each), TokenCounts(most.prompt, 0, each * inbound.answers)


async def charged_counts(
    backend: Backend, inbound: Inbound, meter: AnswerMeter, most: TokenCounts
) -> TokenCounts | None:
    """Of an answer, whole or cut short: never more than `most`, what was reserved. None: nothing of it came."""
    if not meter.came:
        return None
    if meter.final_counts is not None:
        return meter.final_counts.within(most)
    counts = meter.counts
    if meter.ended:
        backend.tell_once(
            "its answers tell no usage that can be read: their tokens are counted by its /tokenize where it has one, "
            f"else as a token for every {BYTES_PER_TOKEN} bytes, and charged by that"
        )
    prompt = counts.prompt if counts is not None and counts.prompt else await _prompt(backend, inbound)
    output = counts.output if counts is not None else 0
    if output < meter.chunks:
        output = max(meter.chunks, await _output(backend, inbound, meter))
    return TokenCounts(prompt, counts.hit if counts is not None else 0, output).within(most)


async def estimated_counts(backend: Backend, inbound: Inbound, total_ns: int, most: TokenCounts) -> TokenCounts | None:
    """Of an answer that is not streamed and whose client left: its tokens are reported at its end alone.

    They are taken to have come at the pace of the latest answers. None where that is not a single one.
    """
    each = backend.pace.tokens_in(total_ns)
    if inbound.kind == "embeddings" or each == 0:
        return None
    output = min(each * inbound.answers, most.output)
    return TokenCounts(await _prompt(backend, inbound), 0, output).within(most)


async def _prompt(backend: Backend, inbound: Inbound) -> int:
    counted = await backend.upstream.count(inbound, backend.facts)
    if counted is not None:
        return counted
    return most_prompt(inbound, backend.facts.context) // BYTES_PER_TOKEN


async def _output(backend: Backend, inbound: Inbound, meter: AnswerMeter) -> int:
    text = "".join(meter.texts)
    counted = await backend.upstream.count_text(text, inbound.body.get("model"), backend.facts)
    return counted if counted is not None else -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
