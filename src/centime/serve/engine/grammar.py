"""Answers held to a grammar: JSON, a JSON schema, a regular expression, EBNF or tool calls, compiled by xgrammar.

xgrammar (arXiv 2411.15100) tells which tokens may come next as a bitmask over the vocabulary. Compiling for a large
vocabulary takes seconds the first time and is cached; it may run in any thread.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from centime.errors import UserError
from centime.serve.token_bytes import token_bytes

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import CompiledGrammar, GrammarCompiler, GrammarMatcher

    from centime.data.tokenizer import Tokenizer

# Models that run out of things to say like to go on with blanks, which a JSON grammar allows: DeepSeek's documentation
# warns of answers that never end. Enough for an indentation of eight levels by four.
MAX_BLANKS = 32
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
CACHE_BYTES = 512 * 2**20


Kind = Literal["schema", "strict schema", "regex", "ebnf", "structure"]
_NAMES: dict[Kind, str] = {
    "schema": "the JSON schema",
    "strict schema": "the JSON schema",
    "regex": "the regular expression",
    "ebnf": "the grammar",
    "structure": "the tools' parameters",
}


@dataclass(frozen=True)
class Recipe:
    """What a grammar is compiled from, so that another process can compile it too."""

    kind: Kind
    text: str


class Grammars:
    """Compiles grammars for one tokenizer. `vocabulary`: the width of the model's logits."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self._lock = threading.Lock()

    def json_object(self) -> Grammar:
        """Any JSON object."""
        return self.json_schema({"type": "object"}, strict=False)

    def json_schema(self, schema: Mapping[str, Any] | bool, *, strict: bool = True) -> Grammar:
        """JSON that fits a schema; strict: without properties that it does not name."""
        return self.compile(Recipe("strict schema" if strict else "schema", json.dumps(schema)))

    def regex(self, pattern: str) -> Grammar:
        """Text that a regular expression matches as a whole."""
        return self.compile(Recipe("regex", pattern))

    def ebnf(self, grammar: str) -> Grammar:
        """Text that a grammar in xgrammar's EBNF derives from its rule `root`."""
        return self.compile(Recipe("ebnf", grammar))

    def structure(self, shape: Mapping[str, Any]) -> Grammar:
        """Text of an xgrammar structural format, such as the tool calls of `api.formats`."""
        return self.compile(Recipe("structure", json.dumps({"type": "structural_tag", "format": shape})))

    def compile(self, recipe: Recipe) -> Grammar:
        """Raises UserError when xgrammar cannot read it."""
        with self._lock:
            compiler = self._compiler
        try:
            return Grammar(recipe, _compiled(compiler, recipe), self.tokenizer.eos_id)
        except (RuntimeError, ValueError) as error:
            reason = re.sub(r"^\[[\d:]+\] \S+: ", "", str(error).strip().splitlines()[-1])  # time and source line
            raise UserError(f"{_NAMES[recipe.kind]} cannot be used: {reason[:300]}.") from None

    @cached_property
    def _compiler(self) -> GrammarCompiler:
        """Imported at the first use: xgrammar brings transformers along, which takes seconds."""
        try:
            import xgrammar
        except ImportError:
            raise UserError("grammars need xgrammar; install it with: pip install 'centime[serve]'.") from None
        tokenizer = self.tokenizer
        markers = {token for token in tokenizer.controls if "tool" in token or token.startswith(("<think", "</think"))}
        # A token without bytes is one that no grammar allows. Control tokens are, but for those that formats write, and
        # control characters, which xgrammar lets into some JSON strings and JSON's readers do not.
        forbidden = {tokenizer.token_id(token) for token in tokenizer.controls - markers}
        spelled = [token_bytes(tokenizer, token) for token in range(min(tokenizer.vocab_size, self.vocabulary))]
        vocabulary = [
            b"" if token in forbidden or _CONTROL.search(text) else text for token, text in enumerate(spelled)
        ]
        info = xgrammar.TokenizerInfo(vocabulary, vocab_size=self.vocabulary, stop_token_ids=[tokenizer.eos_id])
        return xgrammar.GrammarCompiler(info, max_threads=2, cache_limit_bytes=CACHE_BYTES)


def _compiled(compiler: GrammarCompiler, recipe: Recipe) -> CompiledGrammar:
    text = recipe.text
    match recipe.kind:
        case "regex":
            return compiler.compile_regex(text)
        case "ebnf":
            return compiler.compile_grammar(text)
        case "structure":
            return compiler.compile_structural_tag(text)
    strict = recipe.kind == "strict schema"
    return compiler.compile_json_schema(text, strict_mode=strict, max_whitespace_cnt=MAX_BLANKS)


class Grammar:
    """A compiled grammar; each answer needs a constraint of its own."""

    def __init__(self, recipe: Recipe, compiled: CompiledGrammar, end: int) -> None:
        self._recipe, self._compiled, self._end = recipe, compiled, end

    def constraint(self, after: int | None = None) -> GrammarConstraint:
        """A fresh one. after: the token that ends the model's reasoning, which is free; None: from the first token."""
        from xgrammar import GrammarMatcher

        vocabulary = self._compiled.tokenizer_info.vocab_size
        return GrammarConstraint(self._recipe, GrammarMatcher(self._compiled), self._end, vocabulary, after)


class GrammarConstraint:
    """`request.Constraint` over an xgrammar matcher; `origin`: the recipe and `after`, to begin it anew elsewhere."""

    def __init__(self, recipe: Recipe, matcher: GrammarMatcher, end: int, vocabulary: int, after: int | None) -> None:
        self.origin = recipe, after
        self._matcher, self._end, self._vocabulary, self._after = matcher, end, vocabulary, after

    def fill(self, mask_row: object) -> None:
        """Writes the allowed tokens into a row [ceil(V / 32)] of int32 on the CPU, lowest bit first."""
        row = cast("Tensor", mask_row)
        if self._after is not None:
            row.fill_(-1)
        else:
            self._matcher.fill_next_token_bitmask(row.unsqueeze(0))

    def accept(self, token: int) -> None:
        """The token that came; raises RuntimeError on one that the mask forbade."""
        if self._after is not None:
            if token == self._after:
                self._after = None
        elif not self._matcher.accept_token(token):
            raise RuntimeError(f"token {token} breaks the grammar that its mask should have held it to")

    @property
    def finished(self) -> bool:
        """Nothing but an end token may come."""
        if self._after is not None or not self._matcher.is_completed():
            return False
        import torch

        row = torch.zeros(1, (self._vocabulary + 31) // 32, dtype=torch.int32)
        self._matcher.fill_next_token_bitmask(row)
        word, bit = divmod(self._end, 32)
        row[0, word] &= ~(1 << bit) if bit < 31 else 0x7FFFFFFF
        return not bool(row.any())
