"""Secrets that overlap, keys that end, and what the audit keeps of it."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from tests.serve.accounts.made import keyed

from centime.errors import UserError
from centime.serve.accounts import Refused
from centime.serve.accounts.access.audit import latest, noting
from centime.serve.accounts.access.lifetimes import MOST_OVERLAP_S, instant_ns, rotate
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store


def test_the_secret_before_is_good_for_the_overlap_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    accounts, _ = keyed(path)
    store = Store(path)
    secrets = [add_key(store, "bob")]
    secrets += [rotate(store, "bob", overlap) for overlap in (MOST_OVERLAP_S, 60.0)]
    good = []
    for secret in [*secrets, rotate(store, "bob")]:
        try:
            good.append(accounts.authenticate(secret).name)
        except Refused:
            good.append("")
    assert good == ["", "", "", "bob"], "the last one was rotated without an overlap"
    rotate(store, "bob", MOST_OVERLAP_S)
    for overlap in (-1.0, MOST_OVERLAP_S + 1, float("nan")):
        with pytest.raises(UserError, match="seconds is none; give 0 to"):
            rotate(store, "bob", overlap)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2027-01-31", datetime.datetime(2027, 1, 31, tzinfo=datetime.UTC)),
        ("2027-01-31T18:00:00", datetime.datetime(2027, 1, 31, 18, tzinfo=datetime.UTC)),
        ("2027-01-31T18:00:00Z", datetime.datetime(2027, 1, 31, 18, tzinfo=datetime.UTC)),
        ("2027-01-31T18:00:00+05:45", datetime.datetime(2027, 1, 31, 12, 15, tzinfo=datetime.UTC)),
    ],
)
def test_an_instant_without_a_zone_is_of_utc(
    text: str, when: datetime.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert instant_ns(text) == int(when.timestamp()) * 10**9
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_audit_has_the_newest_first_with_its_moment(tmp_path: Path) -> None:
    store = Store(tmp_path / "ledger.sqlite")
    before = datetime.datetime.now(datetime.UTC)
    for number in range(3):
        with noting(store, "me", "change key", f"key{number}", {"é": number}):
            pass
    found = latest(store, 2)
    assert [(one["target"], one["details"]) for one in found] == [("key2", {"é": 2}), ("key1", {"é": 1})]
    for one in found:
        moment = datetime.datetime.fromisoformat(one["at"])
        assert before - datetime.timedelta(seconds=1) <= moment <= datetime.datetime.now(datetime.UTC)
