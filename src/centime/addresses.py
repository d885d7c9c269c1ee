"""Addresses as they may be shown: what of them may be a secret is left out.

A password stands before the host (RFC 3986, 3.2.1), a token in the query or, of a webhook, in the path: whoever has the
address may post to it. Whatever prints an address that may hold a secret prints what these leave of it.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

LEFT_OUT = "…"


def shown_address(address: str) -> str:
    """Scheme, host, port and path: 'http://user:key@host:1/v1?key=k' -> 'http://host:1/v1?…'.

    The user goes too: some servers take a token as one.
    """
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        scheme, rest = "", address
    end = _end_of_host(rest)
    host = rest[:end].rpartition("@")[2]
    path, mark, _ = rest[end:].partition("?")
    return f"{scheme}{slashes}{host}{path.partition('#')[0]}{mark and mark + LEFT_OUT}"


def shown_host(address: str) -> str:
    """Scheme and host alone, for addresses whose path is a secret: 'https://hooks.example/T1/x' ->
    'https://hooks.example/…'. '' stays ''."""
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{parts.scheme}://{host}/{LEFT_OUT}" if host else LEFT_OUT


def without_secrets(text: str, address: str) -> str:
    """A sentence of somebody else's about `address`, with whatever of it is a password left out, quoted or decoded."""
    rest = address.partition("://")[2]
    user, _, _ = rest[: _end_of_host(rest)].rpartition("@")
    query = address.partition("?")[2]
    found = {user.partition(":")[2], *(value for name, value in parse_qsl(query) if name.endswith("password"))}
    found |= {one.strip("'") for one in re.findall(r"password\s*=\s*('[^']*'|[^'\s&]+)", address)}  # libpq's other form
    for secret in sorted(found | {unquote(one) for one in found}, key=len, reverse=True):
        if secret:
            text = text.replace(secret, LEFT_OUT)
    return text


def _end_of_host(rest: str) -> int:
    """Where the path begins. An @ behind the first / belongs to the password where no other stands before it: people
    forget to quote."""
    found = re.match(r"[^/?#@]*:[^@]*@[^/?#]*|[^/?#]*", rest)
    assert found is not None, "the pattern matches the empty text too"
    return found.end()
