"""What an engine calls its model, where its metrics do not say: asked of its list of models, beside them."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit, urlunsplit

from centime.errors import UserError
from centime.ledger.imports.read import fetch_page

MOST_CHARACTERS = 200
_FILE = re.compile(r"(?:.*[/\\])?([^/\\]+?)(?:-\d{5}-of-\d{5})?\.gguf", re.IGNORECASE)


def model_behind(page: str) -> str:
    """The name of the one model that the server of a metrics page lists at /v1/models; '' where it lists none or
    several, or does not say to who has no key. A file's name stands without its folder: llama-server lists its path.
    """
    try:
        text, _ = fetch_page(urlunsplit(urlsplit(page)._replace(path="/v1/models", query="", fragment="")))
        names = {str(one["id"]) for one in json.loads(text)["data"]}
    except (UserError, ValueError, TypeError, KeyError):
        return ""
    if len(names) != 1:
        return ""
    (name,) = names
    match = _FILE.fullmatch(name)
    plain = "".join(sign for sign in (match[1] if match else name) if sign.isprintable()).strip()
    return plain[:MOST_CHARACTERS]
