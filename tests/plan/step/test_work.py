"""What a token asks of the machine, counted tensor by tensor on models of a few layers; each constant is waited for."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest

from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    SoftmaxAttention,
    StateSpace,
)
from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import Constants, TrainingSoftware, fitted
from centime.plan.step.job import Job
from centime.plan.step.layout import parse
from centime.plan.step.work import work_of

D, V, SEQ = 64, 1000, 128
WINDOW = SoftmaxAttention(heads=4, kv_heads=2, head_dim=32, window=32)
GROUPED = SoftmaxAttention(heads=4, kv_heads=2, head_dim=32)
LATENT = LatentAttention(heads=4, q_rank=24, kv_rank=32, nope_dim=16, rope_dim=8, value_dim=16)
DENSE, MIXTURE = FeedForwardSpec(256), ExpertsSpec(8, 2, 128, shared_width=128)


def model(*blocks: LayerGroup, **more: int | bool) -> dict[str, float]:
    return asdict(work_of(Architecture("by hand", D, V, blocks, **more), SEQ))  # type: ignore[arg-type]


def test_three_windows_before_feed_forwards_and_two_full_layers_before_experts() -> None:
    found = model(LayerGroup(WINDOW, DENSE, 3), LayerGroup(GROUPED, MIXTURE, 2))
    mixer, gated = D * 128 + 2 * D * 64 + 128 * D, 3 * D  # queries, keys and values, output; three matrices a width
    linear = 5 * mixer + 3 * gated * 256 + 2 * gated * 128
    assert found == {
        "hidden": D, "layers": 5, "sites": 10, "streams": 1, "residual_elements": 10 * D,
        "softmax_layers": 5, "state_layers": 0, "mixture_layers": 2,
        "linear_params": linear, "linear_flops": 2 * linear,
        "linear_full_elements": (5 + 3 + 2) * (D + D),  # into q, k, v together and gate and up; out of the others
        "linear_split_elements": 5 * (128 + 64 + 64 + 128) + 3 * (3 * 256) + 2 * (3 * 128),
        "expert_params": 2 * 8 * gated * 128, "expert_flops": 2 * 2 * 2 * gated * 128,
        "expert_elements": 2 * 2 * ((D + 2 * 128) + (128 + D)), "dispatch_elements": 2 * 2 * D,
        "experts": 8, "top_k": 2, "routed_nodes": 0, "router_flops": 2 * 2 * D * 8,
        "attention_flops": found["attention_flops"],
        "attention_elements": 5 * (128 + 64 + 64 + 128), "latent_elements": 5 * (128 + 64 + 64 + 128),
        "key_elements": 5 * (64 + 64), "score_elements": 3 * 4 * 32 + 2 * 4 * SEQ, "window_elements": 3 * 4 * SEQ,
        "state_flops": 0, "state_elements": 0, "activation_elements": 3 * 3 * 256 + 2 * 3 * (2 * 128 + 128),
        "head_flops": 2 * D * V, "heads_of_vocab": V, "table_params": 2 * D * V,
        "small_params": 2 * D * 8 + 10 * D,
    }  # fmt: skip
    full = model(LayerGroup(GROUPED, DENSE, 3), LayerGroup(GROUPED, MIXTURE, 2))
    assert full["attention_flops"] == 5 * 2 * 4 * (32 + 32) * SEQ / 2  # of a query with the half before it
    windowed = 3 * 2 * 4 * (32 + 32) * (32 * 31 / 2 + (SEQ - 31) * 32) / SEQ
    assert found["attention_flops"] == pytest.approx(full["attention_flops"] * 2 / 5 + windowed, rel=0.05)
    assert full["window_elements"] == 0


def test_latents_are_what_is_left_where_up_projections_are_computed_again() -> None:
    found = model(LayerGroup(LATENT, DENSE, 2), tied=True)
    assert found["attention_elements"] == 2 * 4 * (24 + 24 + 16 + 16)
    assert found["latent_elements"] == 2 * (4 * 16 + (32 + 8) + 24)
    assert found["key_elements"] == 2 * (32 + 8)
    assert found["table_params"] == D * V
    plain = model(LayerGroup(replace(LATENT, q_rank=None), DENSE, 2))
    assert plain["latent_elements"] == 2 * (4 * 16 + (32 + 8) + 4 * 24)


def test_a_module_that_predicts_further_is_a_layer_a_head_and_a_projection_more() -> None:
    plain, more = model(LayerGroup(GROUPED, DENSE, 2)), model(LayerGroup(GROUPED, DENSE, 2), mtp_modules=1)
    layer = model(LayerGroup(GROUPED, DENSE))
    for name in ("layers", "sites", "softmax_layers", "attention_flops", "attention_elements", "activation_elements"):
        assert more[name] == plain[name] + layer[name]
    assert more["linear_params"] == plain["linear_params"] + layer["linear_params"] + 2 * D * D
    assert more["linear_flops"] == plain["linear_flops"] + layer["linear_flops"] + 2 * 2 * D * D
    assert (more["head_flops"], more["heads_of_vocab"]) == (2 * plain["head_flops"], 2 * plain["heads_of_vocab"])
    assert more["table_params"] == plain["table_params"]


def test_states_are_scanned_in_place_of_attended() -> None:
    found = model(LayerGroup(StateSpace(heads=8, head_dim=16, state_dim=32, groups=2), DENSE, 3))
    assert (found["layers"], found["state_layers"], found["softmax_layers"]) == (3, 3, 0)
    inner, keys = 8 * 16, 2 * 32
    assert found["state_elements"] == 3 * (2 * (inner + 2 * keys) + 3 * inner)  # convolution in and out; x, gate, y
    assert found["state_flops"] > found["attention_flops"] == 0


JOBS = [
    ("DeepSeek-V3", "h800", "fp8", "tp=2,pp=4,ep=16,schedule=dualpipe,zero=1", TrainingSoftware(2025.0)),
    ("DeepSeek-V3", "gb200", "mxfp8", "pp=4,ep=16,zero=1,recompute=selective", TrainingSoftware(2026.6)),
    ("DeepSeek-V3", "b300", "nvfp4", "ep=16,zero=1", TrainingSoftware(2026.39)),
    ("GPT-OSS-120B", "h100", "fp8-row", "pp=2,ep=8,zero=1", TrainingSoftware(2025.8, tuned=False)),
    ("Llama-3.1-70B", "a100", "bf16", "tp=4,pp=2,cp=2,vp=2,schedule=interleaved,zero=1", TrainingSoftware(2022.0)),
    ("Llama-3.1-70B", "h100", "bf16", "pp=2,zero=3", TrainingSoftware(2025.0)),
    ("Gemma-4-31B-IT", "b200", "bf16", "zero=3", TrainingSoftware(2025.8)),
    ("Nemotron-H-56B-Base-8K", "mi300x", "bf16", "tp=2,zero=1", TrainingSoftware(2025.0)),
    ("Llama-3.1-8B", "tpu v5p", "bf16", "zero=3", TrainingSoftware(2025.0)),
    ("DeepSeek-V3", "910c", "bf16", "pp=4,ep=16,zero=1", TrainingSoftware(2025.0)),
]


@pytest.mark.parametrize("name", [field.name for field in fields(Constants)])
def test_every_fitted_constant_is_waited_for_in_some_step(name: str) -> None:
    constants = fitted()
    moved = replace(constants, **{name: 1.1 * getattr(constants, name) + 0.01})
    for model_name, gpu, precision, layout, software in JOBS:
        job = Job(architecture(model_name), chip(gpu), 4096, 1024, precision, software)
        before, after = (StepCost(job, one).times(parse(layout, 64)) for one in (constants, moved))
        if (after.total, after.phases) != (before.total, before.phases):
            return
    pytest.fail(f"{name} plays no part in any step")
