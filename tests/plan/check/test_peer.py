"""Another planner's estimates beside the planner's own, and one column alone to predict."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plan.show.shown import rows

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.check.plan import Check, check_file, from_inputs

HEAD = "id,model,precision,gpu,n_gpus,engine,config,phase,isl,osl,concurrency_or_batch,tpot_ms,ttft_ms"
RUNS = [
    "a,Qwen/Qwen3-32B,fp8,H100 SXM,2,vllm 0.11.0,agg TP2 PP1 attnDP1 moeTP1 EP1 bs16,agg,1024,512,16,20,400",
    "b,Qwen/Qwen3-32B,fp8,H100 SXM,2,vllm 0.11.0,agg TP2 PP1 attnDP1 moeTP1 EP1 bs64,agg,1024,512,64,40,",
    "c,Qwen/Qwen3-32B,fp8,H200 SXM,2,vllm 0.11.0,agg TP2 PP1 attnDP1 moeTP1 EP1 bs16,agg,1024,512,16,16,300",
]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write(tmp_path / "runs.csv", HEAD, *RUNS)


def judged(runs: Path, *estimates: str, target: str | None = None) -> Check:
    return check_file(runs, target=target, peer=write(runs.parent / "theirs.csv", *estimates))


def test_all_three_are_judged_on_the_rows_that_all_answer(runs: Path) -> None:
    check = judged(runs, "id,tpot_ms", "a,25", "b,", "c,16", "nobody,1")
    told, ours = check.to_json()["beside"], {row.id: row.error for row in check.rows}
    assert (told["name"], told["n"]) == ("theirs", 2)
    assert told["peer"] == {"median_abs_error": pytest.approx(0.125), "p90_abs_error": pytest.approx(0.225)}
    assert told["planner"]["median_abs_error"] == pytest.approx(sum(abs(ours[row] or 0) for row in "ac") / 2)
    nearest = [abs(16 / 20 - 1), abs(20 / 16 - 1)]  # each from the other, the only row of another chip as near
    assert told["nearest_row"]["median_abs_error"] == pytest.approx(sum(nearest) / 2)
    table = rows(verbs.sections(check, "en"), "Beside theirs, on the rows that both answer")
    assert list(table) == ["planner", "theirs", "the nearest row of another model or chip"]
    assert table["theirs"] == ["2", "12.5 %", "22.5 %"]


def test_one_column_alone_is_predicted(runs: Path) -> None:
    check = judged(runs, "id,tpot_ms,ttft_ms", "a,25,480", "b,40,9", "c,,", target="ttft_ms")
    assert [(row.id, row.target) for row in check.rows] == [("a", "ttft_ms"), ("b", None), ("c", "ttft_ms")]
    assert check.to_json()["beside"]["peer"]["median_abs_error"] == pytest.approx(0.2)  # b states no first token
    both = {row.id: row.predicted for row in check.rows}
    alone = write(runs.parent / "alone.csv", HEAD, *(line.replace(",20,400", ",,400") for line in RUNS))
    assert {row.id: row.predicted for row in check_file(alone, target="ttft_ms").rows}["a"] == both["a"]
    again = from_inputs(check.inputs())
    assert again.to_json() == check.to_json()
    (runs.parent / "theirs.csv").write_text("id,ttft_ms\na,481\n")
    with pytest.raises(UserError, match=r"theirs\.csv is not the file that the card was made of"):
        from_inputs(check.inputs() | {"beside_sha256": check.inputs()["sha256"]})
    assert from_inputs(before := {key: value for key, value in check.inputs().items() if key != "beside_sha256"})
    assert before["beside"] == str(runs.parent / "theirs.csv")  # a card of an earlier version has no hash of it


def test_one_column_does_not_rank_chips(runs: Path) -> None:
    with pytest.raises(UserError, match="--target ttft_ms predicts that column alone, and --ranking compares chips"):
        check_file(runs, ranked=True, target="ttft_ms")


@pytest.mark.parametrize(
    ("estimates", "sentence"),
    [
        (["id,tpot", "a,25"], "a file of estimates needs id and one of .*tpot_ms"),
        (["name,tpot_ms", "a,25"], "needs id"),
        (["id,tpot_ms", "a,25", "a,26"], "line 3: row 'a' is estimated a second time"),
        (["tpot_ms,id", "25"], "line 2: id is empty"),
        (["id,tpot_ms", ",25"], "line 2: id is empty"),
        ([""], "has the columns none"),
        (["id,tpot_ms", "a,soon"], "line 2: tpot_ms is 'soon', not a number above zero"),
        (["id,tpot_ms", "a,0"], "not a number above zero"),
        (["id,tpot_ms", "z,25"], "estimates no row that the planner answers"),
        (["id,ttft_ms", "a,400"], "estimates no row that the planner answers"),
    ],
)
def test_a_file_of_estimates_at_fault(runs: Path, estimates: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        judged(runs, *estimates)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tpot_m", "no column .*Did you mean 'tpot_ms'"),
        ("isl", "not a column that is predicted; .* has tpot_ms, ttft_ms"),
    ],
)
def test_a_column_that_is_not_predicted(runs: Path, target: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_file(runs, target=target)
