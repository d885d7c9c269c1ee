"""`centime plan`: every option reaches the question, and what is asked for is printed and written."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError

SERVE = ["serve", "--model=centime-d2", "--gpu=h800"]
LIFE = ["lifetime", "--quality-of=deepseek-v2-lite", "--served-tokens=1T", "--quality-tokens=5.7T", "--flops"]


def asked(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The inputs on the card of a plan."""
    card = tmp_path / "card.json"
    done = CliRunner().invoke(app, ["plan", *arguments, "--card", str(card)])
    assert done.exit_code == 0, done.output or done.exception
    assert not done.stdout.startswith("{")
    found: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))["inputs"]
    return found


def test_serve(tmp_path: Path) -> None:
    found = asked(
        tmp_path, *SERVE, "--demand=1B-in/day,2B-out/day,hit=0.5", "--isl=100", "--osl=200", "--ttft=3s", "--tpot=40ms",
        "--precision=bf16", "--layout=mixed=tp1", "--peak-to-mean=1.5", "--price=$3/h", "--date=2026-01-15",
        "--prices=0.1,0.5,2", "--engine=vllm", "--acceptance=0.8",
    )  # fmt: skip
    assert found == {
        "model": "centime-d2", "gpu": "h800", "gpus": None, "isl": 100, "osl": 200, "context": None, "ttft_s": 3.0,
        "tpot_s": 0.04, "hit": 0.0, "precision": "bf16", "layout": "mixed=tp1", "mtp": 0, "acceptance": 0.8,
        "peak_to_mean": 1.5, "price": "3 USD/h", "date": "2026-01-15", "prices": "0.1,0.5,2", "engine": "vllm",
        "demand": {"input_per_day": 1e9, "output_per_day": 2e9, "hit": 0.5}, "market": "on-demand", "currency": None,
        "price_region": None,
    }  # fmt: skip
    fleet = asked(tmp_path, *SERVE, "--gpus=8", "--hit=0.25")
    assert (fleet["gpus"], fleet["hit"], fleet["demand"], fleet["isl"], fleet["osl"]) == (8, 0.25, None, None, None)
    assert asked(tmp_path, *SERVE, "--demand=1B-in/day,2B-out/day", "--context=2K")["context"] == 2000


def test_train(tmp_path: Path) -> None:
    found = asked(
        tmp_path, "train", "--model=centime-d2", "--tokens=1B", "--gpu=h800", "--gpus=8", "--seq=2048",
        "--global-batch=64", "--precision=bf16", "--layout=zero=1", "--post-hours=5K", "--price=$3/h",
        "--date=2026-01-15", "--region=us", "--sft-tokens=1M", "--rl=steps=10,rollouts=8,prompt=9,answer=9",
    )  # fmt: skip
    expected = {
        "model": "centime-d2", "tokens": 1e9, "gpu": "h800", "gpus": 8, "seq": 2048, "global_batch": 64,
        "precision": "bf16", "layout": "zero=1", "post_hours": 5000, "price": "$3/h", "date": "2026-01-15",
        "region": "us", "sft_tokens": 1e6,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert (found["rl"]["steps"], found["rl"]["answer_tokens"]) == (10, 9)
    with pytest.raises(UserError, match=r"gpus is 8\.5"):
        CliRunner().invoke(
            app,
            ["plan", "train", "--model=centime-d2", "--tokens=1B", "--gpu=h800", "--gpus=8.5"],
            catch_exceptions=False,
        )


def test_compare(tmp_path: Path) -> None:
    found = asked(
        tmp_path, "compare", "--models= centime-d2 ,", "--chips=h800, h100,", "--layouts=zero=1,tp=1;", "--gpus=8",
        "--tokens=1B", "--seq=2048", "--global-batch=64", "--precision=bf16", "--serve-precision=fp8",
        "--date=2026-01-15", "--software-date=2025-02", "--region=us", "--isl=100", "--osl=200", "--hit=0.25",
        "--ttft=3s", "--tpot=40ms",
    )  # fmt: skip
    assert found == {
        "models": ["centime-d2"], "chips": ["h800", "h100"], "layouts": ["zero=1,tp=1"], "gpus": 8, "tokens": 1e9,
        "seq": 2048, "global_batch": 64, "precision": "bf16", "serve_precision": "fp8", "price": None,
        "date": "2026-01-15", "software_date": "2025-02", "region": "us", "isl": 100, "osl": 200, "hit": 0.25,
        "ttft_s": 3.0, "tpot_s": 0.04, "market": "on-demand", "currency": None, "price_region": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "family"), [(["--dense"], "dense"), (["--moe"], "moe"), ([], "both"), (["--dense", "--moe"], "both")]
)
def test_lifetime_and_its_families(flags: list[str], family: str, tmp_path: Path) -> None:
    found = asked(tmp_path, *LIFE, *flags, "--max-tokens=30T", "--law=hoffmann", "--moe-law=clark")
    assert (found["family"], found["mode"], found["law"], found["moe"]) == (family, "flops", "hoffmann", "clark")
    assert (found["served_tokens"], found["quality_tokens"], found["max_tokens"]) == (1e12, 5.7e12, 30e12)


