"""Which names of a host mean this machine, whatever the network."""

from __future__ import annotations

import pytest

from centime.serve.http.auth import is_loopback


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("page.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.0.7", False),
        ("localhost.example.org", False),
        ("notlocalhost", False),
        ("", False),
    ],
)
def test_this_machine_by_name_and_address(host: str, own: bool) -> None:
    assert is_loopback(host) is own
