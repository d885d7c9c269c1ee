"""Every query of the dashboard, asked of a real Prometheus (Debian's) that a loaded gateway has filled."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serve.gateway.put import ASK, Put, key
from tests.serve.gateway.running import answer, chunk, usage_chunk

from centime.serve.accounts.budgets.edit import CapTerms, add_budget
from centime.serve.accounts.keys import amount

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "centime.json").read_text(encoding="utf-8"))
QUERIES = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]


@pytest.fixture
def loaded(put: Callable[..., Put], monkeypatch: pytest.MonkeyPatch) -> Put:
    monkeypatch.setenv("CENTIME_ADMIN_KEY", "the-admin")
    stream = [chunk("Hel"), 0.01, chunk("lo"), chunk(finish="stop"), usage_chunk(100, 20, 60)]
    return put(lambda body: stream if body.get("stream") else answer("Hello", 100, 20, 60))


@pytest.fixture
def prometheus(loaded: Put, tmp_path: Path) -> Iterator[str]:
    """The address of one that asks the gateway as deploy/prometheus.yml says, but every fifth of a second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no Prometheus here (Debian: prometheus)")
    (tmp_path / "admin-key").write_text("the-admin")
    told = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8").replace("gateway:8000", loaded.url.split("//")[1])
    told = told.replace("/run/secrets/centime_admin_key", str(tmp_path / "admin-key"))
    (tmp_path / "prometheus.yml").write_text(told.replace("15s", "200ms").replace("60s", "200ms"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address={address}", "--log.level=error"],
    )  # fmt: skip
    try:
        eventually(lambda: httpx2.get(f"http://{address}/-/ready", timeout=10).status_code == 200)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(10)


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Returns when it holds; what cannot be reached yet does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError):
            if holds():
                return
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} seconds it does not hold")


def ask(prometheus: str, query: str) -> list[Any]:
    """What an instant query finds."""
    for variable, window in (("$__rate_interval", "2s"), ("$__range", "1m")):
        query = query.replace(variable, window)
    told = httpx2.post(f"{prometheus}/api/v1/query", data={"query": query}, timeout=10).json()
    assert told["status"] == "success", (query, told)
    return [float(one["value"][1]) for one in told["data"]["result"]]


def test_every_query_finds_what_the_load_left(loaded: Put, prometheus: str) -> None:
    alice = key(loaded, budget="$5", place="acme/research")
    with loaded.gateway.accounts.store.writing() as connection:
        add_budget(connection, "acme/research", "month", CapTerms(amount("$1")))
    found: dict[tuple[str, str], list[float]] = {}
    deadline = time.monotonic() + 60
    while len(found) < len(QUERIES) and time.monotonic() < deadline:
        loaded.post(ASK | {"stream": True, "max_tokens": 20}, **alice)
        time.sleep(0.05)
        for query in QUERIES:
            values = [] if query in found else ask(prometheus, query[1])
            if values and all(map(math.isfinite, values)):  # nothing over nothing, where no answer has ended lately
                found[query] = values
    assert [query for query in QUERIES if query not in found] == []
    assert not [(query, values) for query, values in found.items() for value in values if not 0 <= value < 1e9]
    assert len(QUERIES) >= 14
    whole = sum(row.list_pico for row in loaded.served()) / 1e12
    spent = 'centime_spent_total{organisation="acme",team="research",key="alice"}'
    eventually(lambda: ask(prometheus, spent) == [pytest.approx(whole)])  # with its next look
    (allocation,) = ask(prometheus, 'llm_total_hourly_cost{cost_basis="allocation"}')
    assert allocation == pytest.approx(3.6)


def test_what_is_told_without_a_key_names_nobody(loaded: Put) -> None:
    alice = key(loaded, budget="$5", place="acme/research")
    loaded.post(ASK | {"max_tokens": 20}, **alice)
    loaded.served()
    page = loaded.client.get("/metrics").text
    assert 'llm_cache_savings_fraction{model_name="org/m",' in page
    assert not [name for name in ("alice", "acme", "research") if name in page]
    assert loaded.client.get("/admin/metrics", headers=alice).status_code == 401
    told = loaded.client.get("/admin/metrics", headers={"Authorization": "Bearer the-admin"}).text
    assert 'centime_spent_requests_total{key="alice",organisation="acme",server="m",team="research"} 1.0' in told
    assert 'centime_key_balance{currency="USD",key="alice"} 4.9998' in told


def test_the_configuration_is_right_as_prometheus_reads_it() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here (Debian: prometheus)")
    words = ["promtool", "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
