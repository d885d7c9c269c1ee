"""Tokenizers: DeepSeek's own load and agree with other people's vectors; nothing a text says can forge a token."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.published import published_tokenizer

from centime.data.tokenizers import tokenizer as module
from centime.data.tokenizers.tokenizer import ASSISTANT, BOS, CHUNK, EOS, USER, Tokenizer, load_tokenizer, seams
from centime.errors import UserError

SAMPLES = [
    "def f(x):\n    return x ** 2  # carré\n",
    "Hello  world\t!\r\n\r\n 12345678 años 你好世界 こんにちは 🙂👩‍👩‍👧",
    "  leading and trailing  \n\n",
    "\x00\x01 control",
    "",
]


@pytest.fixture(scope="module")
def deepseek(shared: Path) -> dict[str, Tokenizer]:
    return {v: published_tokenizer(shared, f"deepseek-{v}") for v in ("v2", "v3", "v4")}


@pytest.mark.parametrize(
    ("version", "vocab_size", "bos", "eos", "pad"),
    [("v2", 100002, 100000, 100001, 100001), ("v3", 128815, 0, 1, 2), ("v4", 129280, 0, 1, 2)],
)
def test_deepseek_tokenizers_load(
    deepseek: dict[str, Tokenizer], version: str, vocab_size: int, bos: int, eos: int, pad: int
) -> None:
    loaded = deepseek[version]
    assert (loaded.vocab_size, loaded.bos_id, loaded.eos_id, loaded.pad_id) == (vocab_size, bos, eos, pad)
    for text in SAMPLES:
        assert loaded.decode(loaded.encode(text)) == text
        assert loaded.encode_documents([text])[0].tolist() == loaded.encode(text)


def test_llama_cpps_vectors(deepseek: dict[str, Tokenizer], shared: Path) -> None:
    """llama.cpp's cases for DeepSeek-LLM, whose vocabulary V2 extends; the one miss had 'ü' as a token there."""
    stem = shared / "data" / "tokenizers" / "llama.cpp-vocab" / "ggml-vocab-deepseek-llm.gguf"
    texts = stem.with_suffix(".gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    expected = [[int(i) for i in line.split()] for line in stem.with_suffix(".gguf.out").read_text().split("\n")]
    cases = list(zip(texts, expected, strict=False))
    assert len(cases) >= 46
    missed = [text for text, ids in cases if deepseek["v2"].encode(text) != ids]
    assert missed == ["Führer"]


@settings(deadline=None, max_examples=300)
@given(text=st.text())
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    """Byte-level: whatever Unicode holds, special names included, survives as a document."""
    ids = tokenizer.encode(text, parse_special=False)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id}


def test_a_document_cannot_forge_control_tokens(tokenizer: Tokenizer, deepseek: dict[str, Tokenizer]) -> None:
    text = f"{BOS}{USER}hi{ASSISTANT}{EOS}<think></think><|EOT|>"
    for loaded in (tokenizer, deepseek["v3"]):
        control = {loaded.token_id(word) for word in (BOS, USER, ASSISTANT, EOS, "<think>", "</think>", "<|EOT|>")}
        assert None not in control
        assert control <= set(loaded.encode(text))
        for ids in (loaded.encode(text, parse_special=False), loaded.encode_documents([text])[0].tolist()):
            assert not control & set(ids)
            assert loaded.decode(ids) == text


