"""The roofline of a serving step: published figures it meets, and what may never happen whatever the constants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.costs import ModelCost, busiest, model_cost, visited
from centime.plan.serving.engine import EngineModel, decoding, prefilling, steady
from centime.plan.serving.roofline import (
    NIC_EFFICIENCY,
    Load,
    PlacedModel,
    bandwidth,
    experts_seconds,
    peak,
    step_time,
)
from centime.plan.serving.speeds import BASES, ServingConstants, ServingSoftware, Speeds, constants, speeds
from centime.plan.serving.units import Unit, computed_on, kv_bytes_per_sequence, number_format, weight_bytes

MODELS = ("deepseek-v3", "llama-3.1-70b", "llama-3.1-8b", "mixtral-8x7b", "gpt-oss-120b", "deepseek-v3.2")
CHIPS = ("h800", "h100", "b200", "mi300x", "a100 sxm 80gb")
SOFTWARE = ServingSoftware("sglang", 2025.4)


def engine(model: str = "deepseek-v3", on: str | Chip = "h800", unit: Unit | None = None) -> EngineModel:
    """A model on a chip, in fp8."""
    kind = chip(on) if isinstance(on, str) else on
    arch = architecture(model)
    default = Unit(dp=8, ep=8) if arch.is_mixture else Unit(tp=8)
    form = number_format("fp8", arch.is_mixture)
    return EngineModel(model_cost(arch), kind, unit or default, form, speeds(kind, SOFTWARE))


def test_cache_of_v3_is_the_published_70_272_bytes_a_token() -> None:
    found = kv_bytes_per_sequence(model_cost(architecture("deepseek-v3")), Unit(), number_format("bf16", True), 1000)
    assert found == pytest.approx(70_272 * 1000)


def test_weights_of_v3_are_671_gb_in_fp8_but_for_tables_in_bf16() -> None:
    cost = model_cost(architecture("deepseek-v3"))
    found = weight_bytes(cost, Unit(), number_format("fp8", True))
    assert found == pytest.approx(671.0e9 + cost.head_params + cost.table_params, rel=0.002)


def test_absorbed_decode_of_v3_does_2_h_2l_plus_r_flops_a_key() -> None:
    layer = model_cost(architecture("deepseek-v3")).layers[0]
    assert layer.decode_flops(1000) == pytest.approx(2 * 128 * (2 * 512 + 64) * 1000)


def test_sparse_attention_reads_what_it_keeps_and_its_index() -> None:
    layer = model_cost(architecture("deepseek-v3.2")).layers[0]
    assert layer.decode_elements(100_000) == pytest.approx(2048 * 576 + 100_000 * 128)


@pytest.mark.parametrize(
    ("nodes", "published_us"), [(2, 118 + 195), (4, 155 + 273), (8, 173 + 314), (16, 192 + 369), (32, 194 + 360)]
)
def test_low_latency_dispatch_and_combine_are_those_of_deepep(nodes: int, published_us: float) -> None:
    """DeepEP docs/legacy.md: 128 tokens a rank, 7,168 wide, top-8, fp8 dispatch and bf16 combine, H800 with CX7."""
    wide = Unit(dp=8 * nodes, ep=8 * nodes)
    cost = model_cost(architecture("deepseek-v3"))
    load = Load(decode=128.0 * wide.dp, decode_context=1000)
    kind = chip("h800")
    found = step_time(
        PlacedModel(cost, kind, wide, number_format("fp8", True), speeds(kind, SOFTWARE)), load
    ).communication
    assert found / 58 * 1e6 == pytest.approx(published_us, rel=0.06)


@pytest.mark.parametrize(("experts", "top_k"), [(128, 4), (8, 2), (256, 8), (4, 4)])
def test_experts_of_unlike_popularity(experts: int, top_k: int) -> None:
    """A Beta distribution of popularity: one token picks K, unlike experts are fewer, alike ones are independent."""
    for popularity in (0.5, 3.0, 1e7, 1e300):
        assert visited(experts, top_k, 1, popularity) == pytest.approx(top_k)
    for tokens in (2, 7, 100, 1e5):
        found = [visited(experts, top_k, tokens, popularity) for popularity in (0.5, 3.0, 100.0, 1e4, 1e7)]
        assert found == sorted(found)
        assert found[-1] == pytest.approx(visited(experts, top_k, tokens), rel=1e-3)
    draws = np.random.default_rng(0).beta(3.0, 3.0 * (experts / top_k - 1), 200_000) if experts > top_k else np.ones(1)
    by_chance = experts * (1 - ((1 - draws) ** 20).mean())
    assert visited(experts, top_k, 20, 3.0) == pytest.approx(by_chance, rel=0.01)


def test_drafts_cost_their_own_layers() -> None:
    """A step that drafts n tokens and checks them takes longer than one that computes n + 1 queries alone."""
    cost, kind = model_cost(architecture("DeepSeek-V3")), chip("H200 SXM 141GB")
    placed = PlacedModel(cost, kind, Unit(tp=8), number_format("fp8", True), speeds(kind, SOFTWARE))
    plain, one, three = (step_time(placed, Load(16, 2048, queries=q)).total for q in (1.0, 2.0, 4.0))
    layer = plain / cost.depth
    assert one - plain > layer
    assert three - one > 2 * layer


def test_experts_visited() -> None:
    assert visited(256, 8, 1) == pytest.approx(8)
    assert visited(256, 8, 1e6) == pytest.approx(256)
    assert 8 < visited(256, 8, 4) < 32


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(CHIPS),
    st.sampled_from(["memory_tb_s", "scaleup_gb_s", "scaleout_gb_s", "fp8_tflops", "bf16_tflops"]),
    st.floats(1.0, 8.0),
    st.floats(1.0, 4096.0),
    st.floats(0.0, 16384.0),
)
def test_a_faster_part_is_never_slower(
    model: str, on: str, part: str, factor: float, decode: float, prefill: float
) -> None:
    kind = chip(on)
    if getattr(kind, part) is None:
        return
    faster = dataclasses.replace(kind, **{part: getattr(kind, part) * factor})
    base = engine(model, kind)
    rates: Speeds = base.speeds  # of the same software: only the part differs
    load = Load(decode, 2000.0, prefill, 1000.0)
    before, after = (
        step_time(PlacedModel(base.model, k, base.unit, base.form, rates), load).total for k in (kind, faster)
    )
    assert after <= before * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(CHIPS), st.floats(1.0, 2000.0), st.floats(1.05, 4.0))
def test_a_larger_batch_never_gives_fewer_tokens_in_all(model: str, on: str, batch: float, factor: float) -> None:
    one = engine(model, on)
    small, large = (decoding(one, b, 2000.0, 500.0) for b in (batch, batch * factor))
    assert large.tokens_per_s >= small.tokens_per_s * 0.98  # 2 %: a kernel may change with the rows
    assert large.tpot_s >= small.tpot_s * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(CHIPS), st.floats(100.0, 50_000.0), st.floats(1.0, 4.0))
def test_longer_is_never_faster(model: str, on: str, isl: float, factor: float) -> None:
    one = engine(model, on)
    assert decoding(one, 64.0, isl * factor, 500.0).tpot_s >= decoding(one, 64.0, isl, 500.0).tpot_s * (1 - 1e-9)
    short, long = (steady(one, 64.0, n, 500.0).tpot_s for n in (isl, isl * factor))
    assert long >= short * (1 - 1e-9)
    assert prefilling(one, isl * factor, isl * factor) >= prefilling(one, isl, isl) * (1 - 1e-9)


def test_hits_make_prefill_of_the_whole_prompt_cheaper() -> None:
    one = engine()
    without = prefilling(one, 4096.0, 8192.0) / 8192.0 * 4096
    with_hits = prefilling(one, 4096.0, 8192.0, 0.5) / 8192.0 * 2048
    assert 0.4 * without < with_hits < 0.75 * without


def test_a_drafted_token_pays_where_memory_is_the_bound() -> None:
    plain = engine()
    drafting = dataclasses.replace(plain, drafted=1, accepted=0.85)
    assert drafting.tokens_per_step == pytest.approx(1.85)
    assert decoding(drafting, 8.0, 1000.0, 1000.0).tpot_s < 0.75 * decoding(plain, 8.0, 1000.0, 1000.0).tpot_s


def test_two_micro_batches_hide_communication() -> None:
    alone = Unit(dp=144, ep=144)
    overlapped = dataclasses.replace(alone, overlapped=True)
    slow, fast = (decoding(engine(unit=u), 144 * 64.0, 4000.0, 1000.0).tpot_s for u in (alone, overlapped))
    assert fast < slow


def test_a_chip_without_bandwidth_or_a_precision_nobody_serves_is_said() -> None:
    bare: ModelCost = model_cost(architecture("llama-3.1-8b"))
    blind = dataclasses.replace(chip("h100"), memory_tb_s=None)
    with pytest.raises(UserError, match="memory bandwidth"):
        step_time(
            PlacedModel(bare, blind, Unit(), number_format("bf16", False), speeds(blind, SOFTWARE)), Load(1.0, 10.0)
        )
    with pytest.raises(UserError, match="fp7"):
        number_format("fp7", False)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(CHIPS),
    st.sampled_from(["bf16", "fp8", "int8", "fp4"]),
    st.floats(1.0, 8192.0),
    st.floats(64.0, 32768.0),
    st.floats(1.0, 8192.0),
)
def test_no_constants_lift_a_unit_above_the_peak(
    model: str, on: str, precision: str, batch: float, isl: float, osl: float
) -> None:
    """Tokens a second times the FLOPs of a token stay below the chips' peak, and a step reads what it must."""
    kind, arch = chip(on), architecture(model)
    least = {name: -50.0 for name in BASES if name.endswith("_s")} | {"narrow_heads": -50.0, "imbalance": -50.0}
    least |= dict.fromkeys(("mixing", "uneven", "passes", "moves", "own_keys"), -50.0)
    limitless = ServingConstants(constants() | dict.fromkeys(BASES, 50.0) | least)
    form = number_format(precision, arch.is_mixture)
    one = EngineModel(model_cost(arch), kind, Unit(), form, speeds(kind, SOFTWARE, limitless))
    state = steady(one, batch, isl, osl)
    dense = sum(n.repeat * (n.mixer_params + n.dense_params + n.top_k * n.expert_params) for n in one.model.layers)
    fastest = max(peak(kind, form.dense_compute), peak(kind, form.expert_compute))
    assert state.tokens_per_s * (1 + isl / osl) * 2 * dense <= fastest * (1 + 1e-9)
    always = sum(n.repeat * (n.mixer_params + n.dense_params) for n in one.model.layers) * form.dense_bytes
    assert state.tpot_s >= always / bandwidth(kind) * (1 - 1e-9)


