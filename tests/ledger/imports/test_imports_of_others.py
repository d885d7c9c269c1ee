"""What others report, as they write it: booked once however often it is imported, marked; bad files get a sentence."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.test_bill import printed
from tests.ledger.made import HOUR, at, made

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of, write_focus
from centime.ledger.imported import Imported
from centime.ledger.imports import Terms, read_statements
from centime.ledger.imports.prometheus import read_prometheus

START = at("2026-11-01T00:00") // 10**9

# As vLLM 0.10 and later write it (prometheus_client's exposition, one process), cut down to a few families.
VLLM = f"""\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 11022.0
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds {START}.5
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 2.0
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 3.41766e+07
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 5.91508e+07
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} {START}.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 739935.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="deepseek-ai/DeepSeek-V3"}} 950.0
vllm:request_success_total{{engine="0",finished_reason="length",model_name="deepseek-ai/DeepSeek-V3"}} 28.0
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{{engine="0",le="0.3",model_name="deepseek-ai/DeepSeek-V3"}} 0.0
vllm:e2e_request_latency_seconds_sum{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 55905.2
"""

# As SGLang writes it: several processes, so neither a start nor a `_created`.
SGLANG = """\
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{engine_type="unified",is_streaming="false",model_name="m"} 1000.0
sglang:prompt_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 3000.0
sglang:generation_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 500.0
sglang:cached_tokens_total{cache_source="device",engine_type="unified",model_name="m"} 1500.0
sglang:cached_tokens_total{cache_source="host",engine_type="unified",model_name="m"} 500.0
sglang:num_requests_total{engine_type="unified",model_name="m"} 40.0
sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.28
sglang:fwd_occupancy{engine_type="unified",model_name="m"} NaN
"""

SACCT = """\
JobID|JobName|Cluster|Partition|State|Start|End|ElapsedRaw|AllocTRES
101|pretrain|tuna|gpu|COMPLETED|2026-11-01T00:00:00|2026-11-01T02:00:00|7200|billing=96,cpu=96,gres/gpu:h100=8,gres/gpu=8,node=1
101.batch|batch|tuna||COMPLETED|2026-11-01T00:00:00|2026-11-01T02:00:00|7200|cpu=96,gres/gpu:h100=8,gres/gpu=8,node=1
102_3|sweep|tuna|cpu|TIMEOUT|2026-11-01T00:00:00|2026-11-01T01:00:00|3600|billing=4,cpu=4,mem=16G,node=1
103|waiting|tuna|gpu|PENDING|Unknown|Unknown|0|
104|running|tuna|gpu|RUNNING|2026-11-02T00:00:00|Unknown|600|cpu=8,gres/gpu=1
"""

FOCUS_HEADER = (
    "BillingAccountId,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,EffectiveCost,BilledCost,"
    "ServiceName,ServiceCategory,ResourceName,ConsumedQuantity,ConsumedUnit,PricingQuantity,PricingUnit\n"
)
FOCUS = FOCUS_HEADER + (
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,24.48,0,EC2,Compute,gpu-node,1,Hours,1,Hours\n"
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,0.0230000001,0.02,S3,Storage,bucket,1,GB-Month,1,GB\n"
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,0.0230000001,0.02,S3,Storage,bucket,1,GB-Month,1,GB\n"
    "a1,USD,Credit,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,-1.5,-1.5,EC2,Compute,,,,,\n"
)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite")


def saved(path: Path, text: str, seconds: int = START + 3600) -> str:
    """A file last written at a moment."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return str(path)


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


def test_a_device_gives_the_catalogues_price(tmp_path: Path) -> None:
    (found,) = read_statements(saved(tmp_path / "page", VLLM), Terms(device="H100"))
    assert found.cost_source == "catalogue"
    assert found.cost_pico is not None
    (found,) = read_statements(str(tmp_path / "page"), Terms())
    assert found.cost_pico is None


def test_jobs_of_slurm(tmp_path: Path) -> None:
    found = read_statements(saved(tmp_path / "jobs", SACCT), Terms())
    assert [(job.name, job.device, job.device_ns) for job in found] == [
        ("pretrain", "H100", 16 * HOUR),
        ("sweep", "CPU (4 vCPU)", HOUR),
        ("running", "GPU", 600 * 10**9),
    ]
    assert found[0].cost_source == "catalogue"
    assert found[1].cost_source == "assumed"
    assert found[2].cost_pico is None  # a GPU of no type has no price
    (given, *_) = read_statements(str(tmp_path / "jobs"), Terms(price="$2/h"))
    assert given.cost_pico == 32 * 10**12


@pytest.mark.parametrize(
    ("elapsed", "seconds"), [("2-03:04:05", 183_845), ("01:00:00", 3600), ("00:59", 59), ("3600", 3600)]
)
def test_elapsed_times_of_slurm(tmp_path: Path, elapsed: str, seconds: int) -> None:
    text = (
        f"JobIDRaw|Start|Elapsed|AllocTRES|\n7|1793491200|{elapsed}|cpu=2|\n"  # --parsable, and seconds since the epoch
    )
    (job,) = read_statements(saved(tmp_path / "jobs", text), Terms())
    assert job.device_ns == seconds * 10**9
    assert job.start_ns == 1_793_491_200 * 10**9


def test_charges_of_a_focus_file(tmp_path: Path, book: Book) -> None:
    book.take_in(read_statements(saved(tmp_path / "focus.csv", FOCUS), Terms()))
    lines = {(line.name, line.device): line for line in bill_of(book).imported}
    assert lines["EC2", "gpu-node"].cost_pico == 24_480_000_000_000
    assert lines["EC2", "gpu-node"].device_ns == HOUR
    assert lines["EC2", ""].cost_pico == -1_500_000_000_000
    assert lines["S3", ""].cost_pico == 46_000_000_200  # two charges alike are two
    assert lines["S3", ""].statements == 2


def test_a_file_as_clouds_compress_it(tmp_path: Path) -> None:
    (tmp_path / "part-0.csv.gz").write_bytes(gzip.compress(FOCUS.encode("utf-8-sig").replace(b"\n", b"\r\n")))
    found = read_statements(str(tmp_path / "part-0.csv.gz"), Terms())
    assert [one.name for one in found] == ["EC2", "S3", "S3", "EC2"]


def test_a_corrected_focus_file_replaces_what_it_said_before(tmp_path: Path, book: Book) -> None:
    book.take_in(read_statements(saved(tmp_path / "1.csv", FOCUS), Terms()))
    corrected = FOCUS.replace("24.48", "20.00") + (
        "a1,USD,Usage,2026-11-01T01:00:00Z,2026-11-01T02:00:00Z,24.48,0,EC2,Compute,gpu-node,1,Hours,1,Hours\n"
    )
    assert book.take_in(read_statements(saved(tmp_path / "2.csv", corrected), Terms())) == (2, 3)
    total = sum(line.cost_pico or 0 for line in bill_of(book).imported)
    assert total == 20_000_000_000_000 + 24_480_000_000_000 - 1_500_000_000_000 + 46_000_000_200


def test_the_ledger_of_another_machine_comes_over_focus(tmp_path: Path) -> None:
    ours, theirs = Book(tmp_path / "ours.sqlite"), Book(tmp_path / "theirs.sqlite")
    theirs.write([made(hours=3, host="elsewhere"), made("serve", 2, verb="serve", host="elsewhere")])
    write_focus(theirs, tmp_path / "theirs.csv")
    ours.take_in(read_statements(str(tmp_path / "theirs.csv"), Terms()))
    (line,) = bill_of(ours).imported
    assert (line.device_ns, line.cost_pico, line.device) == (5 * HOUR, 10 * 10**12, "Test CPU")


def test_ones_own_charges_are_not_imported(tmp_path: Path, book: Book) -> None:
    book.write([made()])
    write_focus(book, tmp_path / "own.csv")
    with pytest.raises(UserError, match="its 1 charges are of this ledger"):
        read_statements(str(tmp_path / "own.csv"), Terms())


@pytest.mark.parametrize("text", [VLLM, SGLANG, SACCT, FOCUS])
def test_importing_twice_changes_nothing(tmp_path: Path, book: Book, text: str) -> None:
    terms = Terms(price="$2/h", tariff=tariff_for("deepseek-v4.1-flash"))
    first = read_statements(saved(tmp_path / "a", text), terms)
    again = read_statements(saved(tmp_path / "b", text), terms)  # the same page under another name
    assert book.take_in(first) == (len(first), 0)
    before = bill_of(book).as_json()
    if text == SGLANG:
        again = first  # which has no start to be known by, but its place
    assert book.take_in(again) == (0, len(again))
    assert bill_of(book).as_json() == before


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


def test_imported_is_in_no_line_and_no_total(tmp_path: Path, book: Book) -> None:
    book.write([made(hours=1)])
    before = bill_of(book)
    book.take_in(read_statements(saved(tmp_path / "page", VLLM), Terms(price="$2/h", tariff=tariff_for("1,2,3"))))
    after = bill_of(book)
    assert after.total.as_json() == before.total.as_json()
    assert [line["imported"] for line in after.as_json()["imported"]] == [True]
    assert bill_of(book, "tiny").imported == []
    shown = printed(after, width=140)
    assert "Imported: reported by others, in no line above" in shown
    assert "vllm: deepseek-ai/DeepSeek-V3" in shown


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
    threading.Thread(target=made_server.serve_forever, daemon=True).start()
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begins with nothing"),
        ("hello\nworld\n", "begins with 'hello', which is neither a Prometheus page"),
        ("node_cpu_seconds_total 5\n", "neither a Prometheus page of vLLM or SGLang"),
        ("vllm:num_requests_running 0.0\n", "has no vllm:prompt_tokens_total: vllm writes it once"),
        (VLLM + "what is this line", r"line \d+: 'what is this line' is no sample"),
        (VLLM.replace("739935.0", "-3"), "vllm:generation_tokens_total is '-3'"),
        (VLLM.replace("739935.0", "NaN"), "is 'NaN'; a counter is a number"),
        ("JobID|JobName|State\n1|a|COMPLETED\n", "lacks the columns Start, AllocTRES, ElapsedRaw: ask for sacct"),
        (SACCT + "105|short|line\n", "line 7: 3 fields under 9 headings"),
        (SACCT.replace("|7200|", "|soon|", 1), "line 2, job 101: the elapsed time is 'soon'"),
        (SACCT.replace("2026-11-01T00:00:00", "yesterday", 1), "job 101: the start is 'yesterday'"),
        (SACCT.replace("gres/gpu=8", "gres/gpu=many", 1), "names no count of GPUs or CPUs"),
        (SACCT.split("\n", 1)[0] + "\n", "has no job that ran: 0 lines"),
        ("ChargePeriodStart,BillingCurrency\n", "lacks EffectiveCost, ChargePeriodEnd, ServiceName"),
        (FOCUS.replace("24.48", "plenty"), "line 2: EffectiveCost is 'plenty', not a number"),
        (FOCUS.replace("2026-11-01T01:00:00Z", "later", 1), "ChargePeriodEnd is 'later'"),
        (FOCUS + "a1,USD\n", "line 6: another number of fields"),
        (FOCUS_HEADER, "holds no charge of others"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_statements(saved(tmp_path / "bad", text), Terms())


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08rest")
    (tmp_path / "b").write_bytes(b"vllm:\xff\xfe")
    for name, said in (
        ("a.gz", "no whole gzip file"),
        ("b", "no text: byte 5"),
        ("c", "No such file"),
        (".", "is a folder"),
    ):
        with pytest.raises(UserError, match=said):
            read_statements(str(tmp_path / name), Terms())


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200),
    st.sampled_from(["", "vllm:prompt_tokens_total 5\n", SACCT, FOCUS, SGLANG]),
    st.integers(0, 400),
)
def test_no_file_does_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, noise: str, base: str, place: int
) -> None:
    path = tmp_path_factory.mktemp("noise") / "file"
    path.write_bytes((base[:place] + noise + base[place:]).encode("utf-8", "surrogatepass"))
    try:
        found = read_statements(str(path), Terms(price="$1/h"))
    except UserError:
        return
    assert all(isinstance(one, Imported) for one in found)
    with Book(path.with_name("ledger.sqlite")) as book:
        book.take_in(found)


