"""Compiling is stopped at its limit, in turns of its owners, and its processes end with the server."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch
from tests.forked import python_process
from tests.serve.api.running import running
from tests.serve.grammar.drawing import WIDTH, allowed
from tests.small import small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.grammar.constraint import GrammarBroken, Grammars, GrammarSpec, grammar_spec

pytestmark = pytest.mark.slow


def endless(number: int) -> GrammarSpec:
    """A schema that nothing compiles within the limits of these tests."""
    fields = {f"p{at}": {"type": "string", "maxLength": 3000 + 100 * number + at} for at in range(2000)}
    return grammar_spec("schema", {"type": "object", "properties": fields})


def quick(number: int) -> GrammarSpec:
    return grammar_spec("schema", {"type": "object", "properties": {f"p{number}": {"type": "integer"}}})


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The processes that compile for it: forks of the one that has imported xgrammar, which stays."""
    found = psutil.Process(parent).children()
    templates = [one for one in found if "xgrammar" in " ".join(one.cmdline())]
    return [fork for one in templates for fork in one.children() if fork.is_running()]


def test_the_same_masks_as_in_this_process(tokenizer: Tokenizer) -> None:
    grammars, here = Grammars(tokenizer, WIDTH), Grammars(tokenizer, WIDTH)
    long = grammar_spec("schema", {"type": "string", "maxLength": 3000})  # handed over, not compiled again

    async def both() -> None:
        for spec, text in ((quick(0), '{"p0": 12}'), (long, '"the cat')):
            one, other = (await grammars.obtain(spec)).constraint(), here.compile(spec).constraint()
            masks = torch.zeros(2, WIDTH // 32, dtype=torch.int32)
            for token in tokenizer.encode(text):
                one.fill(masks[0])
                other.fill(masks[1])
                assert masks[0].equal(masks[1])
                one.accept(token)
                other.accept(token)
        assert (await grammars.obtain(long)) is (await grammars.obtain(long))

    try:
        asyncio.run(both())
    finally:
        grammars.close()


def test_one_owners_endless_schema_is_stopped_while_anothers_compile(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer, WIDTH, seconds=2)

    async def neighbours() -> None:
        await asyncio.gather(grammars.obtain(quick(-1), "good"), grammars.obtain(quick(-2), "other"))  # warm
        before = {one.pid for one in workers()}
        slow = [asyncio.ensure_future(grammars.obtain(endless(at), "slow")) for at in range(2)]
        await asyncio.sleep(0.5)
        for at in range(5):
            await grammars.obtain(quick(at), "good")
        assert not any(one.done() for one in slow)
        for one in slow:
            with pytest.raises(UserError, match="the JSON schema cannot be used: it takes more than 2 seconds"):
                await one
        await grammars.obtain(quick(9), "slow")
        assert {one.pid for one in workers()} != before

    try:
        asyncio.run(neighbours())
    finally:
        grammars.close()
    assert not workers()


def test_who_leaves_stops_it(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer, WIDTH, seconds=60)

    async def leaving() -> None:
        await grammars.obtain(quick(-1), "a")
        (process,) = workers()
        asked = [asyncio.ensure_future(grammars.obtain(endless(at), "a")) for at in range(2)]
        await asyncio.sleep(0.5)
        for one in asked:
            one.cancel()
        await grammars.obtain(quick(0), "a")  # in its turn: after the first was stopped; the second never began
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    try:
        asyncio.run(leaving())
    finally:
        grammars.close()


def test_a_killed_server_leaves_no_process(tmp_path: Path) -> None:
    folder = small_tokenizer(tmp_path / "tokenizer").folder
    server = python_process("tests.serve.grammar.endless_server", str(folder), stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    (process,) = workers(server.pid)
    assert {one.laddr for one in process.net_connections()} == set()
    time.sleep(0.5)  # it compiles by now
    server.send_signal(signal.SIGKILL)
    server.wait()
    process.wait(30)


def test_over_http_a_client_that_leaves_frees_the_compiler_and_the_server_ends_it(tmp_path: Path) -> None:
    with running(tmp_path) as (url, _):

        def ask(schema: Any, seconds: float = 60) -> int:
            held = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            body = {"model": "small", "messages": [{"role": "user", "content": "1"}], "max_tokens": 5}
            asked = {**body, "response_format": held}
            return httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=seconds).status_code

        assert ask({"type": "integer"}) == 200
        before = workers()
        with pytest.raises(httpx.TimeoutException):
            ask(json.loads(endless(0).text), 1)
        assert ask({"type": "boolean"}) == 200
        assert not set(before) & set(workers())
    assert not workers()


def test_what_accept_raises(grammars: Grammars, tokenizer: Tokenizer) -> None:
    constraint = grammars.compile(grammar_spec("regex", "[0-9]")).constraint()
    with pytest.raises(GrammarBroken, match="breaks the grammar"):
        constraint.accept(tokenizer.encode("a")[0])
    constraint.accept(tokenizer.encode("1")[0])
    assert constraint.finished
    constraint.accept(tokenizer.eos_id)
    assert constraint.finished
    mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
    constraint.fill(mask)
    assert allowed(mask) == [tokenizer.eos_id]
    with pytest.raises(GrammarBroken, match="after the end"):
        constraint.accept(tokenizer.eos_id)


@pytest.mark.parametrize("width", [300, 301, 319, 320, 331])
def test_masks_are_of_tokens_alone(tokenizer: Tokenizer, capfd: pytest.CaptureFixture[str], width: int) -> None:
    """Of a vocabulary that does not fill its last word, the rest of the word is no token, for nobody."""
    grammars = Grammars(tokenizer, width)
    for spec, text in (
        (quick(0), '{"p0": 1'),
        (grammar_spec("regex", "[^a]*"), "the c"),
        (grammar_spec("regex", "ab"), "ab"),
    ):
        constraint = grammars.compile(spec).constraint()
        for token in [*tokenizer.encode(text), None]:
            mask = torch.zeros((width + 31) // 32, dtype=torch.int32)
            constraint.fill(mask)
            assert max(allowed(mask)) < tokenizer.vocab_size
            if token is not None:
                constraint.accept(token)
        assert constraint.finished == (text == "ab")
    assert "Warning" not in capfd.readouterr().err
