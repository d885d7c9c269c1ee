"""Answers held to a grammar: JSON, a JSON schema, a regular expression, EBNF or tool calls, matched by xgrammar.

`serve/grammar` makes a grammar of what a client asks for, or refuses it. xgrammar (arXiv 2411.15100) compiles it for
the vocabulary and tells which tokens may come next as a bitmask. A server compiles in processes of its own that can be
stopped (`obtain`); `compile` does the same work here and now.
"""

from __future__ import annotations

import pickle
import re
import threading
import time
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, cast

from centime.serve.engine.request import DeadEnd
from centime.serve.grammar.compilers import Compilers
from centime.serve.grammar.gate import GrammarSpec, grammar_spec
from centime.serve.grammar.worker import Vocabulary
from centime.serve.token_bytes import token_bytes

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import CompiledGrammar, GrammarMatcher

    from centime.data.tokenizers import Tokenizer

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
CACHE_BYTES = 512 * 2**20
SECONDS = 10.0  # of processor time to compile in: common tools take a tenth of one for a vocabulary of 129,280
# Processor time that matching an answer may take before it ends: some grammars are slower with every token. The usual
# ones take a tenth of a millisecond.
SLACK_SECONDS, TOKEN_SECONDS = 1.0, 0.02


class GrammarBroken(RuntimeError):
    """A token came that the mask had forbidden, or one after the end: a fault of the engine's."""


class Grammars:
    """Grammars for one tokenizer. `vocabulary`: the width of the model's logits; seconds: the limit of `obtain`."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, seconds: float = SECONDS) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self._lock, self._building = threading.Lock(), threading.Lock()
        self._cache: OrderedDict[GrammarSpec, Grammar] = OrderedDict()
        self._bytes = 0
        self._compilers = Compilers(lambda: pickle.dumps(self._vocabulary()), seconds)

    def compile(self, spec: GrammarSpec) -> Grammar:
        """In this process and thread. Raises UserError that says what cannot be held."""
        known = self._known(spec)
        return known or self._kept(spec, self._warm().compile(spec))

    async def obtain(self, spec: GrammarSpec, owner: str = "") -> Grammar:
        """The same in a process that is stopped when it takes too long, or when this is cancelled.

        Each owner has one compiled at a time, in its turn. Raises UserError that says what cannot be held, or that it
        took too long.
        """
        if (known := self._known(spec)) is not None:
            return known
        return await self._compilers.compile(spec, owner, self._known, self._read)

    def close(self) -> None:
        """Ends the processes; what they compile fails."""
        self._compilers.close()

    def _known(self, spec: GrammarSpec) -> Grammar | None:
        with self._lock:
            if spec in self._cache:
                self._cache.move_to_end(spec)
            return self._cache.get(spec)

    def _read(self, spec: GrammarSpec, text: str) -> Grammar:
        if not text:
            return self.compile(spec)
        vocabulary = self._warm()
        from xgrammar import CompiledGrammar

        return self._kept(spec, CompiledGrammar.deserialize_json(text, vocabulary.info))

    def _kept(self, spec: GrammarSpec, compiled: CompiledGrammar) -> Grammar:
        grammar = Grammar(spec, compiled, self.tokenizer.eos_id)
        with self._lock:
            if spec not in self._cache:
                self._cache[spec] = grammar
                self._bytes += grammar.bytes
            while self._bytes > CACHE_BYTES and len(self._cache) > 1:
                self._bytes -= self._cache.popitem(last=False)[1].bytes
        return grammar

    @cached_property
    def _spelled(self) -> Vocabulary:
        tokenizer = self.tokenizer
        markers = {token for token in tokenizer.controls if "tool" in token or token.startswith(("<think", "</think"))}
        # A token without bytes is one that no grammar allows. Control tokens are, but for those that formats write, and
        # control characters, which JSON's readers do not take.
        forbidden = {tokenizer.token_id(token) for token in tokenizer.controls - markers}
        spelled = (token_bytes(tokenizer, token) for token in range(min(tokenizer.vocab_size, self.vocabulary)))
        texts = [b"" if token in forbidden or _CONTROL.search(text) else text for token, text in enumerate(spelled)]
        return Vocabulary(texts, self.vocabulary, tokenizer.eos_id)

    def _vocabulary(self) -> Vocabulary:
        with self._building:
            return self._spelled

    def _warm(self) -> Vocabulary:
        """The vocabulary with what it needs imported, once, whichever threads ask."""
        vocabulary = self._vocabulary()
        with self._building:
            vocabulary.warm()
        return vocabulary


class Grammar:
    """A compiled grammar; each answer needs a constraint of its own. `bytes`: what it takes in memory."""

    def __init__(self, spec: GrammarSpec, compiled: CompiledGrammar, end: int) -> None:
        self._spec, self._compiled, self._end = spec, compiled, end
        self.bytes = int(compiled.memory_size_bytes) + len(spec.text)

    def constraint(self, after: int | None = None) -> GrammarConstraint:
        """A fresh one. after: the token that ends the model's reasoning, which is free; None: from the first token."""
        from xgrammar import GrammarMatcher

        vocabulary = self._compiled.tokenizer_info.vocab_size
        return GrammarConstraint(self._spec, GrammarMatcher(self._compiled), self._end, vocabulary, after)


