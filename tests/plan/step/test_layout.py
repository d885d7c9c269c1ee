"""Layouts read from text, and a sentence for each that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    SoftmaxAttention,
)
from centime.catalogue.chips import Chip, chip
from centime.errors import UserError
from centime.plan.step.layout import Layout, objections, parse, validate
from centime.plan.step.layout import text as write

DENSE = Architecture("dense", 1024, 32_000, (LayerGroup(SoftmaxAttention(16, 4, 64), FeedForwardSpec(4096), 24),))
MIXTURE = Architecture(
    "mixture",
    1024,
    32_000,
    (
        LayerGroup(LatentAttention(16, None, 512, 128, 64, 128), FeedForwardSpec(4096), 1),
        LayerGroup(LatentAttention(16, None, 512, 128, 64, 128), ExpertsSpec(64, 6, 512, 1024), 26),
    ),
)

FIELDS = {"layout", "gpus", "tp", "pp", "vp", "cp", "ep", "zero", "micro_batch", "schedule", "recompute", "dp"}


@pytest.fixture(scope="module")
def h800() -> Chip:
    return chip("h800")


def test_deepseeks_own_layout():
    text = "pp=16,ep=64,dp=128,schedule=dualpipe,zero=1,recompute=selective,mbs=1"
    layout = parse(text, 2048)
    assert layout == Layout(2048, pp=16, ep=64, zero=1, micro_batch=1, schedule="dualpipe", recompute="selective")
    assert layout.dp == 128
    assert layout.micro_batches(15_360) == 120
    assert parse(text) == layout  # dp says how many chips


def test_what_is_not_said_follows():
    assert parse("", 8) == Layout(8)
    assert parse("tp=2, PP=2", 8).dp == 2
    assert parse("pp=2,vp=3", 8).schedule == "interleaved"
    assert parse("pp=2,vp=1", 8).schedule == "1f1b"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "tp": st.integers(1, 8),
            "pp": st.integers(1, 8),
            "cp": st.integers(1, 4),
            "ep": st.integers(1, 64),
            "zero": st.integers(0, 3),
            "mbs": st.integers(1, 16),
            "schedule": st.sampled_from(["1f1b", "zb", "dualpipe"]),
            "recompute": st.sampled_from(["none", "selective", "full"]),
        },
    ),
    st.integers(1, 64),
)
def test_text_and_layout_say_the_same(values, dp):
    layout = parse(",".join(f"{key}={value}" for key, value in values.items()) + f",dp={dp}")
    for key, value in values.items():
        assert getattr(layout, {"mbs": "micro_batch"}.get(key, key)) == value
    assert layout.dp == dp
    assert layout.gpus == layout.tp * layout.cp * layout.pp * dp
    if layout.pp > 1 or layout.schedule == "1f1b":
        assert parse(write(layout), layout.gpus) == layout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zro=1", ["'zro=1'", "Did you mean 'zero'"]),
        ("ep", ["'ep'", "key=value"]),
        ("pp=0", ["pp", "'0'", "whole number"]),
        ("pp=-2", ["pp", "'-2'"]),
        ("tp=2.5", ["tp", "'2.5'"]),
        ("tp=" + "9" * 5000, ["tp", "whole number"]),
        ("pp=2,pp=4", ["pp", "twice"]),
        ("schedule=dualpip", ["schedule", "Did you mean 'dualpipe'"]),
        ("recompute=all", ["recompute", "none, selective, full"]),
        ("pp=3", ["pp 3", "divide", "2048"]),
        ("pp=16,dp=100", ["dp 100", "1600", "2048"]),
    ],
)
def test_bad_text_gets_a_sentence(text, words):
    with pytest.raises(UserError) as caught:
        parse(text, 2048)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arch", "text", "gpus", "batch", "words"),
    [
        (DENSE, "tp=3", 3, None, ["tp", "16 heads"]),
        (DENSE, "tp=16", 16, None, ["tp", "scale-up domain"]),
        (DENSE, "ep=2", 2, None, ["ep", "no experts"]),
        (DENSE, "pp=25", 25, None, ["pp", "24 layers"]),
        (DENSE, "pp=4,vp=7", 4, None, ["24 layers", "28"]),
        (DENSE, "pp=3,schedule=dualpipe", 3, None, ["schedule", "even pp"]),
        (DENSE, "pp=4,vp=2,schedule=1f1b", 4, None, ["vp", "interleaved"]),
        (DENSE, "schedule=zb", 4, None, ["schedule", "pp"]),
        (DENSE, "vp=2", 4, None, ["interleaved", "pp=1"]),
        (DENSE, "zero=4", 4, None, ["zero"]),
        (DENSE, "cp=3", 3, None, ["cp", "4096"]),
        (MIXTURE, "ep=48", 96, None, ["ep", "64 experts"]),
        (MIXTURE, "ep=128", 128, None, ["ep", "64 experts"]),
        (MIXTURE, "ep=64,pp=2", 64, None, ["ep", "32"]),
        (DENSE, "dp=8,mbs=3", 8, 64, ["dp", "64 sequences"]),
        (DENSE, "dp=8", 8, 4, ["dp", "4 sequences"]),
        (DENSE, "pp=8,schedule=dualpipe", 8, 8, ["schedule", "16"]),
    ],
)
def test_layouts_that_cannot_run_name_their_field(h800, arch, text, gpus, batch, words):
    with pytest.raises(UserError) as caught:
        validate(parse(text, gpus), arch, h800, 4096, batch)
    for word in words:
        assert word in str(caught.value)


def test_layouts_that_can_run(h800):
    validate(parse("pp=4,tp=4,schedule=dualpipe", 64), DENSE, h800, 4096, 256)
    validate(parse("tp=8", 8), DENSE, h800)  # 4 key-value heads, each on two chips
    validate(parse("pp=2,ep=32,vp=3", 64), MIXTURE, h800, 4096, 64)
    for zero in (0, 1, 2, 3):
        validate(parse(f"zero={zero}", 8), DENSE, h800, 4096, 8)
    validate(parse("pp=24", 24), DENSE, h800, 4096, 1)  # a stage a layer
    validate(parse("cp=2", 2), DENSE, h800, 4, 1)
    validate(parse("tp=16", 16), DENSE, replace(h800, scaleup_domain=None))
    for field in ("gpus", "tp", "pp", "vp", "cp", "ep", "micro_batch"):
        assert next(objections(replace(Layout(8), **{field: 0}), DENSE, h800)).startswith(field)


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_a_layout_or_a_sentence(text):
    try:
        layout = parse(text, 64)
    except UserError as error:
        sentence = str(error)
    else:
        sentence = f"layout of {layout.gpus}"
    assert sentence.split(":")[0].split(" ")[0] in FIELDS
