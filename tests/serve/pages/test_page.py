"""The page's routes over HTTP: its files and their policy, who may see what, plans in processes of their own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.serve.web.browser import serving

from centime.catalogue.tariffs import tariff_for
from centime.serve.accounts import Account, Accounts
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.engine.request import Usage
from centime.serve.pages.money_views import BillView, prices_now
from centime.serve.pages.page import CHARTS, OF_CHARTS, TYPES, WEB

NOBODY = Account("", None, None, None, None)


def page(**views: Any) -> Any:
    """An app with the page alone."""
    from fastapi import FastAPI

    from centime.serve.http.errors import install_handlers
    from centime.serve.pages.page import page_routes

    app = FastAPI()
    install_handlers(app)
    app.include_router(page_routes(lambda: NOBODY, **views))
    return app


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(page()) as url, httpx.Client(base_url=url, timeout=60) as found:
        yield found


def test_the_page_and_its_files_are_sent_with_a_policy_that_lets_nothing_else_in(client: httpx.Client) -> None:
    index = client.get("/")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="(static/[\w.-]+)"', index.text)
    assert len(named) >= 9
    paths = [*WEB.iterdir(), *(CHARTS / name for name in OF_CHARTS)]
    for path in paths:
        file = client.get(f"/static/{path.name}")
        assert file.status_code == 200
        assert file.headers["content-type"].startswith(TYPES[path.suffix])
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in file.headers["content-security-policy"]
        named += [f"static/{name}" for name in re.findall(r'from "\./([\w.-]+)"', file.text)]
    assert {name.removeprefix("static/") for name in named} | {"index.html", "docs.css"} == {
        path.name for path in paths
    }


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "..%2f..%2fapi%2fpage.py", "%2e%2e", ".", "a%00b.js"])
def test_no_other_file_is_sent(name: str, client: httpx.Client) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_every_file_of_the_page_goes_into_the_package(root: Path) -> None:
    packaged = (root / "pyproject.toml").read_text(encoding="utf-8")
    for suffix in {path.suffix for path in WEB.iterdir()}:
        assert f'"**/*{suffix}"' in packaged


def test_views_that_a_server_does_not_have_are_404_and_none_is_in_the_description(client: httpx.Client) -> None:
    for path, words in (("/page/engine", "no engine"), ("/page/bill", "no ledger")):
        answer = client.get(path)
        assert answer.status_code == 404
        assert words in answer.json()["error"]["message"]
    assert not [path for path in client.get("/openapi.json").json()["paths"] if "page" in path or "static" in path]


def test_a_bill_is_whole_at_the_machine_and_a_keys_own_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    store = Store(path)
    prices = tariff_for("1,2,3")
    secrets = {name: add_key(store, name, tariff=prices) for name in ("alice", "bob")}
    store.close()
    accounts = Accounts(path, run="tiny")
    times = {"machine_ns": 10**6, "queued_ns": 0, "first_token_ns": 1, "total_ns": 2}
    used = Usage(prompt_tokens=100, hit_tokens=60, output_tokens=10, **times)
    for name in ("alice", "alice", "bob"):
        account = accounts.authenticate(secrets[name])
        accounts.admit(account, prompt_tokens=100, max_tokens=10).settle(used)
    view = BillView(path)
    whole = view(None, NOBODY)
    assert [line["key"] for line in whole["serving"]["lines"]] == ["alice", "bob"]
    own = view(None, accounts.authenticate(secrets["alice"]))
    assert own["key"] == "alice"
    assert [(line["requests"], line["list_price"]) for line in own["lines"]] == [(2, pytest.approx(340e-6))]
    assert "machine_cost" not in own["lines"][0]
    accounts.close()


def test_prices_are_those_of_the_account_now(client: httpx.Client) -> None:
    assert client.get("/page/prices").json() == {}
    flat = Account("alice", tariff_for("0.003,0.15,0.6"), None, None, None)
    asked = {"name": "0.003,0.15,0.6", "currency": "USD", "hours": None, "hit": 0.003, "miss": 0.15, "output": 0.6}
    assert prices_now(flat) == pytest.approx(asked)
    by_hours = Account("bob", tariff_for("1,2,3/0.1,0.2,0.3"), None, None, None)
    assert prices_now(by_hours)["output"] == pytest.approx({"peak": 3, "off-peak": 0.3}[prices_now(by_hours)["hours"]])


def ask(client: httpx.Client, verb: str, **fields: str) -> httpx.Response:
    return client.post("/page/plan", json={"verb": verb, "fields": fields})


def test_the_form_offers_the_catalogue(client: httpx.Client) -> None:
    offered = client.get("/page/plan").json()
    assert "DeepSeek-V3" in offered["models"]
    assert "H800 SXM 80GB" in offered["chips"]
    assert "deepseek-r1" in offered["prices"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "fields", "drawn"),
    [
        (
            "serve",
            {"gpu": "h800", "gpus": "64", "prices": "deepseek-r1", "demand": ""},
            {"Throughput against speed", "Where a step's time goes"},
        ),
        (
            "train",
            {"tokens": "14.8T", "gpu": "h800", "gpus": "2048"},
            {"The pipeline in time", "Where a step's time goes", "Memory of the fullest chip"},
        ),
    ],
)
def test_a_plan_comes_in_both_languages_with_the_command_that_makes_it(
    verb: str, fields: dict[str, str], drawn: set[str], client: httpx.Client
) -> None:
    made = ask(client, verb, model="deepseek-v3", **fields).json()
    english, french = made["sections"]["en"], made["sections"]["fr"]
    assert [section["kind"] for section in english] == [section["kind"] for section in french]
    assert {section["kind"] for section in english} == {"figures", "table", "chart", "notes"}
    charts = [section for section in english if section["kind"] == "chart"]
    assert {chart["title"] for chart in charts} == drawn
    assert all(chart["table"]["rows"] and "<svg" in chart["picture"] for chart in charts)
    assert all(" style=" not in chart["picture"] for chart in charts)  # which the page's policy would refuse
    assert made["title"]["fr"].startswith({"serve": "Servir", "train": "Entraîner"}[verb])
    given = [part for name, text in fields.items() if text for part in (f"--{name}", text)]
    assert made["command"] == " ".join(["centime", "plan", verb, "--model", "deepseek-v3", *given])


@pytest.mark.slow
def test_a_plan_that_nobody_waits_for_ends(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post(
            "/page/plan",
            json={
                "verb": "train",
                "fields": {"model": "deepseek-v3", "tokens": "14.8T", "gpu": "b200", "gpus": "4096", "layout": "auto"},
            },
            timeout=0.3,
        )
    assert soon(lambda: not workers())
    assert ask(client, "serve", model="none").status_code == 422  # and the next one has its turn


def workers() -> list[psutil.Process]:
    """Planners that this process has started."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.is_running() and "plan_worker" in " ".join(child.cmdline())]


def soon(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()
