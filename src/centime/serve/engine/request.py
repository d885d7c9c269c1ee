"""What goes into the engine and what comes out: requests, how their tokens are chosen, the events that answer them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from centime.errors import UserError
from centime.ledger.energy import NO_ENERGY, EnergyUse

if TYPE_CHECKING:
    from torch import Tensor

Finish = Literal["end", "stop", "length", "aborted", "refused", "failed"]
"""end: an end token; stop: a stop string or id; length: max_tokens or the context; aborted: the client left.

refused: what the request itself asked for cannot be gone on with (its grammar leads nowhere). failed: our fault.
"""

MAX_STOPS = 16  # DeepSeek's API takes as many stop strings
MAX_STOP_CHARACTERS = 1024  # of one of them: every new token is compared with it
MAX_BIASES = 1024
MAX_LOGPROBS = 20


class DeadEnd(Exception):
    """A grammar that leads nowhere, or takes too long, can hold the answer no further. The text is for the client."""


class Constraint(Protocol):
    """A grammar that an answer obeys, token by token (serve/grammar/constraint.py has the real one)."""

    def fill(self, mask_row: object) -> None:
        """Writes which tokens may come next into one row of a bitmask. Raises DeadEnd where none may."""

    def accept(self, token: int) -> None:
        """The token that came."""

    @property
    def finished(self) -> bool:
        """Nothing but an end token may come."""


@dataclass(frozen=True)
class SamplingParams:
    """How the tokens of one request are chosen, in the API's words. Raises UserError on a value out of range.

    temperature: divides the logits; 0 is greedy, the lowest id among equals. top_p: arXiv 1904.09751, section 3.1.
    min_p: tokens under min_p times the best one's probability are dropped (arXiv 2407.01082). top_k: 0 keeps all.
    presence, frequency: subtracted from the logits of tokens the answer has, once or per occurrence (OpenAI's API).
    repetition: divides positive and multiplies negative logits of tokens that prompt or answer has (arXiv 1909.05858).
    logprobs: how many of the best tokens to report beside the chosen one; None reports nothing, 0 the chosen one alone.
    prompt_logprobs: the same of the prompt's tokens from the place `score_from` on, by default all but the first, which
    nothing stands before; with it logprobs has the end token too. What stands before that place may be found cached.
    max_tokens: 0 reads the prompt and ends.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    score_from: int = 1

    @property
    def cuts(self) -> bool:
        """Whether tokens are left out of the draw."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0

    @property
    def is_plain(self) -> bool:
        """Whether tokens are drawn from the scores as they are, neither warmed nor cooled nor cut."""
        return self.temperature == 1 and not self.cuts

    def __post_init__(self) -> None:
        def within(name: str, low: float, high: float, *, open_low: bool = False) -> None:
            value = getattr(self, name)
            good = math.isfinite(value) and (low < value if open_low else low <= value) and value <= high
            if not good:
                raise UserError(f"{name} is {value}; give a number {'above' if open_low else 'from'} {low} to {high}.")

        within("max_tokens", 0, 2**31)
        within("score_from", 1, 2**31)
        within("temperature", 0, 2)
        within("top_p", 0, 1, open_low=True)
        within("top_k", 0, 2**31)
        within("min_p", 0, 1)
        within("presence_penalty", -2, 2)
        within("frequency_penalty", -2, 2)
        within("repetition_penalty", 0, 10, open_low=True)
        if self.seed is not None:
            within("seed", -(2**63), 2**64)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                within(name, 0, MAX_LOGPROBS)
        if len(self.stop) > MAX_STOPS or not all(0 < len(text) <= MAX_STOP_CHARACTERS for text in self.stop):
            lengths = ", ".join(str(len(text)) for text in self.stop[:MAX_STOPS])
            raise UserError(
                f"stop takes at most {MAX_STOPS} strings of at most {MAX_STOP_CHARACTERS:,} characters, none of "
                f"them empty; found {len(self.stop)} of {lengths} characters."
            )
        if len(self.logit_bias) > MAX_BIASES:
            raise UserError(f"logit_bias has {len(self.logit_bias):,} tokens; give at most {MAX_BIASES:,}.")
        if any(not -100 <= bias <= 100 for bias in self.logit_bias.values()):
            raise UserError("logit_bias takes numbers from -100 to 100 by token id.")


class TokenLogprob(NamedTuple):
    """A token and its natural log-probability before temperature, penalties and cuts; the best ones beside it."""

    token: int
    logprob: float
    best: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """What one answer took. Nanoseconds are machine time: this request's share of the steps it was part of.

    Of an answer that was aborted, refused or failed, prompt_tokens are those that were found in the cache or computed.
    """

    prompt_tokens: int
    hit_tokens: int  # of the prompt, found in the prefix cache
    output_tokens: int
    machine_ns: int
    queued_ns: int  # wall-clock from arrival to the first step
    first_token_ns: int  # wall-clock from arrival to the first token; 0 when there was none
    total_ns: int  # wall-clock from arrival to the end
    drafted_tokens: int = 0  # proposed by MTP
    accepted_tokens: int = 0  # of those, kept
    energy: EnergyUse = NO_ENERGY  # its share of the devices' joules

    @property
    def miss_tokens(self) -> int:
        return self.prompt_tokens - self.hit_tokens


@dataclass(frozen=True)
class Piece:
    """Tokens that are certain, and the text they add: whole characters, nothing past a stop string."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class PromptLogprobs:
    """Log-probabilities of the prompt's tokens from `score_from` on, in order; several such events come first."""

    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True)
