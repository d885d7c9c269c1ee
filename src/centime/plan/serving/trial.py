"""The units that were chosen, tried out: arrivals are simulated, and the load lowered to what keeps to the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from centime.errors import UserError
from centime.plan.serving.arrivals import Simulated, simulate
from centime.plan.serving.choice import Choice, Lengths, Mixed, Split, burden
from centime.plan.serving.engine import CHUNK, EngineModel

SMALLEST_CHUNK = 256.0  # prompt tokens: below it a step reads the weights for too little

MOST_TRIED = 12  # choices, a tenth of a second each

Tried = tuple[Choice, dict[str, Simulated]]


def best_tried(
    ordered: Sequence[Choice], lengths: Lengths, ttft_s: float, tpot_s: float, gpus: int | None = None
) -> Tried:
    """The cheapest of the choices after each was simulated; one that cannot win any more is not tried.

    Of split units and of mixed ones the cheapest is tried, and dearer ones only as long as none keeps to the limits.
    ordered: cheapest first before the simulation, which only lowers loads. gpus: that there are. Raises UserError where
    none of MOST_TRIED keeps to the time to first token at any load.
    """

    def cost(choice: Choice) -> float:
        return burden(choice, lengths, gpus)

    best: Tried | None = None
    refused: UserError | None = None
    kinds: set[type] = set()
    for choice in ordered[:MOST_TRIED]:
        if best is not None and cost(best[0]) <= cost(choice):
            break
        if best is not None and type(choice) in kinds:
            continue
        kinds.add(type(choice))
        try:
            tried = tried_out(choice, lengths, ttft_s, tpot_s)
        except UserError as error:
            refused = refused or error
            continue
        if best is None or cost(tried[0]) < cost(best[0]):
            best = tried
    if best is None:
        assert refused is not None, "no choice was given"
        raise refused
    return best


def tried_out(choice: Choice, lengths: Lengths, ttft_s: float, tpot_s: float) -> Tried:
    """Each unit simulated at its load, which is lowered to where 99 of 100 first tokens come in time.

    A unit of both phases has to give its tokens within `tpot_s` in the median as well: prompts lengthen its steps.
    """
    osl = lengths.osl
    if isinstance(choice, Mixed):
        state, chunk = choice.state, chunk_of(choice.engine)

        def both(rate: float) -> Simulated:
            return simulate(choice.engine, rate, lengths, batch=state.batch, chunk=chunk)

        found = highest_load(
            state.tokens_per_s / osl, lambda run: run.ttft.p99 <= ttft_s and run.tpot.p50 <= tpot_s, both
        )
        rate = found.requests_per_s * osl
        return replace(choice, state=replace(state, tokens_per_s=rate)), {"mixed": found}
    first, then = choice.prefill, choice.decode
    ceiling = first.tokens_per_s_per_gpu * first.engine.unit.chips / lengths.isl

    def prompts(rate: float) -> Simulated:
        return simulate(first.engine, rate, lengths, "prefill", chunk=first.tokens_per_step)

    found = highest_load(ceiling, lambda run: run.ttft.p99 <= ttft_s, prompts)
    answers = simulate(then.engine, then.state.tokens_per_s / osl, lengths, "decode", batch=then.state.batch)
    lowered = replace(first, tokens_per_s_per_gpu=first.tokens_per_s_per_gpu * found.requests_per_s / ceiling)
    return Split(lowered, then), {"prefill": found, "decode": answers}


def chunk_of(engine: EngineModel) -> float:
    """Prompt tokens that an attention group of a mixed unit takes in a step: its share of the usual 8,192.

    Groups wait for the fullest of them, so that a whole prompt in one would idle the others; SGLang too divides its
    chunked-prefill size by the data-parallel size.
    """
    return max(SMALLEST_CHUNK, CHUNK / engine.unit.dp)


def highest_load(
    ceiling: float, within: Callable[[Simulated], bool], run: Callable[[float], Simulated], rounds: int = 5
) -> Simulated:
    """The highest load up to `ceiling` requests a second that `within` accepts, by bisection.

    Raises UserError where even a fiftieth of it is too much.
    """
    found = run(ceiling)
    if within(found):
        return found
    low, high, best = 0.0, ceiling, run(ceiling / 50)
    if not within(best):
        raise UserError(
            f"one unit misses the time to first token at any load: {best.ttft.p99:.3g} s for the slowest hundredth of "
            "requests, alone; raise --ttft, or take wider units."
        )
    for _ in range(rounds):
        middle = (low + high) / 2
        found = run(middle)
        if within(found):
            low, best = middle, found
        else:
            high = middle
    return best
