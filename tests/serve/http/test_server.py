"""The socket that a server listens on."""

from __future__ import annotations

import pytest

from centime.errors import UserError
from centime.serve.http.server import bind


@pytest.mark.parametrize("host", ["x" * 5000, "no such host", "..", "256.1.1.1"])
def test_what_is_no_host_is_a_sentence(host: str) -> None:
    with pytest.raises(UserError, match=r"cannot listen on .* give another --host or --port"):
        bind(host, 0)
