"""Plans of whole trainings: table 1 of the DeepSeek-V3 report, laws, cards, bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.show.sections import Table, Timeline
from centime.plan.training.plan import plan_training
from centime.plan.training.planner import from_inputs
from centime.plan.training.post_training import Reinforcement
from centime.plan.training.request import TrainingRequest, default_batch

V3 = TrainingRequest("DeepSeek-V3", 14.8e12, "h800", 2048, price="$2/h")


def test_table_1_of_the_v3_report() -> None:
    """Thousand H800 hours: 2,664 + 119 + 5 = 2,788, at $2 an hour $5.576 M (arXiv 2412.19437, table 1)."""
    plan = plan_training(V3)
    by_name = {
        name: sum(s.gpu_hours for s in plan.stages if s.name == name) for name in ("pretrain", "extension", "post")
    }
    assert by_name["pretrain"] == pytest.approx(2.664e6, rel=0.05)
    assert by_name["extension"] == pytest.approx(119e3, rel=0.40)
    assert by_name["post"] == 5000
    assert plan.gpu_hours == pytest.approx(2.788e6, rel=0.06)
    assert plan.cost == pytest.approx(5.576e6, rel=0.06)
    assert plan.low_hours < 2.788e6 < plan.high_hours
    assert any("input, not a result" in line for line in plan.assumptions)
    assert any("higher" in line for line in plan.assumptions)


def test_json_has_the_documented_keys() -> None:
    said = json.loads(json.dumps(plan_training(V3).to_json()))
    for key in ("gpu_hours", "days", "cost_usd", "step_time_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu"):
        assert said[key] > 0
    assert {"weights", "optimizer", "gradients", "activations", "buffers", "total"} <= said["memory_gib_per_gpu"].keys()
    assert {"tp", "pp", "vp", "cp", "ep", "dp", "zero", "micro_batch", "schedule"} <= said["layout"].keys()
    assert {"compute", "attention", "exposed_comm", "bubble", "optimizer"} <= said["breakdown_s"].keys()
    phases = {"forward_1f", "backward_1b", "weight_1w", "steady_1f1b", "bubble", "optimizer"}
    assert said["phases_s"].keys() == phases
    assert said["interval"]["low"] < said["gpu_hours"] < said["interval"]["high"]
    assert said["assumptions"]
    assert said["sources"]
    assert sum(said["breakdown_s"].values()) == pytest.approx(said["step_time_s"])


def test_a_card_rebuilds_the_plan() -> None:
    plan = plan_training(replace(V3, date="2025-01-01"))
    again = from_inputs(json.loads(json.dumps(plan.inputs())))
    ours, theirs = plan.to_json(), again.to_json()
    assert set(theirs.pop("assumptions")) <= set(ours.pop("assumptions"))  # what was a default is now an input
    assert theirs == ours


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_sections_speak(lang: str) -> None:
    plan = plan_training(V3)
    assert verbs.title(plan, lang)
    sections = verbs.sections(plan, lang)
    assert len(sections) >= 6
    (stages,) = (one for one in sections if isinstance(one, Table) and one.total)
    (spread,) = (at for at, word in enumerate(stages.head) if "80" in word)
    assert [row[spread] == "–" for row in stages.rows] == [stage.name == "post" for stage in plan.stages] + [False]


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 20.0), st.floats(1.0, 5.0), st.floats(1.01, 5.0))
def test_dearer_hours_and_more_tokens_cost_more(price: float, more: float, tokens: float) -> None:
    request = replace(V3, price=f"${price:.4f}/h", extension=(), post_hours=0.0)
    cost = plan_training(request).cost
    assert plan_training(replace(request, price=f"${price * more:.4f}/h")).cost >= cost * (1 - 1e-3)
    assert plan_training(replace(request, tokens=request.tokens * tokens)).cost > cost


def test_stages_of_ones_own() -> None:
    plan = plan_training(
        TrainingRequest("Llama-3.1-8B", 1e12, "h100", 64, layout="zero=3", global_batch=512, seq=8192, price="$3/h")
    )
    assert [stage.name for stage in plan.stages] == ["pretrain"]
    assert plan.end is None
    assert replace(plan.request, date="2026-01-01") != plan.request


@pytest.mark.parametrize("model", ["qwen3-30b-a3b", "llama-3.1-8b"])
def test_more_chips_are_never_slower_whatever_their_number(model: str) -> None:
    """With nothing said of batch and layout, odd numbers of chips included; what is left idle is said."""
    fastest = 0.0
    for gpus in (8, 9, 16, 17, 31, 64, 67):
        plan = plan_training(TrainingRequest(model, 1e12, "h800", gpus))
        speed = plan.step.global_batch * plan.step.seq / plan.step.step_time_s
        assert speed >= fastest
        assert (plan.step.layout.gpus < gpus) == any("idle" in line for line in plan.assumptions)
        fastest = speed


def test_default_batches() -> None:
    assert default_batch(64, 4096, searched=True) == default_batch(67, 4096, searched=True) == 1024
    assert default_batch(67, 4096, searched=False) == 67 * 15
    assert default_batch(4096, 4096, searched=True) == 8192
    sizes = [default_batch(gpus, 8192, searched=True) for gpus in range(1, 3000, 7)]
    assert sizes == sorted(sizes)


def test_post_training_from_its_sizes() -> None:
    """R1-Zero: 10,400 steps of 512 answers took 101 K H800 hours (arXiv 2501.12948v2); mean lengths are not published,
    so that the order of magnitude is what can be held to it."""
    rl = Reinforcement(steps=10_400, rollouts=512, prompt_tokens=200, answer_tokens=8000, longest_tokens=32_768)
    plan = plan_training(replace(V3, gpus=512, extension=(), sft_tokens=4.3e9, rl=rl))
    assert [stage.name for stage in plan.stages] == ["pretrain", "sft", "rl"]
    assert 101e3 / 2 < plan.stages[-1].gpu_hours < 101e3 * 2
    longer = plan_training(replace(V3, gpus=512, extension=(), rl=replace(rl, answer_tokens=16_000)))
    assert longer.stages[-1].gpu_hours > plan.stages[-1].gpu_hours
    assert from_inputs(json.loads(json.dumps(plan.inputs()))).gpu_hours == pytest.approx(plan.gpu_hours)
    with pytest.raises(UserError, match="answer_tokens"):
        plan_training(replace(V3, rl=replace(rl, answer_tokens=0)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "DeepSeek-V33"}, "DeepSeek-V3"),
        ({"gpu": "h8000"}, "chip"),
        ({"tokens": -1.0}, "tokens is -1"),
        ({"gpus": 0}, "gpus is 0"),
        ({"layout": "pp=7"}, "pp"),
        ({"layout": "tp=1,ep=8"}, "GiB"),
        ({"date": "next year"}, "2025-01-31"),
        ({"post_hours": -5.0}, "post_hours"),
        ({"precision": "fp3"}, "fp3"),
        ({"precision": "nvfp4"}, "no nvfp4 of H800"),
        ({"gpu": "a100", "precision": "fp8"}, "trains in bf16"),
    ],
)
def test_bad_requests_get_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan_training(replace(V3, **change))


def test_software_is_of_the_start() -> None:
    early, late = (plan_training(replace(V3, date=date, extension=())) for date in ("2024-06-01", "2026-01-31"))
    assert (early.request.software_date, late.request.software_date) == ("2024-06", "2026-01")
    assert early.gpu_hours > late.gpu_hours
    other = plan_training(replace(V3, date="2026-01-31", software_date="2024-06", extension=()))
    assert other.gpu_hours == early.gpu_hours


def test_the_pipeline_is_drawn() -> None:
    plan = plan_training(replace(V3, extension=()))
    drawn = [section for section in verbs.sections(plan, "en") if isinstance(section, Timeline)]
    assert [len(section.lanes) for section in drawn] == [16]
    assert all(span.end > span.start >= 0 for _, spans in drawn[0].lanes for span in spans)
    told = plan.to_json()["micro_batch_s"]
    assert told["overlapped"] <= told["forward"] + told["input_gradient"] + told["weight_gradient"]
