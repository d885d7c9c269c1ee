"""`centime evaluate`: the model beside gzip and xz on the same bytes, from files or a prepared split, on the bill."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.forked import centime
from tests.small import WORDS, small_folder
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.evaluate.bits_per_byte import BitsPerByte
from centime.evaluate.comparison import CompressorComparison
from centime.evaluate.compressors import Compressed
from centime.ledger import Book
from centime.ledger.billing import bill_of


def outcome(bits_per_byte: float, size: int = 1_000_000) -> BitsPerByte:
    return BitsPerByte(bits_per_byte * size, size, 300_000, 10, 256, 128, 600_000)


XZ = [Compressed("gzip -9", 1_000_000, 300_000), Compressed("xz -9", 1_000_000, 250_000)]


def test_the_verdict_names_the_winner() -> None:
    assert CompressorComparison(outcome(3.0), XZ, 1, 1).verdict().startswith("xz -9 wins: 2.000 bits per byte against")
    heavy = CompressorComparison(outcome(1.0), XZ, 9_900_000, 100_000)
    assert "50 % fewer" in heavy.verdict()
    assert "xz -9 wins on a text of this size" in heavy.verdict()
    assert "from about 80 MB" in heavy.verdict()  # 10 MB over the 0.125 bytes a byte that it saves
    assert "counted, too" in CompressorComparison(outcome(1.0), XZ, 90_000, 10_000).verdict()
    assert heavy.model_size == 125_000
    assert CompressorComparison(outcome(2.0), XZ, 0, 0).verdict().startswith("xz -9 wins"), "a tie needs no weights"
    nothing = [Compressed("gzip -9", 0, 0)]
    assert CompressorComparison(outcome(1.0), nothing, 1, 1).verdict().startswith("gzip -9 wins: 0.000")
    exact = CompressorComparison(outcome(1.0), XZ, 100_000, 25_000)
    assert "counted, too" in exact.verdict(), "as large as what it is beside, with all that it needs"
    assert "wins on a text of this size" in CompressorComparison(outcome(1.0), XZ, 100_000, 25_001).verdict()
    assert CompressorComparison(outcome(1.0, 7), XZ, 0, 0).model_size == 1


def test_the_table_has_the_best_first() -> None:
    table = CompressorComparison(outcome(2.2), XZ, 1234, 56).table()
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["xz -9", "this model", "gzip -9"]
    assert cells[1] == ["2.000", "2.200", "2.400"]
    assert cells[2] == ["250,000", "275,000", "300,000"]
    assert cells[3] == ["", "1,234 of weights, 56 of tokenizer", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("model") / "model", positions=128)


@pytest.mark.slow
def test_files_and_the_same_files_prepared_give_the_same(folder: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(4):
        (texts / f"{i}.txt").write_text(WORDS * (i + 2))
    files = sorted(texts.iterdir())
    done = centime("evaluate", folder, *files, "--window", 32, "--json", "--price", "$1/h")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    data = b"".join(file.read_bytes() for file in files)
    assert found["bytes"] == len(data)
    assert (found["window"], found["stride"], found["documents"]) == (32, 16, 4)
    assert found["bits_per_byte"] == pytest.approx(found["bits"] / len(data))
    assert found["compressors"]["gzip -9"]["size"] == len(gzip.compress(data, 9))
    assert found["weights_bytes"] == (folder / "model.safetensors").stat().st_size
    line = next(line for line in bill_of(Book(), str(folder)).lines if line.stage == "evaluate")
    assert line.section == "evaluation"
    assert line.tokens > found["tokens"]  # overlapping windows compute some tokens again
    assert line.cost is not None
    assert line.cost >= found["cost"] > 0

    out = tmp_path / "prepared"
    made = centime("data", "prepare", texts, "--tokenizer", folder, "--out", out, "--holdout", 0.6, "--workers", 1)
    assert made.returncode == 0, made.stderr
    split = json.loads(centime("evaluate", folder, out, "--window", 32, "--json").stdout)
    assert 0 < split["bytes"] < len(data)

    table = CliRunner().invoke(app, ["evaluate", str(folder), str(files[0])])
    assert "xz -9 wins" in table.stdout or "gzip -9 wins" in table.stdout
    assert "in windows that advance by 64" in " ".join(table.stdout.split())


@pytest.mark.slow
def test_what_cannot_be_evaluated_gets_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "good.txt").write_text("the cat")
    for arguments, words in (
        ([tmp_path / "latin.txt"], "not UTF-8"),
        ([tmp_path / "absent.txt"], "cannot be read"),
        ([tmp_path], "no prepared data"),
        ([tmp_path / "good.txt", "--window", 999], "positions"),
        ([tmp_path / "good.txt", "--stride", 0], "stride"),
    ):
        done = CliRunner().invoke(app, ["evaluate", str(folder), *map(str, arguments)])
        assert isinstance(done.exception, UserError), done.output
        assert words in str(done.exception)