@given(st.integers(1, 320), st.integers(1, 512), st.floats(0.0, 1.0))
def test_the_busiest_rank_is_the_further_above_the_mean_the_more_ranks_share_the_experts(
    ranks: int, experts: int, spread: float
) -> None:
    assert busiest(1, experts, spread) == 1.0
    assert 1.0 <= busiest(ranks, experts, spread) <= busiest(ranks + 1, experts, spread)
    assert busiest(32, 256, 0.19) == pytest.approx(59.3 / 50.3, abs=0.01), "SGLang, with and without perfect balance"


def test_grouped_products_take_longer_than_one_of_their_size_and_longer_still_to_unpack() -> None:
    """Beyond what reading their weights takes, which the same bytes in one matrix take too."""
    one = engine("gpt-oss-120b", "h100", Unit())
    layer, rates = one.model.layers[0], one.speeds
    tokens = 65536.0
    work = 2.0 * layer.expert_params * layer.top_k * tokens

    def seconds(name: str, **other: float) -> float:
        form = computed_on(one.chip, number_format(name, True))
        return experts_seconds(
            layer, dataclasses.replace(one, form=form, speeds=dataclasses.replace(rates, **other)), tokens
        )

    assert seconds("bf16") > work / (peak(one.chip, "bf16") * rates.gemm("bf16", tokens))
    assert seconds("bf16", grouped=1.0) < seconds("bf16") < seconds("bf16", moves=2 * rates.moves)
    assert seconds("mxfp4") > seconds("mxfp4", unpacked=1.0) > 0.9 * seconds("bf16")


