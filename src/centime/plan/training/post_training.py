"""Post-training from first principles: supervised tuning as more training, reinforcement learning with its rollouts.

A step of RL (GRPO, arXiv 2402.03300) generates `rollouts` answers, scores them with the reference and the old policy
(a forward each) and trains on them. Generation follows a roofline of decoding, a simple one that says what it assumes:
weights and cache are read once a token, at `READ` of the memory's bandwidth; every layer costs LAYER_S of launches and
exchange; and a batch waits for its longest answers, TAIL times the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.errors import UserError, nearest
from centime.plan.counts.architecture import count_architecture
from centime.plan.step.prediction import StepPrediction
from centime.units import parse_count

READ = 0.6  # of bandwidth that decoding reaches; 0.9 in MLA's kernel alone (FlashMLA: 3,000 of 3,350 GB/s)
LAYER_S = 120e-6  # a layer's exchange on EP64: dispatch 173 us and combine 314 us (DeepEP), a third of them not hidden
TAIL = 1.5  # longest answers over the mean (assumption)
WEIGHTS_SHARE = 0.5  # of memory that weights may take in a serving unit; the cache has the rest
NODE = 8
EXAMPLE = "steps=10400,rollouts=512,prompt=200,answer=8K"


@dataclass(frozen=True)
class Reinforcement:
    """A stage of RL: steps, answers a step, tokens of a prompt and of an answer on average.

    steps_per_rollout: steps that train on the answers of one generation (R1: 8,192 answers for 16 steps of 512).
    """

    steps: int
    rollouts: int
    prompt_tokens: float
    answer_tokens: float
    steps_per_rollout: int = 16

    @property
    def tokens(self) -> float:
        """Trained on, prompts included."""
        return self.steps * self.rollouts * (self.prompt_tokens + self.answer_tokens)

    def check(self) -> None:
        """Raises UserError on what is not above zero."""
        for name in ("steps", "rollouts", "prompt_tokens", "answer_tokens", "steps_per_rollout"):
            if not 0 < getattr(self, name) <= 1e15:
                raise UserError(f"--rl: {name} is {getattr(self, name):g}; expected a number above zero, at most 1e15.")


_KEYS = {
    "steps": "steps",
    "rollouts": "rollouts",
    "prompt": "prompt_tokens",
    "answer": "answer_tokens",
    "steps_per_rollout": "steps_per_rollout",
}


def parse_reinforcement(text: str) -> Reinforcement:
    """'steps=10400,rollouts=512,prompt=200,answer=8K' -> Reinforcement.

    Raises UserError on an unknown, repeated or missing key, and on what is no quantity.
    """
    found: dict[str, Any] = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        name = _KEYS.get(key)
        if name is None or not equals:
            raise UserError(f"--rl: {item!r} is not one of its settings; write {EXAMPLE}.{nearest(key, _KEYS)}")
        if name in found:
            raise UserError(f"--rl: {key} is given twice; give it once.")
        number = parse_count(value)
        if key not in ("prompt", "answer") and number != int(number):
            raise UserError(f"--rl: {key} is {value}; expected a whole number.")
        found[name] = number if key in ("prompt", "answer") else int(number)
    missing = [key for key, name in _KEYS.items() if name not in found and name != "steps_per_rollout"]
    if missing:
        raise UserError(f"--rl: {missing[0]} is missing; write {EXAMPLE}.")
    return Reinforcement(**found)


def unit_chips(arch: Architecture, chip: Chip, gpus: int, weight_bytes: float) -> int:
    """Chips of one serving unit: whole nodes, as many as hold the weights in half of their memory."""
    if not chip.memory_gb:
        raise UserError(f"The catalogue does not know the memory of {chip.name}; RL needs it to place rollouts.")
    need = count_architecture(arch).total_params * weight_bytes / (WEIGHTS_SHARE * chip.memory_gb * 1e9)
    unit = ceil(need) if need <= NODE else NODE * ceil(need / NODE)
    if unit > gpus:
        raise UserError(f"{arch.name} does not fit {gpus} x {chip.name} for rollouts; use at least {unit} chips.")
    return unit


def decode_step_seconds(arch: Architecture, chip: Chip, unit: int, batch: float, context: float, byte: float) -> float:
    """Seconds of one token for `batch` sequences on a unit: reads of weights and cache, and the layers' latency.

    Of a mixture's experts only those that the batch visits are read.
    """
    counts = count_architecture(arch)
    dense = counts.total_params - counts.expert_params
    active = counts.active_params - (counts.total_params - counts.expert_params)
    experts = min(counts.expert_params, batch * max(0.0, active))
    cache = batch * context * counts.kv_bytes_per_token()
    bandwidth = unit * (chip.memory_tb_s or 0.0) * 1e12 * READ
    if not bandwidth:
        raise UserError(f"The catalogue does not know the bandwidth of {chip.name}; RL needs it to place rollouts.")
    # Dense weights are replicated on every chip of the unit (data-parallel attention), experts are spread over it.
    return ((experts + dense * unit) * byte + cache) / bandwidth + arch.layers * LAYER_S


def rl_step_seconds(arch: Architecture, chip: Chip, gpus: int, rl: Reinforcement, step: StepPrediction) -> float:
    """Seconds of one step of RL on all chips: rollouts, two scoring passes, training, one after the other.

    step: of training on the same chips, whose tokens/s hold for the answers too; a forward is a third of a step.
    """
    rl.check()
    byte = 1.0 if step.precision != "bf16" else 2.0
    unit = unit_chips(arch, chip, gpus, byte)
    batch = rl.rollouts * rl.steps_per_rollout / (gpus // unit)
    context = rl.prompt_tokens + rl.answer_tokens / 2
    rollout = TAIL * rl.answer_tokens * decode_step_seconds(arch, chip, unit, max(1.0, batch), context, byte)
    trained = rl.rollouts * (rl.prompt_tokens + rl.answer_tokens) / (step.tokens_per_s_per_gpu * gpus)
    return rollout / rl.steps_per_rollout + trained * (1.0 + 2.0 / 3.0)
