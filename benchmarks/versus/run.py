"""One training run: a constant learning rate, and from it short decays, each an end at its own number of tokens.

That is V3's schedule (warm-up, constant, cosine to a tenth; report, section 4.2) with the constant part shared: the
loss at an end is that of a run made for that many tokens, which a point on the way of a longer run's cosine is not.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from centime.data.loader import Loader
from centime.errors import UserError
from centime.model import Transformer
from centime.ops.cross_entropy import linear_cross_entropy
from centime.ops.precision import compute_dtype
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings
from versus.arms import SEQUENCE, Arm

BATCH = 32  # sequences a step: 4,096 tokens
DECAY = 0.3  # of a run's tokens (V3: 4.3 T of 14.3 T), along a cosine to LAST of the peak
LAST = 0.1
WARM_UP = 100  # steps
BIAS_SPEED, BALANCE = 1e-3, 1e-4  # V3's
HELD_OUT_ROWS = 512
CURVE_EVERY = 200  # steps between two held-out losses on the constant part


class Learner:
    """A model with its trainer and its text; the same seed gives both arms the same rows in the same order."""

    def __init__(self, arm: Arm, shards: Path, seed: int, optimizer: Optimizer | None = None) -> None:
        self.arm = arm
        self.model = Transformer(arm.config)
        self.model.init_weights(seed)
        self.engine = SingleDevice(self.model, optimizer or Optimizer(), compute_dtype("auto", torch.device("cpu")))
        self.trainer = Trainer(self.engine, micro_batch=BATCH, clip=1.0)
        text = Loader([(shards / "train", 1.0)], SEQUENCE, seed=seed)
        # Rows come in a shuffled order of their own, one epoch at most: rows that follow each other in a document would
        # make a step's batch one file, and both models learn several times slower from that.
        self.rows = torch.from_numpy(text.rows(0, text.total_tokens // SEQUENCE))
        self.order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        held_out = Loader([(shards / "holdout", 1.0)], SEQUENCE)
        self.held_out = torch.from_numpy(held_out.rows(0, HELD_OUT_ROWS))

    def step(self, number: int, lr: float) -> float:
        """Train on the rows of step `number`; returns the loss in nats a token."""
        if (number + 1) * BATCH > len(self.rows):
            raise UserError(
                f"The text has rows for {len(self.rows) // BATCH} steps and no token is read twice; take fewer --steps."
            )
        rows = self.rows[self.order[number * BATCH : (number + 1) * BATCH]]
        tokens = BATCH * SEQUENCE
        settings = StepSettings(lr=lr, mtp_weight=0.0, bias_speed=BIAS_SPEED, balance_weight=BALANCE)
        result = self.trainer.step(Batch(rows, loss_tokens=tokens, sequences=BATCH, tokens=tokens), settings)
        return result.loss

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean nats a token over the first rows of the held-out files."""
        total = 0.0
        for rows in self.held_out.split(BATCH):
            hidden = self.model.features(rows[:, :-1]).hidden.flatten(0, 1)
            weights = torch.full((len(hidden),), 1.0 / (HELD_OUT_ROWS * SEQUENCE))
            total += float(linear_cross_entropy(hidden, self.model.head_weight, rows[:, 1:].flatten(), weights))
        return total


def fingerprint(arms: dict[str, Arm], shards: Path) -> str:
    """Changes with anything that makes earlier results incomparable: the shapes, the text, the way of training."""
    text = Loader([(shards / "train", 1.0)], SEQUENCE).fingerprint
    way = [BATCH, DECAY, LAST, WARM_UP, BIAS_SPEED, BALANCE, HELD_OUT_ROWS, Optimizer().model_dump()]
    shapes = [arm.config.model_dump(mode="json") for arm in arms.values()]
    return hashlib.sha256(json.dumps([shapes, text, way]).encode()).hexdigest()[:12]


def train(
    arm: Arm, shards: Path, lr: float, seed: int, ends: list[int], say: Any, optimizer: Optimizer | None = None
) -> dict[str, Any]:
    """A run with an end at each number of steps in `ends`; the account of it, as kept in the results file."""
    learner = Learner(arm, shards, seed, optimizer)
    branches = {round(end * (1 - DECAY)): end for end in ends}
    last, curve, found = max(branches), [], {}
    began = time.process_time()
    for number in range(last + 1):
        if number in branches:
            end = branches[number]
            kept = {name: tensor.clone() for name, tensor in learner.engine.state().items()}
            for later in range(number, end):
                progress = (later - number) / (end - number)
                learner.step(later, lr * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * progress))))
                say(f"step {later} of {end}")
            found[end] = learner.held_out_loss()
            learner.engine.load(kept)
        if number % CURVE_EVERY == 0:
            curve.append([number, learner.held_out_loss()])
        if number < last:
            loss = learner.step(number, lr * min(1.0, (number + 1) / WARM_UP))
            say(f"step {number} of {last}, loss {loss:.3f}")
    return {
        "arm": arm.name,
        "lr": lr,
        "seed": seed,
        "ends": [[steps, loss] for steps, loss in sorted(found.items())],
        "curve": curve,
        "tokens_per_step": BATCH * SEQUENCE,
        "cpu_seconds": time.process_time() - began,
    }