class Finished:
    """The end of one answer, always the last event of a request. error: a sentence, where it was failed or refused."""

    reason: Finish
    usage: Usage
    stop: str | int | None = None  # what stopped it, when `reason` is "stop"
    error: str | None = None


Event = Piece | PromptLogprobs | Finished


@dataclass(eq=False)
class DrawRecord:
    """Every draw of an answer, the end token's or stop id's too, for whoever learns from them; whole at its end.

    logprobs: natural, as the model itself has them: before temperature, penalties and cuts. drawn_logprobs: those of
    the distribution that was drawn from; a greedy choice has 0. experts: where the engine keeps routings, which experts
    each token that the model read visited, integers [read, MoE layers, experts of a token]: the prompt's and the
    answer's, but for the last one drawn, which nothing has read.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    drawn_logprobs: list[float] = field(default_factory=list)
    experts: Tensor | None = None


_numbers = itertools.count(1)


@dataclass(eq=False)
class Request:
    """One answer to make. `deliver` is called from the engine's thread and must return at once.

    prompt: token ids, at least one. owner: whose it is (a key's id): owners get the engine in turns. isolation: cached
    prefixes are shared only within one value of it (DeepSeek's user_id separates caches so). record: kept up with every
    draw, where there is one. silent: nobody reads the text; pieces have tokens alone, and stop strings stop nothing.
    """

    prompt: Sequence[int]
    params: SamplingParams
    deliver: Callable[[Event], None]
    owner: str = ""
    isolation: str = ""
    constraint: Constraint | None = None
    record: DrawRecord | None = None
    silent: bool = False
    id: int = field(default_factory=lambda: next(_numbers))
    arrived_ns: int = field(default_factory=time.monotonic_ns)


class QueueFull(Exception):
    """As many requests wait as may; come back later."""

    @staticmethod
    def of(owner: str) -> QueueFull:
        """Of this owner as many wait as may."""
        return QueueFull(f"too many requests of {owner!r} wait" if owner else "too many requests wait")


def check_prompt(prompt: Sequence[int], context: int, vocabulary: int) -> None:
    """Raises UserError on a prompt that an engine of this context and vocabulary cannot answer.

    vocabulary: ids that stand for something. A model's own may be wider: rows of padding, which nothing has trained.
    """
    if not prompt:
        raise UserError("the prompt has no token; give at least one character.")
    if context < 2:
        raise UserError("the model has one position, and an answer needs two: the prompt's and its own.")
    if len(prompt) >= context:
        raise UserError(
            f"the prompt is {len(prompt):,} tokens long and the context is {context:,}, one of which the answer "
            "needs; shorten the prompt."
        )
    if max(prompt) >= vocabulary or min(prompt) < 0:
        wrong = next(token for token in prompt if not 0 <= token < vocabulary)
        raise UserError(f"the prompt has token {wrong}; this model knows ids from 0 to {vocabulary - 1}.")
