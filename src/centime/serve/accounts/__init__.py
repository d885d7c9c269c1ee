"""Who may ask, how much, and what it costs them: keys, balances, limits, charges. No torch; safe for many processes."""

from __future__ import annotations

from centime.serve.accounts.account import Account, Balance
from centime.serve.accounts.accounts import Accounts
from centime.serve.accounts.charge import Charge, Used
from centime.serve.accounts.limits import Refused
from centime.serve.accounts.machine import Machine
from centime.serve.accounts.ticket import Ticket

__all__ = ["Account", "Accounts", "Balance", "Charge", "Machine", "Refused", "Ticket", "Used"]
