"""A vendor's export against the ledger: each cause is found where it was made, and files of all sorts are read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.ledger.billing.printed import printed
from tests.ledger.made import at

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.book import connect
from centime.ledger.reconcile.differences import reconciled, reconciled_table
from centime.ledger.reconcile.exports import read_export
from centime.ledger.served import Served, hour_of
from centime.ledger.tagged import add_tagged
from centime.ledger.tags import RequestTags

HEAD = "user_id,utc_date,model,type,price,amount\n"


@pytest.fixture
def served(book: Book) -> Book:
    """On each of three days two requests of one model: 600 hits, 400 misses, 100 output tokens, $0.01 each."""
    connection = connect(book.path)
    for day in ("2026-11-01", "2026-11-02", "2026-11-03"):
        for _ in range(2):
            row = Served(
                hour_of(at(f"{day}T05:00")), "gw", "", "k", "list", "USD", "", 1, 1000, 600, 100, 0, 0, 0, 10**10
            )
            add_tagged(connection, row, "", RequestTags(model="flash"))
    connection.close()
    return book


def amounts(day: str, hit: int = 1200, miss: int = 800, output: int = 200, requests: int = 2) -> str:
    kinds = {"input_cache_hit_tokens": hit, "input_cache_miss_tokens": miss, "output_tokens": output}
    rows = (kinds | {"request_count": requests}).items()
    return "".join(f"1,{day},flash,{kind},0.1,{amount}\n" for kind, amount in rows)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "export.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def causes(book: Book, path: Path) -> list[str]:
    return [line.cause for line in reconciled(book, read_export(path))]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([amounts("2026-11-01"), amounts("2026-11-02"), amounts("2026-11-03")], ["", "", ""]),
        ([amounts("2026-11-01"), amounts("2026-11-03")], ["", "missing at the vendor", ""]),
        ([amounts("2026-11-03"), amounts("2026-11-04")], ["", "missing in the ledger"]),
        ([amounts("2026-11-01", output=201), amounts("2026-11-02")], ["tokens", ""]),
        (
            [amounts("2026-11-01", 600, 400, 100, 1), amounts("2026-11-02", 1800, 1200, 300, 3)],
            ["time zone", "time zone"],
        ),
    ],
)
def test_causes_of_tokens(served: Book, tmp_path: Path, rows: list[str], said: list[str]) -> None:
    assert causes(served, written(tmp_path, HEAD + "".join(rows))) == said


def test_causes_of_money(served: Book, tmp_path: Path) -> None:
    rows = "1,2026-11-01,flash,paid,0.02,USD\n1,2026-11-02,flash,paid,0.03,USD\n"
    path = written(tmp_path, "user_id,utc_date,model,wallet_type,cost,currency\n" + rows)
    export = read_export(path)
    lines = reconciled(served, export)
    assert [line.cause for line in lines] == ["", "price"]
    assert lines[1].as_json()["vendor"]["cost"] == "0.03"
    text = printed(reconciled_table(lines, export, "export.csv"))
    assert "1 line of 2 agree" in text
    assert "Columns that say nothing here: user_id, wallet_type" in text
    assert "$0.0300" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "start_time,end_time,model,input_tokens,input_cached_tokens,output_tokens,num_model_requests\n"
            "1793491200,1793577600,flash,2000,1200,200,2\n",
            [""],
        ),
        ("start_time,amount_value,amount_currency,line_item\n1793491200,0.02,usd,x\n", [""]),
        ("ChargePeriodStart;BilledCost;BillingCurrency\n2026-11-01T00:00:00Z;0,02;USD\n", [""]),
        (
            "lineItem/UsageStartDate,lineItem/UnblendedCost,lineItem/CurrencyCode\n"
            "2026-11-01T00:00:00Z,0.005,USD\n2026-11-01T23:00:00Z,0.015,USD\n",
            [""],
        ),
        (
            "line_item_usage_start_date\tline_item_unblended_cost\tline_item_currency_code\n2026-11-01\t5\tUSD\n",
            ["price"],
        ),
    ],
)
def test_other_vendors(served: Book, tmp_path: Path, text: str, said: list[str]) -> None:
    for body in (text.encode(), b"\xef\xbb\xbf" + text.encode(), gzip.compress(text.replace("\n", "\r\n").encode())):
        assert causes(served, written(tmp_path, body)) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "has the columns nothing"),
        (b"day,amount\n1,2\n", "has the columns day, amount: no export that is known"),
        (HEAD.encode(), "holds no row of use"),
        (HEAD.encode() + b"1,2026-11-01,flash\n", "line 2: 3 fields where its header has 6"),
        (HEAD.encode() + b"1,yesterday,flash,output_tokens,1,5\n", "line 2: 'yesterday' is no day"),
        (HEAD.encode() + b"1,2026-11-01,flash,output_tokens,1,many\n", "line 2: amount is 'many'"),
        (gzip.compress(HEAD.encode(), mtime=0)[:-9], "cut short"),
        (b"PK\x03\x04", "is a zip file"),
        (HEAD.encode("utf-16"), "not in UTF-8"),
    ],
)
def test_files_that_are_none(tmp_path: Path, body: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_export(written(tmp_path, body))
