"""Routing rules of V2 and V3, and the bugs that other stacks had with the correction bias."""

from __future__ import annotations

import pytest
import torch

from centime.catalogue.model_config import ModelConfig
from centime.model import Router, Transformer
from centime.model.packed.layer import routing_rule
from centime.native.library import library
from centime.ops.routing.selection import choose


def router(**changes: object) -> Router:
    torch.manual_seed(0)
    r = Router(ModelConfig(hidden_size=8, n_routed_experts=8, num_experts_per_tok=2, **changes))  # type: ignore[arg-type]
    torch.nn.init.normal_(r.weight)
    return r


def test_the_bias_steers_the_choice_and_never_the_weight() -> None:
    r = router()
    x = torch.randn(1, 5, 8)
    before = r(x)
    r.e_score_correction_bias += torch.tensor([9.0, 9.0, 0, 0, 0, 0, 0, 0])
    after = r(x)
    assert bool((after.expert_ids.sort(-1).values == torch.tensor([0, 1])).all())
    torch.testing.assert_close(after.scores, before.scores)
    chosen = before.scores.gather(-1, after.expert_ids)
    torch.testing.assert_close(after.gates, chosen / chosen.sum(-1, keepdim=True))


def test_groups_limit_the_choice_as_v3_and_v2_score_them() -> None:
    """Scores with one group holding the single best expert and another the best pair tell the two rules apart."""
    scores = torch.tensor([[[0.9, 0.1, 0.6, 0.5, 0.2, 0.2, 0.3, 0.1]]])
    v3 = router(n_group=4, topk_group=1)
    assert sorted(choose(scores, v3.e_score_correction_bias, v3.selection).flatten().tolist()) == [2, 3]
    v2 = router(n_group=4, topk_group=1, topk_method="group_limited_greedy", scoring_func="softmax")
    assert sorted(choose(scores, None, v2.selection).flatten().tolist()) == [0, 1]


def test_a_closed_group_is_never_chosen_even_when_all_biased_scores_are_negative() -> None:
    r = router(n_group=4, topk_group=1)
    r.e_score_correction_bias -= 5
    ids = r(torch.randn(1, 50, 8)).expert_ids
    assert bool((ids[..., 0] // 2 == ids[..., 1] // 2).all())


@pytest.mark.parametrize("scoring", ["sigmoid", "softmax"])
@pytest.mark.parametrize(("normed", "scale"), [(True, 2.5), (False, 16.0)])
def test_gates_are_normed_then_scaled(normed: bool, scale: float, scoring: str) -> None:
    r = router(norm_topk_prob=normed, routed_scaling_factor=scale, scoring_func=scoring)
    x = torch.randn(2, 3, 8)
    routing, logits = r(x), x @ r.weight.T
    torch.testing.assert_close(routing.scores, logits.softmax(-1) if scoring == "softmax" else logits.sigmoid())
    total = routing.gates.sum(-1)
    if normed:
        torch.testing.assert_close(total, torch.full_like(total, scale))
    else:
        torch.testing.assert_close(routing.gates, routing.scores.gather(-1, routing.expert_ids) * scale)


def test_casting_the_model_keeps_the_bias_in_float32() -> None:
    """A step of 0.001 on a bias of 1 is lost in bf16; the saved bias must be the trained one."""
    model = Transformer(ModelConfig(hidden_size=16, num_hidden_layers=2, num_nextn_predict_layers=1))
    for cast in (model.to(torch.bfloat16), model.half()):
        for r in cast.routers():
            r.e_score_correction_bias.fill_(1.001)
            assert r.e_score_correction_bias.dtype == torch.float32
            assert r.state_dict()["e_score_correction_bias"][0] == pytest.approx(1.001, abs=1e-6)


def test_every_moe_layer_has_its_routing_mtp_included() -> None:
    config = ModelConfig(hidden_size=16, num_hidden_layers=5, moe_layer_freq=2, num_nextn_predict_layers=1)
    model = Transformer(config)
    model.init_weights(0)
    rows = torch.randint(config.vocab_size, (2, 9))
    features = model.features(rows[:, :8])
    routings = features.routings + model.mtp_features(features.hidden, rows)[0].routings
    assert len(features.routings) == 2  # layers 2 and 4: not 0 (dense first), not 1 and 3 (frequency)
    assert len(routings) == len(model.routers()) == 3


@pytest.mark.skipif(library() is None, reason="no kernels of our own here")
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("groups", [(None, None), (4, 1), (4, 3), (2, 2)])
@pytest.mark.parametrize(
    ("method", "scoring"),
    [("noaux_tc", "sigmoid"), ("group_limited_greedy", "softmax"), ("greedy", "softmax"), ("noaux_tc", "softmax")],
)
def test_a_router_in_panels_chooses_alike(
    method: str, scoring: str, groups: tuple[int | None, int | None], normed: bool
) -> None:
    r = router(
        topk_method=method, scoring_func=scoring, n_group=groups[0], topk_group=groups[1], norm_topk_prob=normed
    ).bfloat16()
    if method == "noaux_tc":
        torch.nn.init.normal_(r.e_score_correction_bias)
    x = torch.randn(2, 50, 8).bfloat16()
    kernels = library()
    assert kernels is not None
    scores, ids, gates = torch.empty(100, 8), torch.empty(100, 2, dtype=torch.int64), torch.empty(100, 2)
    with torch.no_grad():
        plain, rule = r(x), routing_rule(r)
        kernels.route(rule.native(), x.data_ptr(), 100, scores.data_ptr(), ids.data_ptr(), gates.data_ptr())
    torch.testing.assert_close(scores, plain.scores.flatten(0, 1))
    (ids, order), (plain_ids, plain_order) = ids.sort(-1), plain.expert_ids.flatten(0, 1).sort(-1)
    assert torch.equal(ids, plain_ids)
    torch.testing.assert_close(gates.gather(-1, order), plain.gates.flatten(0, 1).gather(-1, plain_order))
