"""The comparison with a dense model: equal cost, and an account that reads the curves right."""

from __future__ import annotations

import math
from pathlib import Path

import pytest


def test_a_token_costs_both_arms_the_same() -> None:
    from versus.arms import arms

    dense, mixture = arms().values()
    assert mixture.flops_per_token == pytest.approx(dense.flops_per_token, rel=0.1)
    assert not dense.config.is_mla
    assert dense.config.n_routed_experts is None
    assert mixture.config.is_mla
    assert mixture.counts.total_params > 3 * mixture.counts.active_params
    assert mixture.counts.kv_bytes_per_token <= dense.counts.kv_bytes_per_token / 2


def test_steps_to_a_loss_lie_between_the_ends_around_it() -> None:
    from versus.account import steps_to

    ends = [(100, 3.0), (400, 2.0)]
    assert steps_to(2.5, ends) == pytest.approx(200)  # half the loss's way is half the logarithm's
    assert steps_to(2.0, ends) == pytest.approx(400)
    assert steps_to(3.5, ends) == 100
    assert steps_to(1.9, ends) is None


def test_the_best_rate_is_the_lowest_loss() -> None:
    from versus.account import best_lr

    runs = [{"lr": lr, "ends": [[10, loss]]} for lr, loss in ((1e-3, 3.0), (2e-3, 2.5), (4e-3, math.inf))]
    assert best_lr(runs, 10)[0] == 2e-3


def _runs(losses: dict[int, float]) -> list[dict[str, object]]:
    ends = [[steps, loss] for steps, loss in losses.items()]
    return [
        {"arm": "", "lr": 1e-3, "seed": seed, "ends": ends, "curve": [[0, 7.0], [50, 5.0]], "tokens_per_step": 4096}
        for seed in range(3)
    ]


def test_summary_and_picture(tmp_path: Path) -> None:
    from versus.account import summary
    from versus.arms import arms
    from versus.picture import draw

    both = arms()
    runs = {"dense": _runs({50: 4.0, 100: 3.0}), "mixture": _runs({25: 4.0, 50: 3.0, 100: 2.5})}
    found = summary(both, runs, {"dense": 1.0, "mixture": 1.2})
    per_token = both["mixture"].flops_per_token / both["dense"].flops_per_token
    assert found["flop_ratio"] == pytest.approx(0.5 * per_token)
    assert found["time_ratio"] == pytest.approx(0.5 * 1.2)
    assert found["arms"]["dense"]["tokens_per_active_param"] == pytest.approx(
        100 * 4096 / both["dense"].counts.active_matmul_params
    )
    draw(both, runs, found, tmp_path / "img" / "curves.svg")
    drawn = (tmp_path / "img" / "curves.svg").read_text()
    assert drawn.startswith("<svg")
    assert drawn.count("<circle") == 5  # the ends
    assert "The dense model&#39;s final loss for 0." in drawn


def test_a_mixture_that_never_gets_there_is_said_to() -> None:
    from versus.account import summary
    from versus.arms import arms

    runs = {"dense": _runs({100: 3.0}), "mixture": _runs({100: 3.5})}
    assert summary(arms(), runs, None)["flop_ratio"] is None


def test_a_run_ends_where_it_is_told_and_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from centime.data.shards.prepare import Preparation, prepare
    from centime.data.sources import Sources
    from centime.data.tokenizers.training import train_on_sources
    from versus import run
    from versus.arms import VOCABULARY, arms

    text = tmp_path / "text"
    text.mkdir()
    for number in range(40):
        lines = (f"def f{number}_{i}(x):\n    return x * {i} + {number}\n" for i in range(60))
        (text / f"{number}.py").write_text("\n".join(lines))
    train_on_sources(Sources([str(text)]), VOCABULARY, tmp_path / "tokenizer")
    prepare(Sources([str(text)]), tmp_path / "tokenizer", tmp_path / "data", Preparation(holdout=0.2))
    monkeypatch.setattr(run, "BATCH", 2)
    monkeypatch.setattr(run, "HELD_OUT_ROWS", 4)
    torch.set_num_threads(1)
    once, again = (run.train(arms()["mixture"], tmp_path / "data", 4e-3, 0, [6, 12], lambda _: None) for _ in range(2))
    assert [steps for steps, _ in once["ends"]] == [6, 12]
    assert once["ends"] == again["ends"]
    assert once["ends"][1][1] < once["ends"][0][1] < math.log(VOCABULARY)
    alone = run.train(arms()["mixture"], tmp_path / "data", 4e-3, 0, [12], lambda _: None)
    assert alone["ends"][0] == once["ends"][1]  # a branch on the way leaves no trace
