"""Whether a cap stops exactly: what is spent over it, and who is refused or cut short though it had room.

usage: benchmarks/caps.py [--cells NAME,...] [--cap 0.02] [--json]

Each cell is a new ledger, one key with a budget, `centime serve --upstream` in one to four processes that share them,
and clients that race for what is left until all are refused. The upstream's own log says what was delivered.

- overshoot: what the ledger charged over the cap; delivered: the same by the upstream's log (what a killed gateway had
  running is delivered and charged to nobody).
- false: refused (402), or lowered under min(asked, 256), though the balance less what others had reserved covered the
  prompt and that many tokens: by what the refusal itself says of both (to its three digits), and by the clients' own
  clocks (cap, less all that was spent until the refusal's end, less all that others in flight can have held), which is
  a lower bound and independent of the gateway. A gateway whose upstream counts no prompts holds them by their bytes,
  and so refuses falsely: the cell "prompts not counted" shows what that costs, and that this judge can say so.
- stuck: what is left in the end could pay an answer of one token, and none is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from capping.load import PROMPT_BOUND, WORDS, Call, Load, probe
from capping.processes import centime, free_port, started, wait_for

HERE = Path(__file__).parent
LEAST = 256
MICRO = 10**6  # pico-dollars of a micro-dollar


@dataclass(frozen=True)
class Cell:
    """One way to race for a cap. prices: hit, miss, output per million tokens; gone: 'kill' or 'lock', at 1.5 s."""

    name: str
    processes: int = 2
    clients: int = 12
    asked: tuple[int, ...] = (30, 60, 120)
    prices: str = "2,2,3"
    aborts: float = 0.0
    gone: str = ""
    mode: str = "clamp"
    counts: bool = True  # the upstream counts prompts
    seconds: float = 25.0


CELLS = (
    Cell("one process", processes=1),
    Cell("two processes"),
    Cell("four processes", processes=4, clients=16),
    Cell("huge max_tokens", asked=(10**6, 10**9)),
    Cell("price tiers", prices="0.02,2,9"),
    Cell("clients that leave", aborts=0.4),
    Cell("refuse", mode="refuse"),
    Cell("prompts not counted", counts=False),
    Cell("wait", mode="wait", clients=6),
    Cell("kill -9", gone="kill", asked=(60,)),
    Cell("ledger locked 10 s", gone="lock", clients=6, seconds=35.0),
)


def main() -> None:
    """Every cell that was asked for, as a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(cell.name for cell in CELLS))
    parser.add_argument("--cap", type=float, default=0.02, help="dollars")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = [run(cell, given.cap) for cell in CELLS if cell.name in given.cells.split(",")]
    if given.json:
        print(json.dumps(results, indent=2))
        return
    table = Table(title=f"A cap of ${given.cap:g}: micro-dollars over it, and refusals that need not have been")
    for name in results[0]:
        table.add_column(name, justify="left" if name == "cell" else "right")
    for result in results:
        table.add_row(*map(str, result.values()))
    Console(width=150).print(table)


def run(cell: Cell, cap: float) -> dict[str, object]:
    """One cell: what came of it."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        environment = os.environ | {"CENTIME_HOME": name, "PYTHONPATH": str(HERE)}
        log, port = home / "upstream.jsonl", free_port()
        script, counts = str(HERE / "capping" / "upstream.py"), str(int(cell.counts))
        upstream = subprocess.Popen([sys.executable, script, str(log), str(port), counts])
        wait_for(f"http://127.0.0.1:{port}/v1/models")
        words = ["keys", "add", "racer", "--budget", f"${cap:f}", "--price-list", cell.prices]
        secret = centime(words, environment).stdout.strip()
        serve = ["serve", "--upstream", f"http://127.0.0.1:{port}", "--on-budget", cell.mode, "--port"]
        ports = [free_port() for _ in range(cell.processes)]
        gateways = [started([*serve, str(one)], environment) for one in ports]
        urls = [f"http://127.0.0.1:{one}" for one in ports]
        try:
            for url in urls:
                wait_for(f"{url}/health")
            load = Load(cell.clients, cell.asked, cell.seconds, cell.aborts)
            disturbing = threading.Thread(target=_disturb, args=(cell.gone, gateways[0], home / "ledger.sqlite"))
            disturbing.start()
            asyncio.run(load.run(urls, secret))
            disturbing.join()
            time.sleep(1.0)  # for streams whose clients left
            given = probe(urls[-1], secret)
        finally:
            for one in gateways:
                one.send_signal(signal.SIGTERM)
            for one in gateways:
                one.wait(30)
            upstream.kill()
            upstream.wait()
        return _judged(cell, round(cap * 10**12), load.calls, home, log) | {"given after": given}


def _judged(cell: Cell, cap: int, calls: list[Call], home: Path, log: Path) -> dict[str, object]:
    hit, miss, output = (round(float(price) * 10**6) for price in cell.prices.split(","))
    with sqlite3.connect(home / "ledger.sqlite") as ledger:
        (left,) = ledger.execute("SELECT balance FROM keys").fetchone()
        (held,) = ledger.execute("SELECT count(*) FROM reservations").fetchone()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    delivered = sum(r["hit"] * hit + (r["prompt"] - r["hit"]) * miss + r["output"] * output for r in rows)
    dearest = max(hit, miss)
    return {
        "cell": cell.name,
        "answers": sum(call.status == 200 for call in calls),
        "lowered": sum(call.lowered is not None for call in calls),
        "refused": sum(call.status == 402 for call in calls),
        "503": sum(call.status == 503 for call in calls),
        "overshoot": max(0, -left) / MICRO,
        "delivered over": max(0, delivered - cap) / MICRO,
        "false": sum(_is_false(call, calls, cap, dearest, output) for call in calls),
        "left": left / MICRO,
        "stuck": held + (left >= WORDS * dearest + output),
    }


def _is_false(call: Call, calls: list[Call], cap: int, dearest: int, output: int) -> bool:
    """Whether a refusal, or an answer cut short, was one though there was room in any order of things."""
    wanted = min(call.asked, LEAST)
    if not (call.status == 402 or (call.lowered is not None and call.lowered < wanted)):
        return False
    need = WORDS * dearest + wanted * output
    found = re.search(r"has \$([\d.,]+\d)(?:, of which \$([\d.,]+\d))?", call.said)
    if found is not None:
        left, held = (float((text or "0").replace(",", "")) * 10**12 for text in found.groups())
        if left - held - 0.005 * (left + held) >= need:
            return True
    taken = 0
    for other in calls:
        if other is call or other.began > call.ended or other.status == 402:
            continue
        most = PROMPT_BOUND * dearest + (other.lowered or other.asked) * output
        taken += other.cost if other.cost is not None and other.ended < call.began else most
    return cap - taken >= need


def _disturb(gone: str, gateway: subprocess.Popen[str], ledger: Path) -> None:
    if not gone:
        return
    time.sleep(1.5)
    if gone == "kill":
        gateway.kill()
        return
    connection = sqlite3.connect(ledger, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(10)
    connection.execute("ROLLBACK")
    connection.close()


if __name__ == "__main__":
    main()
