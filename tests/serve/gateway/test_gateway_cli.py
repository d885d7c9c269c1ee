"""`centime serve --upstream` as a process: what it says, a signal, a kill, and the bill."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import httpx2
import pytest
from tests.forked import centime
from tests.serve.gateway.running import Scripted, answer, chunk, serving
from tests.serve.process import ServerProcess

pytestmark = pytest.mark.slow

ASK = {"model": "org/m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}


@pytest.fixture
def upstream() -> Iterator[str]:
    with serving(Scripted(lambda _: answer("Hello", 100, 2, 60)).app) as url:
        yield url


def test_it_serves_and_leaves_with_the_bill(upstream: str) -> None:
    with ServerProcess(
        "--upstream",
        upstream,
        "--price",
        "$2/h",
        "--upstream-device",
        "H800",
        "--upstream-devices",
        "8",
        "--price-list",
        "1,2,3",
    ) as gateway:
        assert f"org/m of {upstream}, $16.00 per hour: {gateway.url}" in gateway.said
        with httpx2.Client(base_url=gateway.url, timeout=30) as client:
            for _ in range(3):
                told = client.post("/v1/chat/completions", json=ASK).json()
            assert told["usage"]["cost"]["list_price"] == "0.000146"
            page = client.get("/")
            assert page.status_code == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.end() == 0, gateway.said
        assert "Answered 3 calls: 180 prompt tokens from the cache, 120 computed, 6 generated" in gateway.said
        assert "the price list asks $0.000438" in gateway.said
        bill = json.loads(centime("bill", "org_m", "--json").stdout)
        serving_bill = bill["serving"]
        assert serving_bill["total"]["requests"] == 3
        assert serving_bill["total"]["list_price"] == pytest.approx(0.000438)
        parts = ("finished_ns", "unfinished_ns", "idle_ns", "other_ns")
        assert sum(serving_bill[part] for part in parts) == serving_bill["device_ns"]
        assert min(serving_bill[part] for part in parts) >= 0
        assert serving_bill["idle_ns"] > 0
        assert serving_bill["margin"] < 0
        assert {line["devices"] for line in bill["lines"]} == {8}
        assert bill["lines"][0]["device"] == "H800"


def test_a_kill_loses_no_charge(upstream: str) -> None:
    secret = centime("keys", "add", "alice", "--budget", "$1", "--price-list", "1,2,3").stdout.strip()
    with ServerProcess("--upstream", upstream) as gateway:
        header = {"Authorization": f"Bearer {secret}"}
        with httpx2.Client(base_url=gateway.url, timeout=30, headers=header) as client:
            for _ in range(5):
                assert client.post("/v1/chat/completions", json=ASK).status_code == 200
            gateway.process.kill()
        gateway.end()
        assert "Keys only" in gateway.said
        assert "its time at no price" in gateway.said
        (key,) = json.loads(centime("keys", "list", "--json").stdout)
        assert (key["balance"], key["requests_running"]) == ("0.99927", 0)
        assert json.loads(centime("bill", "--json").stdout)["serving"]["total"]["requests"] == 5


@pytest.mark.parametrize("leaves_first", [False, True])
def test_what_a_second_signal_cuts_off_is_charged_for_what_had_come(leaves_first: bool) -> None:
    secret = centime("keys", "add", "alice", "--budget", "$1", "--price-list", "1,2,3").stdout.strip()
    scripted = Scripted(lambda _: [chunk("Hel"), chunk("lo"), 60.0])
    scripted.count = 7  # tokens of whatever it is asked to count: nobody has told how far the answer had come
    with serving(scripted.app) as url, ServerProcess("--upstream", url) as gateway:
        header = {"Authorization": f"Bearer {secret}"}
        with (
            httpx2.Client(base_url=gateway.url, timeout=30, headers=header) as client,
            client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as answer,
        ):
            pieces = answer.iter_lines()
            while "lo" not in next(pieces):
                pass
            if leaves_first:
                answer.close()
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.send_signal(signal.SIGINT)
            assert gateway.end() == 0, gateway.said
        (key,) = json.loads(centime("keys", "list", "--json").stdout)
        assert (key["balance"], key["requests_running"]) == ("0.999965", 0)
        assert json.loads(centime("bill", "--json").stdout)["serving"]["total"]["requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of these: a model's folder to serve, --upstream URL"),
        (
            ("runs/x", "--upstream", "http://127.0.0.1:9"),
            "give one of these: a model's folder to serve, --upstream URL",
        ),
        (("--upstream", "http://127.0.0.1:9"), "the upstream http://127.0.0.1:9 cannot be reached"),
        (("--upstream", "localhost:8000"), "is no address; give one such as http://127.0.0.1:8001"),
        (("--upstream", "http://[x"), "cannot be reached"),
        (("--upstream", "http://127.0.0.1:9", "--keep-alive", "0"), "--keep-alive is 0 seconds"),
        (("--upstream", "http://127.0.0.1:9", "--peak-hours", "01:00-02:00"), "--peak-hours go with --price-list"),
    ],
)
def test_mistakes_get_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = centime("serve", *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_other_servers_and_open_addresses_are_refused(upstream: str) -> None:
    public = centime("serve", "--upstream", upstream, "--host", "0.0.0.0", "--port", "0")
    assert (public.returncode, "Make a key with" in public.stderr) == (2, True), public.stderr
    other = centime("serve", "--upstream", upstream + "/nothing")
    assert (other.returncode, "/nothing/v1/models answered 405" in other.stderr) == (2, True), other.stderr
