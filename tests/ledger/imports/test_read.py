"""Any report: booked once however often it is imported, in no total; bad files get a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.imports.reports import FOCUS, FOCUS_HEADER, SACCT, SGLANG, START, VLLM, saved
from tests.ledger.made import made

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.imported import Imported
from centime.ledger.imports import Terms, read_statements


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


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (VLLM, [(0, 86_400)]),
        (SGLANG, [(-START, 86_400)]),
        (SACCT, [(0, 7200), (0, 3600), (86_400, 86_400)]),
        (SACCT.replace("2026-11-01T00:00:00", "2026-11-01T01:00:00+01:00"), [(0, 7200), (0, 3600), (86_400, 86_400)]),
        (FOCUS, [(0, 3600)] * 4),
    ],
)
def test_a_statement_says_when_it_began_and_ended(tmp_path: Path, text: str, spans: list[tuple[int, int]]) -> None:
    """In seconds after START; what goes on ends as the file is written, a day after it."""
    found = read_statements(saved(tmp_path / "file", text, START + 86_400), Terms())
    assert [(one.start_ns - START * 10**9, one.end_ns - START * 10**9) for one in found] == [
        (start * 10**9, end * 10**9) for start, end in spans
    ]


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begins with nothing"),
        ("hello\nworld\n", "begins with 'hello', which is neither a Prometheus page"),
        ("node_cpu_seconds_total 5\n", "neither a Prometheus page of vLLM or SGLang"),
        ("vllm:num_requests_running 0.0\n", "has no vllm:prompt_tokens_total: vllm writes it once"),
        (VLLM + "what is this line", r"line 25: 'what is this line' is no sample"),
        (VLLM.replace("739935.0", "-3"), "line 18: vllm:generation_tokens_total is '-3'"),
        (VLLM.replace("739935.0", "NaN"), "is 'NaN'; a counter is a number"),
        ("JobID|JobName|State\n1|a|COMPLETED\n", "lacks the columns Start, AllocTRES, ElapsedRaw: ask for sacct"),
        ("JobIDRaw\n1\n", "lacks the columns Start, AllocTRES, ElapsedRaw"),
        ("Job|Start\n1|2\n", "neither a Prometheus page"),
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
