"""What a request adds to its logits: penalties for what was said, biases. Tensors made once, kept up token by token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from centime.serve.engine.request import SamplingParams

# Penalties next to nothing leave float32's range, from which no draw comes back.
_LEAST, _MOST = 1e-30, 1e30


class LogitsProcessor:
    """Penalties and biases on one request's logits [V]; every token of its prompt is below V.

    `add` tells it of a token of the answer, `beside` of a draft's guesses, `apply` changes a row of scores. A token
    costs the same however long prompt and answer are.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int], vocabulary: int) -> None:
        self._params = params
        self._counts: Counter[int] = Counter()  # of the answer's tokens
        self._penalties_V: Tensor | None = None  # of frequency and presence
        if params.frequency_penalty or params.presence_penalty:
            self._penalties_V = torch.zeros(vocabulary)
        self._seen_V: Tensor | None = None  # tokens of prompt or answer
        self._prompt: frozenset[int] = frozenset()
        if params.repetition_penalty != 1.0:
            self._prompt = frozenset(prompt)
            self._seen_V = torch.zeros(vocabulary, dtype=torch.bool)
            self._seen_V[torch.tensor(sorted(self._prompt), dtype=torch.int64)] = True
        known = {token: bias for token, bias in params.logit_bias.items() if 0 <= token < vocabulary}
        self._biased, self._bias = (
            torch.tensor(list(known), dtype=torch.int64),
            torch.tensor(list(known.values()), dtype=torch.float32),
        )
        # whether `apply` does anything
        self.changes = self._penalties_V is not None or self._seen_V is not None or bool(known)

    def add(self, token: int) -> None:
        """The answer has this token once more."""
        if self.changes:
            self._changed(token, 1)

    @contextmanager
    def beside(self, guesses: Sequence[int]) -> Iterator[None]:
        """As if the answer had these tokens too, while the block lasts."""
        for token in guesses:
            self._changed(token, 1)
        try:
            yield
        finally:
            for token in guesses:
                self._changed(token, -1)

    def _changed(self, token: int, by: int) -> None:
        self._counts[token] += by
        count = self._counts[token]
        if self._penalties_V is not None:
            params = self._params
            self._penalties_V[token] = params.frequency_penalty * count + params.presence_penalty * (count > 0)
        if self._seen_V is not None:
            self._seen_V[token] = count > 0 or token in self._prompt

    def apply(self, scores_V: Tensor) -> None:
        """Repetition, then frequency and presence penalties, then the bias, in place on float32 [V]."""
        if self._seen_V is not None:
            penalty = max(self._params.repetition_penalty, _LEAST)
            punished = torch.where(scores_V > 0, scores_V / penalty, scores_V * penalty)
            scores_V.copy_(torch.where(self._seen_V, punished, scores_V)).clamp_(-_MOST, _MOST)
        if self._penalties_V is not None:
            scores_V -= self._penalties_V
        if len(self._biased):
            scores_V.index_add_(0, self._biased, self._bias)
