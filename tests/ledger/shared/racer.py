"""A gateway's part of a race for one budget, as a process: racer.py SECRET TIMES; prints what it was charged."""

from __future__ import annotations

import sys
import threading

from tests.serve.accounts.made import Use, flat

from centime.serve.accounts import Accounts, Refused


def main() -> None:
    accounts = Accounts(run="m", tariff=flat())
    account = accounts.authenticate(sys.argv[1])
    charged: list[int] = []

    def ask() -> None:
        for _ in range(int(sys.argv[2])):
            try:
                ticket = accounts.admit(account)
                tokens = ticket.raise_to(prompt_tokens=100, max_tokens=100, least=1)
                charged.append(ticket.settle(Use(100, 0, tokens)).list_price)
            except Refused as refused:
                if refused.status != 402:
                    raise

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accounts.close()
    print(sum(charged))


if __name__ == "__main__":
    main()
