"""Adapters beside a model's matrices: what they add, their gradients, how they merge, their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.model.tiny import SHAPES, build

import centime
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.model import Transformer
from centime.model.adapted.adapter import Adapter, merge
from centime.model.adapted.attach import LowRankSettings, attach
from centime.model.adapted.files import CONFIG, read_adapter, write_adapter
from centime.model.adapted.low_rank import LowRank
from centime.model.adapted.sites import GROUPS, Site, sites, sites_named
from centime.ops.quantised import Quantised

CASES = ("v3", "q_lora", "no shared", "tied", "dense baseline")


def everything(config: ModelConfig) -> tuple[str, ...]:
    there = {site.group for site in sites(config)}
    return tuple(group for group in GROUPS if group in there | {"all-linear"})


def adapted(config: ModelConfig, model: Transformer) -> tuple[Adapter, dict[Site, LowRank]]:
    """Adapters that change something, beside every matrix that can have one."""
    settings = LowRankSettings(2, 3.0, targets=everything(config), rslora=True)
    made = attach(model, settings, seed=1)
    generator = torch.Generator().manual_seed(2)
    for adapter in made.values():
        torch.nn.init.normal_(adapter.b, std=0.1, generator=generator)
    pairs = {site: (adapter.a.detach(), adapter.b.detach()) for site, adapter in made.items()}
    return Adapter(settings, "base", pairs), made


def part_of(tensor: torch.Tensor, site: Site) -> torch.Tensor:
    return (tensor[("gate", "up").index(site.part)] if site.part in ("gate", "up") else tensor).view(site.shape)


def weight_of(model: Transformer, site: Site) -> torch.nn.Parameter:
    leaf = {"": "weight", "gate": "gate_up", "up": "gate_up"}.get(site.part, site.part)
    return model.get_submodule(site.module).get_parameter(leaf)


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_are_those_of_the_merged_weights(name: str) -> None:
    config = SHAPES[name]
    ids = torch.randint(0, config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(0))
    model, merged = build(config), build(config)
    adapter, made = adapted(config, model)
    merge(merged, adapter)
    ours, theirs = model(ids), merged(ids)
    assert (ours - build(config)(ids)).abs().max() > 0.05  # the adapters do something
    assert torch.allclose(ours, theirs, atol=2e-5)
    ours.square().mean().backward()
    theirs.square().mean().backward()
    scale = adapter.settings.scale(2)
    for site, pair in made.items():
        whole = weight_of(merged, site).grad
        assert whole is not None
        dense = part_of(whole, site)
        for found, wanted in ((pair.a.grad, scale * pair.b.mT @ dense), (pair.b.grad, scale * dense @ pair.a.mT)):
            assert found is not None
            bound = 1e-4 * float(wanted.detach().abs().max()) + 1e-7
            assert torch.allclose(found, wanted, rtol=1e-3, atol=bound), site
    assert all(p.grad is None for name, p in model.named_parameters() if not name.endswith((".a", ".b")))


def test_a_new_adapter_changes_nothing_and_an_engine_that_is_the_same_in_any_company_has_it_too() -> None:
    from centime.ops.routed_experts import routed_experts_by_tile

    config = SHAPES["v3"]
    model, ids = build(config), torch.arange(8)[None]
    before = model(ids)
    made = attach(model, LowRankSettings(2, 4.0, targets=("experts",)), seed=0)
    assert torch.allclose(model(ids), before, atol=1e-5)
    for adapter in made.values():
        torch.nn.init.normal_(adapter.b)
    with torch.no_grad():
        usual = model(ids)
        for module in model.modules():
            if hasattr(module, "operation"):
                module.operation = routed_experts_by_tile
        assert torch.allclose(model(ids), usual, atol=1e-5)


def test_dropout_is_there_while_gradients_flow_and_not_otherwise() -> None:
    config = SHAPES["dense baseline"]
    model, ids = build(config), torch.arange(8)[None]
    made = attach(model, LowRankSettings(2, 4.0, dropout=0.5), seed=0)
    for adapter in made.values():
        torch.nn.init.normal_(adapter.b)
    with torch.no_grad():
        assert torch.equal(model(ids), model(ids))
    assert not torch.equal(model(ids), model(ids))


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
def test_gradients_flow_through_a_quantised_base_that_stays_as_it_is(kind: str, tmp_path: Path) -> None:
    config = SHAPES["v3"]
    centime.save(build(config), tmp_path / "m")
    model, plain = centime.load(tmp_path / "m", quantised=kind), centime.load(tmp_path / "m")
    quantised = {name: p for name, p in model.named_parameters() if isinstance(p, Quantised)}
    assert {"layers.1.ffn.experts.gate_up", "layers.0.attention.kv_up.weight"} <= quantised.keys()
    assert not {"head.weight", "embed.weight", "layers.1.ffn.router.weight"} & quantised.keys()
    for name, weight in quantised.items():  # the same model with plain numbers
        plain.get_parameter(name).data.copy_(weight.dense(torch.float32))
    before = {name: weight.codes.clone() for name, weight in quantised.items()}
    found = {}
    for one in (model, plain):
        _, made = adapted(config, one)
        one(torch.arange(8)[None]).square().mean().backward()
        found[one is model] = made
    for site, pair in found[True].items():
        other = found[False][site]
        for ours, theirs in ((pair.a.grad, other.a.grad), (pair.b.grad, other.b.grad)):
            assert ours is not None
            assert theirs is not None
            assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()) + 1e-7), site
    assert all(torch.equal(weight.codes, before[name]) for name, weight in quantised.items())


@pytest.mark.parametrize("name", CASES)
def test_a_folder_is_read_as_it_was_written_and_merged_by_load(name: str, tmp_path: Path) -> None:
    config = SHAPES[name]
    centime.save(build(config), tmp_path / "m")
    adapter, _ = adapted(config, build(config))
    write_adapter(tmp_path / "a", adapter, config)
    read = read_adapter(tmp_path / "a", config, "m")
    assert read.pairs.keys() == adapter.pairs.keys()
    for site, pair in adapter.pairs.items():
        assert all(torch.equal(one, other) for one, other in zip(pair, read.pairs[site], strict=True))
    ids = torch.arange(8)[None]
    merged = centime.load(tmp_path / "m", adapter=tmp_path / "a")
    assert torch.equal(merged(ids), merge(build(config), adapter)(ids))
    with pytest.raises(UserError, match="is an adapter of base, which is not there: name its model's folder"):
        centime.load(tmp_path / "a")


def test_an_adapter_on_a_quantised_base_makes_plain_what_it_changes(tmp_path: Path) -> None:
    config = SHAPES["v3"]
    centime.save(build(config), tmp_path / "m")
    settings = LowRankSettings(2, 4.0, targets=("q_proj",))
    made = attach(build(config), settings, 0)
    write_adapter(tmp_path / "a", Adapter(settings, None, {s: (p.a, p.b + 1) for s, p in made.items()}), config)
    merged = centime.load(tmp_path / "m", quantised="int8", adapter=tmp_path / "a")
    kinds = {name: isinstance(p, Quantised) for name, p in merged.named_parameters()}
    assert not kinds["layers.0.attention.q.weight"]
    assert kinds["layers.0.attention.out.weight"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, 'peft_type is "IA3"'),
        ({"use_dora": True}, "use_dora is true, which is not computed here"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is"),
        ({"r": 0}, "r is 0; expected a rank from 1 on"),
        ({"r": "x"}, 'r is "x"'),
        ({"lora_alpha": None}, "lora_alpha is null"),
    ],
)
def test_settings_that_mean_something_else_are_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    config = SHAPES["dense baseline"]
    adapter, _ = adapted(config, build(config))
    write_adapter(tmp_path / "a", adapter, config)
    path = tmp_path / "a" / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        read_adapter(tmp_path / "a", config, "m")


def test_an_adapter_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    config, other = SHAPES["v3"], SHAPES["q_lora"]
    adapter, _ = adapted(config, build(config))
    write_adapter(tmp_path / "a", adapter, config)
    with pytest.raises(UserError, match=r"q_proj.* for which m has no place: the adapter is of another model"):
        read_adapter(tmp_path / "a", other, "m")
    wider = config.model_copy(update={"kv_lora_rank": 16})
    with pytest.raises(UserError, match="which stands beside no matrix of"):
        read_adapter(tmp_path / "a", wider, "m")
    with pytest.raises(UserError, match=r"does not exist; an adapter is a folder with adapter_config\.json"):
        read_adapter(tmp_path / "b", config, "m")
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged or incomplete"):
        read_adapter(tmp_path / "a", config, "m")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (("q_prj",), "the model has nothing called 'q_prj'; it has .*Did you mean 'q_proj'"),
        (("embed_tokens",), "is the embedding, a table of rows and no product"),
        (("head",), r"is the embedding too in this model \(tie_word_embeddings\)"),
    ],
)
def test_targets_that_name_nothing_are_told(targets: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        sites_named(SHAPES["tied"], targets, "lora.targets")


def test_targets_are_groups_last_names_whole_names_and_patterns() -> None:
    config = SHAPES["v3"]

    def names(*targets: str) -> set[str]:
        return {site.name for site in sites_named(config, targets, "lora.targets")}

    assert names("experts.down_proj") == {f"model.layers.{i}.mlp.experts.down_proj" for i in (1, 2)}
    assert names("model.layers.0.*") >= {"model.layers.0.self_attn.o_proj", "model.layers.0.mlp.up_proj"}
    assert names("mlp.gate") == names("router") == {f"model.layers.{i}.mlp.gate.weight" for i in (1, 2)}
    assert names("all-linear") == names("attention", "mlp")
