"""Pages of servers: their counters, with and without a start, over HTTP, and of two that began at once."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledger.imports.reports import SGLANG, START, VLLM, saved
from tests.ledger.made import HOUR

from centime.catalogue.tariffs import instant_ns, tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.imported import Imported
from centime.ledger.imports import Terms, read_statements
from centime.ledger.imports.prometheus import read_prometheus


def test_a_page_is_priced_by_the_list_of_its_moment() -> None:
    """A page saved before a list was in force is not charged by it."""
    terms = Terms(tariff=tariff_for("deepseek-v4-pro"))
    before, after = (instant_ns(text) for text in ("2026-08-16T15:59:59Z", "2026-08-16T16:00:00Z"))
    (old,) = read_prometheus(VLLM, "page", before, terms)
    (new,) = read_prometheus(VLLM, "page", after, terms)
    hit, miss, output = old.hit_tokens, old.prompt_tokens - old.hit_tokens, old.output_tokens
    assert old.list_pico == 3_625 * hit + 435_000 * miss + 870_000 * output
    assert new.list_pico == 44_000 * hit + 1_320_000 * miss + 3_960_000 * output
    assert new.tariff == "deepseek-v4-pro (2026-08-16)"


def test_a_page_of_vllm(tmp_path: Path) -> None:
    terms = Terms(price="$2/h", device="H100", devices=8, tariff=tariff_for("0.07,0.27,1.10"))
    (found,) = read_statements(saved(tmp_path / "page", VLLM), terms)
    assert (found.source, found.name) == ("vllm", "deepseek-ai/DeepSeek-V3")
    assert (found.requests, found.prompt_tokens, found.hit_tokens, found.output_tokens) == (
        978, 59_150_800, 34_176_600, 739_935,
    )  # fmt: skip
    assert found.device_ns == 8 * HOUR  # from its start to the moment that the page was saved
    assert (found.cost_pico, found.cost_currency, found.cost_source) == (16 * 10**12, "USD", "given")
    assert found.list_pico == 34_176_600 * 70_000 + 24_974_200 * 270_000 + 739_935 * 1_100_000


def test_a_page_of_sglang_knows_no_start(tmp_path: Path) -> None:
    (found,) = read_statements(saved(tmp_path / "page", SGLANG), Terms(price="$2/h"))
    assert (found.requests, found.prompt_tokens, found.hit_tokens, found.output_tokens) == (40, 4000, 2000, 500)
    assert (found.device_ns, found.cost_pico) == (0, None)


def test_a_server_that_served_little_or_nothing_says_so() -> None:
    """A counter that stands at 0, more hits than tokens (counted later), and the newest of two names for one thing."""
    none, few = VLLM.replace("5.91508e+07", "0.0"), VLLM.replace("5.91508e+07", "0.5e3").replace("739935.0", "0")
    named = few + 'vllm:prompt_tokens_cached_total{model_name="deepseek-ai/DeepSeek-V3"} 7\n'
    pages = [read_prometheus(page, "page", START * 10**9, Terms(devices=3)) for page in (none, few, named)]
    counts = [(one.prompt_tokens, one.hit_tokens, one.output_tokens) for (one,) in pages]
    assert counts == [(0, 0, 739_935), (500, 500, 0), (500, 7, 0)]
    assert [one.device_ns for (one,) in pages] == [0, 0, 0]
    (later,) = read_prometheus(few, "page", START * 10**9 + 5, Terms())
    assert later.device_ns == 5


def test_a_device_gives_the_catalogues_price(tmp_path: Path) -> None:
    (found,) = read_statements(saved(tmp_path / "page", VLLM), Terms(device="H100"))
    assert found.cost_source == "catalogue"
    assert found.cost_pico is not None
    (found,) = read_statements(str(tmp_path / "page"), Terms())
    assert found.cost_pico is None


def test_a_later_page_replaces_the_earlier_and_an_old_one_does_not_come_back(tmp_path: Path, book: Book) -> None:
    early = read_statements(saved(tmp_path / "1", VLLM), Terms())
    late = read_statements(saved(tmp_path / "2", VLLM.replace("739935", "800000"), START + 7200), Terms())
    assert book.take_in(early) == (1, 0)
    assert book.take_in(late) == (1, 0)
    assert book.take_in(early) == (0, 1)
    (line,) = bill_of(book).imported
    assert (line.output_tokens, line.device_ns) == (800_000, 2 * HOUR)


def test_a_server_that_began_anew_adds_up_where_its_page_has_a_start(tmp_path: Path, book: Book) -> None:
    again = VLLM.replace(str(START), str(START + 4000))
    for name, text in (("1", VLLM), ("2", again)):
        book.take_in(read_statements(saved(tmp_path / name, text, START + 7600), Terms()))
    (line,) = bill_of(book).imported
    assert (line.statements, line.requests) == (2, 2 * 978)


def test_counters_without_a_start_that_fall_began_anew(tmp_path: Path, book: Book) -> None:
    page = tmp_path / "page"
    for seconds, requests in ((1, 40), (2, 55), (3, 5), (4, 9), (5, 2)):
        text = SGLANG.replace('model_name="m"} 40.0', f'model_name="m"}} {requests}.0')
        book.take_in(read_statements(saved(page, text, START + seconds), Terms()))
    (line,) = bill_of(book).imported
    assert (line.statements, line.requests) == (3, 55 + 9 + 2)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers /metrics with a page of vLLM's."""

    def do_GET(self) -> None:
        found = self.path == "/metrics"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(VLLM.encode() if found else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=made_server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{made_server.server_port}"
    made_server.shutdown()
    made_server.server_close()


def test_a_page_over_http(server: str) -> None:
    (found,) = read_statements(f"{server}/metrics", Terms())
    assert found.requests == 978
    assert found.origin == f"{server}/metrics"
    with pytest.raises(UserError, match=r"answered 404 Not Found"):
        read_statements(f"{server}/other", Terms())
    with pytest.raises(UserError, match=r"cannot be read .*is the server up"):
        read_statements("http://127.0.0.1:9/metrics", Terms())
    with pytest.raises(UserError, match="cannot be read"):
        read_statements("http://[::1/metrics", Terms())


def page(requests: int, tokens: int, start: float = START) -> str:
    """A page whose server says when its process began, to a hundredth of a second, and nothing finer."""
    return (
        f'vllm:prompt_tokens_total{{model_name="m"}} {tokens}\n'
        f'vllm:generation_tokens_total{{model_name="m"}} {tokens}\n'
        f'vllm:request_success_total{{model_name="m"}} {requests}\nprocess_start_time_seconds {start}\n'
    )


def of_url(text: str, host: str, seconds: int) -> list[Imported]:
    return read_prometheus(text, f"http://{host}:8000/metrics", (START + seconds) * 10**9, Terms())


@pytest.mark.parametrize("second", [10, 1000, 5000])
def test_two_servers_that_began_in_one_tick_stay_two(book: Book, second: int) -> None:
    """However many tokens each has served, in whatever order they come, and again and again."""
    for repeat in range(2):
        for seconds, host, tokens in (
            (1, "gpu1", 1000),
            (2, "gpu2", second),
            (3, "gpu1", 7000),
            (4, "gpu2", second + 1),
        ):
            taken = book.take_in(of_url(page(tokens, tokens), host, seconds))
            assert taken == ((0, 1) if repeat else (1, 0))
    found = {imported.origin: imported.prompt_tokens for imported in book.imported()}
    assert found == {"http://gpu1:8000/metrics": 7000, "http://gpu2:8000/metrics": second + 1}


def test_saved_pages_of_two_servers_that_began_in_one_tick_stay_two(tmp_path: Path, book: Book) -> None:
    for seconds, name, tokens in (
        (1, "a", 1000),
        (2, "b", 10),
        (3, "c", 2000),
        (4, "d", 20),
        (4, "e", 20),
        (3, "f", 2000),
    ):
        book.take_in(read_statements(saved(tmp_path / name, page(tokens, tokens), START + seconds), Terms()))
    assert sorted(imported.prompt_tokens for imported in book.imported()) == [20, 2000]


def test_a_saved_page_and_the_server_it_is_from_are_one(tmp_path: Path, book: Book) -> None:
    book.take_in(read_statements(saved(tmp_path / "a", page(5, 50), START + 1), Terms()))
    book.take_in(of_url(page(6, 60), "gpu1", 2))
    book.take_in(read_statements(saved(tmp_path / "b", page(7, 70), START + 3), Terms()))
    book.take_in(of_url(page(9, 90), "gpu2", 4))
    assert sorted((imported.origin, imported.requests) for imported in book.imported()) == [
        ("http://gpu1:8000/metrics", 7),
        ("http://gpu2:8000/metrics", 9),
    ]
