"""Whom a budget is for, in one word, and which of these words a request falls under.

acme                      an organisation
acme/research             a team of it
key:alice                 a key
acme/research/user:bob    a user of the team's keys, as the client names him
acme/user:*               each user of the organisation's keys, by himself
key:alice/session:*       each session of a key
user:*                    each user of any key
"""

from __future__ import annotations

import re

from centime.errors import UserError
from centime.ledger.tags import MOST_VALUE, RequestTags

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
EACH = "*"


def targets_of(place: str, key: str, tags: RequestTags) -> list[tuple[str, str]]:
    """All targets that a request falls under, each with whose count it is ('' but for those of each person).

    place: where its key stands, 'organisation/team', 'organisation' or ''.
    """
    organisation = place.partition("/")[0]
    above = [organisation] if organisation else []
    above += [place] if place != organisation else []
    above += [f"key:{key}"] if key else []
    found = [(target, "") for target in above]
    for kind, who in (("user", tags.user), ("session", tags.session)):
        if who:
            for target in ("", *(f"{one}/" for one in above)):
                found += [(f"{target}{kind}:{who}", ""), (f"{target}{kind}:{EACH}", who)]
    return found


def check_target(text: str) -> str:
    """The target. Raises UserError where it is none."""
    above, kind, who = split_person(text)
    if kind and (not who or len(who) > MOST_VALUE or not who.isprintable()):
        raise _no_target(text)
    if above.startswith("key:"):
        good = NAME.fullmatch(above.removeprefix("key:")) is not None
    else:
        good = _is_place(above) or (above == "" and kind != "")
    if not good:
        raise _no_target(text)
    return text


def check_place(text: str) -> str:
    """Where a key stands: an organisation or a team of one. Raises UserError where it is neither."""
    if not _is_place(text):
        raise UserError(
            f"{text!r} is no organisation and no team; give one such as acme or acme/research, of letters, digits "
            "and . _ @ -."
        )
    return text


def split_person(target: str) -> tuple[str, str, str]:
    """'acme/user:bob' -> ('acme', 'user', 'bob'); kind and name are '' of a target without a person."""
    found = re.fullmatch(r"(?:(.*?)/)?(user|session):(.*)", target, re.DOTALL)
    return (found[1] or "", found[2], found[3]) if found else (target, "", "")


def kind_of(target: str) -> str:
    """'organisation', 'team', 'key', 'user' or 'session'."""
    above, kind, _ = split_person(target)
    if kind:
        return kind
    if above.startswith("key:"):
        return "key"
    return "team" if "/" in above else "organisation"


def _is_place(text: str) -> bool:
    parts = text.split("/")
    return len(parts) <= 2 and all(NAME.fullmatch(part) for part in parts)


def _no_target(text: str) -> UserError:
    return UserError(
        f"{text!r} is nobody whom a budget can be for; give an organisation (acme), a team (acme/research), a key "
        "(key:alice), or behind one of these, or alone, a person: acme/user:bob, acme/user:* for each user by himself, "
        "key:alice/session:*."
    )
