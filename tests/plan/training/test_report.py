"""A training plan's report: every figure of its head, its stages, its step and its search is the plan's own."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from tests.plan.show.shown import figures, notes, one, rows

from centime.plan import verbs
from centime.plan.counts.adapters import parse_adapters
from centime.plan.show.language import writer
from centime.plan.show.sections import Section, StackedBars, Table, Timeline
from centime.plan.training.layout_report import search_sections
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.post_training import Reinforcement
from centime.plan.training.report import PHASES
from centime.plan.training.request import TrainingRequest

W = writer("en")
RL = Reinforcement(steps=100, rollouts=512, prompt_tokens=200, answer_tokens=1000)
V3 = TrainingRequest("DeepSeek-V3", 14.8e12, "h800", 2048, price="$2/h", date="2025-01-01")
ASKED = replace(V3, sft_tokens=4.3e9, rl=RL, post_hours=600.0)


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return plan_training(ASKED)


@pytest.fixture(scope="module")
def told(plan: TrainingPlan) -> dict[str, Any]:
    return plan.to_json()


@pytest.fixture(scope="module")
def shown(plan: TrainingPlan) -> list[Section]:
    return verbs.sections(plan, "en")


def test_the_head(shown: list[Section], told: dict[str, Any]) -> None:
    between = told["interval"]
    assert figures(shown) == {
        "GPU-hours": (W.count(told["gpu_hours"], 4), f"80 %: {W.count(between['low'])} to {W.count(between['high'])}"),
        "Cost": (f"${told['cost_usd']:,.0f}", f"80 %: ${between['cost_low']:,.0f} to ${between['cost_high']:,.0f}"),
        "Days": (f"{told['days']:.1f}", f"{told['goodput']:.1%} of them training"),
        "Step": (
            f"{told['step_time_s']:.2f} s",
            f"{between['step_time_low_s']:.2f} – {between['step_time_high_s']:.2f} s",
        ),
        "Speed": (f"{told['tokens_per_s_per_gpu']:,.0f}", "tokens/s per GPU"),
        "MFU": (f"{told['mfu']:.1%}", f"of the bf16 peak; {told['tflops_per_gpu']:.3g} TFLOP/s, fp8"),
        "Memory": (f"{told['memory_gib_per_gpu']['total']:.1f} GiB", ""),
        "Parameters": (
            W.count(told["parameters"]["total"], 4),
            f"{W.count(told['parameters']['active'], 4)} for a token, "
            f"{W.count(told['parameters']['active_without_embedding'], 4)} without the input embedding",
        ),
    }


def test_totals_are_their_parts(told: dict[str, Any]) -> None:
    stages = told["stages"]
    assert [stage["name"] for stage in stages] == ["pretrain", "extension", "extension", "sft", "rl", "post"]
    assert told["gpu_hours"] == pytest.approx(sum(stage["gpu_hours"] for stage in stages))
    for end in ("low", "high"):
        assert told["interval"][end] == pytest.approx(sum(stage["interval"][end] for stage in stages))
        assert told["interval"][f"cost_{end}"] == pytest.approx(2 * told["interval"][end])
    assert told["days"] == pytest.approx(told["gpu_hours"] / 2048 / 24)
    assert told["cost"] == told["cost_usd"] == pytest.approx(2 * told["gpu_hours"])
    assert told["end"] == str(datetime.date(2025, 1, 1) + datetime.timedelta(days=round(told["days"])))
    for stage in stages[:-1]:
        steps, hours = stage["steps"], stage["gpu_hours"]
        if stage["name"] != "rl":
            assert steps * stage["global_batch"] * stage["seq"] == pytest.approx(stage["tokens"])
            assert hours * told["goodput"] == pytest.approx(steps * stage["step_time_s"] * 2048 / 3600)
        assert stage["assumed"] is False
    assert sum(told["exposed_comm_s"].values()) == pytest.approx(told["breakdown_s"]["exposed_comm"])
    memory = dict(told["memory_gib_per_gpu"])
    assert memory.pop("total") == pytest.approx(sum(memory.values()))


def test_rls_interval_is_twice_as_wide_as_trainings(told: dict[str, Any]) -> None:
    first, *_, rl, _ = told["stages"]
    for end in ("low", "high"):
        assert rl["interval"][end] / rl["gpu_hours"] == pytest.approx(
            (first["interval"][end] / first["gpu_hours"]) ** 2
        )


def test_the_stages(shown: list[Section], told: dict[str, Any]) -> None:
    table = one(shown, Table, "Cost by stage")
    assert table.note == "$2.00 per device-hour (given; 2025-01-01)"
    assert table.head[-1] == "USD"
    parts = [row for row in table.rows if row[0].startswith("of these")]
    assert [row[3] for row in parts] == [
        f"{hours:,.0f}" for s in told["stages"] for hours in s.get("parts", {}).values()
    ]
    for stage, row in zip(told["stages"], [row for row in table.rows if row not in parts], strict=False):
        low, high = stage["interval"]["low"], stage["interval"]["high"]
        cost = 2 * stage["gpu_hours"]
        assert row[1:] == [
            W.count(stage["tokens"]) if stage["tokens"] else "–",
            "–" if stage["name"] in ("rl", "post") else f"{stage['seq']:,}",
            f"{stage['gpu_hours']:,.0f}",
            "–" if stage["name"] == "post" else f"{low:,.0f} – {high:,.0f}",
            f"{cost:,.0f}" if cost >= 1000 else f"{cost:,.2f}",
        ]
    between = f"{told['interval']['low']:,.0f} – {told['interval']['high']:,.0f}"
    assert table.rows[-1] == ["Total", "", "", f"{told['gpu_hours']:,.0f}", between, f"{told['cost']:,.0f}"]
    assert table.total
    small = verbs.sections(plan_training(replace(V3, extension=(), post_hours=400.0)), "en")
    assert one(small, Table, "Cost by stage").rows[1][-1] == "800.00"  # cents below a thousand


def test_the_step(shown: list[Section], told: dict[str, Any], plan: TrainingPlan) -> None:
    ((_, parts),) = one(shown, StackedBars, "Where a step's time goes").bars
    assert sum(parts.values()) == pytest.approx(told["step_time_s"])
    assert all(seconds > 0 for seconds in parts.values())
    assert rows(shown, "Phases of a step") == {PHASES[k]: [f"{s:.2f}"] for k, s in told["phases_s"].items()}
    assert all(s > 0 for s in told["phases_s"].values())
    ((_, memory),) = one(shown, StackedBars, "Memory of the fullest chip").bars
    assert list(memory.values()) == [gib for name, gib in told["memory_gib_per_gpu"].items() if name != "total"]
    layout = plan.step.layout
    assert rows(shown, "Layout") == {
        "tensor parallel": [str(layout.tp)],
        "pipeline stages": ["16"],
        "chunks a stage": [str(layout.vp)],
        "context parallel": ["1"],
        "expert parallel": ["64"],
        "replicas": ["128"],
        "ZeRO": ["1"],
        "micro-batch": [str(layout.micro_batch)],
        "schedule": ["dualpipe"],
        "recomputation": [layout.recompute],
    }


def test_the_drawn_pipeline_says_how_much_of_the_step_it_is(shown: list[Section], plan: TrainingPlan) -> None:
    drawn = one(shown, Timeline, "The pipeline in time")
    of = plan.step.layout.micro_batches(plan.step.global_batch)
    assert drawn.note == f"48 of a step's {of} micro-batches."
    assert of > 48
    assert [label for label, _ in drawn.lanes] == [f"stage {n}" for n in range(1, 17)]
    alone = plan_training(
        TrainingRequest("Llama-3.1-8B", 1e9, "h100", 8, layout="zero=3", global_batch=64, price="$3/h")
    )
    assert not [one for one in verbs.sections(alone, "en") if isinstance(one, Timeline)]


def test_what_is_assumed_is_said(plan: TrainingPlan, shown: list[Section]) -> None:
    lines = notes(shown, "Assumptions")
    assert lines == [str(line) for line in plan.assumptions]
    said = " ".join(lines)
    assert "Supervised tuning runs at the speed of pre-training." in said
    assert f"the longest answer of each, of {RL.longest:,.0f} tokens where the mean is 1,000." in said
    assert "Post-training takes 600 GPU-hours: an input, not a result." in said
    hours = plan.goodput.hours_between_interruptions
    assert f"A failure every {hours:.0f} hours on 2,048 chips" in said
    assert "May not be bought" not in said
    barred = plan_training(replace(V3, region="cn", extension=()))
    assert any(line.startswith("May not be bought in China on 2025-01-01") for line in barred.assumptions)
    plain = " ".join(plan_training(replace(V3, extension=(), post_hours=0.0)).assumptions)
    for word in ("Supervised", "Rollouts", "Post-training", "first principles"):
        assert word not in plain


def test_the_search_is_shown_fastest_first() -> None:
    made = plan_training(TrainingRequest("qwen3-30b-a3b", 1e12, "h800", 67, price="$2/h"))
    assert made.search is not None
    sections = verbs.sections(made, "en")
    table = one(sections, Table, "Fastest layouts")
    best = made.search.best.seconds
    for row, candidate, (low, high) in zip(table.rows, made.search.top, made.search.intervals, strict=True):
        assert low < candidate.seconds < high
        assert list(row[1:]) == [
            str(candidate.layout.gpus),
            f"{candidate.seconds:.3f}",
            f"{low:.3f} – {high:.3f}",
            f"{candidate.tokens_per_s:,.0f}",
            f"{candidate.seconds / best - 1:+.1%}",
        ]
        assert candidate.seconds >= best
    assert f"{made.search.tried:,} layouts tried, of which {made.search.feasible:,} fit" in table.note
    assert f"leaves {made.search.idle} of 67 chips idle" in table.note
    assert "ran out of time" not in table.note
    cut = search_sections(replace(made.search, complete=False), W)
    assert one(cut, Table, table.title).note == f"{table.note} The search ran out of time."
    drawn = one(sections, StackedBars, "A step of the best layout and of the runner-up")
    (of_best, first), (of_next, second) = drawn.bars
    assert (of_best, of_next) == ("best", "runner-up")
    assert drawn.intervals == dict(zip(("best", "runner-up"), made.search.intervals[:2], strict=True))
    assert sum(first.values()) == pytest.approx(best, rel=1e-3)
    assert sum(second.values()) == pytest.approx(made.search.top[1].seconds, rel=1e-3)


def test_phases_are_those_of_the_schedule() -> None:
    """No line says 0.00 s: without a pipeline nothing runs alone, and no gradient waits where none is put off."""
    asked = TrainingRequest("llama-3.1-8b", 1e12, "h100", 64)
    turns = rows(verbs.sections(plan_training(replace(asked, layout="dp=64")), "en"), "Phases of a step")
    assert list(turns) == ["forward and backward in turn", "optimizer"]
    plain = rows(
        verbs.sections(plan_training(replace(asked, layout="pp=4,dp=16,schedule=1f1b")), "en"), "Phases of a step"
    )
    assert [name for name in plain if "1W" in name] == []
    assert "bubble" in plain


@pytest.mark.parametrize("lora", ["16", "64,targets=attention,base=nf4"])
def test_what_is_trained_of_a_frozen_model_is_said_as_its_share(lora: str) -> None:
    asked = TrainingRequest("llama-3.1-8b", 1e7, "h100", 1, seq=2048, price="$2/h", lora=parse_adapters(lora))
    told = plan_training(asked).to_json()
    trained, whole = told["adapters"]["parameters"], told["parameters"]["total"]
    shown = figures(verbs.sections(plan_training(asked), "en"))
    share = f"{100 * trained / whole:.2f}% of the model's, rank {told['adapters']['rank']}"
    assert shown["Trained parameters"] == (W.count(trained), share)