def centime(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "centime", *arguments]
    wide = os.environ | {"COLUMNS": "140"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=wide)


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    page, jobs = saved(tmp_path / "page", VLLM), saved(tmp_path / "jobs", SACCT)
    bad = saved(tmp_path / "bad", "nothing of the kind")
    refused = centime("bill", "--import", page, "--import", bad)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"centime: {bad} begins with")
    assert json.loads(centime("bill", "--json").stdout)["imported"] == []  # the good one beside it was not booked
    done = centime(
        "bill", "--import", page, "--import", jobs, "--price", "$2/h", "--devices", "8", "--price-list", "1,2,3"
    )
    assert done.returncode == 0
    assert f"{page}: 1 new or newer, 0 known already (vllm)." in done.stderr
    assert f"{jobs}: 3 new or newer, 0 known already (slurm)." in done.stderr
    assert "vllm: deepseek-ai/DeepSeek-V3" in done.stdout
    again = centime("bill", "--import", page, "--json", "--price", "$2/h", "--devices", "8", "--price-list", "1,2,3")
    assert "0 new or newer, 1 known" in again.stderr
    first = next(line for line in json.loads(again.stdout)["imported"] if line["source"] == "vllm")
    assert (first["cost"], first["device_hours"], first["requests"]) == (16.0, 8.0, 978)
    assert centime("bill", "--devices", "8").returncode == 2


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


def test_jobs_of_two_clusters_with_one_number_and_start_stay_two(tmp_path: Path, book: Book) -> None:
    header = "JobID|JobName|Start|End|ElapsedRaw|AllocTRES\n"
    for name, job, seconds in (("a", "train", 100), ("b", "sweep", 50), ("a", "train", 200), ("b", "sweep", 60)):
        row = f"7|{job}|2026-11-01T00:00:00|Unknown|{seconds}|gres/gpu=1\n"
        book.take_in(read_statements(saved(tmp_path / name, header + row, START + seconds), Terms()))
    assert sorted((one.name, one.device_ns // 10**9) for one in book.imported()) == [("sweep", 60), ("train", 200)]
