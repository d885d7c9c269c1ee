"""How many tokens an answer is charged for: what the upstream reported, else what was delivered, counted here."""

from __future__ import annotations

from centime.serve.gateway.answer_meter import AnswerMeter
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.token_counts import TokenCounts

BYTES_PER_TOKEN = 4  # of text, about, where nobody can be asked to count it
UNKNOWN_CONTEXT = 131_072  # tokens, of an upstream that does not say how many it has room for


def most_prompt(inbound: Inbound, context: int | None) -> int:
    """Tokens of all prompts at most, as their bytes and the upstream's room for each of them tell."""
    room = (context or UNKNOWN_CONTEXT) * inbound.prompts
    return room if inbound.prompt_bound is None else min(inbound.prompt_bound, room)


async def charged_counts(
    gateway: Gateway, inbound: Inbound, meter: AnswerMeter, most: TokenCounts
) -> TokenCounts | None:
    """Of an answer, whole or cut short: never more than `most`, what was reserved. None: nothing of it came."""
    if not meter.came:
        return None
    if meter.final_counts is not None:
        return meter.final_counts.within(most)
    counts = meter.counts
    if meter.ended:
        gateway.tell_once(
            "its answers tell no usage that can be read: their tokens are counted by its /tokenize where it has one, "
            f"else as a token for every {BYTES_PER_TOKEN} bytes, and charged by that"
        )
    prompt = counts.prompt if counts is not None and counts.prompt else await _prompt(gateway, inbound)
    output = counts.output if counts is not None else 0
    if output < meter.chunks:
        output = max(meter.chunks, await _output(gateway, inbound, meter))
    return TokenCounts(prompt, counts.hit if counts is not None else 0, output).within(most)


async def estimated_counts(gateway: Gateway, inbound: Inbound, total_ns: int, most: TokenCounts) -> TokenCounts | None:
    """Of an answer that is not streamed and whose client left: its tokens are reported at its end alone.

    They are taken to have come at the pace of the latest answers. None where that is not a single one.
    """
    each = gateway.pace.tokens_in(total_ns)
    if inbound.kind == "embeddings" or each == 0:
        return None
    output = min(each * inbound.answers, most.output)
    return TokenCounts(await _prompt(gateway, inbound), 0, output).within(most)


async def _prompt(gateway: Gateway, inbound: Inbound) -> int:
    counted = await gateway.upstream.count(inbound, gateway.facts)
    if counted is not None:
        return counted
    return most_prompt(inbound, gateway.facts.context) // BYTES_PER_TOKEN


async def _output(gateway: Gateway, inbound: Inbound, meter: AnswerMeter) -> int:
    text = "".join(meter.texts)
    counted = await gateway.upstream.count_text(text, inbound.body.get("model"), gateway.facts)
    return counted if counted is not None else -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
