"""Whose a request is, and what for, in its client's own words: kept with the request's row, for the bill to sort by.

A client writes what it likes, so each name is as long as it may be and no longer, and a ledger keeps so many different
ones a month of each key, all later ones together as OTHER.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from centime.errors import UserError

MOST_VALUE = 512  # characters, as OpenAI has it for metadata
MOST_TAGS = 16  # of one request, as there
OTHER = "(other)"
HEADER = "x-centime-tags"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALSO = {"user_id": "user", "session_id": "session"}


@dataclass(frozen=True)
class RequestTags:
    """What a request says of itself; '' where it says nothing.

    team: as the client says; where its key stands in one, that one is meant. model: as it was asked for. other: all
    further ones, 'name=value' by name with commas between.
    """

    user: str = ""
    session: str = ""
    team: str = ""
    model: str = ""
    feature: str = ""
    other: str = ""


NO_TAGS = RequestTags()
TAG_NAMES = tuple(field.name for field in fields(RequestTags))


def tags_of(header: str | None, body: Mapping[str, Any]) -> RequestTags:
    """The tags of a request: its header's ('team=research,feature=search'), then its body's.

    Of OpenAI's bodies `safety_identifier` or `user` names the user, of DeepSeek's `user_id`, of Anthropic's
    `metadata.user_id`; the words of `metadata` are tags too. What of a body is no text is no tag. Raises UserError for
    a header that cannot be read.
    """
    found: dict[str, str] = {}
    metadata = body.get("metadata")
    for name, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(value, str) and len(found) < MOST_TAGS:
            found[_ALSO.get(name, name)] = value
    for name in ("user_id", "user", "safety_identifier"):
        if isinstance(value := body.get(name), str) and value:
            found["user"] = value
    found |= _of_header(header or "")
    model = body.get("model")
    found["model"] = model if isinstance(model, str) else ""
    known = {name: plain_value(found.pop(name)) for name in TAG_NAMES if name in found and name != "other"}
    rest = ",".join(f"{name}={plain_value(value)}" for name, value in sorted(found.items()))
    return RequestTags(**known, other=rest)


def plain_value(text: str) -> str:
    """A value as it is kept: of printable characters, not longer than it may be."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:MOST_VALUE].strip()


def _of_header(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (word.strip() for word in pair.partition("="))
        if not sign or not _NAME.fullmatch(name):
            raise UserError(
                f"{HEADER} holds {pair[:100]!r}; expected names and values with commas between, such as "
                "team=research,feature=search."
            )
        found[_ALSO.get(name, name)] = value
    if len(found) > MOST_TAGS:
        raise UserError(f"{HEADER} holds {len(found)} tags; a request may have {MOST_TAGS}.")
    return found
