"""The gateway over a scripted upstream, as a fixture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.serve.gateway.put import Put
from tests.serve.gateway.running import Scripted


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Callable[..., Put]]:
    """Makes a gateway over an upstream that answers so."""
    with ExitStack() as stack:

        def make(reply: Any, *, owner: str = "vllm", context: int | None = 1000, **given: Any) -> Put:
            upstream = Scripted(reply if inspect.isfunction(reply) else lambda _: reply, owner=owner, context=context)
            return Put(tmp_path, stack, upstream, **given)

        yield make
