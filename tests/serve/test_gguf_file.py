"""A GGUF file where a verb takes a model: answers of its weights and its tokenizer, and sentences for what is none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
import pytest
import torch
from tests.forked import centime
from tests.serve.process import ServerProcess
from tests.small import small_folder

from centime.model.checkpoint import load
from centime.model.digest import files_mark
from centime.model.gguf.export import export_gguf
from centime.serve.loading import load_model, name_of, open_folder

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("gguf") / "folder")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    out = folder.with_name("größe 1.gguf")
    export_gguf(load(folder), folder, out, "f32")
    return out


def test_it_is_the_model_of_the_folder_that_it_was_made_of(folder: Path, file: Path) -> None:
    one, other = load_model(file, "cpu", "float32"), load_model(folder, "cpu", "float32")
    text = "a cat, 17 dogs\n and größe"
    assert one.tokenizer.encode(text) == other.tokenizer.encode(text)
    assert one.tokenizer.vocab_size == other.tokenizer.vocab_size
    ids = torch.tensor([one.tokenizer.encode(text)])
    with torch.no_grad():
        torch.testing.assert_close(one.model(ids), other.model(ids), rtol=1e-4, atol=1e-4)
    assert name_of(one) == one.run == "größe 1"


def test_verbs_take_it_and_leave_nothing_behind(folder: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a cat and a dog\n" * 20)
    place = tmp_path / "temporary"
    place.mkdir()
    with tempfile.TemporaryDirectory(dir=tmp_path) as home:
        known = {"CENTIME_HOME": home, "TMPDIR": str(place)}
        same = ["--prompt", "a cat", "--max-tokens", "8", "--temperature", "0", "--dtype", "float32"]
        said = [centime("generate", model, *same, **known) for model in (file, folder)]
        assert said[0].returncode == 0, said[0].stderr
        assert said[0].stdout == said[1].stdout
        measured = centime("evaluate", file, tmp_path / "text.txt", "--device", "cpu", **known)
        assert measured.returncode == 0, measured.stderr
    assert not any(place.iterdir())


def test_a_server_answers_of_it(file: Path) -> None:
    with ServerProcess(str(file), "--device", "cpu") as server:
        (model,) = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert model["id"] == "größe 1"
        body = {"model": model["id"], "prompt": "a cat", "max_tokens": 4, "temperature": 0}
        answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] >= 1


@pytest.mark.parametrize(("content", "said"), [(b"", "no whole GGUF file"), (b"GGUF" * 100, "no whole GGUF file")])
def test_what_is_no_gguf_file_is_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    done = centime("generate", tmp_path / "m.gguf", "--prompt", "a")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    missing = centime("generate", tmp_path / "none.gguf", "--prompt", "a")
    assert missing.returncode == 2
    assert "does not exist; give a model's folder, a GGUF file" in missing.stderr


def test_one_that_is_cut_short_is_a_sentence(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) * 2 // 3])
    done = centime("generate", tmp_path / "cut.gguf", "--prompt", "a")
    assert done.returncode == 2
    assert "is no whole GGUF file" in done.stderr


def test_its_mark_changes_with_it(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centime.model.digest.SETTLED_NS", 0)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    before = files_mark(copy)
    assert before == files_mark(copy) != files_mark(file)
    copy.write_bytes(file.read_bytes() + b" ")
    assert files_mark(copy) != before
    assert open_folder(file, "cpu").folder == file
