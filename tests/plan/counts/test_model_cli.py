"""`centime model`: the figures a person reads and the same as JSON, from names, model folders and run folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centime.catalogue import models
from centime.catalogue.architecture import ExpertsSpec, FeedForwardSpec, Mixer, SoftmaxAttention
from centime.catalogue.hf import to_hf
from centime.catalogue.presets import names, preset
from centime.cli import app
from centime.cli.model import _stated
from centime.errors import UserError
from centime.plan.counts import count
from centime.plan.counts.baseline import dense_baseline


def centime(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_deepseek_v3_in_words() -> None:
    text = centime("model", "show", "deepseek-v3")
    for figure in ("671.0 B", "37.55 B", "36.63 B", "250.4 GFLOP", "260.6 GFLOP", "70,272 B"):
        assert figure in text


def test_json_is_the_counts() -> None:
    found = json.loads(centime("model", "show", "deepseek-v2-lite", "--json", "--sequence", "1024"))
    assert found["counts"] == json.loads(json.dumps(count(preset("deepseek-v2-lite"), 1024).to_json()))
    assert found["config"]["q_lora_rank"] is None


def test_a_folder_and_a_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "config.json").write_text(json.dumps(to_hf(preset("centime-d3"))))
    direct = json.loads(centime("model", "show", str(tmp_path / "run" / "model"), "--json"))
    for path in (tmp_path / "run", tmp_path / "run" / "model" / "config.json"):
        assert json.loads(centime("model", "show", str(path), "--json"))["config"] == direct["config"]
    assert direct["counts"]["total_params"] == count(preset("centime-d3")).total_params


def test_the_dense_baseline() -> None:
    dense = json.loads(centime("model", "show", "centime-d4", "--dense", "--json"))
    moe = json.loads(centime("model", "show", "centime-d4", "--json"))
    assert dense["config"]["n_routed_experts"] is None
    ratio = dense["counts"]["train_flops_per_token"] / moe["counts"]["train_flops_per_token"]
    assert ratio == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"hidden_size": 8, "num_attention_heads": 8}, "qk_rope_head_dim is 1; rotation works on pairs"),
        ({"hidden_size": 4, "num_attention_heads": 8}, "qk_rope_head_dim is 0"),
        ({"hidden_size": 64, "moe_intermediate_size": 2**20}, "intermediate_size is .*less than or equal to 1048576"),
    ],
)
def test_a_model_without_a_dense_baseline_is_a_sentence(sizes: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=f"dense baseline of this model cannot be: .*{says}"):
        dense_baseline(preset("centime-d4", **sizes))


def test_the_list_has_every_name() -> None:
    text = centime("model", "list")
    known = {*names(), *models.names()}
    assert [name for name in known if name not in text] == []
    assert set(json.loads(centime("model", "list", "--json"))) == known


@pytest.mark.parametrize("name", models.names())
def test_every_model_that_is_planned_is_shown(name: str) -> None:
    """The parts add up to the whole, and every kind of layer is described."""
    arch = models.architecture(name)
    found = json.loads(centime("model", "show", name, "--json"))
    parts = {part: figures for part, figures in found["counts"]["parts"].items() if part != "MTP modules"}
    for kind in ("total", "active"):
        assert sum(part[kind] for part in parts.values()) == found["counts"][f"{kind}_params"]
    if "config" not in found:
        text = centime("model", "show", name)
        assert [f"{block.repeat} x" for block in arch.blocks if f"{block.repeat} x" not in text] == []


def test_a_model_that_is_only_planned_has_no_dense_baseline() -> None:
    with pytest.raises(UserError, match="--dense is for models that centime builds"):
        centime("model", "show", "gpt-oss-120b", "--dense")


@pytest.mark.parametrize(
    ("name", "meant"), [("glm-4.7", "GLM-5"), ("deepseek-v5", "DeepSeek-V"), ("lama-3.1-70b", "Llama-3.1-70B")]
)
def test_whom_a_person_may_have_meant(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{meant}"):
        centime("model", "show", name)


def test_nobody_is_proposed_for_a_word_that_is_like_no_name() -> None:
    with pytest.raises(UserError, match=r"no model called 'mistral-large-9'\. (Did you mean 'M|Known)"):
        centime("model", "show", "mistral-large-9")


@pytest.mark.parametrize("name", ["deepseek-v33", "./absent"])
def test_an_unknown_name_gets_a_sentence(name: str) -> None:
    with pytest.raises(UserError, match="There is no model called"):
        centime("model", "show", name)


def test_no_weight_and_no_torch() -> None:
    """671 B parameters shown by a process that stays below 200 MB and never loads torch."""
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from centime.cli import app\n"
        "app(['model', 'show', 'deepseek-v3'], standalone_mode=False)\n"
        "status = Path('/proc/self/status')\n"
        "peak = re.search(r'VmHWM:\\s*(\\d+) kB', status.read_text()) if status.exists() else None\n"
        "sys.exit('torch' in sys.modules or (peak is not None and int(peak[1]) > 200_000))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (None, "none"),
        (FeedForwardSpec(4096), "feed forward: width 4,096"),
        (FeedForwardSpec(4096, gated=False, bias=True), "feed forward: width 4,096, bias"),
        (SoftmaxAttention(32, 8, 128), "softmax attention: heads 32, kv heads 8, head dim 128"),
        (
            SoftmaxAttention(32, 8, 128, window=1024),
            "softmax attention: heads 32, kv heads 8, head dim 128, window 1,024",
        ),
        (ExpertsSpec(64, 6, 1408, 2816), "experts: experts 64, top k 6, width 1,408, shared width 2,816"),
    ],
)
def test_a_part_of_a_layer_says_every_size_that_is_no_default(part: Mixer | ExpertsSpec | None, said: str) -> None:
    assert _stated(part) == said
