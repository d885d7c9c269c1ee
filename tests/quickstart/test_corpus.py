"""What the quickstart learns from: a folder of text, or a sentence that says what was found instead."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.quickstart.corpus import SMALLEST, corpus
from centime.quickstart.materials import free_folder, make_recipe, make_sums
from centime.quickstart.quickstart import next_steps


def test_what_is_no_folder_of_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").mkdir()
    for name, said in (("nowhere", "is not there"), ("file", "is a file"), ("empty", "holds 0 bytes of text")):
        with pytest.raises(UserError, match=f"{name} {said}"):
            corpus(tmp_path / name)


def folder_of(path: Path, *, files: int, each: int) -> Path:
    path.mkdir()
    for at in range(files):
        (path / f"{at}.txt").write_text("x" * each)
    return path


def test_files_are_held_out_by_their_path_whoever_reads_them(tmp_path: Path) -> None:
    one, other = (corpus(folder_of(tmp_path / name, files=64, each=20_000)) for name in ("one", "other"))
    assert [path.name for path in one.held_out] == [path.name for path in other.held_out]
    assert len(one.train) + len(one.held_out) == 64
    assert not set(one.train) & set(one.held_out)
    assert 1 <= len(one.held_out) <= 12  # one of sixteen, about
    assert one.train == sorted(one.train)
    assert one.train_bytes == 20_000 * len(one.train)
    assert one.held_out_bytes == 20_000 * len(one.held_out)


@pytest.mark.parametrize(("most", "files"), [(0, 1), (20_000, 1), (59_999, 2), (60_000, 3), (10**9, None)])
def test_a_part_of_it_is_the_first_files(tmp_path: Path, most: int, files: int | None) -> None:
    found = corpus(folder_of(tmp_path / "one", files=64, each=20_000))
    part = found.of_at_most(most)
    assert (part.root, part.held_out) == (found.root, found.held_out)
    assert part.train == found.train[:files]


def test_no_more_is_held_out_than_may_be(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "text", files=64, each=20_000)
    whole = corpus(folder)
    room = whole.held_out_bytes
    assert corpus(folder, most_held_out=room).held_out == whole.held_out
    less = corpus(folder, most_held_out=room - 1)
    assert less.held_out == whole.held_out[:-1]
    assert less.train == whole.train  # what is not held out for want of room is not learnt from either


def test_a_million_bytes_to_learn_from_are_enough(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "text", files=64, each=20_000)
    found = corpus(folder)
    first, *others = found.train
    each = SMALLEST // len(found.train)
    for path in others:
        path.write_text("x" * each)
    first.write_text("x" * (SMALLEST - each * len(others)))
    assert corpus(folder).train_bytes == SMALLEST == 1_000_000
    first.write_text("x" * (first.stat().st_size - 1))
    with pytest.raises(UserError, match=r"999,999 bytes of text in 64 files; the quickstart needs 1,000,000"):
        corpus(folder)


def test_what_is_no_text_is_passed_over(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "text", files=64, each=20_000)
    (folder / "empty.txt").write_text("")
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "a.txt").write_text("x")
    (folder / "b.py").write_text("x" * 2_000_000)
    found = corpus(folder, "*.txt")
    assert {path.suffix for path in (*found.train, *found.held_out)} == {".txt"}
    assert len(found.train) + len(found.held_out) == 64


def test_a_folder_that_is_taken_gives_way_to_the_next(tmp_path: Path) -> None:
    wanted = tmp_path / "run"
    with free_folder(wanted) as first:
        assert first == wanted
        (first / "file").write_text("")
        with free_folder(wanted) as second:
            assert second == tmp_path / "run-2"
            with free_folder(wanted) as third:  # nothing is in the second yet, but somebody is
                assert third == tmp_path / "run-3"
    with free_folder(tmp_path / "new") as empty:
        assert empty == tmp_path / "new"
    with contextlib.suppress(UserError), free_folder(tmp_path / "failed") as failed:
        (failed / "half").write_text("")
        raise UserError("the disk is full")
    assert not (tmp_path / "failed").exists()


def test_sums_that_are_asked_were_not_learnt(tmp_path: Path) -> None:
    asked = make_sums(tmp_path)
    learnt = [json.loads(line) for line in (tmp_path / "sums.jsonl").read_text().splitlines()]
    assert (len(learnt), len(asked)) == (8000, 200)
    assert not {one.prompt for one in asked} & {row["prompt"] for row in learnt}


def test_the_recipe_is_of_the_folder(tmp_path: Path) -> None:
    made = make_recipe(tmp_path, 3)
    assert made.run.evaluate_rows == 3
    assert str(made.data.tokenizer).startswith(tmp_path.as_posix())


def test_the_next_steps_name_the_folder(tmp_path: Path) -> None:
    said = next_steps(tmp_path / "run").splitlines()
    assert said[0] == "Try next:"
    assert [tmp_path.as_posix() in line for line in said[1:]] == [True] * 3
    assert f"--out {tmp_path / 'longer'}" in said[3]
