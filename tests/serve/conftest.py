"""One server for the tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.serve.api.running import running

from centime.serve.api.service import Service


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """(URL, what the server shares)."""
    with running(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def url(served: tuple[str, Service]) -> str:
    return served[0]
