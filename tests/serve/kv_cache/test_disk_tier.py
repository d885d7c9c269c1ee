"""Prefixes on disk survive a restart, hold only what was computed, and are of one model and one way to compute."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file
from tests.serve.engine.made import Asked, engine, run
from tests.serve.kv_cache.disk import answer, get, put
from tests.small import small_model
from torch import Tensor

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.kv_cache.cache_folder import CacheFolder
from centime.serve.kv_cache.disk_tier import DiskTier, fingerprint


def test_a_restarted_server_finds_what_it_computed(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 0
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # five blocks of four


def stored(folder: Path) -> list[Tensor]:
    return [load_file(file)["entries"] for file in folder.glob("*.kv")]


def test_no_bit_of_what_memory_held_before_is_kept(drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, options in (("drafts", {}), ("none", {"drafts": False}), ("exact", {"deterministic": True})):
        served = engine(drafting, tokenizer, blocks=128, disk=tmp_path / name, **options)
        served.pages.stored.fill_(777.0)
        run(served, *(Asked(range(5 + n, 125 + n), max_tokens=1 + 20 * n, ignore_eos=True) for n in range(3)))
        served.stop()
        kept_ = stored(tmp_path / name)
        assert len(kept_) > 50
        assert not any((entries == 777.0).any() for entries in kept_)
        assert {len(entries) for entries in kept_} == {2 if name == "none" else 3}


def test_a_tenants_files_hold_nothing_of_another(drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Prompts without a token in common at any place: the same one would have the same latents in the first layer."""
    served = engine(drafting, tokenizer, blocks=42, disk=tmp_path)
    served.pages.stored.zero_()  # memory that another test's engine had may hold the same latents
    run(served, Asked([(7 * n) % 290 + 5 for n in range(140)], max_tokens=1, isolation="alice"))
    latents = {row.numpy().tobytes() for layer in served.pages.stored for row in layer}  # and bob gets her blocks
    run(served, Asked([(11 * n) % 290 + 6 for n in range(140)], max_tokens=1, isolation="bob"))
    served.stop()
    bobs = [e for e in stored(tmp_path) if not all(row.numpy().tobytes() in latents for row in e[1])]
    assert len(bobs) > 20
    assert not any(row.numpy().tobytes() in latents for entries in bobs for layer in entries for row in layer)


def test_what_is_kept_is_what_a_fresh_computation_writes(
    drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    prompt = [(7 * n) % 290 + 5 for n in range(90)]

    def ask(disk: Path | None, before: float) -> tuple[Asked, dict[bytes, Tensor]]:
        served, request = engine(drafting, tokenizer, blocks=128, disk=disk), Asked(prompt, max_tokens=30)
        served.pages.stored.fill_(before)
        run(served, request)
        pages = {b.key: served.pages.read(i)[:3].clone() for i, b in enumerate(served.pool.blocks) if b.key}
        served.stop()
        return request, pages

    fresh, computed = ask(None, 1.0)
    first, _ = ask(tmp_path, 2.0)
    again, restored = ask(tmp_path, 3.0)
    assert again.end.usage.hit_tokens == 88
    assert fresh.tokens == first.tokens == again.tokens
    # with the same guesses: entries that were not whole would make other ones
    assert (fresh.end.usage.drafted_tokens, fresh.end.usage.accepted_tokens) == (
        again.end.usage.drafted_tokens,
        again.end.usage.accepted_tokens,
    )
    assert computed.keys() == restored.keys()
    for key in computed:
        torch.testing.assert_close(restored[key], computed[key])


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        folder = tmp_path / str(dtype)
        disk = DiskTier(CacheFolder(folder), 10**6, "model", (2, 4, 8), dtype)
        largest = torch.full((2, 4, 8), torch.finfo(dtype).max, dtype=dtype)
        put(disk, 0, -largest)
        for token, bad in enumerate((float("nan"), float("inf"), -float("inf")), start=1):
            entries = largest.clone()
            entries[1, 3, 7] = bad
            put(disk, token, entries)
        disk.close()
        assert [get(disk, token) is not None for token in range(4)] == [True, False, False, False]


def test_every_bit_of_the_model_and_the_way_it_computes_count(tokenizer: Tokenizer, model: Transformer) -> None:
    known = fingerprint(model)
    assert fingerprint(copy.deepcopy(model)) == known != fingerprint(model, deterministic=True)
    other = copy.deepcopy(model)
    for weight in (*other.parameters(), *other.buffers()):
        if not weight.is_floating_point() or not weight.numel():
            continue
        place = (weight.numel() * 2 // 3,)
        with torch.no_grad():
            before = weight.view(-1)[place].clone()
            weight.view(-1)[place] = torch.nextafter(before.float(), torch.tensor(9.0)).to(weight.dtype)
            assert fingerprint(other) != known
            weight.view(-1)[place] = before
    assert fingerprint(other) == known
    assert fingerprint(copy.deepcopy(model).to(torch.bfloat16)) != known


def test_another_models_prefixes_are_not_taken(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    answer(model, tokenizer, tmp_path)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.embed.weight[10] = torch.randn_like(other.embed.weight[10])
    assert answer(other, tokenizer, tmp_path).end.usage.hit_tokens == 0
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # both keep what is theirs
    assert answer(other, tokenizer, tmp_path).end.usage.hit_tokens == 20


def test_deterministic_answers_take_only_what_deterministic_steps_wrote(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(tokenizer, 512).to(torch.bfloat16)
    prompt = [(7 * n) % 240 + 5 for n in range(200)]

    def ask(exact: bool, folder: Path) -> tuple[list[float], int]:
        served = engine(copy.deepcopy(model), tokenizer, blocks=256, deterministic=exact, disk=folder)
        request = Asked(prompt, max_tokens=12, logprobs=0)
        run(served, request)
        served.stop()
        chances = [each.logprob for event in request.events for each in getattr(event, "logprobs", ())]
        return chances, request.end.usage.hit_tokens

    empty = ask(True, tmp_path / "empty")
    ask(False, tmp_path / "shared")
    assert ask(True, tmp_path / "shared") == empty
    assert ask(True, tmp_path / "shared") == (empty[0], 196)


def test_the_digest_is_computed_once_for_files_that_stay(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    made: list[int] = []

    def compute() -> str:
        made.append(1)
        return f"digest {len(made)}"

    assert [folder.digest(mark, compute) for mark in ("a", "a", "b", "a", None, None)] == [
        "digest 1", "digest 1", "digest 2", "digest 1", "digest 3", "digest 4"
    ]  # fmt: skip
    (tmp_path / "digests.json").write_text("[1")
    assert folder.digest("a", compute) == "digest 5"
    folder.close()
    again = CacheFolder(tmp_path)
    assert again.digest("a", compute) == "digest 5"
    again.close()
