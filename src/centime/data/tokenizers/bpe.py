"""Train a byte-level BPE tokenizer in DeepSeek-V3's form, and write the folder that a model ships with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from centime.data.tokenizers.tokenizer import (
    ASSISTANT,
    BOS,
    EOS,
    EOT,
    FIM_BEGIN,
    FIM_END,
    FIM_HOLE,
    PAD,
    USER,
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
LARGEST = 1 << 21
"""Ids at most: the trainer takes memory for as many before it reads. XLM-V, the largest published, has 901,629."""

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


def require_vocabulary(size: int) -> None:
    """Raise UserError when a vocabulary of this size cannot hold the bytes and special tokens, or any machine it."""
    if size < SMALLEST:
        raise UserError(
            f"A vocabulary of {size:,} cannot hold the 256 bytes and {SMALLEST - 256} special tokens; "
            f"expected at least {SMALLEST}, sensibly a few thousand. Raise --vocab-size."
        )
    if size > LARGEST:
        raise UserError(
            f"A vocabulary of {size:,} is beyond any use; expected at most {LARGEST:,}, sensibly up to 200,000. Lower "
            "--vocab-size."
        )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """A BPE of `vocab_size` ids (special tokens included; fewer when the text has no more pairs to merge).

    The same texts give the same tokenizer, whatever the number of cores. Merging is one call that no signal ends:
    `tokenizer_training` has it done by a process of its own.
    Raises UserError when vocab_size is out of range, or there is no text.
    """
    require_vocabulary(vocab_size)
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(LAST),
        special_tokens=list(FIRST),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
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


def write_tokenizer(backend: tokenizers.Tokenizer, out: Path, *, overwrite: bool = False) -> None:
    """Write tokenizer.json and tokenizer_config.json, as transformers' AutoTokenizer and vLLM read them, atomically."""
    with whole_folder(out, TOKENIZER, overwrite=overwrite) as folder:
        write_files(backend, folder)


def write_files(backend: tokenizers.Tokenizer, folder: Path) -> None:
    """The two files, into a folder that is being made."""
    template = resources.files("centime.data.tokenizers").joinpath("chat_template.jinja").read_text("utf-8")
    config = {**_CONFIG, "chat_template": template}
    (folder / "tokenizer.json").write_text(backend.to_str(pretty=True), "utf-8")
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, "utf-8")


def _earlier(folder: Path) -> set[str]:
    """The two files of a tokenizer that was written without a mark: these keys, in this order, nobody else writes."""
    config = read_object(folder / "tokenizer_config.json")
    return {"tokenizer.json", "tokenizer_config.json"} if [*config] == [*_CONFIG, "chat_template"] else set()


TOKENIZER = Kind("a tokenizer folder", _earlier)
