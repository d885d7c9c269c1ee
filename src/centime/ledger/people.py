"""What a ledger knows of one user, given out and forgotten: sums and money stay, the name does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from centime.catalogue.tariffs import decimal
from centime.ledger.tagged import SUMS

ERASED = "(erased)"
COLUMNS = (
    "instant_ns", "key", "run", "user", "session", "team", "model", "feature", "other", "prompt_tokens",
    "cached_tokens", "answer_tokens", "price", "currency",
)  # fmt: skip


def rows_of(connection: sqlite3.Connection, user: str) -> Iterator[tuple[Any, ...]]:
    """Every request of a user, in the order in which they came, by COLUMNS."""
    for row in connection.execute(
        "SELECT arrived_ns, key, run, by_user, by_session, by_team, by_model, by_feature, by_other, prompt_tokens, "
        "hit_tokens, output_tokens, list_pico, currency FROM requests JOIN request_tags ON request_tags.id = tags "
        "JOIN request_names ON request_names.id = names WHERE by_user = ? ORDER BY arrived_ns",
        (user,),
    ):
        yield (*row[:12], decimal(row[12]), row[13])


def erase(connection: sqlite3.Connection, user: str) -> int:
    """Forget a user's name, sessions and further tags, in one transaction; how many requests had them.

    The requests, and the sums of their days, stand under ERASED from then on, with every token and amount. What is
    forgotten is overwritten in the file, and in the log beside it as far as no other process reads there.
    """
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        (count,) = connection.execute(
            "SELECT count(*) FROM requests JOIN request_tags ON request_tags.id = tags WHERE by_user = ?", (user,)
        ).fetchone()
        connection.execute(  # a client's own id may name him
            "UPDATE requests SET request_id = '' WHERE tags IN (SELECT id FROM request_tags WHERE by_user = ?)", (user,)
        )
        _merge_tags(connection, user)
        _merge_sums(connection, user)
        connection.execute("DELETE FROM tag_values WHERE tag = 'user' AND value = ?", (user,))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(count)


def _merge_tags(connection: sqlite3.Connection, user: str) -> None:
    for number, team, model, feature, session, other in connection.execute(
        "SELECT id, by_team, by_model, by_feature, by_session, by_other FROM request_tags WHERE by_user = ?", (user,)
    ).fetchall():
        kept = (ERASED, team, model, feature)
        found = connection.execute(
            "SELECT id FROM request_tags WHERE by_user = ? AND by_team = ? AND by_model = ? AND by_feature = ? "
            "AND by_session = '' AND by_other = ''",
            kept,
        ).fetchone()
        if found is None:
            connection.execute(
                "UPDATE request_tags SET by_user = ?, by_session = '', by_other = '' WHERE id = ?", (ERASED, number)
            )
        else:
            connection.execute("UPDATE requests SET tags = ? WHERE tags = ?", (found[0], number))
            connection.execute("DELETE FROM request_tags WHERE id = ?", (number,))
        for tag, value in (("session", session), ("other", other)):
            connection.execute("DELETE FROM tag_values WHERE tag = ? AND value = ?", (tag, value))


def _merge_sums(connection: sqlite3.Connection, user: str) -> None:
    names = "day, by_organisation, by_team, by_key, by_model, by_feature, by_run, by_price_list, by_currency"
    added = ", ".join(f"{name} = tagged.{name} + excluded.{name}" for name in SUMS)
    connection.execute(
        f"INSERT INTO tagged ({names}, by_user, {', '.join(SUMS)}) "
        f"SELECT {names}, ?, {', '.join(SUMS)} FROM tagged WHERE by_user = ? "
        f"ON CONFLICT (day, by_organisation, by_team, by_key, by_user, by_model, by_feature, by_run, by_price_list, "
        f"by_currency) DO UPDATE SET {added}",
        (ERASED, user),
    )
    connection.execute("DELETE FROM tagged WHERE by_user = ?", (user,))
