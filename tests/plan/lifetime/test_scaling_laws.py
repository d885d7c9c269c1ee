"""Scaling laws: the published checks of each, and the algebra between them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.lifetime.chinchilla import optimal_tokens

from centime.errors import UserError
from centime.plan.counts.reshape import DENSE, Sparsity
from centime.plan.lifetime.scaling_laws import (
    LOSS_LAWS,
    MAX_TOKENS_PER_PARAM,
    MOE_LAWS,
    QualityLaw,
    clark_leverage,
    krajewski_leverage,
    ling_leverage,
    loss_law,
    moe_law,
)

V3 = Sparsity(9 / 257, 2 * 7168 / 2048)


def test_sardana_a_13b_with_2t_served_tokens_is_better_a_7b_trained_longer():
    """arXiv 2401.00448, figure 1: 1.7e22 FLOP saved, 17 %, at 6 N D + 2 N T."""
    law, served = loss_law("sardana"), 2e12
    tokens = optimal_tokens(law, 13e9)
    loss = law.loss(13e9, tokens)

    def flops(params: float) -> float:
        return 6 * params * law.tokens_for(loss, params) + 2 * params * served

    before = flops(13e9)
    best = min((flops(10 ** (9 + i / 1000)), 10 ** (9 + i / 1000)) for i in range(500, 1300))
    assert before == pytest.approx(6 * 13e9 * tokens + 2 * 13e9 * served)
    assert best[1] == pytest.approx(7e9, rel=0.02)
    assert before - flops(7e9) == pytest.approx(1.7e22, rel=0.02)
    assert 1 - flops(7e9) / before == pytest.approx(0.17, abs=0.005)


def test_the_refit_finds_chinchilla_compute_optimal():
    """arXiv 2404.10102: about 20 tokens a parameter at 70 B; Hoffmann's rounded constants say far more."""
    assert optimal_tokens(loss_law("besiroglu"), 70e9) / 70e9 == pytest.approx(20, rel=0.1)
    assert optimal_tokens(loss_law("hoffmann"), 70e9) / 70e9 > 50


def test_ling_leverage_is_seven_at_its_own_check():
    """arXiv 2507.17702: A = 3.1 %, G = 12 at 1e22 FLOP give more than 7."""
    assert ling_leverage(Sparsity(0.031, 12), 1e22 / 6 / 1e12, 1e12) == pytest.approx(7, rel=0.06)


def test_clark_effective_parameters_of_a_small_model():
    """arXiv 2202.01169: 5 M with 128 experts is worth about 55 M dense."""
    assert 5e6 * clark_leverage(Sparsity(1 / 128, 2), 5e6, 130e9) == pytest.approx(55e6, rel=0.1)


def test_krajewski_leverage_passes_forty_at_1e25():
    assert krajewski_leverage(Sparsity(1 / 64, 8), 1e25 / 6 / 1e12, 1e12) > 40


@pytest.mark.parametrize("activation", [0.0, 0.031, 0.25])
@pytest.mark.parametrize("compute", [1e18, 1e22])
def test_ling_by_hand_where_experts_are_as_wide_as_the_model(activation: float, compute: float):
    """At G = 1 the exponent is a + d log10 C, and without a ceiling A_hat is A and what it starts from."""
    exponent = 1.23 - 0.0761 * math.log10(compute)
    by_hand = ((activation + 0.0163) / 1.0163) ** exponent
    assert ling_leverage(Sparsity(activation, 1), compute / 6e12, 1e12) == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("size", [8, 9, 11])
def test_clark_of_any_number_of_experts_by_hand(size: int):
    """E_hat goes from 1.847, of one expert, to 314.478."""
    gain = -0.108 * math.log10(314.478 / 1.847) + 0.009 * size * math.log10(314.478)
    by_hand = (-0.082 * size + gain) / (-0.082 + 0.009 * math.log10(1.847)) - size
    assert clark_leverage(Sparsity(1e-12, 2), 10.0**size, 1e12) == pytest.approx(10**by_hand, rel=1e-6)
    assert clark_leverage(Sparsity(1 / 128, 2), 1e13, 1e12) == 1, "beyond 937 B parameters there is no gain"


def test_krajewskis_gain_is_shared_in_log_scale_and_finest_at_eight_of_ours():
    def gain(expansion: float, granularity: float) -> float:
        return krajewski_leverage(Sparsity(1 / expansion, granularity), 1e10, 1e12)

    assert gain(8, 8) == pytest.approx(gain(64, 8) ** 0.5)
    assert gain(64, 7) < gain(64, 8) == gain(64, 16) == gain(256, 8)
    assert gain(64, 0.1) == gain(64, 0.5)


@pytest.mark.parametrize("law", MOE_LAWS)
def test_a_dense_model_has_no_leverage_and_sparsity_never_hurts(law: str):
    leverage = moe_law(law)
    assert leverage(DENSE, 37e9, 15e12) == pytest.approx(1, abs=1e-6)
    steps = [leverage(Sparsity(a, 7), 37e9, 15e12) for a in (0.5, 0.25, 0.1, 0.05, 0.02)]
    assert steps == sorted(steps)
    assert steps[0] >= 1


@given(
    law=st.sampled_from(sorted(LOSS_LAWS)),
    moe=st.sampled_from(sorted(MOE_LAWS)),
    params=st.floats(1e9, 1e12),
    ratio=st.floats(10, 1000),
    activation=st.floats(0.02, 1.0),
)
def test_tokens_for_inverts_loss(law: str, moe: str, params: float, ratio: float, activation: float):
    quality = QualityLaw(loss_law(law), moe_law(moe))
    sparsity = Sparsity(activation, 4)
    loss = quality.loss(params, sparsity, ratio * params)
    assert quality.tokens_for(loss, params, sparsity) == pytest.approx(ratio * params, rel=1e-3)


@given(params=st.floats(1e9, 1e11), more=st.floats(1.1, 10))
def test_a_larger_model_needs_fewer_tokens_and_a_hopeless_one_never_arrives(params: float, more: float):
    quality = QualityLaw(loss_law("besiroglu"), moe_law("ling"))
    loss = quality.loss(params, DENSE, 100 * params)
    assert quality.tokens_for(loss, params * more, DENSE) < 100 * params
    assert quality.tokens_for(1.8, params, DENSE) == math.inf
    assert quality.tokens_for(1.8, params, V3) == math.inf
    assert quality.tokens_for(loss, params / 100, DENSE) >= MAX_TOKENS_PER_PARAM * params / 100


@pytest.mark.parametrize("find", [loss_law, moe_law])
def test_an_unknown_law_is_a_sentence(find):
    with pytest.raises(UserError, match="is not a"):
        find("chincila")
