"""What a training plan fills in where nothing is said, and the ends of what it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.training.case import case, from_json
from centime.plan.training.goodput import goodput
from centime.plan.training.post_training import Reinforcement
from centime.plan.training.request import MOST, TrainingRequest, check, filled_in, recipes, whole
from centime.plan.training.searched_step import SearchedStep, Searcher

V3 = TrainingRequest("DeepSeek-V3", 14.8e12, "h800", 2048, price="$2/h")
RECIPE = recipes()["DeepSeek-V3"]


def filled(request: TrainingRequest) -> tuple[TrainingRequest, str]:
    notes: list[str] = []
    arch, device = architecture(request.model), chip(request.gpu)
    made = filled_in(request, arch, device, recipes().get(arch.name, {}), notes)
    return made, " ".join(notes)


def test_what_the_makers_published_is_taken_and_said() -> None:
    made, said = filled(V3)
    assert (made.seq, made.global_batch, made.precision) == (4096, 15_360, "fp8")
    assert (made.layout, made.software_date) == (RECIPE["layout"], RECIPE["software_date"])
    assert [stage.seq for stage in made.extension or ()] == [32_768, 131_072]
    assert made.post_hours == 5000
    assert "global_batch = 15360, as its makers had it." in said
    assert "fastest layout" not in said
    assert "Software of" not in said


def test_what_is_given_stands() -> None:
    given = replace(
        V3,
        seq=8192,
        global_batch=4096,
        precision="bf16",
        layout="auto",
        software_date="2024-06",
        extension=(),
        post_hours=1.0,
    )
    made, said = filled(given)
    assert made == given
    assert said == ""


def test_a_start_dates_the_software_unless_it_is_dated_itself() -> None:
    made, said = filled(replace(V3, date="2026-01-31"))
    assert made.software_date == "2026-01"
    assert "Software of 2026-01, when the run starts." in said
    assert filled(replace(V3, date="2026-01-31", software_date="2025-06"))[0].software_date == "2025-06"
    assert filled(replace(V3, layout="auto"))[0].software_date is None


def test_other_chips_have_neither_the_makers_layout_nor_a_precision_that_they_lack() -> None:
    made, said = filled(replace(V3, gpu="a100", gpus=2048))
    assert (made.layout, made.precision) == ("auto", "bf16")
    assert "The fastest layout that fits is taken." in said
    assert filled(replace(V3, gpus=2047))[0].layout == "auto"  # 16 stages do not divide them


def test_a_model_without_a_recipe_has_assumptions() -> None:
    made, said = filled(TrainingRequest("Llama-3.1-8B", 1e12, "h100", 64))
    assert (made.seq, made.global_batch, made.extension, made.post_hours) == (4096, 1024, (), 0.0)
    assert "seq = 4096 (assumption)." in said


def test_predicted_post_training_replaces_the_makers_hours() -> None:
    assert filled(replace(V3, sft_tokens=1e9))[0].post_hours == 0
    assert filled(replace(V3, rl=Reinforcement(1, 1, 1.0, 1.0)))[0].post_hours == 0


def test_the_ends_of_a_request() -> None:
    for name, most in MOST.items():
        check(replace(V3, **{name: most}))
        check(replace(V3, **{name: 1}))
        for value in (0, most * 1.001):
            with pytest.raises(UserError, match=f"{name} is "):
                check(replace(V3, **{name: value}))
    check(replace(V3, post_hours=0.0))
    for hours in (1 / 60, MOST["tokens"], None):
        check(replace(V3, market="spot", interrupted_every=hours))
    for hours in (0.99 / 60, 1.01 * MOST["tokens"]):
        with pytest.raises(UserError, match="hours is too short or too long"):
            check(replace(V3, market="spot", interrupted_every=hours))
    assert whole("gpus", 2048.0) == 2048
    with pytest.raises(UserError, match=r"gpus is 2048\.5; expected a whole number"):
        whole("gpus", 2048.5)


@pytest.mark.parametrize("name", ["steps", "rollouts", "prompt_tokens", "answer_tokens", "steps_per_rollout"])
def test_the_ends_of_reinforcement(name: str) -> None:
    rl = Reinforcement(10, 10, 10.0, 10.0)
    for value in (1, 1e15):
        replace(rl, **{name: value}).check()
    for value in (0, 2e15):
        with pytest.raises(UserError, match=f"{name} is "):
            replace(rl, **{name: value}).check()
    replace(rl, longest_tokens=10.0).check()


def test_the_longest_answer_of_one_is_about_its_mean_and_of_none_beyond_the_cut() -> None:
    one = Reinforcement(10, 1, 10.0, 1000.0, steps_per_rollout=1)
    assert one.longest == pytest.approx(1000, rel=0.08)
    many = replace(one, rollouts=512, steps_per_rollout=16)
    assert many.longest == pytest.approx(1000 * sum(1 / n for n in range(1, 8193)), rel=1e-6)
    assert replace(many, longest_tokens=2000.0).longest == 2000
    assert replace(many, longest_tokens=1e9).longest == many.longest


def test_goodput_loses_more_on_more_chips() -> None:
    """Llama-3.1-405B: 419 interruptions in 54 days of 16,384 chips, and above 90 % of the time trains."""
    llama = goodput(16_384)
    assert llama.hours_between_interruptions == pytest.approx(54 * 24 / 419)
    assert 0.9 < llama.share < 0.95
    lost = [1 / goodput(chips).share - 1 for chips in (1, 64, 2048, 16_384)]
    assert lost == sorted(lost)
    # Young: at the best interval as much is lost to checkpoints as to work done again
    mean = llama.hours_between_interruptions
    assert lost[-1] == pytest.approx(0.2 / mean + (2 * (10 / 3600) / mean) ** 0.5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gpus": 8.5}, "gpus is 8.5; expected a whole number"),
        ({"gpus": 0}, "gpus is 0; expected a number above zero"),
        ({"tokens": 2e18}, "at most 1e"),
        ({"tokens": True}, "tokens is True; expected a number"),
        ({"price": -1}, "a price is at least 0"),
        ({"price": 2e18}, "and at most 1e"),
        ({"title": 3}, "title is 3; expected a text"),
        ({"sources": "one"}, "expected a list of sentences"),
        ({"gpu": None}, "'gpu' is missing"),
        ({"modle": "x"}, "Did you mean 'model'"),
    ],
)
def test_a_run_that_is_none(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_json({"model": "m", "gpu": "h800", "gpus": 8, "tokens": "1T"} | given)


def test_a_run_in_a_line_and_as_values() -> None:
    line = case(
        "model=deepseek-v3, gpu=h800,gpus=2048,tokens=14.8T,layout=pp=16,ep=64,price=2 EUR/h,global-batch=15360"
    )
    assert (line.tokens, line.layout, line.price, line.currency) == (14.8e12, "pp=16,ep=64", 2.0, "EUR")
    assert (line.global_batch, line.title) == (15_360, "deepseek-v3 on 2,048 h800")
    assert from_json(line.to_json()) == line
    free = from_json(
        {"model": "m", "gpu": "h800", "gpus": 8, "tokens": 1e18, "price": 0, "seq": None, "sources": ["a"]}
    )
    assert (free.price, free.seq, free.tokens, free.sources) == (0.0, None, 1e18, ("a",))
    with pytest.raises(UserError, match="'pp=16' in"):
        case("model=deepseek-v3,pp=16")
    example = case("v3-h800")
    assert example.reported_gpu_hours
    assert example.reported_source
    assert example.title


def test_a_searched_step_says_how_far_off_it_may_be_and_is_searched_once() -> None:
    searcher = Searcher()
    at = SearchedStep(architecture("llama-3.1-8b"), chip("h100"), 8, 4096, 64, "bf16", None, "2025-06")
    low, high = searcher.interval(at)
    assert low < 1 < high < 2
    assert list(searcher.found) == [at]
    assert searcher(at) == pytest.approx(8 * searcher.found[at].best.seconds / (64 * 4096) / goodput(8).share)
    assert searcher.interval(replace(at, schedule="dualpipe")) is not None
