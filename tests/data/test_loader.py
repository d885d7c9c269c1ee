"""The loader by counting: no token repeated, none skipped, whatever the row length, the resume or the world size."""

from __future__ import annotations

import hashlib
import math
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.made import numbered, write_split

from centime.data import loader as loader_module
from centime.data.loader import Loader
from centime.data.order import MIXTURE_BLOCK
from centime.data.shards.writer import ShardWriter
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """(folder, tokens): 40 documents of 1 to 61 tokens over many shards, every token another number."""
    lengths = [1 + 37 * number % 61 for number in range(40)]
    return write_split(tmp_path_factory.mktemp("corpus") / "train", numbered(lengths)), sum(lengths)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), sequence=st.integers(1, 20), extra=st.integers(0, 3)
)
def test_every_token_is_an_input_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], sequence: int, extra: int
) -> None:
    """Whatever documents and row length: as many blocks of rows as make whole epochs hold each token equally."""
    total = sum(lengths)
    loader = Loader(
        [(write_split(tmp_path_factory.mktemp("c"), numbered(lengths), shard_tokens=7), 1.0)], sequence, 3, extra
    )
    block = max(1, total // sequence)
    tokens = math.lcm(total, block * sequence)
    rows = loader.rows(0, tokens // sequence)
    assert rows.shape == (tokens // sequence, sequence + extra)
    assert Counter(rows[:, :sequence].ravel().tolist()) == dict.fromkeys(range(total), tokens // total)


@pytest.mark.parametrize(
    ("most", "stated", "block"), [(1000, None, 640), (1000, 300, 300), (100, None, 92), (100, 300, 100)]
)
def test_rows_are_dealt_in_shuffled_blocks_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, stated: int | None, block: int
) -> None:
    """An epoch is shuffled whole, or as much of it as the stage takes, or in equal parts that the memory holds."""
    monkeypatch.setattr(loader_module, "SHUFFLED", most)
    one = write_split(tmp_path / "one", numbered([6400]))  # one document
    loader = Loader([(one, 1.0)], 10, seed=2, extra=1, rows=stated)
    places = loader.rows(0, 640)[:, 0] // 10
    for begin in range(0, 640 - block + 1, block):
        part = places[begin : begin + block]
        assert sorted(part.tolist()) == list(range(begin, begin + block)), "a block holds its own rows, each once"
        assert (np.diff(part) == 1).mean() < 0.1, "neighbours are seldom neighbours in the text"
    assert block == 640 or (places[block : 2 * block] - block != places[:block]).any()


def test_of_each_source_two_blocks_are_held_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "SHUFFLED", 10)
    loader = Loader([(write_split(tmp_path / str(n), numbered([640])), 1.0) for n in range(2)], 8)
    for row in range(0, 160, 5):
        loader.rows(row, 5)
        assert len(loader._blocks) <= 4


def test_a_run_goes_on_in_the_order_that_it_was_begun_with(tmp_path: Path) -> None:
    """What the first order's loader gave, to the bit, and called it by."""
    sources = [(write_split(tmp_path / str(n), numbered([5, 9, 31] * 40, first=2000 * n)), n + 1.0) for n in range(2)]
    first = Loader(sources, 8, seed=4, extra=2, start=[80, 0], order=1)
    assert hashlib.sha256(first.rows(3, 700).astype("<i8").tobytes()).hexdigest()[:16] == "fb689686dbb92729"
    assert first.fingerprint[:16] == "42a8ec2ddf495570"
    assert first.position(100) == (528, 672)
    assert (Loader(sources, 8, seed=4, extra=2, start=[80, 0]).rows(3, 700) != first.rows(3, 700)).any()


def test_targets_are_the_inputs_moved_by_one_across_rows_and_epochs(
    corpus: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as one stream, each row's look-ahead is the beginning of the next row, at an epoch's end too."""
    monkeypatch.setattr(loader_module, "SHUFFLED", 1)
    loader = Loader([(corpus[0], 1.0)], 32, seed=5, extra=3)
    rows = loader.rows(0, 3 * corpus[1] // 32)
    np.testing.assert_array_equal(rows[:-1, 32:], rows[1:, :3])


def test_documents_stay_whole_and_each_epoch_has_its_own_order(corpus: tuple[Path, int]) -> None:
    folder, total = corpus
    stream = Loader([(folder, 1.0)], total, seed=1, extra=0).rows(0, 3)
    orders = []
    for epoch in stream:
        breaks = np.flatnonzero(np.diff(epoch) != 1) + 1
        firsts = [int(part[0]) for part in np.split(epoch, breaks)]
        orders.append(firsts)
        assert len(breaks) >= 30  # 40 documents; a few may meet their old neighbour by chance
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert (Loader([(folder, 1.0)], total, seed=2, extra=0).rows(0, 1) != stream[:1]).any()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_of_the_rows_gives_the_same_rows(corpus: tuple[Path, int], data: st.DataObject) -> None:
    """Resume at any row, in a new process (a new Loader), with any world size: the same global order."""
    whole = Loader([(corpus[0], 1.0)], 16, seed=9, extra=2).rows(0, 240)  # about three epochs
    first = data.draw(st.integers(0, 239))
    world = data.draw(st.sampled_from([1, 2, 3, 4, 8]))
    per_rank = data.draw(st.integers(1, 5))
    ranks = [Loader([(corpus[0], 1.0)], 16, seed=9, extra=2) for _ in range(world)]
    parts = []
    step = first
    while step + world * per_rank <= 240:
        parts += [loader.rows(step + rank * per_rank, per_rank) for rank, loader in enumerate(ranks)]
        step += world * per_rank
    if parts:
        np.testing.assert_array_equal(np.concatenate(parts), whole[first:step])


def test_mixing_by_weight_reads_each_source_without_loss(tmp_path: Path) -> None:
    """Rows in proportion to the weights, evenly spread; each source's own rows are the rows it gives alone."""
    sources = [
        (write_split(tmp_path / str(number), numbered([5, 9, 31] * 8, first=10_000 * number)), weight)
        for number, weight in enumerate((0.7, 0.2, 0.1))
    ]
    loader = Loader(sources, 8, seed=4, extra=1)
    count = MIXTURE_BLOCK + 500  # across a block's end
    rows = loader.rows(0, count)
    source = rows[:, 0] // 10_000
    assert (rows // 10_000 == source[:, None]).all()
    for number, (_, weight) in enumerate(sources):
        seen = np.cumsum(source == number)
        expected = weight * np.arange(1, count + 1)
        assert np.abs(seen - expected).max() < 4, "no run of rows strays from the weights"
        mine = rows[source == number]
        flat = mine[:, :8].ravel()
        per_epoch = 45 * 8
        whole = math.lcm(per_epoch, 8 * (per_epoch // 8))
        epochs = len(flat) // whole * whole // per_epoch
        assert epochs > 2
        counted = Counter(flat[: epochs * per_epoch].tolist())
        assert counted == dict.fromkeys(range(10_000 * number, 10_000 * number + per_epoch), epochs)
    for first, length in ((0, 1), (3, 64), (MIXTURE_BLOCK - 5, 11)):
        np.testing.assert_array_equal(
            Loader(sources, 8, seed=4, extra=1).rows(first, length), rows[first : first + length]
        )


def test_a_later_stage_goes_on_where_an_earlier_one_stopped(corpus: tuple[Path, int], tmp_path: Path) -> None:
    """Context extension reads longer rows from the same documents: no token twice before the epoch is over."""
    folder, total = corpus
    short = Loader([(folder, 1.0)], 16, seed=7, extra=1, rows=20)
    longer = (total - 320) // 64
    long = Loader([(folder, 1.0)], 64, seed=7, extra=1, start=short.position(20), rows=longer)
    tokens = [*short.rows(0, 20)[:, :16].ravel(), *long.rows(0, longer)[:, :64].ravel()]
    assert len(set(tokens)) == len(tokens) > total - 128
    assert short.position(18) == short.position(20) == (320,), "a begun block is left behind whole"
    both = [(folder, 1.0), (write_split(tmp_path / "b", numbered([100], first=5000)), 3.0)]
    mixed = Loader(both, 16, seed=7, extra=1, rows=12)
    again = Loader(both, 16, seed=7, extra=1, start=mixed.position(12))
    assert all(place % 16 == 0 for place in mixed.position(12))
    assert sum(mixed.position(12)) >= 12 * 16
    assert again.position(0) == mixed.position(12)


def test_two_million_documents_open_and_read_fast_and_light(tmp_path: Path) -> None:
    """Bounds ten times what an idle machine takes: they catch a loop over documents, not a busy neighbour."""
    lengths = np.random.default_rng(0).integers(2, 12, 2_000_000)
    with ShardWriter(tmp_path, "train", 60000, "a") as writer:
        writer.append(np.zeros(int(lengths.sum()), dtype=np.uint16), lengths, lengths)
        writer.finish({})
    tracemalloc.start()
    start = time.perf_counter()
    loader = Loader([(tmp_path, 1.0)], 1024, seed=0)
    loader.rows(0, 8)
    opened = time.perf_counter() - start
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start = time.perf_counter()
    for step in range(50):
        loader.rows(8 * step, 8)
    per_call = (time.perf_counter() - start) / 50
    assert opened < 10
    assert per_call < 0.1
    assert held < 22 * 2_000_000, "20 bytes a document: its place, its turn, and where that ends"
    assert peak < 100 * 2_000_000


def test_refusals(tmp_path: Path, tokenizer: Tokenizer) -> None:
    good = write_split(tmp_path / "good", numbered([5]))
    other = write_split(tmp_path / "other", numbered([5]), sha="b")
    empty = write_split(tmp_path / "empty", [])
    with pytest.raises(UserError, match="name at least one folder"):
        Loader([], 8)
    with pytest.raises(UserError, match=r"weight of .*good is 0.0"):
        Loader([(good, 0.0)], 8)
    with pytest.raises(UserError, match="holds no tokens: the corpus is empty"):
        Loader([(empty, 1.0)], 8)
    with pytest.raises(UserError, match="other was tokenised with another tokenizer"):
        Loader([(good, 1.0), (other, 1.0)], 8)
    with pytest.raises(UserError, match="no such folder"):
        Loader([(tmp_path / "absent", 1.0)], 8)
    with pytest.raises(UserError, match=f"good was tokenised with another tokenizer.* than {tokenizer.folder}"):
        Loader([(good, 1.0)], 8).require_tokenizer(tokenizer)


def test_the_fingerprint_tells_other_data_from_the_same(tmp_path: Path) -> None:
    first = write_split(tmp_path / "a", numbered([5, 6]))
    same = write_split(tmp_path / "b", numbered([5, 6]))
    other = write_split(tmp_path / "c", numbered([5, 6], first=1))
    known = Loader([(first, 1.0)], 8).fingerprint
    assert known == Loader([(same, 1.0)], 8).fingerprint
    assert len({known, Loader([(other, 1.0)], 8).fingerprint, Loader([(first, 1.0)], 9).fingerprint}) == 3


def test_the_fingerprint_tells_another_order_of_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_split(tmp_path / "a", numbered([5, 6]))
    known = Loader([(folder, 1.0)], 8).fingerprint
    assert Loader([(folder, 1.0)], 8, rows=1).fingerprint != known != Loader([(folder, 1.0)], 8, order=1).fingerprint
    monkeypatch.setattr(loader_module, "SHUFFLED", 5)
    assert Loader([(folder, 1.0)], 8).fingerprint != known
