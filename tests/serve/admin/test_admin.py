"""Keys and budgets over HTTP, through a real gateway, with the administrator's key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serve.gateway.put import ASK, Put
from tests.serve.gateway.running import answer

from centime.serve.telemetry.request_log import RequestLog

ADMIN = {"Authorization": "Bearer the-admin"}


@pytest.fixture
def made(put: Callable[..., Put], monkeypatch: pytest.MonkeyPatch) -> Put:
    monkeypatch.setenv("CENTIME_ADMIN_KEY", "the-admin")
    return put(answer("Hello", 100, 2))


def admin(made: Put, method: str, path: str, body: Any = None, header: dict[str, str] = ADMIN) -> httpx2.Response:
    return made.client.request(method, f"/admin{path}", json=body, headers=header)


def ask(made: Put, secret: str) -> int:
    return made.post(ASK | {"max_tokens": 10}, Authorization=f"Bearer {secret}").status_code


def test_a_key_from_its_making_to_its_end(made: Put) -> None:
    new = admin(made, "POST", "/keys", {"name": "alice", "budget": "$1", "place": "acme/research"})
    assert new.status_code == 201
    first = new.json()["secret"]
    assert ask(made, first) == 200
    changed = admin(
        made, "PATCH", "/keys/alice", {"add_budget": "$2", "concurrency": 3, "expires": "2100-01-31"}
    ).json()
    assert (changed["concurrency"], changed["topped_up"], changed["expires"]) == (3, "3", 4105036800)
    second = admin(made, "POST", "/keys/alice/rotate", {"overlap_seconds": 60}).json()["secret"]
    assert [ask(made, first), ask(made, second)] == [200, 200]
    third = admin(made, "POST", "/keys/alice/rotate", {"overlap_seconds": 0}).json()["secret"]
    assert [ask(made, first), ask(made, second), ask(made, third)] == [401, 401, 200]
    admin(made, "PATCH", "/keys/alice", {"expires": "2020-01-31"})
    assert ask(made, third) == 401
    admin(made, "PATCH", "/keys/alice", {"expires": ""})
    assert ask(made, third) == 200
    assert admin(made, "DELETE", "/keys/alice").json()["revoked"]
    assert ask(made, third) == 401
    assert {row.key: row.requests for row in made.served()} == {"alice": 5}
    told = admin(made, "GET", "/audit").json()["audit"]
    assert [line["action"] for line in told] == [
        "revoke key", "change key", "change key", "rotate key", "rotate key", "change key", "create key",
    ]  # fmt: skip
    everything = json.dumps([told, admin(made, "GET", "/keys").json()])
    assert not any(secret in everything for secret in (first, second, third, "the-admin"))


def test_a_change_and_its_line_are_there_together_or_not_at_all(made: Put) -> None:
    secret = admin(made, "POST", "/keys", {"name": "alice", "budget": "$1"}).json()["secret"]
    before = admin(made, "GET", "/audit").json()
    assert admin(made, "PATCH", "/keys/alice", {"place": "acme", "add_budget": "1 EUR"}).status_code == 422
    assert admin(made, "GET", "/keys/alice").json()["place"] is None
    assert admin(made, "GET", "/audit").json() == before
    with sqlite3.connect(made.home / "ledger.sqlite") as ledger:
        ledger.execute("ALTER TABLE audit RENAME TO elsewhere")
    for method, path, body in (
        ("DELETE", "/keys/alice", None),
        ("PATCH", "/keys/alice", {"expires": "2020-01-31"}),
        ("POST", "/keys/alice/rotate", {"overlap_seconds": 0}),
    ):
        assert admin(made, method, path, body).status_code == 500
        assert ask(made, secret) == 200


def test_budgets_and_teams(made: Put) -> None:
    admin(made, "POST", "/keys", {"name": "bob", "place": "acme/research"})
    cap = admin(made, "POST", "/budgets", {"target": "acme/research", "amount": "$5", "per": "day"})
    assert cap.status_code == 201, cap.text
    listed = admin(made, "GET", "/budgets").json()
    assert [one["target"] for one in listed["budgets"]] == ["acme/research"]
    changed = admin(made, "PATCH", "/budgets/acme/research", {"amount": "$7", "hard": False}).json()
    assert (changed["limit"], changed["hard"], changed["per"], changed["alerts"]) == ("7", False, "day", [50, 80, 100])
    assert admin(made, "PATCH", "/budgets/acme/research", {"amount": "7 EUR"}).status_code == 422
    told = admin(made, "GET", "/audit").json()["audit"][0]
    assert (told["action"], told["details"]) == ("change budget", {"amount": "$7", "hard": False})
    assert admin(made, "DELETE", "/budgets/acme/research?per=day").status_code == 200
    assert admin(made, "GET", "/budgets").json()["budgets"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/keys", {"name": "no spaces"}, 422, "cannot name a key"),
        ("POST", "/keys", {"name": "x", "buget": "$1"}, 400, "buget"),
        ("POST", "/keys", {"name": "x", "expires": "tomorrow"}, 422, "'tomorrow' is no instant"),
        ("POST", "/keys", {"name": "x", "budget": "much"}, 422, "much"),
        ("GET", "/keys/nobody", None, 404, "There is no key 'nobody'."),
        ("POST", "/keys/nobody/rotate", {}, 404, "There is no key 'nobody'."),
        ("POST", "/budgets", {"target": "", "amount": "$1"}, 422, ""),
        ("DELETE", "/budgets/nothing", None, 422, "nothing"),
        ("GET", "/audit?limit=0", None, 422, "limit"),
    ],
)
def test_what_cannot_be_is_a_sentence(made: Put, method: str, path: str, body: Any, status: int, said: str) -> None:
    told = admin(made, method, path, body)
    assert told.status_code == status, told.text
    assert said in told.json()["error"]["message"]
    assert admin(made, "GET", "/keys").json() == {"keys": []}


WRONG_FIELDS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/keys", {"name": "no spaces"}, "name"),
    ("POST", "/keys", {"name": "taken"}, "name"),
    ("POST", "/keys", {"name": "x", "budget": "much"}, "budget"),
    ("POST", "/keys", {"name": "x", "budget": "5 EUR", "price_list": "1,2,3"}, "budget"),
    ("POST", "/keys", {"name": "x", "price_list": "none such"}, "price_list"),
    ("POST", "/keys", {"name": "x", "place": "a/b/c"}, "place"),
    ("POST", "/keys", {"name": "x", "requests_per_minute": 0}, "requests_per_minute"),
    ("POST", "/keys", {"name": "x", "concurrency": 10**10}, "concurrency"),
    ("POST", "/keys", {"name": "x", "expires": "tomorrow"}, "expires"),
    ("PATCH", "/keys/taken", {"add_budget": "$1"}, "add_budget"),
    ("PATCH", "/keys/taken", {"place": "a b"}, "place"),
    ("POST", "/keys/taken/rotate", {"overlap_seconds": -1}, "overlap_seconds"),
    ("POST", "/budgets", {"target": "a b", "amount": "$1"}, "target"),
    ("POST", "/budgets", {"target": "acme", "amount": "$1"}, "target"),
    ("POST", "/budgets", {"target": "x", "amount": "$1", "per": "ever", "zone": "UTC"}, "zone"),
    ("POST", "/budgets", {"target": "x", "amount": "$1", "zone": "Mars"}, "zone"),
    ("POST", "/budgets", {"target": "x", "amount": "$1", "alerts": "200"}, "alerts"),
    ("POST", "/budgets", {"target": "x", "amount": "$1", "webhook": "hooks"}, "webhook"),
    ("PATCH", "/budgets/acme", {"amount": "1 EUR"}, "amount"),
]


def test_an_error_names_the_field_that_it_is_about(made: Put) -> None:
    admin(made, "POST", "/keys", {"name": "taken"})
    admin(made, "POST", "/budgets", {"target": "acme", "amount": "$1"})
    for method, path, body, param in WRONG_FIELDS:
        told = admin(made, method, path, body)
        assert told.status_code == 422, (path, body, told.text)
        assert told.json()["error"]["param"] == param, (path, body)
        assert told.json()["error"]["message"].startswith(f"{param}: ")
        assert ": --" not in told.json()["error"]["message"]


def test_what_a_webhooks_address_holds_is_told_nobody(
    made: Put, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = "https://u:S3CRET@hooks.example/T1/S3CRET?token=S3CRET"
    log = RequestLog(str(tmp_path / "requests.jsonl"), bodies=True)
    made.observers.append(log)
    told = [
        admin(made, "POST", "/budgets", {"target": "acme", "amount": "$1", "webhook": address}),
        admin(made, "PATCH", "/budgets/acme", {"webhook": f"{address}&again"}),
        admin(made, "PATCH", "/budgets/acme", {"webhook": f"hooks.example/{address}"}),
        admin(made, "POST", "/keys", {"name": "bob"}),
    ]
    with sqlite3.connect(made.home / "ledger.sqlite") as ledger:  # as an earlier version wrote it
        kept = ledger.execute("SELECT details FROM audit").fetchall()
        ledger.execute("UPDATE audit SET details = ? WHERE id = 1", (json.dumps({"webhook": address}),))
        assert ledger.execute("SELECT webhook FROM budgets").fetchone() == (f"{address}&again",)
    told += [admin(made, "GET", path) for path in ("/budgets", "/audit", "/metrics")]
    assert [one.status_code for one in told] == [201, 200, 422, 201, 200, 200, 200]
    assert told[0].json()["webhook"] == "https://hooks.example/…"
    again = admin(made, "PATCH", "/budgets/acme", {"webhook": told[0].json()["webhook"]})
    assert again.status_code == 422
    assert "as it is shown" in again.json()["error"]["message"]
    told.append(made.client.get("/page/spending", headers=ADMIN))
    told.append(admin(made, "DELETE", "/budgets/acme"))
    log.close()
    lines = (tmp_path / "requests.jsonl").read_text()
    assert '"/admin/keys"' in lines
    assert told[3].json()["secret"] not in lines
    assert "S3CRET" not in "".join([*(one.text for one in told), str(kept), lines, *capfd.readouterr()])


def test_only_the_administrator_is_let_in(made: Put) -> None:
    for header in ({}, {"Authorization": "Bearer the-admi"}, {"x-api-key": "e"}):
        assert admin(made, "GET", "/keys", header=header).status_code == 401
        assert admin(made, "POST", "/keys", {"name": "x"}, header).status_code == 401
    assert admin(made, "GET", "/keys", header={"x-api-key": "the-admin"}).status_code == 200
    foreign = {**ADMIN, "Origin": "https://evil.example"}
    admin(made, "POST", "/keys", {"name": "y"})
    for method, path, body in (("POST", "", {"name": "x"}), ("PATCH", "/y", {"place": "a"}), ("DELETE", "/y", None)):
        assert admin(made, method, f"/keys{path}", body, foreign).status_code == 403
    assert [one["revoked"] for one in admin(made, "GET", "/keys").json()["keys"]] == [None]
    assert "/admin/keys" in made.client.get("/openapi.json").json()["paths"]


def test_without_an_administrators_key_there_is_nothing(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 2))
    told = admin(made, "GET", "/keys")
    assert told.status_code == 404
    assert "CENTIME_ADMIN_KEY" in told.json()["error"]["message"]
    assert "/admin/keys" not in made.client.get("/openapi.json").json()["paths"]


def test_the_administrator_sees_all_of_the_page_and_asks_no_model(made: Put) -> None:
    secret = admin(made, "POST", "/keys", {"name": "alice", "place": "acme/research"}).json()["secret"]
    ask(made, secret)
    made.served()
    told = made.client.get("/page/spending?lang=en", headers=ADMIN).json()["sections"]
    assert [section["title"] for section in told][-1] == "Keys"
    own = made.client.get("/page/spending", headers={"Authorization": f"Bearer {secret}"}).json()["sections"]
    assert "Keys" not in [section["title"] for section in own]
    assert made.client.get("/page/spending?lang=de", headers=ADMIN).status_code == 422
    assert made.client.get("/page/spending").status_code == 401
    assert ask(made, "the-admin") == 401