def test_budget(tmp_path: Path) -> None:
    found = asked(
        tmp_path, "budget", "--capex=2M$", "--years=4", "--gpu=h100", "--split=train=0.5,serve=0.25", "--of=Meta",
        "--train-model=centime-d2=1B", "--serve-model=centime-d2", "--chip-price=$30000", "--price=$2/h",
        "--power-price=$0.11", "--discount=0.12", "--efficiency=10x",
    )  # fmt: skip
    assert found["request"] == {
        "capex": 2e6, "chip": "h100", "years": 4, "train": 0.5, "serve": 0.25, "discount": 0.12, "of": "Meta",
        "models": ["centime-d2=1B"], "serve_model": "centime-d2", "chip_price": 30_000, "rent": 2.0,
        "usd_per_kwh": 0.11, "overrides": {}, "efficiency": 10, "rates": [], "company": None,
        "currency": None, "ramp": 0.0, "tax": 0.0, "write_off": 5.0,
    }  # fmt: skip
    assert list(found["run_hours"]) == ["centime-d2"]
    for name, value in (("chip_price", 30_000), ("rent", 2.0), ("usd_per_kwh", 0.11)):
        assert (found["inputs"][name]["mid"], found["inputs"][name]["low"]) == (value, None)


def test_fleet_and_explain(tmp_path: Path) -> None:
    found = asked(tmp_path, "fleet", "--scenario=startup", "--years=0.5", "--seed=5", "--draws=3")
    assert (found["seed"], found["draws"]) == (5, 3)
    runs = [f"model=centime-d2,gpu={gpu},gpus=8,tokens=1B,price=$2/h" for gpu in ("h800", "h100")]
    explained = asked(tmp_path, "explain", *runs)
    assert (explained["a"]["gpu"], explained["b"]["gpu"]) == ("h800", "h100")


def test_frontier(tmp_path: Path) -> None:
    points = Path(__file__).with_name("show") / "served.csv"
    found = asked(
        tmp_path, "frontier", "--model=centime-d2", "--chips=h800, h100,", "--engines=vllm,any",
        "--precisions=fp8, usual", "--gpus=1", "--isl=1K", "--osl=200", "--hit=0.25", "--ttft=3s", "--tpot=40ms",
        "--price=h800=$2/h", "--price=h100=$3/h", "--date=2026-01-15", f"--measured={points}",
    )  # fmt: skip
    assert found == {
        "model": "centime-d2", "chips": ["h800", "h100"], "engines": ["vllm", ""], "precisions": ["fp8", ""], "gpus": 1,
        "isl": 1000, "osl": 200, "hit": 0.25, "ttft_s": 3.0, "tpot_s": 0.04, "prices": ["h800=$2/h", "h100=$3/h"],
        "measured": str(points), "date": "2026-01-15",
    }  # fmt: skip
    bare = asked(tmp_path, "frontier", "--model=centime-d2", "--chips=h800", "--gpus=1")
    assert (bare["engines"], bare["precisions"], bare["prices"], bare["measured"]) == ([""], [""], [], None)


def test_breakeven(tmp_path: Path) -> None:
    served = ["breakeven", "--model=centime-d2", "--gpu=h800", "--api=0.1,0.2,0.3", "--api=0.2,0.3,0.4"]
    found = asked(
        tmp_path, *served, "--isl=1K", "--osl=200", "--hit=0.25", "--ttft=3s", "--tpot=40ms", "--precision=bf16",
        "--layout=mixed=tp1", "--engine=vllm", "--peak-to-mean=1.5", "--peak-share=0.5", "--price=$2/h",
        "--staff=$20,000", "--most=1T", "--date=2026-01-15",
    )  # fmt: skip
    assert found == {
        "model": "centime-d2", "gpu": "h800", "apis": ["0.1,0.2,0.3", "0.2,0.3,0.4"], "isl": 1000, "osl": 200,
        "hit": 0.25, "ttft_s": 3.0, "tpot_s": 0.04, "precision": "bf16", "layout": "mixed=tp1", "engine": "vllm",
        "peak_to_mean": 1.5, "peak_share": 0.5, "price": "$2/h", "bought": False, "chip_price": None,
        "power_price": None, "staff": 20_000, "staff_currency": "USD", "most": 1e12, "date": "2026-01-15",
        "trace": None,
    }  # fmt: skip
    bought = asked(tmp_path, *served, "--layout=mixed=tp1", "--buy", "--chip-price=$30000", "--power-price=$0.08")
    assert (bought["bought"], bought["chip_price"], bought["power_price"]) == (True, 30_000, 0.08)
    assert (bought["isl"], bought["osl"], bought["staff"], bought["staff_currency"]) == (None, None, 0.0, "USD")
    trace = tmp_path / "trace.csv"
    trace.write_text("time,prompt_tokens,output_tokens\n0,500,50\n30,700,60\n900,500,50\n")
    assert asked(tmp_path, *served, "--layout=mixed=tp1", f"--trace={trace}")["trace"] == str(trace)


