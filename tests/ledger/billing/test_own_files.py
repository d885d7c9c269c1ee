"""A run that this ledger never saw trained: its own files say what they know; what is offered for a name of nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.made import made

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing.bill import bill_of
from centime.ledger.billing.own_files import training_elsewhere


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "moved"
    folder.mkdir()
    step = {"stage": "pretrain", "tokens": 1000, "loss": 2.0, "seconds": 0.5, "cost": 0.001, "currency": "USD"}
    again = step | {"step": 2, "tokens": 2000, "cost": 0.004}
    lines = [step | {"step": 1}, step | {"step": 2}, {"stage": "pretrain", "step": 2, "eval_loss": 3.0}, again]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"stage": "pre')
    device = {"name": "Test CPU", "kind": "cpu", "vcpus": 2}
    (folder / "run.json").write_text(json.dumps({"device": device, "ranks": 1}))
    return folder


def test_a_run_that_was_trained_elsewhere_says_what_it_knows(book: Book, run: Path) -> None:
    known = r"2 steps, 2.00 K tokens, 1.0s in the steps, \$0.00400 up to the last of them, on 1 x Test CPU \(2 vCPU\)"
    with pytest.raises(UserError, match=f"no training of {run}; its own .* say: {known}.*CENTIME_HOME"):
        bill_of(book, str(run))
    book.write([made("generate", verb="generate", run="moved", run_path=str(run), tokens=5)])
    whole = bill_of(book, str(run))
    assert whole.total.tokens == 5
    assert "2 steps, 2.00 K tokens" in whole.notes[-1]
    book.write([made("pretrain", run="moved", run_path=str(run))])
    assert "2 steps" not in " ".join(bill_of(book, str(run)).notes)


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b'{"loss": []}'), st.just(b'{"loss": 1, "seconds": "x"}'))))
def test_files_of_any_content_break_no_bill(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "metrics.jsonl").write_bytes(b"\n".join(lines))
    (folder / "run.json").write_bytes(b"".join(lines))
    said = training_elsewhere(folder, "it")
    assert said is None or "its own metrics.jsonl" in said
    assert training_elsewhere(folder / "absent", "it") is None


def test_a_mistyped_name_is_offered_no_run_of_a_verb_that_failed(book: Book) -> None:
    failed = [
        made("startup", 0.001, run="hfmodel", verb="generate"),
        made("data", 0.001, run="dbin", verb="data"),
        made("generate", 0.001, run="moby", verb="generate"),
    ]
    book.write(failed)
    with pytest.raises(UserError, match="no run has been booked yet"):
        bill_of(book, "nosuch")
    book.write([made("pretrain", run="tiny", tokens=5), made("data", run="corpus", verb="data", tokens=7)])
    with pytest.raises(UserError, match=r"no run 'nosuch'. It knows: ") as caught:
        bill_of(book, "nosuch")
    assert all(name in str(caught.value) for name in ("tiny", "corpus"))
    assert not any(name in str(caught.value) for name in ("hfmodel", "dbin", "moby"))
    with pytest.raises(UserError, match="Did you mean 'tiny'"):
        bill_of(book, "tinny")
