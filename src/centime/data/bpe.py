"""Train a byte-level BPE tokenizer in DeepSeek-V3's form, and write the folder that a model ships with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from centime.data.documents import digest, is_held_out
from centime.data.left_out import LeftOut, ReadOptions
from centime.data.order import mix
from centime.data.readers import read_documents
from centime.data.sources import expand, local_paths
from centime.data.tokenizer import (
    ASSISTANT,
    BOS,
    EOS,
    EOT,
    FIM_BEGIN,
    FIM_END,
    FIM_HOLE,
    PAD,
    USER,
    seams,
)
from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import Kind
from centime.json_files import read_object

FIRST = (BOS, EOS, PAD)
"""Ids 0, 1 and 2, as in DeepSeek-V3's tokenizer.json."""
LAST = ("<think>", "</think>", FIM_HOLE, FIM_BEGIN, FIM_END, USER, ASSISTANT, EOT)
"""The last ids, in the order of DeepSeek-V3's 128798 to 128805."""
SMALLEST = 256 + len(FIRST) + len(LAST)

_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": BOS,
    "eos_token": EOS,
    "pad_token": PAD,
    "unk_token": None,
    "add_bos_token": True,
    "add_eos_token": False,
    "clean_up_tokenization_spaces": False,
    "model_max_length": 131072,
}
"""tokenizer_config.json, but for its chat template."""

# DeepSeek-V3's pre-tokenizer (its tokenizer.json): numbers in threes, runs of Chinese and kana, then words and signs.
NUMBERS = r"\p{N}{1,3}"
CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """DeepSeek-V3's chain: Split numbers, Split CJK, Split words, ByteLevel."""
    return pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in (NUMBERS, CJK, WORDS)),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, show_progress: bool = False) -> tokenizers.Tokenizer:
    """A BPE of `vocab_size` ids (special tokens included; fewer when the text has no more pairs to merge).

    The same texts give the same tokenizer, whatever the number of cores.
    Raises UserError when vocab_size cannot hold the 256 bytes and the special tokens, or there is no text.
    """
    if vocab_size < SMALLEST:
        raise UserError(
            f"A vocabulary of {vocab_size} cannot hold the 256 bytes and {SMALLEST - 256} special tokens; "
            f"expected at least {SMALLEST}, sensibly a few thousand. Raise --vocab-size."
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(LAST),
        special_tokens=list(FIRST),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=show_progress,
    )
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += bool(text)
            yield text

    backend.train_from_iterator(counted(), trainer)
    if not seen:
        raise UserError("The sources hold no text to train a tokenizer on: the corpus is empty. Name other sources.")
    # As DeepSeek-V3 flags them: only the first three and <|EOT|> vanish when a decoder is asked to skip special tokens.
    backend.add_tokens([AddedToken(word, normalized=False, special=word == EOT) for word in LAST])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, backend.token_to_id(BOS))]
    )
    return backend


@dataclass
class Trained:
    """What `train_on_sources` did."""

    vocab_size: int = 0
    documents: int = 0
    text_bytes: int = 0
    notes: list[str] = field(default_factory=list)


def train_on_sources(
    specs: Sequence[str],
    vocab_size: int,
    out: Path,
    *,
    limit: int = 10**9,
    holdout: float = 0.0,
    options: ReadOptions | None = None,
    exclude: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[int, int, int, int], None] = lambda *_: None,
) -> Trained:
    """Train on the documents of `specs`, about `limit` bytes of them, and write the folder `out`.

    Documents that `prepare(..., holdout=holdout)` holds out are not read, so that a held-out text is new to the
    tokenizer too. Raises UserError as `train_tokenizer` and the readers do.
    """
    options = options or ReadOptions()
    files, notes = expand(specs, exclude)
    done, left_out = Trained(notes=notes), LeftOut(options.skip_bad_lines)
    total = sum(file.size for file in files)
    # Compressed sources hold more text than their size says; for those the limit is met by stopping.
    share = min(1.0, limit / max(total, 1))

    def texts() -> Iterator[str]:
        before = 0
        for file in files:
            for text, position in read_documents(file, options, left_out):
                if is_held_out(digest(text.encode()), holdout):
                    continue
                done.documents += 1
                for piece in seams(text):
                    raw = piece.encode()
                    if done.text_bytes and mix(digest(raw), 0x627065) >= share * 2.0**64:
                        continue
                    yield piece
                    done.text_bytes += len(raw)
                    progress(before + position, total, done.text_bytes, 0)
                    if done.text_bytes >= limit:
                        return
            before += file.size

    with whole_folder(out, TOKENIZER, inputs=local_paths(specs, files), overwrite=overwrite) as folder:
        backend = train_tokenizer(texts(), vocab_size)
        done.vocab_size = backend.get_vocab_size()
        done.notes += left_out.notes(options.field)
        _write(backend, folder)
    return done


def write_tokenizer(backend: tokenizers.Tokenizer, out: Path, *, overwrite: bool = False) -> None:
    """Write tokenizer.json and tokenizer_config.json, as transformers' AutoTokenizer and vLLM read them, atomically."""
    with whole_folder(out, TOKENIZER, overwrite=overwrite) as folder:
        _write(backend, folder)


def _write(backend: tokenizers.Tokenizer, folder: Path) -> None:
    template = resources.files("centime.data").joinpath("chat_template.jinja").read_text("utf-8")
    config = {**_CONFIG, "chat_template": template}
    (folder / "tokenizer.json").write_text(backend.to_str(pretty=True), "utf-8")
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, "utf-8")


def _earlier(folder: Path) -> set[str]:
    """The two files of a tokenizer that was written without a mark: these keys, in this order, nobody else writes."""
    config = read_object(folder / "tokenizer_config.json")
    return {"tokenizer.json", "tokenizer_config.json"} if [*config] == [*_CONFIG, "chat_template"] else set()


TOKENIZER = Kind("a tokenizer folder", _earlier)
