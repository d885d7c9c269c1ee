"""How keys are kept: new secrets beside old ones, days on which they end, who changed what, copies of the ledger."""
