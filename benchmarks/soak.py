"""An hour in a rack's life: whether every answer is charged once, whatever goes down meanwhile.

usage: benchmarks/soak.py [--minutes 60] [--clients 64] [--json]

Two gateways share one PostgreSQL (Debian's, in a folder of its own; the account `postgres` where this is root). Clients
take answers whole or as streams, at once or slowly, or leave in the midst. At a third and at two thirds of the time the
database is cut off as by a power cut and started again; at a half the upstream is killed, and back ten seconds later.

The upstream's own log is the judge. It gives each answer a number, which its clients read: an answer that a client had
whole is charged once, at what the log says, known by its id in the ledger's rows. Of answers cut short nobody told the
gateway how far they had come: their sums are shown, not judged. In the end nothing is held, and each share of the
budget was told once; how much the gateways' memory grew after the first tenth is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from capping.mixed import Mixed
from capping.processes import centime, free_port, started, wait_for

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tests.ledger.shared.conftest import Database  # noqa: E402

PRICES = (1_000_000, 2_000_000, 3_000_000)  # pico-dollars of a token: hit, miss, output
AWAY_S = 10.0  # that database and upstream stay down
CAP = "$2"  # of the budget whose shares are told; soft, so that nobody is refused


TOLD: list[dict[str, Any]] = []  # by the gateways, of the budget's shares


class Hook(http.server.BaseHTTPRequestHandler):
    """A webhook that keeps what it is told."""

    def do_POST(self) -> None:
        """Kept, and answered 200."""
        TOLD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is told of each."""


def main() -> None:
    """The whole of it: exit code 1 where something was lost, doubled or held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        home = Path(name)
        (home / "pg").mkdir()
        home.chmod(0o755)
        database = Database(home / "pg")
        try:
            found = soak(home, database, f"http://127.0.0.1:{hook.server_port}/", given)
        finally:
            database.stop()
    print(json.dumps(found, indent=2) if given.json else "\n".join(f"{key}: {value}" for key, value in found.items()))
    raise SystemExit(0 if found["faults"] == [] else 1)


def soak(home: Path, database: Database, webhook: str, given: argparse.Namespace) -> dict[str, Any]:
    """Everything up, the load and the disturbances, everything down, and the judgement."""
    environment = os.environ | {"CENTIME_HOME": str(home), "CENTIME_LEDGER": database.url()}
    log, upstream_port = home / "upstream.jsonl", free_port()

    def upstream() -> subprocess.Popen[bytes]:
        script = str(HERE / "capping" / "upstream.py")
        return subprocess.Popen([sys.executable, script, str(log), str(upstream_port), "1"])

    serving = upstream()
    wait_for(f"http://127.0.0.1:{upstream_port}/v1/models")
    words = ["keys", "add", "soaker", "--budget", "$1000", "--price-list", "1,2,3", "--in", "acme"]
    secret = centime(words, environment).stdout.strip()
    terms = ["--per", "ever", "--soft", "--alert", "1,5", "--webhook", webhook]
    centime(["budgets", "add", "acme", CAP, *terms], environment)
    ports = [free_port() for _ in range(2)]
    serve = ["serve", "--upstream", f"http://127.0.0.1:{upstream_port}", "--port"]
    gateways = [started([*serve, str(port)], environment) for port in ports]
    for port in ports:
        wait_for(f"http://127.0.0.1:{port}/health")
    load = Mixed(given.clients, given.minutes * 60)
    asking = threading.Thread(target=lambda: asyncio.run(load.run(ports, secret)))
    began, sizes = time.monotonic(), []
    asking.start()
    plan = [(0.1, "size"), (0.33, "database"), (0.5, "upstream"), (0.66, "database"), (0.98, "size")]
    for share, what in plan:
        time.sleep(max(0.0, began + share * given.minutes * 60 - time.monotonic()))
        if what == "size":
            sizes.append([resident_mib(one.pid) for one in gateways])
        elif what == "database":
            database.stop()
            time.sleep(AWAY_S)
            database.start()
        else:
            serving.send_signal(signal.SIGKILL)
            serving.wait()
            time.sleep(AWAY_S)
            serving = upstream()
    asking.join()
    time.sleep(10.0)  # for streams whose clients left, charges that wait, alerts
    for one in gateways:
        one.send_signal(signal.SIGTERM)
    codes = [one.wait(60) for one in gateways]
    serving.kill()
    serving.wait()
    return judged(load, log, database, sizes) | {"exit codes": codes}


def judged(load: Mixed, log: Path, database: Database, sizes: list[list[float]]) -> dict[str, Any]:
    """What became of it, and `faults`: sentences, none where all is well."""
    import psycopg

    with psycopg.connect(database.url()) as connection:
        rows = connection.execute("SELECT request_id, list_pico FROM requests").fetchall()
        (held,) = connection.execute("SELECT count(*) FROM reservations").fetchone() or (None,)
        (left,) = connection.execute("SELECT balance FROM keys").fetchone() or (0,)
        (counted,) = connection.execute("SELECT sum(pico) FROM budget_spent").fetchone() or (0,)
    charged = Counter(number for number, _ in rows)
    of_id = dict(rows)
    made = {row["id"]: row for row in map(json.loads, log.read_text().splitlines())}
    faults = [f"{number} was charged {times} times" for number, times in charged.items() if times > 1]
    for number, answer in load.whole.items():
        row = made.get(answer)
        price = None if row is None else cost(row)
        if of_id.get(number) != price:
            faults.append(f"{number} was delivered whole for {price} and charged {of_id.get(number)}")
    spent = sum(pico for _, pico in rows)
    lost = 1000 * 10**12 - left
    if lost != spent or int(counted) != spent:
        faults.append(f"the rows come to {spent}, the balance lost {lost}, the budget counted {counted}")
    if held:
        faults.append(f"{held} reservations are left")
    told = Counter(one["share"] for one in TOLD)
    faults += [f"the alert of {share} % came {times} times" for share, times in told.items() if times > 1]
    grown = [after - before for before, after in zip(*sizes, strict=True)] if len(sizes) == 2 else []
    return {
        "asked": load.asked,
        "whole": len(load.whole),
        "left by clients": load.left,
        "refused or failed": dict(load.failed),
        "charged": len(rows),
        "charged, pico-dollars": spent,
        "made by the upstream's log": sum(map(cost, made.values())),
        "alerts": dict(told),
        "MiB grown, each gateway": [round(size, 1) for size in grown],
        "faults": faults[:20],
        "faults in all": len(faults),
    }


def cost(row: dict[str, Any]) -> int:
    """What an answer of the upstream's log is to be charged."""
    hit, miss, output = PRICES
    return int(row["hit"] * hit + (row["prompt"] - row["hit"]) * miss + row["output"] * output)


def resident_mib(process: int) -> float:
    """Memory that a process holds, by Linux's /proc."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
