"""What inputs count, against the mean squares of what each matrix is given; and that codes follow it."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.model.quantised.test_quantise import SHAPE
from tests.model.tiny import build

import centime
from centime.model.quantised.calibrate import importance
from centime.model.quantised.quantise import Formats, quantise_folder
from centime.ops.feed_forward import swiglu
from centime.ops.quantised import quantise


@torch.no_grad()
def test_mean_squares_of_inputs() -> None:
    model = build(SHAPE)
    ids = torch.arange(40).view(2, 20)
    found = importance(model, [ids[:1], ids[1:]])
    seen: dict[str, torch.Tensor] = {}
    layer = model.layers[0]
    hook = layer.ffn.register_forward_pre_hook(lambda _, args: seen.update(ffn=args[0]))
    model.features(ids)
    hook.remove()
    gate, up = seen["ffn"] @ layer.ffn.gate_up[0].T, seen["ffn"] @ layer.ffn.gate_up[1].T
    assert torch.allclose(found["layers.0.ffn.gate_up"], seen["ffn"].square().mean((0, 1)), rtol=1e-4)
    assert torch.allclose(found["layers.0.ffn.down"], swiglu(gate, up).square().mean((0, 1)), rtol=1e-4)
    weights = model.weights()
    for name, measured in found.items():
        assert measured.shape == (*weights[name].shape[:-1][: measured.dim() - 1], weights[name].shape[-1]), name
        assert bool((measured >= 0).all()), name
    assert "head.weight" not in found
    assert not any(name.startswith("mtp") for name in found)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_an_expert_that_nobody_visits_counts_as_the_others_do() -> None:
    model = build(SHAPE)
    model.layers[1].ffn.router.e_score_correction_bias.copy_(torch.tensor([0.0, 0.0, -99.0]))
    found = importance(model, [torch.arange(16)[None]])["layers.1.ffn.experts.gate_up"]
    assert torch.allclose(found[2], (found[0] + found[1]) / 2, rtol=0.3)


def test_codes_err_where_it_harms_least() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, counts = torch.randn(64, 96, generator=generator), torch.rand(96, generator=generator) ** 8 + 1e-6
    counts[40:50] = 0

    def harm(matrix: torch.Tensor) -> float:
        return float(((matrix - weight).square() * counts).sum())

    plain, searched = (quantise(weight, "int4", importance=given).dense(torch.float32) for given in (None, counts))
    assert harm(searched) < 0.8 * harm(plain)
    even = quantise(weight, "int4", importance=torch.ones(96)).dense(torch.float32)
    assert float((even - weight).square().sum()) < float((plain - weight).square().sum())
    nothing = quantise(weight, "int4", importance=torch.zeros(96)).dense(torch.float32)
    assert torch.equal(nothing, plain)
    assert not quantise(torch.zeros(2, 32), "int4", importance=torch.ones(32)).dense().any()


def test_a_folder_is_quantised_by_what_was_measured(tmp_path: Path) -> None:
    model = build(SHAPE)
    centime.save(model, tmp_path / "m")
    found = importance(model, [torch.arange(40)[None]])
    quantise_folder(tmp_path / "m", tmp_path / "q", Formats("int4", attention="int8"), importance=found)
    back, ours = centime.load(tmp_path / "q").weights(), centime.load(tmp_path / "m").weights()
    name = "layers.1.ffn.experts.down"
    for expert in range(3):
        made = quantise(ours[name][expert], "int4", importance=found[name][expert])
        assert torch.equal(back[name][expert].codes, made.codes)
    name = "layers.1.ffn.shared.gate_up"
    assert torch.equal(back[name].codes, quantise(ours[name], "int4", importance=found[name]).codes)
    name = "layers.1.attention.out.weight"
    assert torch.equal(back[name].codes, quantise(ours[name], "int8").codes)
