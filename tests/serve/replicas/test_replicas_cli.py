"""`centime serve --replicas` on a real Ray Serve: hits, grammars, a replica that dies, aborts, and one bill."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.forked import centime
from tests.serve.process import ServerProcess
from tests.small import small_folder

pytest.importorskip("ray", reason="no Ray: pip install 'centime[replicas]'")
pytestmark = pytest.mark.long  # Ray takes most of a minute to start and to end

LONG = "the cat sat on the mat and the dog ate the hat " * 8


def replicas(server: ServerProcess) -> list[psutil.Process]:
    everything = psutil.Process(server.process.pid).children(recursive=True)
    return [process for process in everything if "ServeReplica" in "".join(process.cmdline())]


def ask(client: httpx.Client, content: str, tokens: int = 8, **more: Any) -> httpx.Response:
    body = {"model": "small", "messages": [{"role": "user", "content": content}], "max_tokens": tokens, **more}
    return client.post("/v1/chat/completions", json=body)


def said(response: httpx.Response) -> str:
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def engine_seconds(client: httpx.Client) -> float:
    """Of the machine, given to requests and idle, since the replicas started."""
    clocks = client.get("/page/engine").json()["machine_ns"]
    return float(clocks["requests"] + clocks["idle"]) / 1e9


def output_tokens(client: httpx.Client) -> float:
    found = re.search(r'centime_tokens_total\{kind="output"\} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0.0


def answers_are_those_of_one_engine(client: httpx.Client) -> None:
    hits = [ask(client, LONG + str(i)).json()["usage"]["prompt_cache_hit_tokens"] for i in range(4)]
    assert hits[0] == 0
    assert min(hits[1:]) > 100  # by the replica that was chosen for it
    assert said(ask(client, "some json", 60, response_format={"type": "json_object"}, temperature=0)).startswith("{")
    assert ask(client, "the cat " * 4000).status_code == 400
    assert len({said(ask(client, "hat", 12, seed=7, ignore_eos=True)) for _ in range(3)}) == 1


def who_leaves_is_not_computed_for(client: httpx.Client) -> None:
    before = output_tokens(client)
    body = {"model": "small", "prompt": "cat", "max_tokens": 1500, "ignore_eos": True, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as left:
        next(left.iter_lines())
    until = time.monotonic() + 60
    while output_tokens(client) == before:  # its charge is booked when it has ended
        assert time.monotonic() < until
        time.sleep(0.05)
    assert output_tokens(client) - before < 1500


def two_replicas_share_one_machine(client: httpx.Client) -> None:
    began, had = time.monotonic(), engine_seconds(client)
    threads = [threading.Thread(target=ask, args=(client, f"{n} dogs", 200)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(2)
    passed = time.monotonic() - began
    assert engine_seconds(client) - had == pytest.approx(passed, abs=1.5)  # two readings, half a second old at most


def a_replica_may_die(server: ServerProcess, client: httpx.Client) -> None:
    statuses: list[int] = []

    def ask_long(number: int) -> None:
        statuses.append(ask(client, f"{number} cats", 400, ignore_eos=True).status_code)

    threads = [threading.Thread(target=ask_long, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    os.kill(replicas(server)[0].pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 500}  # what the other one had, and what was lost in the middle
    assert 200 in statuses
    assert ask(client, "still here").status_code == 200


def test_two_replicas_are_one_server_with_one_bill(tmp_path: Path) -> None:
    began = time.monotonic()
    folder = small_folder(tmp_path / "small", positions=2048)
    prices = ("--price", "$1/h", "--price-list", "0.1,1,2")
    with ServerProcess(str(folder), "--replicas", "2", "--cache", "0.05", *prices) as server:
        listening = time.monotonic()
        assert "small, 2 replicas on" in server.said
        assert len(replicas(server)) == 2
        with httpx.Client(base_url=server.url, timeout=120) as client:
            answers_are_those_of_one_engine(client)
            who_leaves_is_not_computed_for(client)
            two_replicas_share_one_machine(client)
            a_replica_may_die(server, client)
        answered = time.monotonic() - listening
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0, server.said
    bill = json.loads(centime("bill", "--json").stdout)["serving"]
    assert answered < bill["device_ns"] / 1e9 < time.monotonic() - began
    parts = [bill[part] for part in ("finished_ns", "unfinished_ns", "idle_ns", "other_ns")]
    assert sum(parts) == bill["device_ns"]
    assert min(parts) >= 0


def test_a_folder_that_no_replica_can_open_is_told(tmp_path: Path) -> None:
    """By a Ray of its own, which takes a minute to start and end; test_ray_serve.py has its sentences."""
    folder = small_folder(tmp_path / "small", positions=64)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    found = centime("serve", str(folder), "--replicas", "2", "--port", "0")
    assert found.returncode == 2
    assert "model.safetensors" in found.stderr
    assert "Traceback" not in found.stderr
