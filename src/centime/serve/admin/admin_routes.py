"""The routes below /admin. Each change is a line of the ledger's audit; no answer but the first has a secret in it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import HTTPConnection

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.serve.accounts.access import audit
from centime.serve.accounts.access.lifetimes import ends, instant_ns, rotate, set_end
from centime.serve.accounts.budgets.edit import CapTerms, add_budget, budgets, change_budget, remove_budget
from centime.serve.accounts.budgets.tree import tree
from centime.serve.accounts.keys import add_key, amount, check_free, list_keys, move, revoke, set_limits, top_up
from centime.serve.accounts.store import Store
from centime.serve.admin.bodies import ChangedBudget, ChangedKey, KeyRotation, NewBudget, NewKey, told
from centime.serve.admin.ledger_metrics import LedgerMetrics
from centime.serve.http.auth import is_administrator, secret_of
from centime.serve.http.errors import ApiError, error_responses
from centime.serve.http.json_route import JsonRoute

ADMIN_KEY = "CENTIME_ADMIN_KEY"
MOST_LINES = 1000


def admin_routes(store: Callable[[], Store], admin_key: str | None) -> APIRouter:
    """admin_key: what administrators send as their key; without one all of it answers 404, and is not described."""

    def check(request: Request) -> None:
        if admin_key is None:
            raise ApiError(404, f"There is no administrator here: the server was started without {ADMIN_KEY}.")
        if not is_administrator(secret_of(HTTPConnection(request.scope)), admin_key):
            raise ApiError(401, f"That is not the administrator's key: send what {ADMIN_KEY} holds as the API key.")

    routes = APIRouter(
        prefix="/admin", include_in_schema=admin_key is not None,
        tags=["Administration"], route_class=JsonRoute, dependencies=[Depends(check)],
        responses=error_responses((401, 404, 422)),
    )  # fmt: skip

    def shown(name: str | None = None) -> list[dict[str, Any]]:
        with store().reading() as connection:
            known = ends(connection)
        return [
            {**key.as_json(), "expires": known[key.name] // 10**9 if key.name in known else None}
            for key in list_keys(store())
            if name is None or key.name == name
        ]

    def noting(action: str, target: str, details: dict[str, Any]) -> AbstractContextManager[sqlite3.Connection]:
        return audit.noting(store(), audit.ADMINISTRATOR, action, target, details)

    def one(name: str) -> dict[str, Any]:
        if not (found := shown(name)):
            raise ApiError(404, f"There is no key {name!r}.")
        return found[0]

    @routes.get("/keys")
    def keys() -> dict[str, Any]:
        """Every key, the oldest first: what is left, what runs, its limits. No secret."""
        return {"keys": shown()}

    @routes.post("/keys", status_code=201)
    def new_key(body: NewKey) -> dict[str, Any]:
        """Make a key. Its secret is in this answer alone: the ledger keeps a hash of it."""
        end = instant_ns(body.expires) if body.expires else None
        tariff = tariff_for(body.price_list, hours=body.peak_hours) if body.price_list is not None else None
        with noting("create key", body.name, body.model_dump()) as connection:
            with _about("name"):
                check_free(connection, body.name)
            with _about("budget"):
                secret = add_key(
                    store(), body.name, tariff=tariff, budget=body.budget, per_minute=body.requests_per_minute,
                    concurrency=body.concurrency, place=body.place,
                )  # fmt: skip
            if end is not None:
                set_end(store(), body.name, end)
        return {**one(body.name), "secret": secret}

    @routes.get("/keys/{name}")
    def key(name: str) -> dict[str, Any]:
        """One key."""
        return one(name)

    @routes.patch("/keys/{name}")
    def change_key(name: str, body: ChangedKey) -> dict[str, Any]:
        """Change what is given, all of it or nothing: add to its balance, its limits, where it stands, when it ends."""
        one(name)
        end = instant_ns(body.expires) if body.expires else None
        with noting("change key", name, body.model_dump()):
            if body.place is not None:
                move(store(), name, body.place)
            if body.add_budget is not None:
                with _about("add_budget"):
                    top_up(store(), name, body.add_budget)
            set_limits(store(), name, per_minute=body.requests_per_minute, concurrency=body.concurrency)
            if body.expires is not None:
                set_end(store(), name, end)
        return one(name)

    @routes.post("/keys/{name}/rotate")
    def rotate_key(name: str, body: KeyRotation) -> dict[str, Any]:
        """A new secret, in this answer alone; the one before is good for `overlap_seconds` more."""
        one(name)
        with noting("rotate key", name, body.model_dump()):
            secret = rotate(store(), name, body.overlap_seconds)
        return {**one(name), "secret": secret}

    @routes.delete("/keys/{name}")
    def revoke_key(name: str) -> dict[str, Any]:
        """Refuse the key from now on, for good; its requests that run are finished, its lines on the bill stay."""
        one(name)
        with noting("revoke key", name, {}):
            revoke(store(), name)
        return one(name)

    @routes.get("/budgets")
    def caps() -> dict[str, Any]:
        """All budgets, and the tree of what is spent, held and left."""
        with store().reading() as connection:
            listed = [cap.as_json() for cap in budgets(connection)]
            return {"budgets": listed, "tree": [node.as_json() for node in tree(connection)]}

    @routes.post("/budgets", status_code=201)
    def new_budget(body: NewBudget) -> dict[str, Any]:
        """Make a budget."""
        terms = CapTerms(amount(body.amount), body.zone, body.hard, body.alerts, body.webhook)
        with noting("create budget", body.target, body.model_dump()) as connection, _about("target"):
            return add_budget(connection, body.target, body.per, terms).as_json()

    @routes.patch("/budgets/{target:path}")
    def new_terms(target: str, body: ChangedBudget, per: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        """Change what is given of a budget; what was spent stays counted."""
        money = None if body.amount is None else amount(body.amount)
        terms = CapTerms(money, body.zone, body.hard, body.alerts, body.webhook)
        with noting("change budget", target, {"per": per, **body.model_dump()}) as connection, _about("amount"):
            return change_budget(connection, target, per, terms).as_json()

    @routes.delete("/budgets/{target:path}")
    def drop_budget(target: str, per: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        """Remove a budget; what is running is finished."""
        with noting("remove budget", target, {"per": per}) as connection:
            return remove_budget(connection, target, per).as_json()

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Who spent what, and what is left of budgets and keys, for Prometheus."""
        return Response(LedgerMetrics(store()).page(), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/audit")
    def lines(limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 100) -> dict[str, Any]:
        """What was done, the newest first."""
        return {"audit": audit.latest(store(), limit)}

    return routes


@contextmanager
def _about(param: str) -> Iterator[None]:
    """What only the ledger knows cannot be is told of the field that it is about: the option that its sentence begins
    with, else `param`."""
    try:
        yield
    except UserError as error:
        if named := re.match(r"--([a-z]+) ", str(error)):
            param = named[1]
        raise ApiError(422, f"{param}: {told(error)}.", param=param) from None
