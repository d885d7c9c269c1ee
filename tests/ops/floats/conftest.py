"""Every test runs on each kind of kernels that this processor has, by two threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.ops.panels.cases import ALL, found

from centime.ops import native


@pytest.fixture(params=ALL, autouse=True)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert found is not None
    assert found.choose(request.param)
    monkeypatch.setattr(native, "FLOAT_KERNELS", ALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)
    found.use_threads(threads)
    found.choose(ALL[0])
