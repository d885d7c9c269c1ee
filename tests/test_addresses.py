"""No password, token or path of a webhook is left in an address as it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.addresses import shown_address, shown_host, without_secrets

WORDS = st.text("abcxyz0123456789-._~!$&'()*+,;=%", min_size=1)
SECRETS = WORDS.map(lambda text: f"S3CRET{text}")


@given(SECRETS, st.sampled_from(["http", "https", "postgresql"]), st.sampled_from(["", "/v1", "/a/b"]))
def test_what_stands_before_the_host_and_in_the_query_is_left_out(secret: str, scheme: str, path: str) -> None:
    for address in (
        f"{scheme}://user:{secret}@host:8000{path}",
        f"{scheme}://{secret}@host:8000{path}",
        f"{scheme}://user:a@{secret}@host:8000{path}",
        f"{scheme}://user:a/{secret}@host:8000{path}",
    ):
        assert shown_address(address) == f"{scheme}://host:8000{path}"
    assert shown_address(f"{scheme}://host:8000{path}?key={secret}#x") == f"{scheme}://host:8000{path}?…"


@given(SECRETS)
def test_of_a_webhook_the_host_alone_is_shown(secret: str) -> None:
    assert shown_host(f"https://u:p@hooks.example:1/{secret}?t={secret}") == "https://hooks.example:1/…"
    assert "S3CRET" not in shown_host(f"hooks.example/{secret}")


@pytest.mark.parametrize("address", ["http://host", "https://[::1]:80/v1", "postgresql://db/ledger", "host:80", ""])
def test_an_address_without_secrets_stays_as_it_is(address: str) -> None:
    assert shown_address(address) == address


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("postgresql://u:pa%ss@db/x", "pa%ss"),
        ("postgresql://u:pa%25ss@db/x", "pa%ss"),
        ("postgresql://u:pa%25ss@db/x", "pa%25ss"),
        ("postgresql://db/x?user=u&password=pa%25ss", "pa%ss"),
        ("host=db password=pa%ss", "pa%ss"),
        ("host=db password='pa ss'", "pa ss"),
    ],
)
def test_a_sentence_about_an_address_does_not_tell_its_password(address: str, secret: str) -> None:
    assert without_secrets(f'invalid token: "{secret}" of {address}', address).startswith('invalid token: "…" of ')
