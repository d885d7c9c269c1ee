"""What a serving engine does with requests on one unit: steady continuous batching, prefill alone, a static batch.

In the steady state of continuous batching with B sequences in flight, every step gives each of them a token, and
B / osl of them end and are replaced, so that a step carries B isl / osl prompt tokens on average (whole prompts, now
and then). The time between a sequence's tokens is the step's mean time, and the unit gives B / step tokens a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from centime.plan.serving.roofline import Load, PlacedModel, StepTime, step_time
from centime.plan.serving.speeds import ideal
from centime.plan.serving.units import most_sequences

CHUNK = 8192  # prompt tokens a step and attention group: max_num_batched_tokens of vLLM and TensorRT-LLM's benchmarks
PLENTY = 65536.0  # new tokens of a step, beside which reading the weights takes no time
DRAINING_PARTS = 32  # of the time in which the last answers of a batch end
MOST_SEQUENCES = 1024  # per attention group, that schedulers are run with (vLLM's default on an H100 and newer)


@dataclass(frozen=True)
class EngineModel(PlacedModel):
    """What is placed, run as a server: batches, drafts and room."""

    drafted: int = 0  # tokens that multi-token prediction proposes each step
    accepted: float = 0.0  # of each drafted token, the chance that it stands (V3 report: 0.85 to 0.90 for the first)

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a sequence gains a step: 1 + a + a^2 + ..., as drafts stand in a row."""
        return sum(self.accepted**i for i in range(self.drafted + 1)) if self.drafted else 1.0

    def step(self, load: Load) -> StepTime:
        """One step."""
        return step_time(self, load)

    def room(self, context: float) -> float:
        """Sequences that memory and scheduler admit at once, on the whole unit."""
        held = most_sequences(self.model, self.chip, self.unit, self.form, context)
        return min(held, float(MOST_SEQUENCES * self.unit.dp))


@dataclass(frozen=True)
class Steady:
    """The steady state: seconds between a sequence's tokens, output tokens a second of the unit, prefill's share."""

    batch: float
    tpot_s: float
    tokens_per_s: float
    prefill_share: float


def steady(engine: EngineModel, batch: float, isl: float, osl: float, hit: float = 0.0) -> Steady:
    """`batch` sequences in flight on a unit that prefills and decodes; the share `hit` of a prompt is cached."""
    together = batch / engine.unit.pp  # stages of a pipeline each work on a share of the sequences
    load = Load(decode=together, decode_context=isl + osl / 2, queries=1.0 + engine.drafted)
    decode = engine.step(load).total
    step, gain = decode, engine.tokens_per_step
    new = isl * (1 - hit)
    per_step = together * gain * new / osl
    if per_step > 0:
        groups, chunk = engine.unit.dp, min(new, float(CHUNK))
        busy = min(1.0, per_step / (groups * chunk))  # share of the steps in which a group has a prompt
        any_group = 1 - (1 - busy) ** groups  # the others wait for it
        mixed = engine.step(replace(load, prefill=max(per_step, groups * chunk), prompt=new, cached=isl * hit)).total
        share = busy * (any_group / busy) ** engine.speeds.uneven
        step = decode + engine.speeds.mixing * max(mixed - decode, 0.0) * share
    return Steady(batch, step / gain, batch * gain / step, 1 - decode / step)


def decoding(engine: EngineModel, batch: float, isl: float, osl: float) -> Steady:
    """`batch` sequences on a unit that only decodes: other units leave their prompts in its cache."""
    return steady(engine, batch, isl, osl, hit=1.0)


def prefilling(engine: EngineModel, isl: float, tokens_per_group: float, hit: float = 0.0) -> float:
    """Seconds of a step that works through `tokens_per_group` new tokens in every attention group."""
    load = Load(prefill=tokens_per_group * engine.unit.dp, prompt=isl * (1 - hit), cached=isl * hit)
    return engine.step(load).total


def static_batch(engine: EngineModel, batch: float, isl: float, osl: float) -> float:
    """Seconds to answer `batch` requests sent at once, in as many waves as the cache makes of them."""
    room = max(engine.room(isl + osl), 1.0)
    at_once = min(batch, room)
    waves = math.ceil(batch / at_once - 0.05)
    decode = engine.step(Load(decode=at_once, decode_context=isl + osl / 2)).total * osl
    return waves * (_prompts(engine, at_once, at_once, isl) + decode)


def _prompts(engine: EngineModel, requests: float, at_once: float, isl: float) -> float:
    """Seconds to read the prompts of `requests`, of which `at_once` are there at a time."""
    burst = min(at_once * isl, CHUNK * engine.unit.dp)
    return engine.step(Load(prefill=burst, prompt=isl)).total * requests * isl / burst


def draining_batch(engine: EngineModel, batch: float, isl: float, osl: float, longest: float) -> float:
    """Seconds until the last of `batch` answers is there that were asked for at once, the longest of `longest` tokens.

    Lengths are exponential around their mean `osl`, the most random that a mean allows. While some wait, an answer that
    ends makes room for the next; after that the unit runs emptier, down to the longest answer alone.
    """
    at_once = min(batch, max(engine.room(isl + osl), 1.0))
    seconds = _prompts(engine, batch, at_once, isl)
    behind = isl  # tokens behind one that is generated, as the places begin to empty
    if batch > at_once:
        behind += osl
        seconds += engine.step(Load(decode=at_once, decode_context=behind)).total * osl * (batch / at_once - 1)
    part = longest / DRAINING_PARTS
    for middle in (part * (index + 0.5) for index in range(DRAINING_PARTS)):
        left = max(1.0, at_once * math.exp(-middle / osl))
        seconds += engine.step(Load(decode=left, decode_context=behind + middle)).total * part
    return seconds


def largest_batch(engine: EngineModel, isl: float, osl: float, tpot_s: float | None, hit: float = 0.0) -> float:
    """The most sequences in flight whose cache fits and whose tokens come within `tpot_s`; 0 where none does.

    hit: 1 where the unit only decodes.
    """

    def slow(batch: float) -> bool:
        return steady(engine, batch, isl, osl, hit).tpot_s > (tpot_s or 0.0)

    most = engine.room(isl + osl / 2)
    if most < 1:
        return 0.0
    if tpot_s is None or not slow(most):
        return most
    if slow(1.0):
        return 0.0
    low, high = 1.0, most
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slow(middle) else (middle, high)
    return low


def most_answered(engine: EngineModel, isl: float, osl: float, hit: float = 0.0) -> float:
    """Output tokens a second and chip that nobody gets more of: memory full, products at their peak, reads at the
    memory's rate. hit: 1 where the unit only decodes."""
    bare = replace(engine, speeds=ideal(engine.chip))
    state = steady(bare, max(1.0, engine.room(isl + osl / 2)), isl, osl, hit)
    return state.tokens_per_s / engine.unit.chips


def most_prompted(engine: EngineModel, isl: float, hit: float = 0.0) -> float:
    """Prompt tokens a second and chip, hits among them, that nobody gets more of."""
    bare = replace(engine, speeds=ideal(engine.chip))
    seconds = prefilling(bare, isl, PLENTY, hit)
    return PLENTY * engine.unit.dp / engine.unit.chips / (1 - hit) / seconds
