"""Every test runs on all kernels that this processor has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.ops.panels.cases import ALL, found

from centime.native.library import Library


@pytest.fixture(params=ALL, autouse=True)
def kernels(request: pytest.FixtureRequest) -> Iterator[Library]:
    assert found is not None
    before = ALL[0]
    assert found.choose(request.param)
    found.use_threads(3)
    with torch.no_grad():
        yield found
    found.use_threads(torch.get_num_threads())
    found.choose(before)
