"""Training a tokenizer: DeepSeek-V3's chain and names, the same for the same text, and readable by transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.tokenizers.test_tokenizer import SAMPLES

from centime.data.sources import ReadOptions, Sources
from centime.data.split import digest, is_held_out
from centime.data.tokenizers.bpe import FIRST, LAST, SMALLEST, pre_tokenizer, train_tokenizer, write_tokenizer
from centime.data.tokenizers.tokenizer import load_tokenizer
from centime.data.tokenizers.training import train_on_sources
from centime.errors import UserError
from centime.files.marks import MARK


def test_the_pre_tokenizer_is_deepseek_v3s(shared: Path) -> None:
    theirs = json.loads((shared / "data/tokenizers/deepseek-v3/tokenizer.json").read_text("utf-8"))
    backend = train_tokenizer(["a"], SMALLEST)
    assert json.loads(backend.to_str())["pre_tokenizer"] == theirs["pre_tokenizer"]
    flags = {
        t["content"]: (t["special"], t["normalized"] and t["content"] != "<|EOT|>") for t in theirs["added_tokens"]
    }
    order = [
        t["content"] for t in sorted(theirs["added_tokens"], key=lambda t: t["id"]) if t["content"] in FIRST + LAST
    ]
    ours = json.loads(backend.to_str())["added_tokens"]
    assert [t["content"] for t in ours] == order == [*FIRST, *LAST]
    assert {t["content"]: (t["special"], t["normalized"]) for t in ours} == {
        word: (flags[word][0], False) for word in FIRST + LAST
    }


def test_ids_are_laid_out_as_v3s() -> None:
    backend = train_tokenizer(["the cat the dog the end"] * 3, SMALLEST + 4)
    assert [backend.token_to_id(word) for word in FIRST] == [0, 1, 2]
    assert [backend.token_to_id(word) for word in LAST] == list(range(SMALLEST + 4 - len(LAST), SMALLEST + 4))
    assert backend.get_vocab_size() == SMALLEST + 4


def test_how_text_is_cut() -> None:
    cut = [piece for piece, _ in pre_tokenizer().pre_tokenize_str("x1234 !hello (world)\n\n  end")]
    assert cut == ["x", "123", "4", "Ġ!", "hello", "Ġ(", "world", ")ĊĊ", "Ġ", "Ġend"]


def test_the_same_text_gives_the_same_tokenizer_in_another_process(tokenizer_folder: Path, tmp_path: Path) -> None:
    """Ties between equally frequent pairs must not hang on the order of a hash table."""
    code = (
        "import argparse, json, sys; from pathlib import Path; from centime.data.tokenizers.bpe import *;"
        "texts = [Path(m.__file__).read_text('utf-8') for m in (argparse, json)];"
        "write_tokenizer(train_tokenizer(texts, 600), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "t")], check=True, env=environment, timeout=120)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "t" / name).read_bytes() == (tokenizer_folder / name).read_bytes()
        assert "<｜begin▁of▁sentence｜>" in (tmp_path / "t" / name).read_text("utf-8"), "to be read by people too"


@pytest.mark.parametrize("architecture", [None, "deepseek_v3", "llama"])
def test_transformers_reads_it_alike(tokenizer_folder: Path, tmp_path: Path, architecture: str | None) -> None:
    """The folder alone, and as part of a model folder, where transformers looks at model_type too."""
    transformers = pytest.importorskip("transformers")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    if architecture:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": architecture}))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    for text in [*SAMPLES, ours.render_chat([{"role": "user", "content": "Hi"}], True)]:
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.encode(text) == [ours.bos_id, *ids], "a bare text begins with the begin token, as a document does"
        assert theirs.decode(ids, skip_special_tokens=False) == text
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (0, 1, 2)
    assert len(theirs) == ours.vocab_size
    theirs.save_pretrained(tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert saved.sha256 == ours.sha256, "still the same tokenizer after transformers has rewritten it"
    assert saved.render_chat([{"role": "user", "content": "Hi"}]) == ours.render_chat(
        [{"role": "user", "content": "Hi"}]
    )


def test_training_on_sources_leaves_the_held_out_alone(tmp_path: Path) -> None:
    """A word that only held-out documents know gets no token of its own."""
    lines, held_out_word, seen_word = [], "Zyzzyva", "Quokka"
    for number in range(400):
        for word in (held_out_word, seen_word):
            text = f"{word} {word} {number}"
            if is_held_out(digest(text.encode()), 0.3) == (word == held_out_word):
                lines.append(json.dumps({"content": text}))
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    sources = Sources([str(tmp_path / "d.jsonl")], ReadOptions(field="content"))
    done = train_on_sources(sources, 320, tmp_path / "t", holdout=0.3)
    loaded = load_tokenizer(tmp_path / "t")
    assert done.vocab_size == loaded.vocab_size <= 320
    assert 0 < done.documents < len(lines)
    assert len(loaded.encode(seen_word)) == 1
    assert len(loaded.encode(held_out_word)) > 2


def test_a_limit_samples_from_everywhere(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02d}.txt").write_text(f"{number} " * 500)
    done = train_on_sources(Sources([str(tmp_path / "*.txt")]), 300, tmp_path / "t", limit=15_000)
    assert 5_000 < done.text_bytes < 17_000
    one = train_on_sources(Sources([str(tmp_path / "00.txt")]), 300, tmp_path / "u", limit=10)
    assert one.text_bytes == 1000, "a limit below the first document still trains on it"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"vocabulary of 100 cannot hold .* at least {SMALLEST}"):
        train_tokenizer(["a"], 100)
    with pytest.raises(UserError, match="corpus is empty"):
        train_tokenizer(["", ""], 300)
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(UserError, match=r"taken already exists and is not empty\. .* Choose another --out"):
        train_on_sources(Sources([str(tmp_path / "a.txt")]), 300, tmp_path / "taken", overwrite=True)
    (tmp_path / "taken" / "x").unlink()
    for overwrite in (False, True):
        write_tokenizer(train_tokenizer(["a"], 300), tmp_path / "taken", overwrite=overwrite)
    with pytest.raises(UserError, match=r"taken already exists and is not empty.*--overwrite"):
        write_tokenizer(train_tokenizer(["b"], 300), tmp_path / "taken")
    with pytest.raises(UserError, match=r"taken already exists and is not empty.*--overwrite"):
        train_on_sources(Sources([str(tmp_path / "a.txt")]), 300, tmp_path / "taken")
    assert {p.name for p in (tmp_path / "taken").iterdir()} == {"tokenizer.json", "tokenizer_config.json", MARK}
