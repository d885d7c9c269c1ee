"""Generated sums, "1 2 + 3 4" -> "0 4 6": a task small enough to learn in a minute of fine-tuning and exact to mark.

Digits stand apart, and every number has as many as the largest: a tokenizer trained on little text makes one token of
some numbers and two of others, and a small model then learns magnitudes rather than addition (docs/log.md).

A pair of numbers belongs to the training or to the test half by a hash of the two, in either order, so that no test
sum, nor its mirror image, is ever in the training data, whatever the seeds.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from centime.errors import UserError

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer
    from centime.model import Transformer

Split = Literal["train", "test"]
TEST_ONE_IN = 10  # one unordered pair in ten is a test pair


@dataclass(frozen=True)
class Sum:
    """One problem: `prompt` is what the user says, `answer` what the assistant should. `digits`: of each operand."""

    left: int
    right: int
    digits: int = 2

    @property
    def prompt(self) -> str:
        return f"{spelt(self.left, self.digits)} + {spelt(self.right, self.digits)}"

    @property
    def answer(self) -> str:
        return spelt(self.left + self.right, self.digits + 1)


def spelt(number: int, digits: int) -> str:
    """7 in two digits: '0 7'."""
    return " ".join(f"{number:0{digits}d}")


def split_of(left: int, right: int) -> Split:
    """Which half the pair is in; the same for (left, right) and (right, left)."""
    key = f"{min(left, right)}+{max(left, right)}".encode()
    return "test" if zlib.crc32(key) % TEST_ONE_IN == 0 else "train"


def sums(split: Split, count: int, top: int = 99, seed: int = 0) -> list[Sum]:
    """`count` different sums of two numbers from 0 to `top` out of one half, in random order.

    Raises UserError when that half holds fewer (for the default top: about 9,000 train and 1,000 test).
    """
    draw, digits = random.Random(f"{split} {seed}"), len(str(top))
    if (top + 1) ** 2 <= 1_000_000:  # few enough to list: no luck needed for the last ones
        every = [Sum(a, b, digits) for a in range(top + 1) for b in range(top + 1) if split_of(a, b) == split]
        if count > len(every):
            raise UserError(
                f"there are {len(every)} {split} sums up to {top}, {count} were asked for; ask for fewer or raise top."
            )
        return draw.sample(every, count)
    chosen: dict[Sum, None] = {}
    while len(chosen) < count:
        one = Sum(draw.randint(0, top), draw.randint(0, top), digits)
        if split_of(one.left, one.right) == split:
            chosen[one] = None
    return list(chosen)


@dataclass(frozen=True)
class Marks:
    """The outcome: how many of `total` answers were exactly right, and the first few as (prompt, expected, got)."""

    right: int
    total: int
    examples: list[tuple[str, str, str]]
    generated_tokens: int
    prompt_tokens: int

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else 0.0


def mark(
    model: Transformer, tokenizer: Tokenizer, problems: Sequence[Sum], *, batch_size: int = 64, max_tokens: int = 16
) -> Marks:
    """Asks every sum through the chat template, greedily and in batches, and compares the whole answer, spaces trimmed.

    An answer ends at the end-of-text token or after `max_tokens`; "0 4 6 and so on" is wrong.
    Raises UserError when the tokenizer has no chat template.
    """
    from centime.data.tokenizers import ChatEncoder
    from centime.serve.offline.session import greedy

    encoder = ChatEncoder(tokenizer)
    prompts = [encoder.ids([{"role": "user", "content": p.prompt}], add_generation_prompt=True) for p in problems]
    answers = greedy(model, tokenizer, prompts, max_tokens=max_tokens, batch_size=batch_size)
    texts = [tokenizer.decode(ids).strip() for ids in answers]
    right = sum(text == p.answer for p, text in zip(problems, texts, strict=True))
    examples = [(p.prompt, p.answer, text) for p, text in zip(problems, texts, strict=True)]
    return Marks(
        right,
        len(problems),
        examples[:8],
        generated_tokens=sum(map(len, answers)),
        prompt_tokens=sum(map(len, prompts)),
    )