def test_experts_that_a_bias_balances_are_visited_more() -> None:
    balanced, free = (model_cost(architecture(name)).layers[-1].balanced for name in ("deepseek-v3", "gpt-oss-120b"))
    assert (balanced, free) == (True, False)
    rates = engine().speeds
    assert visited(256, 8, 64, rates.balanced_popularity) > visited(256, 8, 64, rates.popularity)


def test_int8_has_its_own_weights_and_what_a_chip_lacks_is_refused() -> None:
    wide, narrow = (number_format(word, True) for word in ("bf16", "W8A8"))
    assert (narrow.dense_bytes, narrow.dense_compute) == (1.0, "int8")
    ascend = chip("ascend 910c")
    cost, unit, load = model_cost(architecture("deepseek-v3")), Unit(dp=32, ep=32), Load(prefill=32 * 16384.0)
    slow, fast = (
        step_time(PlacedModel(cost, ascend, unit, form, speeds(ascend, SOFTWARE)), load)
        for form in (wide, computed_on(ascend, narrow))
    )
    assert fast.matrices + fast.experts < 0.75 * (slow.matrices + slow.experts)
    for on, word in (("ascend 910c", "fp8"), ("a100 sxm 80gb", "fp8"), ("h100", "fp4"), ("b300", "int8")):
        with pytest.raises(UserError, match=f"does not compute in {word}; take bf16"):
            computed_on(chip(on), number_format(word, True))
    assert computed_on(chip("h100"), number_format("mxfp4", True)).expert_compute == "bf16"


