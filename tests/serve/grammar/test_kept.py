"""What was compiled lately is kept, as far as memory that is counted with the text that it was compiled of."""

from __future__ import annotations

import random

import pytest
from tests.serve.grammar.drawing import WIDTH

from centime.data.tokenizers import Tokenizer
from centime.serve.grammar import constraint
from centime.serve.grammar.constraint import Grammar, Grammars, GrammarSpec, grammar_spec

pytestmark = pytest.mark.slow  # xgrammar brings transformers along, whose import takes seconds

SPECS = [grammar_spec("regex", pattern) for pattern in ("a", "(cat|dog)s?", "[0-9]{3}", "x*yz")]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
def test_what_was_asked_for_longest_ago_is_given_up_first(tokenizer: Tokenizer, share: float) -> None:
    draw = random.Random(0)
    asked = [draw.choice(SPECS) for _ in range(40)]
    grammars, kept, given_up = Grammars(tokenizer, WIDTH), dict[GrammarSpec, Grammar](), list[Grammar]()
    room = share * sum(Grammars(tokenizer, WIDTH).compile(spec).bytes for spec in SPECS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constraint, "CACHE_BYTES", room)
        for spec in asked:
            found = grammars.compile(spec)
            assert found is kept.pop(spec, found)
            assert found not in given_up
            kept[spec] = found  # the newest is the last
            while len(kept) > 1 and sum(one.bytes for one in kept.values()) > room:
                given_up.append(kept.pop(next(iter(kept))))


def test_a_text_counts_with_what_was_compiled_of_it(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer, WIDTH)
    short, long = (
        grammars.compile(grammar_spec("schema", {"type": "null", "description": "x" * n})) for n in (1, 100_001)
    )
    assert long.bytes - short.bytes >= 100_000
    assert short.bytes > 0
