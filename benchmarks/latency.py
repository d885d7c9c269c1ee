"""What a gateway adds to each request at a fixed rate: centime over SQLite and over PostgreSQL, and LiteLLM's proxy.

usage: benchmarks/latency.py [--rate 200] [--seconds 30] [--postgres URL] [--litellm PATH] [--json]

The upstream answers after 20 ms and says how long it took; requests begin at their instants whether or not those
before have ended (open loop), so that a stall is seen in all who come in it. Told is client's time less upstream's:
`direct` is that of the sockets and the client alone, and what a gateway adds is its line less that one. cpu: of the
gateway's process, each request, which other programs on the machine change little.

centime's requests have a key with a budget: each is reserved for and charged in a transaction of its own before its end
is told. PATH is LiteLLM's program (`pip install 'litellm[proxy]'` in an environment of its own); it has its master key
alone, and so neither budgets nor rows of requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from capping.processes import centime, free_port, started, wait_for
from capping.steady import WARM_S, added

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Every gateway that was asked for, one after the other, on one upstream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each gateway")
    parser.add_argument("--postgres", help="postgresql://USER@HOST/DATABASE, empty: a ledger to try too")
    parser.add_argument("--litellm", help="LiteLLM's program, to try too")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    port = free_port()
    upstream = subprocess.Popen([sys.executable, str(HERE / "capping" / "steady.py"), str(port)])
    try:
        wait_for(f"http://127.0.0.1:{port}/v1/models")
        rows = [measured("direct", port, "none", given, upstream.pid)]
        with ours(port, {}) as (own, secret, process):
            rows.append(measured("centime, SQLite", own, secret, given, process))
        if given.postgres:
            with ours(port, {"CENTIME_LEDGER": given.postgres}) as (own, secret, process):
                rows.append(measured("centime, PostgreSQL", own, secret, given, process))
        if given.litellm:
            with theirs(port, given.litellm) as (own, process):
                rows.append(measured("LiteLLM", own, "sk-benchmark", given, process))
    finally:
        upstream.kill()
        upstream.wait()
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(title=f"Milliseconds beyond the upstream's own, at {given.rate:g} requests a second")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "through" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)


def measured(name: str, port: int, secret: str, given: argparse.Namespace, process: int) -> dict[str, object]:
    """One line of the table. process: whose CPU time is told."""
    before = cpu_s(process)
    found, failed = asyncio.run(added(port, secret, given.rate, given.seconds))
    cpu = (cpu_s(process) - before) / (given.rate * (given.seconds + WARM_S))
    cuts = statistics.quantiles(found, n=1000) if len(found) > 1 else [float("nan")] * 999
    shown = {f"p{share}": round(cuts[round(share * 10) - 1] * 1e3, 3) for share in (50, 90, 99, 99.9)}
    return {"through": name, "answers": len(found), "failed": failed, **shown, "cpu": round(cpu * 1e3, 3)}


def cpu_s(process: int) -> float:
    """Seconds of CPU that a process has used, by Linux's /proc."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def ours(upstream: int, more: dict[str, str]) -> Iterator[tuple[int, str, int]]:
    """`centime serve --upstream` on a ledger of its own: its port, a key with a budget, its process."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"CENTIME_HOME": home} | more
        words = ["keys", "add", f"b{free_port()}", "--budget", "$1000", "--price-list", "1,2,3"]
        secret = centime(words, environment).stdout.strip()
        port = free_port()
        serving = started(["serve", "--upstream", f"http://127.0.0.1:{upstream}", "--port", str(port)], environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield port, secret, serving.pid
        finally:
            serving.terminate()
            serving.wait(30)


@contextmanager
def theirs(upstream: int, program: str) -> Iterator[tuple[int, int]]:
    """LiteLLM's proxy before the same upstream, without a database."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n"
            f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: none\n"
            "general_settings:\n  master_key: sk-benchmark\n"
        )
        port = free_port()
        words = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
        serving = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness")
            yield port, serving.pid
        finally:
            serving.terminate()
            serving.wait(30)


if __name__ == "__main__":
    main()