@pytest.mark.parametrize(
    ("ranks", "what"), [(4, "decode"), (8, "decode"), (8, "prefill"), (32, "decode"), (32, "prefill")]
)
def test_an_exchange_moves_what_leaves_a_chip_when_tokens_go_anywhere(ranks: int, what: str) -> None:
    """V3's 8 experts of a token drawn over the ranks, 3 D bytes a copy: one for each other chip of the scale-up domain;
    beyond it one for each other node in prefill (forwarded there), and in decode for each expert of another node."""
    cost, kind, rates = model_cost(architecture("deepseek-v3")), chip("h800"), speeds(chip("h800"), SOFTWARE)
    placed = PlacedModel(cost, kind, Unit(dp=ranks, ep=ranks), number_format("fp8", True), rates)
    drawn = np.random.default_rng(0).integers(0, ranks, (20_000, 8))
    if ranks <= 8:
        left = [len(set(row) - {0}) for row in drawn.tolist()]
        rate = (kind.scaleup_gb_s or 0.0) * 1e9 * rates.link
    elif what == "prefill":
        left = [len({rank // 8 for rank in row} - {0}) for row in drawn.tolist()]
        rate = (kind.scaleout_gb_s or 0.0) * 1e9 * NIC_EFFICIENCY
    else:
        left = [sum(rank >= 8 for rank in row) for row in drawn.tolist()]
        rate = (kind.scaleout_gb_s or 0.0) * 1e9 * NIC_EFFICIENCY
    few, many = (step_time(placed, Load(**{what: tokens * ranks})).communication for tokens in (1e3, 2e3))
    mixtures = sum(layer.repeat for layer in cost.layers if layer.experts)
    assert many - few == pytest.approx(mixtures * 1e3 * np.mean(left) * 3 * 7168 / rate, rel=0.01)
