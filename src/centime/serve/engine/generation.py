"""One request inside the engine: its tokens, how far they are computed, its blocks, and what it has cost so far."""

from __future__ import annotations

import secrets
import time

from centime.serve.engine.blocks import Key, root_key
from centime.serve.engine.request import Finish, Finished, Request, Usage
from centime.serve.engine.sampler import Draw
from centime.serve.text import TextStream


class Generation:
    """A request in progress. Entries of `tokens[:computed]` are in the cache; `draft` are guesses at what follows."""

    def __init__(self, request: Request, room: int, text: TextStream) -> None:
        self.request = request
        self.room = room  # most tokens of the answer: max_tokens, or what the context leaves
        self.text = text
        self.prompt_length = len(request.prompt)
        self.tokens = list(request.prompt)
        self.seed = secrets.randbits(63) if request.params.seed is None else request.params.seed
        self.computed = 0
        self.table: list[int] = []  # blocks, in order
        self.keys: list[Key] = [root_key(request.isolation)]  # of the published prefixes, the root first
        self.draft: list[int] = []
        self.hit_tokens = self.machine_ns = self.drafted = self.accepted = 0
        self.begun_ns: int | None = None  # when its first step began
        self.first_token_ns: int | None = None
        self.aborted = False

    @property
    def output(self) -> list[int]:
        return self.tokens[self.prompt_length :]

    @property
    def pending(self) -> int:
        """Known tokens that are not computed: 1 while decoding, more in a prompt or after preemption."""
        return len(self.tokens) - self.computed

    def draw(self, guesses: int) -> Draw:
        """How to draw the token after `guesses` of the draft."""
        return Draw(self.request.params, self.seed, self.request.prompt, [*self.output, *self.draft[:guesses]])

    def finished(self, reason: Finish, stop: str | int | None = None, error: str | None = None) -> Finished:
        """The last event, with what the answer took until now."""
        now, arrived = time.monotonic_ns(), self.request.arrived_ns
        usage = Usage(
            prompt_tokens=self.prompt_length,
            hit_tokens=self.hit_tokens,
            output_tokens=len(self.tokens) - self.prompt_length,
            machine_ns=self.machine_ns,
            queued_ns=(self.begun_ns or now) - arrived,
            first_token_ns=0 if self.first_token_ns is None else self.first_token_ns - arrived,
            total_ns=now - arrived,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
        )
        return Finished(reason, usage, stop, error)
