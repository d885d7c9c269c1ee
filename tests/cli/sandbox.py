"""A folder with everything that the right commands name, and whether anything in it was touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

from tests.catalogue.updates.made import EPOCH
from tests.cli.process import Zygote
from tests.ledger.imports.reports import VLLM
from tests.ledger.made import made
from tests.small import WORDS, small_folder, small_tokenizer
from tests.train.made import RECIPE

from centime.ledger import Book
from centime.ledger.requests import ServedRequest, add_request
from centime.ledger.served import Served
from centime.ledger.tagged import add_tagged
from centime.ledger.tags import RequestTags

CASE = 'model = "centime-d2"\ngpu = "h800"\ngpus = 8\ntokens = "1B"\n'
RUNS = {
    "id": "T1", "framework": "NeMo", "model": "DeepSeek-V3", "gpu": "GB300 NVL72", "n_gpus": "256", "seq_len": "4096",
    "global_batch_seqs": "4096", "micro_batch": "1", "tp": "1", "pp": "2", "vp": "8", "ep": "32", "cp": "1",
    "precision": "MXFP8", "tokens_per_s_per_gpu": "6288", "kind": "benchmark", "date": "2026-01",
}  # fmt: skip
SERVED = Served(490_000, "m", "", "alice", "", "", "", 1, 9, 0, 9, 5, 0, 0, 0)


def build(folder: Path, zygote: Zygote, scenario: Path) -> None:
    """Makes the sandbox, by centime's own commands where there is one."""
    folder.mkdir()
    home = folder / "home"
    home.mkdir()
    (folder / "text.txt").write_text(WORDS * 20)
    (folder / "texts").mkdir()
    for number in range(40):  # as much as a quickstart needs
        (folder / "texts" / f"{number:02}.py").write_text(f"# {number}\n{WORDS * 300}")
    small_tokenizer(folder / "tok")
    small_folder(folder / "model")
    shutil.rmtree(folder / "model-tokenizer")
    (folder / "case.toml").write_text(CASE)
    (folder / "scenario.toml").write_bytes(scenario.read_bytes())
    (folder / "runs.csv").write_text("\n".join((",".join(RUNS), ",".join(RUNS.values()))) + "\n")
    (folder / "trace.csv").write_text(
        "time,prompt_tokens,output_tokens\n" + "".join(f"{10 * i},99,9\n" for i in range(9))
    )
    (folder / "company.toml").write_text("[[year]]\nyear = 2027\ncapex = 1e9\n[[year]]\nyear = 2028\nrevenue = 2e9\n")
    (folder / "metrics.txt").write_text(VLLM)
    (folder / "hardware.csv").write_text("".join(EPOCH.splitlines(keepends=True)[:2]))
    (folder / "pairs.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}]})
            + "\n"
            for _ in range(8)
        )
    )
    with Book(home / "ledger.sqlite") as book:
        book.write([made()])
        tags = add_tagged(book._connection, SERVED, "", RequestTags(user="bob"))
        add_request(book._connection, ServedRequest("m", "", "alice", "", "", 1, 9, 0, 9, 1, 2, 0), tags)
    for words in (
        ["data", "prepare", "texts", "--tokenizer", "tok", "--out", "data", "--holdout", "0.3", "--workers", "1"],
        ["keys", "add", "alice", "--budget", "$5"],
        ["budgets", "add", "key:alice", "$5", "--per", "day"],
        ["keys", "backup", "copy.sqlite"],
        ["plan", "serve", "--model=centime-d2", "--gpu=h800", "--gpus=1", "--isl=100", "--osl=10", "--card=card.json"],
    ):
        done = zygote.run(words, folder)
        assert done.code == 0, (words, done)
    (folder / "recipe.toml").write_text(RECIPE.format(corpus="data").replace("data/pairs.jsonl", "pairs.jsonl"))


def snapshot(folder: Path) -> dict[str, object]:
    """Name -> what would show a change, of everything in `folder`; of the ledger, what it says."""
    found: dict[str, object] = {}
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                name = os.path.relpath(entry.path, folder)
                if "ledger.sqlite" in entry.name:
                    if entry.name.endswith("ledger.sqlite"):
                        found[name] = _booked(Path(entry.path))
                    continue
                info = entry.stat(follow_symlinks=False)
                found[name] = (info.st_mode, *((0, 0) if entry.is_dir() else (info.st_size, info.st_mtime_ns)))
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
    return found


def _booked(ledger: Path) -> str:
    """A digest of every row of every table."""
    connection = sqlite3.connect(ledger)
    try:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
    finally:
        connection.close()
