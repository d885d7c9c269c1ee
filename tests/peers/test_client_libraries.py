"""LangChain, LlamaIndex and Vercel's AI SDK against the gateway: whole, streamed, tools, usage, and one that leaves.

They live in environments of their own, which `make clients` makes: `.venv-clients` and `build/clients`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.serve.gateway.put import Put, key
from tests.serve.gateway.running import DONE, Scripted, answer, chunk, usage, usage_chunk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent / "clients"
PYTHON, NODE = ROOT / ".venv-clients" / "bin" / "python", ROOT / "build" / "clients"
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}


def scripted(body: dict[str, Any]) -> Any:
    """What a model would say."""
    asked = str(body["messages"][-1]["content"])
    if "on and on" in asked:
        return [piece for _ in range(500) for piece in (chunk("on "), 0.02)]
    if body.get("tools"):
        message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "org/m", "choices": [choice],
                "usage": usage(100, 2)}  # fmt: skip
    if body.get("stream"):
        return [chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage_chunk(100, 2), DONE]
    return answer("Hello", 100, 2)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Put]:
    with ExitStack() as stack:
        yield Put(tmp_path, stack, Scripted(scripted))


def langchain() -> list[str]:
    return [str(PYTHON), str(HERE / "langchain_run.py")]


def llama_index() -> list[str]:
    return [str(PYTHON), str(HERE / "llama_index_run.py")]


def ai_sdk() -> list[str]:
    copy = NODE / "ai_sdk_run.mjs"  # node looks for what it imports beside the file
    if NODE.exists():
        shutil.copyfile(HERE / copy.name, copy)
    return [shutil.which("node") or "node", str(copy)]


@pytest.mark.parametrize("client", [langchain, llama_index, ai_sdk])
def test_a_client_is_served_and_charged(made: Put, client: Callable[[], list[str]]) -> None:
    command = client()
    if not all(Path(word).exists() for word in command) or (client is ai_sdk and not (NODE / "node_modules").exists()):
        pytest.skip("the clients are not here: `make clients` installs them")
    secret = key(made, budget="$1")["Authorization"].removeprefix("Bearer ")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENAI"))}
    done = subprocess.run(
        [*command, made.url, secret], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "whole": "Hello", "usage": [100, 2], "streamed": "Hello", "streamed_usage": [100, 2],
        "tool": ["weather", {"city": "Paris"}], "begun": "on ",
    }  # fmt: skip
    assert made.upstream.left.wait(10)
    deadline = time.monotonic() + 10
    while (sums := made.sums())[0] < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sums[0] == 4
    assert 2 * 3 < sums[3] < 100  # of the one that left, what had come
