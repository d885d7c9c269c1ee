"""Adapters against peft over transformers, in float32: ours read by it, its own read by us, applied and merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers.models import CONFIGS, ours, relative, tokens

import centime
from centime.catalogue.model_config import ModelConfig
from centime.model.adapted.adapter import Adapter
from centime.model.adapted.attach import LowRankSettings, attach
from centime.model.adapted.files import write_adapter
from centime.model.adapted.sites import GROUPS, sites

transformers = pytest.importorskip("transformers", minversion="5.0")
peft = pytest.importorskip("peft", reason="of the extra `peers`")

NAMES = ("V3, compressed query", "V2, YaRN, two shared experts", "V3, no experts", "Llama", "Qwen2, tied", "Qwen3")


def theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )


def groups(config: ModelConfig) -> tuple[str, ...]:
    there = {site.group for site in sites(config)}
    return tuple(group for group in GROUPS if group in there)


@pytest.mark.parametrize("name", NAMES)
def test_peft_reads_ours_and_computes_and_merges_the_same(name: str, tmp_path: Path) -> None:
    model = ours(CONFIGS[name])
    centime.save(model, tmp_path / "m")
    settings = LowRankSettings(3, 6.0, targets=groups(model.config), rslora=True)
    made = attach(model, settings, 0)
    generator = torch.Generator().manual_seed(1)
    for adapter in made.values():
        torch.nn.init.normal_(adapter.b, std=0.05, generator=generator)
    pairs = {site: (adapter.a.detach(), adapter.b.detach()) for site, adapter in made.items()}
    write_adapter(tmp_path / "a", Adapter(settings, str(tmp_path / "m"), pairs), model.config)
    ids = tokens(model.config)
    with torch.no_grad():
        logits = model(ids)
        peer = peft.PeftModel.from_pretrained(theirs(tmp_path / "m"), tmp_path / "a").eval()
        plain = theirs(tmp_path / "m")(ids).logits
        assert relative(plain, logits) > 1e-2  # the adapters do something
        assert relative(peer(ids).logits, logits) < 1e-4
        merged = peer.merge_and_unload()(ids).logits
        assert relative(centime.load(tmp_path / "a")(ids), merged) < 1e-4


@pytest.mark.parametrize("name", ["V3, compressed query", "Llama"])
def test_we_read_what_peft_writes(name: str, tmp_path: Path) -> None:
    model = ours(CONFIGS[name])
    centime.save(model, tmp_path / "m")
    mixture = model.config.n_routed_experts is not None
    settings = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["o_proj", "lm_head", *(["q_b_proj", "kv_b_proj"] if mixture else ["q_proj", "up_proj"])],
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"] if mixture else None,
        init_lora_weights=False,  # B is not zero
    )
    peer = peft.get_peft_model(theirs(tmp_path / "m"), settings).eval()
    peer.save_pretrained(tmp_path / "a")
    ids = tokens(model.config)
    with torch.no_grad():
        wanted = peer(ids).logits
        assert relative(model(ids), wanted) > 1e-2
        assert relative(centime.load(tmp_path / "m", adapter=tmp_path / "a")(ids), wanted) < 1e-4