def test_lone_surrogates_become_question_marks(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a?b"


@settings(deadline=None, max_examples=200)
@given(
    words=st.lists(
        st.sampled_from(
            [
                "\n",
                "\r\n",
                " ",
                "  ",
                "\t",
                "a",
                "Word",
                "été",
                "你好",
                "。",
                "，",
                "か",
                "12",
                "٣",
                "!",
                " (",
                "\u00a0",
                "🙂",
                "\x1c",
                "\u2028",
            ]
        ),
        max_size=60,
    ),
    size=st.integers(1, 20),
)
def test_cutting_at_seams_changes_no_token(tokenizer: Tokenizer, words: list[str], size: int) -> None:
    text = "".join(words)
    pieces = seams(text, size)
    assert "".join(pieces) == text
    assert [i for piece in pieces for i in tokenizer.encode(piece)] == tokenizer.encode(text)


@pytest.mark.parametrize("searched", [1, 2, 3, 5, 100])
def test_a_seam_is_found_wherever_it_falls(monkeypatch: pytest.MonkeyPatch, searched: int) -> None:
    """Searched a stretch at a time, the pieces are those of one search, at a stretch's end too."""
    monkeypatch.setattr(module, "SEARCHED", searched)
    for at in range(2, 30):
        for text in ("x" * at + " word" + "y" * 40, "x" * at + "\n" + "y" * 40, "x" * at + "。你" + "y" * 40):
            seam = at if text[at] == " " else at + 1
            assert seams(text, 2) == [text[:seam], text[seam:]]
    assert seams("x" * 50, 2) == ["x" * 50]


@pytest.mark.slow
def test_long_documents_are_cut_for_v2_and_v3_too(deepseek: dict[str, Tokenizer], shared: Path) -> None:
    text = (shared / "data" / "text" / "tinyshakespeare.txt").read_text("utf-8")[: 5 * CHUNK]
    assert len(seams(text)) > 2
    for loaded in deepseek.values():
        rows = [row.tolist() for row in loaded.encode_documents([text, "x"])]
        assert rows == [loaded.encode(text), loaded.encode("x")]


def test_the_hash_is_of_the_ids_not_of_the_file(tokenizer_folder: Path, tmp_path: Path) -> None:
    described = json.loads((tokenizer_folder / "tokenizer.json").read_text("utf-8"))
    known = load_tokenizer(tokenizer_folder).sha256

    def hash_of(value: dict[str, object]) -> str:
        (tmp_path / "tokenizer.json").write_text(json.dumps(value))  # other spacing, other escapes
        return load_tokenizer(tmp_path).sha256

    assert hash_of(described) == known
    merges = described["model"]["merges"]
    joined = {**described, "model": {**described["model"], "merges": [" ".join(pair) for pair in merges]}}
    assert hash_of(joined) == known, "both spellings of merges"
    assert hash_of({**described, "post_processor": None}) == known
    swapped = {**described, "model": {**described["model"], "merges": [merges[1], merges[0], *merges[2:]]}}
    assert hash_of(swapped) != known
    assert hash_of({**described, "pre_tokenizer": {**described["pre_tokenizer"], "pretokenizers": []}}) != known


def test_refusals(tmp_path: Path, tokenizer_folder: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder.*tokenizer train"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no tokenizer\.json in it"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model"')
    with pytest.raises(UserError, match=r"tokenizer\.json is not a tokenizer that the tokenizers library can read"):
        load_tokenizer(tmp_path)
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer_config\.json cannot be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<nothing>"}')
    with pytest.raises(UserError, match=r"names no end-of-sentence token.*eos_token"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    bare = load_tokenizer(tmp_path)
    assert bare.eos_id == 1, "DeepSeek's usual name where the folder is silent"
    with pytest.raises(UserError, match="has no chat template"):
        bare.render_chat([])


def test_the_largest_id(tmp_path: Path) -> None:
    for largest in (2**24 - 1, 2**24):
        made = tokenizers.Tokenizer(tokenizers.models.WordLevel({EOS: 0, "known": largest}))
        made.save(str(tmp_path / "tokenizer.json"))
        if largest < 2**24:
            assert load_tokenizer(tmp_path).vocab_size == largest + 1
        else:
            with pytest.raises(UserError, match=r"has a token of id 16,777,216; ids go up to 16,777,215"):
                load_tokenizer(tmp_path)


def test_a_vocabulary_without_a_token_for_what_is_unknown_is_a_sentence(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"known": 0, "end": 1}))
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "end"}')
    words = load_tokenizer(tmp_path)
    assert words.encode("known") == [0]
    for encode in (words.encode, lambda text: words.encode_batch([text]), lambda text: words.encode_documents([text])):
        with pytest.raises(UserError, match=r"cannot encode a text .*UNK.*; give a tokenizer that takes any text"):
            encode("unheard of")
