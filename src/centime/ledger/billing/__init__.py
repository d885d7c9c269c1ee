"""The bill: what the book holds, summed in the shape of Table 1 of the DeepSeek-V3 report, as a table, JSON or FOCUS.

Nothing here writes to the book; a bill is made anew from its intervals each time that one asks.
"""

from centime.ledger.billing.bill import Bill, bill_of
from centime.ledger.billing.focus import write_focus
from centime.ledger.billing.focus_forms import focus_file
from centime.ledger.billing.plan_actual import said_between, state_in_words
from centime.ledger.billing.requests_file import requests_file, write_requests
from centime.ledger.billing.stages import stage_name
from centime.ledger.billing.table import table_of

__all__ = [
    "Bill",
    "bill_of",
    "focus_file",
    "requests_file",
    "said_between",
    "stage_name",
    "state_in_words",
    "table_of",
    "write_focus",
    "write_requests",
]
