"""--json of every verb that prints a result: one JSON value on standard output, and nothing else there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.cells import Bench
from tests.cli.roles import RIGHT, command
from tests.cli.verbs import commands

TALKING = {"chat", "serve"}  # they go on until they are stopped
LONG = {"calibrate", "quickstart"}  # tested with the environment's CENTIME_SMOKE, where they have tests of their own
# What a program may rely on, where the verb's page in docs/ names the keys.
KEYS: dict[str, set[str]] = {
    "train": {"run", "model", "stopped_by", "saved", "report", "bill"},
    "data prepare": {"out", "tokens", "documents", "skipped", "notes", "device_ns", "cost", "currency"},
    "data check": {"folder", "sound"},
    "tokenizer train": {"out", "vocab_size", "documents", "text_bytes", "notes", "device_ns", "cost", "currency"},
    "export": {"gguf", "bytes", "dtype", "notes"},
    "keys revoke": {"name", "revoked"},
    "keys top-up": {"name", "currency"},
    "budgets change": {"target", "kind", "per", "zone", "limit", "currency", "hard", "alerts", "webhook"},
    "catalogue price": {
        *("instant", "price_list", "hours", "hit", "miss", "output", "currency", "tokens", "cost", "doubt"),
    },
    "bill": {"lines", "total", "notes"},
    "generate": {"text"},
    "evaluate": {"device_ns", "cost", "currency"},
}


def test_every_verb_that_prints_a_result_has_it() -> None:
    without = {
        verb for verb, command in commands() if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == TALKING


@pytest.mark.slow
@pytest.mark.parametrize("verb", sorted(set(RIGHT) - TALKING - LONG))
def test_it_is_alone_on_standard_output(bench: Bench, verb: str) -> None:
    words = command(verb, {})
    at = words.index("--") if "--" in words else len(words)
    done = bench.go(verb, [*words[:at], "--json", *words[at:]])
    bench.restore()
    assert done.code == 0, done.stderr
    tree: Any = json.loads(done.stdout)
    if verb in KEYS:
        assert KEYS[verb] <= set(tree)