class GrammarConstraint:
    """`request.Constraint` over an xgrammar matcher; `origin`: the spec and `after`, to begin it anew elsewhere."""

    def __init__(
        self, spec: GrammarSpec, matcher: GrammarMatcher, end: int, vocabulary: int, after: int | None
    ) -> None:
        import torch

        self.origin = spec, after
        self._matcher, self._after = matcher, after
        self._row = torch.zeros(1, (vocabulary + 31) // 32, dtype=torch.int32)  # the mask, once per token
        spare = vocabulary % 32
        self._last_word = (1 << spare) - 1 if spare else -1  # the bits of it that stand for tokens
        self._only_end = torch.zeros_like(self._row)
        self._only_end[0, end // 32] = 1 << (end % 32) if end % 32 < 31 else -(2**31)
        self._current = self._ended = False
        self._left = SLACK_SECONDS

    def fill(self, mask_row: object) -> None:
        """Writes the allowed tokens into a row [ceil(V / 32)] of int32 on the CPU, lowest bit first.

        After the end token it allows that one alone. Raises DeadEnd where no token may come, and where matching
        the answer has taken too long.
        """
        row = cast("Tensor", mask_row)
        if self._after is not None:
            row.fill_(-1)
            return
        row.copy_(self._mask()[0])
        if not bool(row.any()):
            raise DeadEnd(
                "the answer cannot go on: its grammar allows no text that this model's tokens can write. "
                "Change the grammar, pattern or schema."
            )

    def accept(self, token: int) -> None:
        """The token that came. Raises GrammarBroken on one that the mask forbade, DeadEnd on a slow grammar."""
        if self._after is not None:
            if token == self._after:
                self._after = None
            return
        if self._ended:
            raise GrammarBroken(f"token {token} came after the end of an answer that is held to a grammar")
        self._left = min(self._left + TOKEN_SECONDS, SLACK_SECONDS)
        self._current = False
        begun = time.thread_time()
        accepted = self._matcher.accept_token(token)
        self._spend(begun)
        if not accepted:
            raise GrammarBroken(f"token {token} breaks the grammar that its mask should have held it to")
        self._ended = self._matcher.is_terminated()

    @property
    def finished(self) -> bool:
        """Nothing but an end token may come. Makes no mask but where the text so far is complete, and that one once."""
        if self._after is not None or not (self._ended or self._matcher.is_completed()):
            return False
        return bool(self._mask().equal(self._only_end))

    def _mask(self) -> Tensor:
        """The mask of the next token, [1, ceil(V / 32)]; made once."""
        if self._ended:
            return self._only_end
        if not self._current:
            begun = time.thread_time()
            self._matcher.fill_next_token_bitmask(self._row)
            self._row[0, -1] &= self._last_word
            self._current = True
            self._spend(begun)
        return self._row

    def _spend(self, begun: float) -> None:
        self._left -= time.thread_time() - begun
        if self._left < 0:
            raise DeadEnd(
                "the answer was ended: its grammar takes too long to match. Make it less ambiguous, or smaller."
            )


__all__ = ["Grammar", "GrammarBroken", "GrammarConstraint", "GrammarSpec", "Grammars", "grammar_spec"]
