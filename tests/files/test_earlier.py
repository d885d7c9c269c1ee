"""What centime wrote before it left marks is known by what it alone writes, and what only looks like it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.small import small_model, small_tokenizer

from centime.data.shards.prepare import PREPARED, prepare
from centime.data.sources import Sources
from centime.data.tokenizers import load_tokenizer
from centime.data.tokenizers.bpe import TOKENIZER, train_tokenizer, write_tokenizer
from centime.errors import UserError
from centime.files.marks import MARK, foreign, written_in
from centime.model.checkpoint import MODEL, save
from centime.model.gguf.export import export_gguf
from centime.plan.show.page import write_page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    (root / "text").write_text("the cat sat on the mat\n" * 50)
    return root


def tokenizer(root: Path, out: Path) -> None:
    write_tokenizer(train_tokenizer(["the cat sat"], 300), out, overwrite=True)


def data(root: Path, out: Path) -> None:
    folder = root / "tok"
    if not folder.exists():
        tokenizer(root, folder)
    prepare(Sources([str(root / "text")]), folder, out, overwrite=True)


def model(root: Path, out: Path) -> None:
    folder = root / "small"
    loaded = load_tokenizer(folder) if folder.exists() else small_tokenizer(folder)
    save(small_model(loaded), out, folder)


KINDS = {"tokenizer": (tokenizer, TOKENIZER), "data": (data, PREPARED), "model": (model, MODEL)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_folder_is_replaced_and_one_with_more_is_not(tmp_path: Path, made: Path, kind: str) -> None:
    write, of = KINDS[kind]
    out = tmp_path / "out"
    write(made, out)
    ours = written_in(out, of)
    assert ours is not None
    (out / MARK).unlink()
    earlier = written_in(out, of)
    assert earlier is not None
    assert {name for name in earlier if (out / name).exists()} == {name for name in ours - {MARK} if not of.keeps(name)}
    assert foreign(out, earlier, of) is None
    write(made, out)
    assert (out / MARK).exists()
    (out / MARK).unlink()
    (out / "drafts").mkdir()
    (out / "drafts" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"It holds drafts, which centime did not write"):
        write(made, out)
    assert (out / "drafts" / "notes.txt").read_text() == "mine"


def published_tokenizer(out: Path) -> None:
    config = json.loads((out / "tokenizer_config.json").read_text())
    (out / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": None, **config}))


def published_data(out: Path) -> None:
    (out / "train" / "index.json").write_text('{"shards": []}')


def published_model(out: Path) -> None:
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "transformers_version": "4.46.3"}))


LOOK_ALIKES: dict[str, Callable[[Path], None]] = {
    "tokenizer": published_tokenizer,
    "data": published_data,
    "model": published_model,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_else_published_stays(tmp_path: Path, made: Path, kind: str) -> None:
    write, _ = KINDS[kind]
    out = tmp_path / "out"
    write(made, out)
    (out / MARK).unlink()
    LOOK_ALIKES[kind](out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="that centime wrote, and nothing else is replaced"):
        write(made, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_an_export_replaces_an_export_and_no_other_gguf(tmp_path: Path, made: Path) -> None:
    gguf = pytest.importorskip("gguf")
    folder = made / "gguf_tok"
    whole, out = small_model(small_tokenizer(folder)), tmp_path / "m.gguf"
    for _ in range(2):
        export_gguf(whole, folder, out, "f32")
    writer = gguf.GGUFWriter(out, "deepseek2")
    writer.add_type("model")
    writer.add_name("another program's")
    writer.write_header_to_file(out)
    writer.write_kv_data_to_file()
    writer.close()
    before = out.read_bytes()
    with pytest.raises(UserError, match="is not a GGUF file that centime wrote"):
        export_gguf(whole, folder, out, "f32")
    assert out.read_bytes() == before


def test_a_page_replaces_a_page_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    for _ in range(2):
        write_page(out, "A plan", [], "en", {})
    out.write_text("<!doctype html><html><head><title>A plan – centime</title>")  # as earlier ones begin
    write_page(out, "A plan", [], "en", {})
    out.write_text("<!doctype html><html><head><title>My page</title>")
    with pytest.raises(UserError, match="is not a page that centime wrote"):
        write_page(out, "A plan", [], "en", {})
    assert "My page" in out.read_text()
