"""The verbs as a person types them: tokenizer train, data prepare, show, check; metered, and in sentences."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests import forked

from centime.data.shards import ShardSet
from centime.units import parse_count


def centime(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = forked.centime(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"The {number}th text says {number * number} and no more.\n" * 5)
    (folder / "bad.txt").write_bytes(b"caf\xe9")
    return folder


def test_from_text_to_checked_shards(corpus: Path, tmp_path: Path, centime_home: Path) -> None:
    tok, out = tmp_path / "tok", tmp_path / "out"
    refused = centime("tokenizer", "train", corpus, "--out", tok, "--vocab-size", "400", code=2)
    assert f"{corpus}/bad.txt is not UTF-8 text (byte 0xe9 at offset 3)" in refused.stderr
    assert not tok.exists()
    trained = centime(
        "tokenizer", "train", corpus, "--out", tok, "--vocab-size", "400", "--exclude", "bad.txt", "--price", "$1/h"
    )
    ids = re.search(r"tok: ([\d,]+) ids from", trained.stdout)
    assert ids is not None
    assert ("no more pairs to merge: 400 ids" in trained.stdout) == (parse_count(ids[1].replace(",", "")) < 400)
    assert "Spent" in trained.stdout
    assert "$" in trained.stdout.splitlines()[-1]
    shown = json.loads(centime("tokenizer", "show", tok, "The text", "--json").stdout)
    assert shown["bos"] == ["<｜begin▁of▁sentence｜>", 0]
    assert "".join(shown["tokens"]) == "The text"

    arguments = (corpus, "--tokenizer", tok, "--out", out, "--fim", "0.1", "--holdout", "0.2", "--workers", "2")
    prepared = centime("data", "prepare", *arguments, "--undecodable", "skip", "--price", "$3600/h")
    assert "Documents left out: 1 not UTF-8" in prepared.stdout
    told = re.search(r"([\d.]+) bytes per token; .*, ([\d.]+ ?[KMG]?) tokens/s", prepared.stdout)
    seconds = re.search(r"\$([\d.,]+)\.$", prepared.stdout)  # at a dollar a second
    assert told is not None
    assert seconds is not None
    described = json.loads(centime("data", "show", out, "--json").stdout)
    train, held = described["splits"]
    assert (train["split"], held["split"]) == ("train", "holdout")
    assert train["documents"] + held["documents"] == 60
    assert train["bytes"] + held["bytes"] == sum(len(path.read_bytes()) for path in corpus.glob("[0-9]*.txt"))
    assert train["bytes_per_token"] == train["bytes"] / train["tokens"]
    tokens = train["tokens"] + held["tokens"]
    assert float(told[1]) == pytest.approx((train["bytes"] + held["bytes"]) / tokens, abs=0.01)
    assert parse_count(told[2]) * float(seconds[1]) == pytest.approx(tokens, rel=0.05)
    assert described["made"]["fim"] == 0.1
    text = centime("data", "show", out).stdout
    assert f"{train['tokens']:,}" in text
    assert "fill-in-the-middle 0.1, held out 0.2, seed 0" in text
    assert "every checksum holds" in centime("data", "check", out, "--tokenizer", tok).stdout
    with sqlite3.connect(centime_home / "ledger.sqlite") as book:
        tables = [name for (name,) in book.execute("select name from sqlite_master where type = 'table'")]
        rows = [row for table in tables if "interval" in table for row in book.execute(f"select * from {table}")]
    assert any("data" in row and train["tokens"] + held["tokens"] in row for row in rows), "the tokens are on the book"


def test_a_terminal_gets_a_bar_and_a_pipe_none(corpus: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    arguments = ["data", "prepare", str(corpus / "*[0-9].txt"), "--tokenizer", str(tokenizer_folder), "--workers", "1"]
    assert centime(*arguments, "--out", tmp_path / "piped").stderr == ""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "centime", *arguments, "--out", str(tmp_path / "seen")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # what a terminal says once its last writer is gone
            while block := os.read(ours, 4096):
                seen += block
    os.close(ours)
    assert process.returncode == 0
    assert b"Tokenising" in seen
    assert b"100%" in seen
    assert re.search(rb"[KM]iB/s .*tokens", seen)


def test_check_names_what_is_wrong(corpus: Path, tmp_path: Path) -> None:
    tok, other, out = tmp_path / "tok", tmp_path / "other", tmp_path / "out"
    for folder, size in ((tok, 400), (other, 300)):
        said = centime("tokenizer", "train", corpus / "*[0-9].txt", "--out", folder, "--vocab-size", str(size)).stdout
        assert ("no more pairs" in said) == (f"{size} ids from" not in said)
    centime("data", "prepare", corpus / "*[0-9].txt", "--tokenizer", tok, "--out", out, "--workers", "1")
    wrong = centime("data", "check", out, "--tokenizer", other, code=2)
    assert "train was tokenised with another tokenizer" in wrong.stderr
    assert f"prepare the data again with --tokenizer {other}" in wrong.stderr
    tokens = out / "train" / "tokens-00000.bin"
    raw = bytearray(tokens.read_bytes())
    raw[100] ^= 4
    tokens.write_bytes(raw)
    corrupt = centime("data", "check", out, code=2)
    assert f"{tokens} is corrupt" in corrupt.stderr
    assert "Run `centime data prepare` again" in corrupt.stderr
    tokens.write_bytes(raw[:-1])
    for verb in ("check", "show"):
        assert f"{tokens} is truncated" in centime("data", verb, out, code=2).stderr
    assert "is no prepared data" in centime("data", "show", corpus, code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read_whole(tokenizer_folder: Path, tmp_path: Path, name: str) -> None:
    """Through a real pipe, in pieces, and beside a file; once for the tokenizer's training too."""
    line = '{"text": "%s"}\n' % ("some words " * 500)
    lines = line * 200 + "no JSON\n"
    asked = ["--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out"), "--holdout", "0", "--workers", "1"]
    for more, code in ((["--skip-bad-lines", "1"], 0), ([], 2)):
        command = [sys.executable, "-m", "centime", "data", "prepare", name, *asked, *more]
        command.append("--overwrite")
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        assert "standard input, line 201 is not JSON" in done.stdout + done.stderr
    assert "Documents left out: 1 malformed lines" in centime("data", "show", tmp_path / "out").stdout
    assert ShardSet(tmp_path / "out").index.documents == 200
