"""`centime serve --replicas` on a real Ray Serve: hits, grammars, a replica that dies, aborts, and one bill."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.serve.process import ServerProcess, centime
from tests.small import small_folder

pytest.importorskip("ray", reason="no Ray: pip install 'centime[replicas]'")
pytestmark = pytest.mark.slow

LONG = "the cat sat on the mat and the dog ate the hat " * 8


def replicas(server: ServerProcess) -> list[psutil.Process]:
    everything = psutil.Process(server.process.pid).children(recursive=True)
    return [process for process in everything if "ServeReplica" in "".join(process.cmdline())]


def ask(client: httpx.Client, content: str, tokens: int = 8, **more: Any) -> Any:
    body = {"model": "small", "messages": [{"role": "user", "content": content}], "max_tokens": tokens, **more}
    return client.post("/v1/chat/completions", json=body)


def test_two_replicas_are_one_server_with_one_bill(tmp_path: Path) -> None:
    began = time.monotonic()
    server = ServerProcess(
        str(small_folder(tmp_path / "small", positions=2048)), "--replicas", "2", "--cache", "0.05",
        "--price", "$1/h", "--price-list", "0.1,1,2",
    )  # fmt: skip
    assert "small, 2 replicas on" in server.said
    assert len(replicas(server)) == 2
    with httpx.Client(base_url=server.url, timeout=120) as client:
        hits = [ask(client, LONG + str(i)).json()["usage"]["prompt_cache_hit_tokens"] for i in range(4)]
        assert hits[0] == 0
        assert min(hits[1:]) > 100  # by a replica that is chosen for it

        held = ask(client, "some json", 60, response_format={"type": "json_object"}, temperature=0).json()
        assert held["choices"][0]["message"]["content"].startswith("{")
        refused = ask(client, "the cat " * 4000)
        assert refused.status_code == 400

        seeds = {ask(client, "hat", 12, seed=7, ignore_eos=True).json()["choices"][0]["message"]["content"]}
        seeds.add(ask(client, "hat", 12, seed=7, ignore_eos=True).json()["choices"][0]["message"]["content"])
        assert len(seeds) == 1

        body = {"model": "small", "prompt": "cat", "max_tokens": 1500, "ignore_eos": True, "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as left:
            next(left.iter_lines())
        while client.get("/page/engine").json()["running"]:
            assert time.monotonic() - began < 120
            time.sleep(0.1)

        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda n=n: statuses.append(ask(client, f"{n} cats", 400, ignore_eos=True).status_code)
            )  # type: ignore[misc]
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        os.kill(replicas(server)[0].pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 500}  # what the other one had, and what was lost in the middle
        assert 200 in statuses
        assert ask(client, "still here").status_code == 200
        finished = client.get("/page/engine").json()
    server.process.send_signal(signal.SIGTERM)
    assert server.end() == 0, server.said
    assert finished["machine_ns"]["requests"] > 0
    bill = json.loads(centime("bill", "--json").stdout)["serving"]
    elapsed = time.monotonic() - began
    assert bill["device_ns"] / 1e9 == pytest.approx(elapsed, abs=6)  # two replicas share one machine
    parts = [bill[part] for part in ("finished_ns", "unfinished_ns", "idle_ns", "other_ns")]
    assert sum(parts) == bill["device_ns"]
    assert min(parts) >= 0


def test_a_folder_that_no_replica_can_open_is_told(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "small", positions=64)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    found = centime("serve", str(folder), "--replicas", "2", "--port", "0")
    assert found.returncode == 2
    assert "model.safetensors" in found.stderr
    assert "Traceback" not in found.stderr
