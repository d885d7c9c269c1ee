"""Models by any name, the pattern language of their layers, rows of nobody's models, a user's own table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.architecture import ExpertsSpec, LatentAttention, SoftmaxAttention, StateSpace
from centime.catalogue.layer_pattern import parse_pattern
from centime.catalogue.models import TABLE, architecture, from_sizes, known, names, overlay_path, spellings
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture

# What no table can know: models whose makers never said what they are made of.
UNPUBLISHED = {"GPT-4 (Mar 2023)", "Ling-Plus 290B", "Llama 4 Behemoth preview"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("deepseek-v3", "DeepSeek-V3"),
        ("DeepSeekV3", "DeepSeek-V3"),
        ("deepseek-ai/DeepSeek-R1", "DeepSeek-V3"),
        ("nvidia/Qwen3-235B-A22B-NVFP4", "Qwen3-235B-A22B"),
        ("Qwen3_235B_a22B", "Qwen3-235B-A22B"),
        ("LLAMA3.1_405B", "Llama-3.1-405B"),
        ("llama2-70b-99", "Llama-2-70B"),
        ("mixtral-8x7b", "Mixtral-8x7B"),
        ("Kimi K3 (2.8T)", "Kimi-K3"),
        ("Nemotron_3_Super", "Nemotron-3-Super-120B-A12B"),
    ],
)
def test_one_model_has_many_names(name: str, model: str) -> None:
    assert architecture(name).name == model


def test_every_name_finds_its_own_row_and_every_row_has_a_source() -> None:
    rows = list(csv.DictReader(TABLE.open(encoding="utf-8", newline="")))
    assert len(rows) > 90
    for row in rows:
        assert row["source"], row["name"]
        for alias in [row["name"], *row["aliases"].split("|")]:
            if alias:
                assert architecture(alias).name == row["name"], alias


def test_models_of_the_published_runs_are_known(shared: Path) -> None:
    tables = [shared / "data" / "plan" / name for name in ("training_runs.csv", "serving_runs.csv")]
    if not all(table.exists() for table in tables):
        pytest.skip("the shared data has no tables of runs")
    models = {row["model"] for table in tables for row in csv.DictReader(table.open(encoding="utf-8", newline=""))}
    assert {model for model in models if known(model) is None} == UNPUBLISHED


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'DeepSeek-V3'"):
        architecture("DeepSeek-V33")
    with pytest.raises(
        UserError, match=r"give a folder with config.json, the owner/name of .*, or add a row to .*models.csv"
    ):
        architecture("no such thing at all")


def test_presets_and_folders(tmp_path: Path, root: Path) -> None:
    assert architecture("centime-d4").layers == 4
    config = root / "src/centime/catalogue/models/deepseek-v2-lite.json"
    (tmp_path / "config.json").write_bytes(config.read_bytes())
    assert architecture(str(tmp_path)).blocks == architecture("deepseek-v2-lite").blocks


def test_what_models_are_made_of() -> None:
    v3 = architecture("deepseek-v3")
    assert [block.repeat for block in v3.blocks] == [3, 58]
    assert isinstance(v3.blocks[1].mixer, LatentAttention)
    assert isinstance(v3.blocks[1].feed_forward, ExpertsSpec)
    assert (v3.blocks[1].feed_forward.experts, v3.blocks[1].feed_forward.top_k) == (256, 8)
    assert (v3.mtp_modules, v3.layers, v3.is_mixture) == (1, 61, True)
    gpt_oss = architecture("gpt-oss-120b")
    assert [(b.repeat, b.mixer.window) for b in gpt_oss.blocks if isinstance(b.mixer, SoftmaxAttention)] == [
        (18, 128),
        (18, None),
    ]
    nano = architecture("Nemotron_3_Nano")
    assert sum(block.repeat for block in nano.blocks if isinstance(block.mixer, StateSpace)) == 23
    assert nano.layers == 52


def test_patterns() -> None:
    assert parse_pattern("LD*3 LE*2") == ["LD", "LD", "LD", "LE", "LE"]
    assert parse_pattern("(WE*2 AE)*2") == ["WE", "WE", "AE"] * 2
    assert parse_pattern("S E S A D7168 C128E") == ["S", "E", "S", "A", "D7168", "C128E"]
    for wrong in ("", "XD*3", "(AD", "AD)", "AD*", "A D E !"):
        with pytest.raises(ValueError, match="layer"):
            parse_pattern(wrong)


@given(
    st.lists(st.sampled_from(["AD", "WE", "LE", "S", "E", "D512", "C4E"]), min_size=1, max_size=12), st.integers(1, 5)
)
def test_a_pattern_repeats(layers: list[str], times: int) -> None:
    assert parse_pattern(f"({' '.join(layers)})*{times}") == layers * times


def test_a_row_of_a_known_model_takes_the_catalogues_sizes() -> None:
    found = from_sizes(model="DeepSeekV3", layers="61", hidden="7168", n_experts="256", seq_len="4096", tp="1")
    assert found == architecture("deepseek-v3")
    assert from_sizes(model="MPT-13b", layers="40", hidden="5120", seq_len="32768").learned_positions == 32768
    shrunk = from_sizes(
        model="LLAMA3_8B", layers="4", hidden="4096", heads="32", kv_heads="8", ffn="14336", vocab="128256"
    )
    assert shrunk.layers == 4


def test_a_row_of_an_unknown_model_is_filled_in_and_says_so() -> None:
    dense = from_sizes(model="mine", params_total_b=13)
    assert dense.assumptions
    assert all(note.startswith("mine: ") for note in dense.assumptions)
    given_all = from_sizes(model="mine", layers=32, hidden=4096, heads=32, ffn=11008, vocab=32000)
    assert given_all.assumptions == ()
    mixture = from_sizes(model="mine", arch="moe", params_total_b=290, params_active_b=28.8)
    assert mixture.is_mixture
    with pytest.raises(UserError, match="neither layers and hidden nor params_total_b"):
        from_sizes(model="mine")
    with pytest.raises(UserError, match="params_total_b is 'lots'"):
        from_sizes(model="mine", params_total_b="lots")
    with pytest.raises(UserError, match="n_experts, topk and ffn, or params_total_b and params_active_b"):
        from_sizes(model="mine", arch="moe", params_total_b=1800)


def test_a_users_own_models_come_first() -> None:
    table = overlay_path()
    table.write_text("name,aliases,pattern,hidden,vocab,heads,ffn\nours,deepseek-v3,AD*2,64,100,4,128\n")
    assert architecture("ours").layers == 2
    assert architecture("DeepSeek-V3").name == "ours"
    assert "ours" in names()
    for text, sentence in (
        ("name,pattern,hidden\nours,AD,64\n", "model 1: 'vocab' is missing"),
        ("name,pattern,hidden,vocab,heads,ffn\nours,XD,64,100,4,8\n", "is no layer"),
        ("name,pattern,hidden,vocab,heads\nours,AD,64,100,4\n", "needs the column 'ffn'"),
        ("name,pattern,hidden,vocab,colour\nours,AD,64,100,red\n", "unknown column 'colour'"),
        ("name,pattern,hidden,vocab,heads,ffn\nours,AD,wide,100,4,8\n", "hidden is 'wide'"),
        ("name,pattern,hidden,vocab,heads,ffn\nours,AD,-64,100,4,8\n", "not negative"),
        ("name,pattern,hidden,vocab,heads,ffn\nours,AD,nan,100,4,8\n", "hidden is nan"),
        ("name,pattern,hidden,vocab,heads,ffn\nours,AD,64,inf,4,8\n", "vocab is inf"),
    ):
        table.write_text(text)
        with pytest.raises(UserError, match=sentence):
            architecture("ours")


def test_spellings_go_from_literal_to_loose() -> None:
    assert spellings("nvidia/DeepSeek-V3.1-NVFP4") == ["nvidiadeepseekv31nvfp4", "deepseekv31nvfp4", "deepseekv31"]


def test_layers_of_glm_5_2_share_indexers() -> None:
    """Three layers of four take the keys of the one before them: 21 indexers for 78 layers."""
    five, shared = architecture("GLM-5.1"), architecture("zai-org/GLM-5.2")
    indexed = [(group.mixer.index_heads, group.repeat) for group in shared.blocks]  # type: ignore[union-attr]
    assert indexed == [(32, 3), (0, 57), (32, 18)]
    assert {group.mixer.index_topk for group in shared.blocks} == {2048}  # type: ignore[union-attr]
    saved = count_architecture(five).total_params - count_architecture(shared).total_params
    own = 6144 * 128 + 2048 * 32 * 128 + 6144 * 32  # keys, queries of the query's latent, weights of heads
    assert saved == pytest.approx(57 * own, rel=0.001)
