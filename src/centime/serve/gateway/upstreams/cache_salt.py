"""Whose prefix cache a request uses at the upstream: no key finds there, by hits or by time, what another one asked.

An upstream keeps the caches of its own keys apart, and to it the gateway is one. So each request carries a value made
of the key's name and of what its client sent to tell its own users apart. It is keyed with a secret of this
installation, so that no upstream can read a name out of it and no client can make another key's value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from centime.files.durable import sync
from centime.files.leftovers import unfinished_file
from centime.serve.http.paths import Kind

SECRET_BYTES = 32
SALTED = {"centime": "user_id", "deepseek": "user_id", "vllm": "cache_salt", "sglang": "cache_salt"}
"""kind of the upstream -> its field. Others, llama-server among them, have none: their keys share one cache."""

SHARED = (
    "Prefixes are cached for all keys together: this upstream has no salt that would keep them apart, so that a key "
    "can tell by its hits what another one asked."
)


def salted(body: Mapping[str, Any], kind: Kind, upstream: str, key: str, secret: bytes) -> dict[str, Any]:
    """The body with its salt. key: the name of whose request it is; '' where a server has no keys, and no salt."""
    name = SALTED.get(upstream)
    if not key or name is None:
        return dict(body)
    if name == "user_id" and kind == "messages":  # Anthropic's place for it
        metadata = body.get("metadata") or {}
        return {**body, "metadata": {**metadata, name: _salt(key, metadata.get(name), secret)}}
    users = body.get("user_id") or body.get("user") if name == "user_id" else body.get(name)
    return {**body, name: _salt(key, users, secret)}


def _salt(key: str, users: Any, secret: bytes) -> str:
    return hmac.new(secret, json.dumps([key, users or ""]).encode(), hashlib.sha256).hexdigest()


def installation_secret(folder: Path) -> bytes:
    """The secret kept in `folder`, the ledger's, which gateways share and restarts keep; a new one where it has none.

    Where it cannot be kept it lasts as long as the process.
    """
    path, new = folder / "gateway.secret", secrets.token_bytes(SECRET_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with unfinished_file(path) as beside:
                beside.chmod(0o600)
                beside.write_bytes(new)
                sync(beside)
                with suppress(FileExistsError):
                    os.link(beside, path)  # whole, or another gateway's
        kept = path.read_bytes()
    except OSError:
        return new
    return kept if len(kept) == SECRET_BYTES else new
