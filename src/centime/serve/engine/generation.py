"""One request inside the engine: its tokens, how far they are computed, its blocks, and what it has cost so far."""

from __future__ import annotations

import secrets
import time

from centime.ledger.energy import NO_ENERGY
from centime.serve.engine.detokenizer import Detokenizer, Unread
from centime.serve.engine.draws.logits_processor import LogitsProcessor
from centime.serve.engine.draws.sampler import Draw
from centime.serve.engine.request import Finish, Finished, Request, Usage
from centime.serve.kv_cache.block_pool import Key, block_key, root_key

WHOLE = {"end", "stop", "length"}  # reasons of answers that were made


class Generation:
    """A request in progress. Entries of `tokens[:computed]` are in the cache; `draft` are guesses at what follows."""

    def __init__(
        self, request: Request, room: int, text: Detokenizer | Unread, logits_processor: LogitsProcessor
    ) -> None:
        self.request = request
        self.room = room  # most tokens of the answer: max_tokens, or what the context leaves
        self.text, self.logits_processor = text, logits_processor
        self.prompt_length = len(request.prompt)
        self.tokens = list(request.prompt)
        self.seed = secrets.randbits(63) if request.params.seed is None else request.params.seed
        self.computed = 0
        self.written = 0  # entries of all layers, MTP's too: `computed` where nothing guesses
        self.reached = 0  # tokens, guesses too, that were ever computed or found: preemption takes none of it back
        self.scored = request.params.score_from  # tokens of the prompt that were told, or are not to be
        self.table: list[int] = []  # blocks, in order
        self.keys: list[Key] = [root_key(request.isolation)]  # of the published prefixes, the root first
        self.prompt_key = block_key(self.keys[0], request.prompt)  # alike where prompts are
        self.arrival = request.arrived_ns, request.id
        self.runs = False  # has a place among those that run
        self.let_in = 0  # tokens it had when it got its place
        self.draft: list[int] = []
        self.hit_tokens = self.machine_ns = self.drafted = self.accepted = 0
        self.energy = NO_ENERGY
        self.begun_ns: int | None = None  # when its first step began
        self.first_token_ns: int | None = None

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def pending(self) -> int:
        """Known tokens that are not computed: 1 while decoding, more in a prompt or after preemption."""
        return len(self.tokens) - self.computed

    @property
    def scores_prompt(self) -> bool:
        """Whether log-probabilities of the prompt are asked for, and not all reported."""
        return self.request.params.prompt_logprobs is not None and self.scored < self.prompt_length

    def draw(self, guesses: int) -> Draw:
        """How to draw the token after `guesses` of the draft."""
        return Draw(self.request.params, self.seed, self.output_length + guesses)

    def finished(self, reason: Finish, stop: str | int | None = None, error: str | None = None) -> Finished:
        """The last event, with what the answer took until now."""
        now, arrived = time.monotonic_ns(), self.request.arrived_ns
        reached = self.prompt_length
        if reason not in WHOLE:
            reached = 0 if self.begun_ns is None else min(self.prompt_length, self.reached)
        usage = Usage(
            prompt_tokens=reached,
            hit_tokens=min(self.hit_tokens, reached),
            output_tokens=self.output_length,
            machine_ns=self.machine_ns,
            queued_ns=(self.begun_ns or now) - arrived,
            first_token_ns=0 if self.first_token_ns is None else self.first_token_ns - arrived,
            total_ns=now - arrived,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
            energy=self.energy,
        )
        return Finished(reason, usage, stop, error)
