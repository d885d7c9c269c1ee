"""`centime serve` as a process: what it says, signals, and the bill at its end."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from tests.forked import centime
from tests.serve.process import ServerProcess
from tests.small import small_folder

pytestmark = pytest.mark.slow

ASK = {"model": "small", "messages": [{"role": "user", "content": "the cat sat"}], "max_tokens": 8}
CACHE = ("--cache", "0.05")
PRICES = ("--price", "$2/h", "--price-list", "0.1,1,2")


def health(url: str) -> tuple[int, str]:
    """(status, what the server says of itself), asked on a new connection."""
    told = httpx.get(f"{url}/health", timeout=60)
    return told.status_code, told.json()["status"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("models") / "small", positions=4096)


def test_on_sigterm_running_answers_are_finished_and_the_bill_is_said(folder: Path) -> None:
    with ServerProcess(str(folder), *CACHE, *PRICES) as server:
        assert "small on" in server.said
        assert "$2.00 per hour" in server.said
        body = {**ASK, "max_tokens": 400, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line.startswith("data: ")]
        assert rest[-1] == "data: [DONE]"
        last = json.loads(rest[-2].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["usage"]["completion_tokens"] == 400
        assert server.end() == 0, server.said
        assert "Open to this machine, no key needed; prices" in server.said
        assert "Answered 1 calls: 0 prompt tokens from the cache, 8 computed, 400 generated" in server.said
        assert re.search(r"The machine cost \$\S+, waiting included; the price list asks \$0.000808\.", server.said)


def test_keys_open_it_to_others_and_a_kill_loses_no_charge(folder: Path) -> None:
    secret = centime("keys", "add", "alice", "--budget", "$1", "--price-list", "0.1,1,2").stdout.strip()
    with ServerProcess(str(folder), *CACHE, "--host", "0.0.0.0") as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:  # an address that can be opened
            nobody = client.post("/v1/chat/completions", json=ASK)
            assert nobody.status_code == 401
            assert nobody.json()["error"]["type"] == "authentication_error"
            client.headers["Authorization"] = f"Bearer {secret}"
            answers = [client.post("/v1/chat/completions", json=ASK).json() for _ in range(3)]
            spent = sum(float(answer["usage"]["cost"]["list_price"]) for answer in answers)
            balance = client.get("/user/balance").json()
            assert balance["is_available"]
            assert float(balance["balance_infos"][0]["total_balance"]) == pytest.approx(1 - spent, abs=1e-12)
            long = {**ASK, "messages": [{"role": "user", "content": "the cat sat on the mat and the dog " * 9}]}
            asked = [client.post("/v1/chat/completions", json=long).json()["usage"] for _ in range(2)]
            assert asked[1]["prompt_cache_hit_tokens"] > 0
            carol = centime("keys", "add", "carol").stdout.strip()
            theirs = client.post("/v1/chat/completions", json=long, headers={"Authorization": f"Bearer {carol}"}).json()
            assert theirs["usage"]["prompt_cache_hit_tokens"] == 0  # nobody learns from hits what another key asked
            greedy = {**ASK, "max_tokens": 400, "n": 16}
            poor = centime("keys", "add", "bob", "--budget", "$0.000001", "--price-list", "0.1,1,2").stdout.strip()
            refused = client.post("/v1/chat/completions", json=greedy, headers={"Authorization": f"Bearer {poor}"})
            assert refused.status_code == 402
        server.process.kill()
        server.end()
        bill = json.loads(centime("bill", "--json").stdout)
        served = json.dumps(bill)
        assert '"requests": 5' in served
        assert spent > 0


def test_an_address_in_use_is_a_sentence_and_a_second_signal_ends_at_once(folder: Path) -> None:
    with ServerProcess(str(folder), *CACHE, *PRICES) as server:
        taken = centime("serve", str(folder), "--port", server.url.rpartition(":")[2])
        assert taken.returncode == 2
        assert "cannot listen on 127.0.0.1" in taken.stderr
        body = {**ASK, "max_tokens": 4000, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGINT)
            while health(server.url) == (200, "ok"):
                time.sleep(0.01)
            assert health(server.url) == (503, "draining")
            refused = httpx.post(f"{server.url}/v1/chat/completions", json=ASK, timeout=60)
            assert refused.status_code == 503
            assert "shutting down" in refused.json()["error"]["message"]
            server.process.send_signal(signal.SIGTERM)
            assert server.end() == 0, server.said
        assert "Traceback" not in server.said
        assert "Answered 1 calls" in server.said  # what was cut off is charged too


def test_without_keys_only_this_machine_may_ask(folder: Path) -> None:
    public = centime("serve", str(folder), "--host", "0.0.0.0", "--port", "0")
    assert public.returncode == 2
    assert "there is no key yet" in public.stderr
