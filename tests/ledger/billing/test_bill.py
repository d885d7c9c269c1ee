"""The bill adds up, tells measured from estimated from assumed, and names what it does not know."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.made import HOUR, at, made

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing.bill import bill_of
from centime.ledger.interval import OPEN, RECOVERED
from centime.ledger.process import _started, this_process

LINE_KEYS = {
    "stage", "device", "devices", "device_hours", "tokens", "flops", "mfu", "energy_kwh", "energy_source", "cost",
    "cost_source",
}  # fmt: skip


def test_the_shape_is_table_1_then_the_rest_then_serving(book: Book) -> None:
    book.write(
        [
            made("generate", 0.5, verb="generate"),
            made("sft", 5),
            made("context-2", 19),
            made("context-1", 100),
            made("startup", 1),
            made("pretrain", 2664, tokens=14_800_000_000_000, flops=1e6 * 3600, peak_flops=1e6),
            made("data", 2, verb="data"),
            made("evaluate", 3, verb="evaluate"),
            made("something", 4, verb="calibrate"),
        ]
    )
    whole = bill_of(book)
    sections = ["training"] * 5 + ["data", "evaluation", "other", "serving"]
    assert [line.section for line in whole.lines] == sections
    assert [line.stage for line in whole.lines[:5]] == ["pretrain", "context-1", "context-2", "sft", "startup"]
    assert whole.training.device_ns == (2664 + 119 + 5 + 1) * HOUR
    assert whole.training.cost == pytest.approx(2789 * 2)
    assert whole.total.device_ns == round((2789 + 9.5) * HOUR)
    shown = printed(whole)
    order = [
        "Training",
        "Pre-training",
        "Context extension 1",
        "Context extension 2",
        "Post-training, SFT",
        "Start-up",
        "Total",
        "Serving",
        "Everything",
    ]
    places = [shown.index(word) for word in order]
    assert places == sorted(places)
    assert "14.8 T" in shown
    assert "$5,578.00" in shown
    assert "2,664.0" in shown


def test_json_has_the_promised_keys_and_survives_json(book: Book) -> None:
    book.write(
        [
            made(flops=1.8e15, peak_flops=1e12, tokens=5),
            made("context", price_per_hour=None, currency=None, price_kind=None),
        ]
    )
    values = json.loads(json.dumps(bill_of(book, "tiny").as_json(), allow_nan=False))
    assert set(values) >= {"currency", "price_date", "lines", "total", "plan"}
    assert all(set(line) >= LINE_KEYS for line in [*values["lines"], values["total"]])
    assert (values["currency"], values["price_date"], values["plan"]) == ("USD", "2026-06-01", None)
    first, second = values["lines"]
    assert first["device_hours"] == 1.0
    assert first["mfu"] == 0.5
    assert first["energy_kwh"] == pytest.approx(0.01)
    assert first["energy_source"] == "estimated"
    assert (first["cost"], first["cost_source"]) == (2.0, "given")
    assert (second["cost"], second["cost_source"], second["mfu"]) == (None, "none", None)
    assert (values["total"]["cost"], values["total"]["cost_source"]) == (2.0, "mixed")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pretrain", "context", "sft", "startup", "generate", "evaluate"]),
            st.integers(0, 10**18),
            st.integers(0, 250_000_000),
            st.integers(1, 2048),
            st.sampled_from([None, 0.0816, 2.0, 3.95]),
        ),
        max_size=30,
    )
)
def test_the_lines_add_up_to_the_total_in_integer_nanoseconds(
    rows: list[tuple[str, int, int, int, float | None]],
) -> None:
    intervals = [
        made(stage, measured_ns=ns, estimated_ns=tail, devices=devices, price_per_hour=price,
             currency="USD" if price is not None else None)
        for stage, ns, tail, devices, price in rows
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, Book(Path(folder) / "ledger.sqlite") as book:
        book.write(intervals)
        whole = bill_of(book)
    assert sum(line.device_ns for line in whole.lines) == whole.total.device_ns == sum(i.device_ns for i in intervals)
    assert sum(line.estimated_ns for line in whole.lines) == sum(tail * devices for _, _, tail, devices, _ in rows)
    assert sum(line.cost or 0 for line in whole.lines) == pytest.approx(whole.total.cost or 0)
    assert whole.total.cost == (None if all(price is None for *_, price in rows) else pytest.approx(
        sum((ns + tail) * devices * price / 3.6e12 for _, ns, tail, devices, price in rows if price is not None)
    ))  # fmt: skip


def test_estimated_and_assumed_figures_are_marked_and_explained(book: Book) -> None:
    book.write(
        [
            made(energy_source="nvml"),
            made(
                "context",
                price_kind="assumed",
                price_note="priced as a sledge",
                state=RECOVERED,
                estimated_ns=250_000_000,
            ),
        ]
    )
    whole = bill_of(book)
    assert whole.lines[0].energy_source == "nvml"
    assert whole.lines[0].cost_source == "given"
    shown = printed(whole)
    first, second = (line for line in shown.splitlines() if line.startswith((" Pre-tr", " Context")))
    assert "~" not in first
    assert "*" not in first
    assert second.count("~") == 2  # hours and energy
    assert second.rstrip().endswith("*")
    assert "~ estimated, * assumed" in shown
    assert "cost assumed: priced as a sledge" in shown
    assert "1 process was killed: 0.25 device-seconds after the last heartbeat are estimated" in shown


def test_a_bill_of_measured_figures_alone_says_so(book: Book) -> None:
    book.write([made(energy_source="rapl"), made("context", energy_source="rapl")])
    whole = bill_of(book)
    assert "Everything is measured. Prices of 2026-06-01." in printed(whole)
    assert whole.notes == []


def test_an_old_price_is_flagged_by_its_age_when_it_was_used(book: Book) -> None:
    book.write([made(price_date="2025-12-01"), made("context", price_date="2025-12-18")])
    notes = " ".join(bill_of(book).notes)
    assert "the price of 2025-12-01 was 196 days old when it was used" in notes
    assert "2025-12-18" not in notes
    assert bill_of(book).price_date == "2025-12-01 to 2025-12-18"


def test_a_price_given_later_is_for_what_has_none(book: Book) -> None:
    book.write([made(), made("context", 3, price_per_hour=None, currency=None, price_date=None, price_kind=None)])
    whole = bill_of(book, price=Price(0.5, "USD", "2026-07-01", "the command line", "given"))
    assert [line.cost for line in whole.lines] == [2.0, 1.5]
    assert whole.price_date == "2026-06-01 to 2026-07-01"


def test_no_price_no_money_but_a_way_to_give_one(book: Book) -> None:
    book.write([made(price_per_hour=None, currency=None, price_date=None, price_kind=None)])
    whole = bill_of(book)
    assert (whole.currency, whole.price_date, whole.total.cost) == (None, None, None)
    shown = printed(whole)
    assert "no price" in shown
    assert "1 h of Test CPU has no price: give one with --price" in shown


def test_several_currencies_are_not_added_up(book: Book) -> None:
    book.write([made(), made("context", currency="EUR")])
    whole = bill_of(book)
    values = whole.as_json()
    assert [line["cost"] for line in values["lines"]] == [2.0, 2.0]
    assert (values["currency"], values["total"]["cost"]) == (None, None)
    assert "several currencies" in " ".join(whole.notes)
    assert "see lines" in printed(whole)


def test_mfu_needs_every_peak(book: Book) -> None:
    book.write([made(flops=3600e9, peak_flops=2e9), made(flops=3600e9, peak_flops=2e9)])
    assert bill_of(book).lines[0].mfu == pytest.approx(0.5)
    book.write([made(flops=1.0, peak_flops=None)])
    assert bill_of(book).lines[0].mfu is None


def test_a_run_still_going_on_is_said_to(book: Book) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        book.write([made(state=OPEN, pid=other.pid, started=_started(other.pid))])
        assert any("1 interval still open" in note for note in bill_of(book).notes)
    finally:
        other.kill()
        other.wait()


def test_a_verb_that_prints_its_own_bill_does_not_call_itself_open(book: Book) -> None:
    own = this_process()
    book.write([made(state=OPEN, boot=own.boot, namespace=own.namespace, pid=own.pid, started=own.started)])
    assert not any("still open" in note for note in bill_of(book).notes)


def test_plan_against_actual(book: Book) -> None:
    book.write(
        [
            made("pretrain", 2),
            made("startup", 0.5, wall_start_ns=at("2026-06-15T14:00")),
            made("generate", 9, verb="generate"),
        ]
    )
    plan = {
        "cost": 4.0,
        "device_hours": 2.0,
        "seconds": 7200,
        "how": "words",
        "stages": {"pretrain": {"cost": 3.0}, "sft": {"cost": 1}},
    }
    book.set_plan("/runs/tiny", plan)
    whole = bill_of(book, "tiny")
    assert whole.plan is not None
    assert whole.plan["predicted"] == plan
    actual = whole.plan["actual"]
    assert (actual["cost"], actual["device_hours"], actual["seconds"]) == (5.0, 2.5, 9000.0)  # training alone
    assert actual["stages"] == {"pretrain": {"cost": 4.0}}
    shown = printed(whole)
    assert "Plan against actual" in shown
    assert "1.25" in shown
    assert bill_of(book).plan is None  # everything has no plan


def test_an_earlier_run_of_a_deleted_folder_is_billed_and_not_set_against_the_plan(book: Book) -> None:
    book.write([made("pretrain", 3), made("pretrain", 2, wall_start_ns=at("2026-06-16T12:00"))])
    stages = {"pretrain": {"seconds": 7200.0}}
    book.set_plan("/runs/tiny", {"seconds": 7200.0, "stages": stages, "begun_ns": at("2026-06-16T11:59")})
    found = bill_of(book, "tiny")
    assert found.plan is not None
    assert found.plan["actual"] == {"seconds": 7200.0, "stages": stages}
    assert found.total.device_ns == 5 * HOUR  # what was spent stays spent
    assert any(note.startswith("3 h of this are of earlier runs") for note in found.notes), found.notes


def test_a_run_is_found_by_name_or_folder(book: Book, tmp_path: Path) -> None:
    book.write([made(run_path="/a/tiny"), made("context", run="other", run_path="/a/other")])
    assert [line.stage for line in bill_of(book, "tiny").lines] == ["pretrain"]
    assert [line.stage for line in bill_of(book, "/a/other").lines] == ["context"]
    with pytest.raises(UserError, match=r"no run 'tinny'\. Did you mean 'tiny'\?"):
        bill_of(book, "tinny")
    with pytest.raises(UserError, match="Did you mean '/a/tiny'"):  # the folder has moved
        bill_of(book, "/b/elsewhere/tiny")
    book.write([made(run_path="/b/tiny")])
    with pytest.raises(UserError, match="2 runs are called 'tiny': /a/tiny, /b/tiny; give the folder's path"):
        bill_of(book, "tiny")
    assert bill_of(book, "/b/tiny").total.device_ns == HOUR


def test_an_empty_book_has_an_empty_bill_and_no_run(book: Book) -> None:
    whole = bill_of(book)
    assert whole.lines == []
    assert whole.as_json()["total"]["device_hours"] == 0
    printed(whole)
    with pytest.raises(UserError, match="no run has been booked yet"):
        bill_of(book, "tiny")


def test_the_whole_book_lists_its_runs(book: Book) -> None:
    book.write([made(), made(run="later", run_path="/runs/later", wall_start_ns=at("2026-06-16T00:00"))])
    shown = printed(bill_of(book))
    assert "Runs, the latest last" in shown
    assert shown.index("2026-06-15 12:00") < shown.index("2026-06-16 00:00")


def test_it_fits_a_terminal_of_80_columns(book: Book) -> None:
    large = {"tokens": 14_800_000_000_000, "flops": 1.0, "peak_flops": 1e-3, "price_kind": "assumed", "devices": 2048}
    later = at("2027-06-15T12:00")
    book.write([made("pretrain", 1300, **large), made("sft", 0.001, wall_start_ns=later, price_per_hour=1e-7, **large)])
    shown = printed(bill_of(book), width=80)
    assert "…" not in shown
    assert "2,662,402.0" in shown
    assert "on 2048 x Test CPU (2 vCPU)" in shown
    book.write([made("generate", 1e-9, wall_start_ns=later + HOUR, price_per_hour=0.0816, verb="generate")])
    assert "…" not in printed(bill_of(book), width=100)
