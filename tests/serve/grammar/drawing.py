"""Answers of a model that knows nothing, drawn through the real constraint over a small byte-level vocabulary."""

from __future__ import annotations

import random
from functools import cache

import numpy
import pytest
import torch

from centime.data.tokenizers import Tokenizer
from centime.serve.grammar.constraint import Grammar, GrammarBroken
from centime.serve.token_bytes import token_bytes

WIDTH = 320  # of the logits: more than the tokenizer has tokens
_CLOSING = {b'"', b"}", b"]", b"\n"}


def allowed(mask: torch.Tensor) -> list[int]:
    """The tokens of a mask."""
    bits = numpy.unpackbits(mask.numpy().view(numpy.uint8), bitorder="little")
    return [int(token) for token in bits.nonzero()[0]]


@cache
def _weights(tokenizer: Tokenizer) -> list[float]:
    spelled = [token_bytes(tokenizer, token) for token in range(WIDTH)]
    return [12.0 if text in _CLOSING else 0.3 if not text.strip() else 1.0 for text in spelled]


def draw(grammar: Grammar, tokenizer: Tokenizer, seed: int, most: int = 400) -> str | None:
    """One answer, tokens that close something being likelier and blanks rarer; None when it did not end in time.

    Raises what the constraint raises, DeadEnd above all.
    """
    choose = random.Random(seed)
    constraint, tokens = grammar.constraint(), list[int]()
    mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
    for _ in range(most):
        constraint.fill(mask)
        choices = allowed(mask)
        finished = constraint.finished
        assert finished == (choices == [tokenizer.eos_id])
        if finished or (tokenizer.eos_id in choices and choose.random() < 0.6):
            constraint.accept(tokenizer.eos_id)
            assert constraint.finished
            return tokenizer.decode(tokens)
        choices = [token for token in choices if token != tokenizer.eos_id]
        weights = [_weights(tokenizer)[token] for token in choices]
        tokens.append(choose.choices(choices, weights)[0])
        constraint.accept(tokens[-1])
    return None


def flooding(grammar: Grammar, tokenizer: Tokenizer, begin: str, most: int = 400) -> str:
    """The answer that begins so, of a model that writes blanks wherever it may."""
    constraint, tokens = grammar.constraint(), tokenizer.encode(begin)
    for token in tokens:
        constraint.accept(token)
    mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
    for _ in range(most):
        constraint.fill(mask)
        choices = allowed(mask)
        blanks = [token for token in choices if not token_bytes(tokenizer, token).strip()]
        token = (blanks or choices)[0]
        constraint.accept(token)
        if token == tokenizer.eos_id:
            break
        tokens.append(token)
    return tokenizer.decode(tokens)


def admits(grammar: Grammar, tokenizer: Tokenizer, text: str) -> bool:
    """Whether the text is a whole answer, by the masks and by what the constraint takes, which agree."""
    constraint = grammar.constraint()
    mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
    for token in [*tokenizer.encode(text), tokenizer.eos_id]:
        constraint.fill(mask)
        if token not in allowed(mask):
            with pytest.raises(GrammarBroken):
                constraint.accept(token)
            return False
        constraint.accept(token)
    return True
