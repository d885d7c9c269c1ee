"""The planner's ranking of chips beside measured ones: which points count, the best between two, pairs, the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plan.check.test_benchmark_point import row
from tests.plan.show.shown import figures, notes

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.check.plan import check_file, from_inputs
from centime.plan.check.ranking import RankedChip, RankedLoad, ranking


def test_between_two_points_of_a_layout_and_not_of_two() -> None:
    other = {"gpu": "H200 SXM 141GB", "tpot_ms": "5"}
    points = [row(tpot_ms="50", output_tok_s_per_gpu="4000"), row(output_tok_s_per_gpu="1000"), row(**other)]
    speeds = {load.user_speed: load for load in ranking(points).loads}
    between = speeds[40.0].chips[0].measured
    assert 1000 < between < 4000
    assert between == pytest.approx(4000 * (40 / 20) ** -0.861, rel=0.01)  # log 4 / log 5: a power law through both
    points[1]["config"] = "agg TP1 PP1 attnDP1 moeTP1 EP1"
    apart = {load.user_speed: load for load in ranking(points).loads}
    assert apart[40.0].chips[0].measured == 1000
    assert apart[20.0].chips[0].measured == 4000


def test_pairs_that_differ_and_their_order() -> None:
    chips = (
        RankedChip("a", "", 100, 50.0, 40, 60, "TP1"),
        RankedChip("b", "", 200, 40.0, 30, 50, "TP1"),
        RankedChip("c", "", 110, None, None, None, ""),
    )
    found = list(RankedLoad("m", 1, 1, 20, chips).pairs())
    assert [(better.chip, worse.chip, right) for better, worse, right in found] == [
        ("b", "c", True),
        ("b", "a", False),
    ]


def test_points_whose_users_wait_too_long_do_not_count() -> None:
    with pytest.raises(UserError, match="no two chips"):
        ranking([row(), row(gpu="H200 SXM 141GB", ttft_ms="60000")])


def test_a_file_of_one_chip_or_of_training_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no two chips"):
        ranking([row(), row(tpot_ms="20")])
    path = tmp_path / "runs.csv"
    path.write_text(
        "id,kind,model,gpu,n_gpus,precision,seq_len,global_batch_seqs,micro_batch,tp,pp,tokens_per_s_per_gpu\n"
        "a,benchmark-pretrain,Llama-3.1-8B,H100,8,bf16,8192,128,1,1,1,9000\n"
    )
    with pytest.raises(UserError, match="--ranking compares chips that serve"):
        check_file(path, ranked=True)


def test_what_is_shown_and_its_card(tmp_path: Path) -> None:
    rows = [row(), row(id="b", gpu="A100 SXM 80GB", precision="bf16", output_tok_s_per_gpu="99999")]
    names = list(rows[0])
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([",".join(names), *(",".join(each[name] for name in names) for each in rows)]) + "\n")
    check = check_file(path, ranked=True)
    found = check.to_json()["ranking"]
    assert found["pairs"] == 4
    assert found["right"] == 0  # nobody plans an A100 that is ten times an H100
    shown = verbs.sections(check, "en")
    assert figures(shown)["Pairs of chips in the right order"][0] == "0 / 4"
    wrong = notes(shown, "In the wrong order")
    assert "A100 SXM 80GB is measured ahead of H100 SXM 80GB, and planned behind it" in wrong[0]
    assert "100 jetons/s par utilisateur" in str(verbs.sections(check, "fr"))
    again = from_inputs(check.inputs())
    assert again.to_json() == check.to_json()
    assert "ranking" not in from_inputs({**check.inputs(), "ranking": False}).to_json()