def test_diff(tmp_path: Path) -> None:
    run = "model=centime-d2,gpu=h800,gpus=8,tokens=1B,price=$2/h"
    named = asked(tmp_path, "diff", run, run.replace("1B", "2B"), "--fail-over=200%")
    assert (named["a"]["verb"], named["a"]["inputs"]["tokens"], named["b"]["inputs"]["tokens"]) == ("train", 1e9, 2e9)
    assert named["limit"] == 2.0
    config = tmp_path / "config.json"
    config.write_text(files("centime.catalogue").joinpath("models/deepseek-v2-lite.json").read_text())
    on = ["diff", str(config), str(config), "--gpu=h800", "--gpus=8", "--date=2026-01-15"]
    served = asked(tmp_path, *on, "--isl=1K", "--osl=200", "--precision=bf16", "--price=$3/h")
    expected = {
        "model": str(config), "gpu": "h800", "gpus": 8, "isl": 1000, "osl": 200, "precision": "bf16", "price": "$3/h",
        "date": "2026-01-15",
    }  # fmt: skip
    assert (served["a"]["verb"], served["limit"]) == ("serve", None)
    assert {key: served["a"]["inputs"][key] for key in expected} == expected
    trained = asked(tmp_path, *on, "--tokens=1B", "--layout=zero=3,ep=8")["a"]
    assert (trained["verb"], trained["inputs"]["tokens"], trained["inputs"]["gpus"]) == ("train", 1e9, 8)


def test_check_prints_its_table_and_keeps_to_the_kind_that_is_said(tmp_path: Path) -> None:
    head = "id,model,gpu,n_gpus,precision,seq_len,global_batch_seqs,micro_batch,tp,pp,tokens_per_s_per_gpu"
    runs = tmp_path / "runs.csv"
    runs.write_text(f"{head}\na,Llama-3.1-8B,H100,8,bf16,8192,128,1,1,1,9000\n")
    done = CliRunner().invoke(app, ["plan", "check", str(runs)])
    assert "Rows answered" in done.stdout
    assert asked(tmp_path, "check", str(runs))["kind"] == "train"
    with pytest.raises(UserError):
        CliRunner().invoke(app, ["plan", "check", str(runs), "--kind=serve"], catch_exceptions=False)


def test_json_is_json_alone_and_a_table_none(tmp_path: Path) -> None:
    question = ["plan", *SERVE, "--demand=1B-in/day,2B-out/day", "--isl=100", "--date=2026-01-15"]
    told = CliRunner().invoke(app, [*question, "--json"]).stdout
    assert set(json.loads(told)) >= {"gpus_mean", "card"}
    assert told.startswith('{\n  "')
    shown = CliRunner().invoke(app, question).stdout.splitlines()
    assert shown[0].strip() == "Serving centime-d2 on H800 SXM 80GB"
    assert shown[1] == ""
    assert any("GPUs, mean" in line for line in shown)


def test_pages_and_cards_are_written_beside_the_answer_and_nothing_where_a_word_is_wrong(tmp_path: Path) -> None:
    page, card = tmp_path / "plan.html", tmp_path / "card.json"
    question = ["plan", *SERVE, "--demand=1B-in/day,2B-out/day", "--isl=100", "--html", str(page), "--card", str(card)]
    with pytest.raises(UserError, match="not a language"):
        CliRunner().invoke(app, [*question, "--lang=de"], catch_exceptions=False)
    with pytest.raises(UserError, match=r"--html and --card both name .*give each a file"):
        CliRunner().invoke(app, [*question, "--card", str(page)], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, [*question, "--lang=fr"]).exit_code == 0
    assert '<html lang="fr">' in page.read_text(encoding="utf-8")
    again = CliRunner().invoke(app, ["plan", "rerun", str(card)])
    assert (again.exit_code, again.stdout.startswith("The same: all ")) == (0, True)
    moved = json.loads(card.read_text(encoding="utf-8"))
    moved["figures"]["gpus_mean"] *= 2
    card.write_text(json.dumps(moved))
    again = CliRunner().invoke(app, ["plan", "rerun", str(card), "--lang=fr"])
    assert again.exit_code == 1
    assert "-50" in again.stdout
    told = CliRunner().invoke(app, ["plan", "rerun", str(card), "--json"])
    assert (told.exit_code, json.loads(told.stdout)["same"]) == (1, False)
    page.write_text("mine")
    with pytest.raises(UserError, match="--html"):
        CliRunner().invoke(app, question, catch_exceptions=False)
    assert page.read_text() == "mine"
