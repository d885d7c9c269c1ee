"""What a key may still spend."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from typing_extensions import TypedDict

from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import error_responses
from centime.serve.http.state import CurrentServer

router = APIRouter(tags=["Information"])


class BalanceInfo(TypedDict):
    """Decimal strings. Everything counts as topped up: nothing is granted here."""

    currency: str
    total_balance: str
    granted_balance: str
    topped_up_balance: str


class BalanceBody(TypedDict):
    """What the key may still spend; an empty list for a key without a budget."""

    is_available: bool
    balance_infos: list[BalanceInfo]


@router.get("/user/balance", responses=error_responses((401,)))
async def balance(server: CurrentServer, account: CurrentAccount) -> BalanceBody:
    """What the key may still spend."""
    left = await asyncio.to_thread(server.accounts.balance, account)
    infos: list[BalanceInfo] = []
    if left.total is not None and left.currency is not None:
        infos.append(
            {
                "currency": left.currency,
                "total_balance": left.total,
                "granted_balance": "0",
                "topped_up_balance": left.total,
            }
        )
    return {"is_available": left.available, "balance_infos": infos}
