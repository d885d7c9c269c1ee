"""Samples for learning from: many answers to each prompt, with the probability of every token that was drawn.

The serving engine in the caller's own process and thread, over the very tensors that are being trained: no copy of the
weights, one reading of a prompt for all its samples, and as many answers in a step as fit. A sampling step of
reinforcement learning is

    engine = RolloutEngine(model, tokenizer)                      # once; `model` is the trainer's own module
    for step in range(steps):
        groups = engine.sample(prompts, 16, params, seed=7, place=step * len(prompts))
        ...                                                       # groups[i][j]: sample j of prompt i; reward, update
        engine.refresh()                                          # the weights have changed in place

Draws are functions of the seed, of the prompt's place in the run, of the sample's number and of the token's, so that a
run that was killed and starts again at `step` gets the same samples (to the bit with deterministic=True, whatever else
was sampled beside them). With it too, log-probabilities are those of the training forward pass to the bit, and
`engine.mismatch` says how far those that drew were from them (rescoring.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from centime.errors import UserError
from centime.model.packed.layer import PackedDecoderLayer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import DrawRecord, Event, Finish, Finished, Request, SamplingParams, check_prompt
from centime.serve.engine.settings import EngineSettings
from centime.serve.offline.rescoring import Mismatch, training_logprobs

if TYPE_CHECKING:
    from torch import Tensor

    from centime.data.tokenizers import Tokenizer
    from centime.model import Transformer

TOGETHER = 256  # answers in progress at once: for a small model a step's own cost is shared by as many


@dataclass(frozen=True)
class Rollout:
    """One answer, as it was drawn.

    tokens: every token drawn, the end token or stop id included. logprobs: their natural log-probabilities under the
    model itself, at temperature 1; drawn_logprobs: under what they were drawn from (temperature, top-p and so on).
    finish: "end" (the end token), "stop" (a stop id) or "length" (max_tokens, or no position left); only the last one
    leaves an answer without its own end. hit_tokens: of the prompt, not computed but found. experts: where asked for,
    integers [prompt + tokens - 1, MoE layers, experts of a token], those that each token read by the model visited.
    """

    tokens: list[int]
    logprobs: list[float]
    drawn_logprobs: list[float]
    finish: Finish
    hit_tokens: int
    experts: Tensor | None = None


class RolloutEngine:
    """An engine that samples when asked, and otherwise holds nothing but its cache.

    deterministic: a sample's bits do not depend on the others beside it, and its log-probabilities are the training
    forward pass's, at a price; of those under top-p, top-k or min-p, which training does not know, only `logprobs`.
    Packed weights, which nothing trains, keep the engine's own. routings: tell which experts were visited. together:
    answers in progress at once. cache_bytes: memory for what they read; None: a quarter of what is free. rescored:
    False where the caller asks the training forward pass itself, as reinforcement does; the engine's own are told.
    Raises UserError where the cache would hold next to nothing, or where packed weights are to tell their routings.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        deterministic: bool = False,
        routings: bool = False,
        together: int = TOGETHER,
        cache_bytes: int | None = None,
        rescored: bool = True,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._settings = EngineSettings(
            step_tokens=max(512, 2 * together),
            max_running=together,
            max_waiting=2**31,
            block_tokens=16,
            cache_bytes=cache_bytes,
            deterministic=deterministic,
            routings=routings,
        )
        self.engine = self._new_engine()
        self.mismatch: Mismatch | None = None  # of the last samples, where they were told as training has them
        packed = any(isinstance(layer, PackedDecoderLayer) for layer in model.layers)
        self._rescores = deterministic and rescored and not packed
        self.context = self.engine.context

    def sample(
        self, prompts: Sequence[Sequence[int]], samples: int, params: SamplingParams, *, seed: int, place: int = 0
    ) -> list[list[Rollout]]:
        """`samples` answers to each prompt of token ids, in the prompts' order.

        params: how they are drawn; its own seed is not used, nor are stop strings, for nothing is made text. place: the
        number in the whole run of the first of these prompts. Raises UserError on a prompt that the model cannot
        answer, before anything is drawn, and on weights whose logits are no numbers.
        """
        if samples < 1 or params.max_tokens < 1:
            raise UserError(f"{samples} samples of {params.max_tokens} tokens are none; give at least 1 of each.")
        if params.stop:
            raise UserError("roll-outs are token ids and have no stop strings; give stop_token_ids.")
        groups = [
            [_Asked(prompt, replace(params, seed=sample_seed(seed, place + at, number))) for number in range(samples)]
            for at, prompt in enumerate(prompts)
        ]
        for prompt in prompts:
            check_prompt(prompt, self.context, self.engine.vocabulary)
        try:
            for group in groups:
                for asked in group:
                    self.engine.submit(asked.request)
            while self.engine.step():
                pass
        except BaseException:  # Ctrl-C may strike anywhere within a step, after which the books are in doubt
            self.engine = self._new_engine()
            raise
        found = [[asked.rollout() for asked in group] for group in groups]
        return self._as_training_has_it(prompts, found, params) if self._rescores else found

    def _as_training_has_it(
        self, prompts: Sequence[Sequence[int]], found: Sequence[Sequence[Rollout]], params: SamplingParams
    ) -> list[list[Rollout]]:
        """The same with log-probabilities of the training forward pass; `mismatch` says how far they were apart."""
        vocabulary = self.engine.vocabulary
        drawn, training, rescored = list[float](), list[float](), list[list[Rollout]]()
        for prompt, group in zip(prompts, found, strict=True):
            rescored.append([])
            for rollout in group:
                own = training_logprobs(self._model, prompt, rollout.tokens, vocabulary)
                drawn += rollout.logprobs
                training += own
                warm = rollout.drawn_logprobs
                if params.temperature and not params.cuts:
                    heat = params.temperature
                    again = (self._model, prompt, rollout.tokens, vocabulary, heat)
                    warm = own if heat == 1 else training_logprobs(*again)
                rescored[-1].append(replace(rollout, logprobs=own, drawn_logprobs=warm))
        self.mismatch = Mismatch.of(drawn, training)
        return rescored

    def _new_engine(self) -> Engine:
        return Engine(self._model, self._tokenizer, self._settings)

    def refresh(self) -> None:
        """To be called after every update of the weights: forgets what the engine computed with the old ones."""
        self.engine.refresh()


class _Asked:
    """A request that keeps its record and its end."""

    def __init__(self, prompt: Sequence[int], params: SamplingParams) -> None:
        self._last: Event | None = None
        self.record = DrawRecord()
        self.request = Request(prompt, params, self._take, record=self.record, silent=True)

    def _take(self, event: Event) -> None:
        self._last = event

    def rollout(self) -> Rollout:
        """Raises UserError with what the engine says where it could not answer."""
        end, record = self._last, self.record
        assert isinstance(end, Finished)
        if end.error is not None:
            raise UserError(end.error)
        return Rollout(
            record.tokens, record.logprobs, record.drawn_logprobs, end.reason, end.usage.hit_tokens, record.experts
        )


def sample_seed(seed: int, place: int, number: int) -> int:
    """The seed of one sample: a hash of the run's, of its prompt's place in the run and of its number in the group."""
    text = f"centime rollout {seed} {place} {number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
