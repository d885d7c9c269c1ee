"""The model against transformers 5 in float32: logits, every gradient, and each other's folders.

Transformers is a peer, not a dependency: without it these tests are skipped (`pip install centime[peers]`).
Its limits, which shape the configurations here: it has no `moe_layer_freq`, normalises no gates in V2, normalises a
single gate in V3 (DeepSeek's own modelling file does not), and uses 1e-6 in the norms of the latents whatever
`rms_norm_eps` says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.peers.models import CONFIGS, V3, YARN, ours, relative, tokens
from torch import Tensor

import centime
from centime.catalogue.hf import family_of
from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.model.names import slots

transformers = pytest.importorskip("transformers", minversion="5.0")


def theirs(folder: Path) -> Any:
    """The folder in transformers, by its plainest code: its grouped GEMM refuses sizes that 4 does not divide."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_and_gradients(name: str, tmp_path: Path) -> None:
    mine = ours(CONFIGS[name])
    centime.save(mine, tmp_path / "m")
    peer = theirs(tmp_path / "m").train()
    ids = tokens(mine.config)
    logits, expected = mine(ids), peer(ids).logits
    assert relative(logits, expected) < 1e-4
    for out in (logits, expected):
        F.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    gradients = {name: p.grad for name, p in mine.named_parameters() if p.grad is not None}
    assert gradients.keys() == dict(mine.named_parameters()).keys()
    checked = 0
    for disk, expected_gradient in peer_gradients(peer).items():
        slot = next(slot for slot in slots(mine.config) if slot.disk == disk)
        assert relative(gradients[slot.ours][slot.index], expected_gradient) < 1e-3, disk
        checked += expected_gradient.numel()
    assert checked == sum(gradient.numel() for gradient in gradients.values())


def peer_gradients(peer: Any) -> dict[str, Tensor]:
    """Transformers' gradients by DeepSeek's names; it stacks experts too, [E, 2F, D] and [E, D, F]."""
    found: dict[str, Tensor] = {}
    for name, parameter in peer.named_parameters():
        gradient = parameter.grad
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            stem, kind = name.rsplit(".", 1)
            for expert, part in enumerate(gradient):
                if kind == "down_proj":
                    found[f"{stem}.{expert}.down_proj.weight"] = part
                else:
                    gate, up = part.chunk(2)
                    found |= {f"{stem}.{expert}.gate_proj.weight": gate, f"{stem}.{expert}.up_proj.weight": up}
        else:
            found[name] = gradient
    return found


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("split", [True, False])
def test_each_reads_the_other_s_folder(name: str, split: bool, tmp_path: Path) -> None:
    """Ours -> theirs -> ours, to the same bits; theirs with experts split into DeepSeek's names, and stacked."""
    mine = ours(CONFIGS[name], seed=3)
    centime.save(mine, tmp_path / "ours", shard_bytes=20_000)
    peer = theirs(tmp_path / "ours")
    peer.save_pretrained(tmp_path / "theirs", max_shard_size="30KB", save_original_format=split)
    back = centime.load(tmp_path / "theirs")
    # V3's config class announces a module even where there is none
    assert back.config.num_nextn_predict_layers == 0
    state = back.state_dict()
    assert state.keys() == mine.state_dict().keys()
    for key, tensor in mine.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    ids = tokens(mine.config)
    assert relative(mine(ids), back(ids)) < 1e-5  # Llama's one YaRN factor rounds our two slopes


@pytest.mark.filterwarnings("ignore:.*holds none")
@pytest.mark.parametrize("kind", ["V2", "V3", "Llama"])
def test_a_model_born_in_transformers(kind: str, tmp_path: Path) -> None:
    """Its own defaults, its own initialisation, its own config.json."""
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    if kind != "Llama":
        sizes |= {"moe_intermediate_size": 12, "n_routed_experts": 16, "num_experts_per_tok": 4, "kv_lora_rank": 8}
        sizes |= {"qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "q_lora_rank": 6}
    if kind == "V3":
        sizes["first_k_dense_replace"] = 1
    stem = kind if kind == "Llama" else f"Deepseek{kind}"
    config = getattr(transformers, f"{stem}Config")(**sizes)
    torch.manual_seed(0)
    peer = getattr(transformers, f"{stem}ForCausalLM")(config).eval()
    peer.save_pretrained(tmp_path / "m")
    mine = centime.load(tmp_path / "m")
    ids = tokens(mine.config)
    with torch.no_grad():
        assert relative(mine(ids), peer(ids).logits) < 1e-4
    assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == family_of(mine.config)


def test_bf16_folder_is_the_same_bits_in_both(tmp_path: Path) -> None:
    centime.save(ours(V3), tmp_path / "m", dtype=torch.bfloat16)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto")
    assert peer.dtype == torch.bfloat16
    centime.save(centime.load(tmp_path / "m"), tmp_path / "again")
    peer.save_pretrained(tmp_path / "theirs")
    first, second = (
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / n, dtype="auto") for n in ("again", "theirs")
    )
    for (key, one), two in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, two), key


def test_mtp(tmp_path: Path) -> None:
    """DeepSeek-V3's MTP module by transformers' draft model, from the names on disk to the logits.

    Transformers finds MTP weights by V3's own layer number, 61, so the model has as many (tiny) layers.
    """
    mtp = pytest.importorskip("transformers.modeling_layers")
    if not hasattr(mtp, "MtpModel"):
        pytest.skip("this version of transformers has no MTP")
    sizes = {"hidden_size": 16, "intermediate_size": 8, "n_routed_experts": 4, "n_group": 2, "num_experts_per_tok": 2}
    depth = {"num_hidden_layers": 61, "first_k_dense_replace": 60, "num_nextn_predict_layers": 1}
    mine = ours(V3 | sizes | depth | {"rope_scaling": YARN})
    centime.save(mine, tmp_path / "m")
    peer = theirs(tmp_path / "m").eval()
    draft = mtp.MtpModel.from_pretrained(peer)
    ids = tokens(mine.config)
    S = ids.shape[1] - 1
    with torch.no_grad():
        features = mine.features(ids[:, :S])
        hidden = peer(ids[:, :S], output_hidden_states=True).hidden_states[-1]
        assert relative(features.hidden, hidden) < 1e-4
        ahead = draft.forward_layer(0, hidden, torch.arange(S)[None], None, input_ids=ids[:, 1:])
        (found,) = mine.mtp_features(features.hidden, ids)
        assert relative(mine.unembed(found.hidden), draft.shared_head(ahead)) < 1e-4


def test_the_comparison_would_see_a_wrong_setting() -> None:
    """Guards the comparison itself: each setting it covers moves these logits by far more than the tolerance."""
    ids = tokens(ModelConfig.model_validate(V3))
    with torch.no_grad():
        logits = ours(V3)(ids)
        assert 0.1 < float(logits.std()) < 10
        for change in (
            {"rope_scaling": YARN},
            {"rope_scaling": YARN.model_copy(update={"mscale_all_dim": 0.0})},
            {"rope_interleave": False},
            {"rope_theta": 500.0},
            {"n_group": 1, "topk_group": 1},
            {"topk_method": "greedy"},
            {"norm_topk_prob": False},
            {"routed_scaling_factor": 2.4},
        ):
            model = ours(V3)
            other = Transformer(ModelConfig.model_validate(V3 | change))
            other.load_state_dict(model.state_dict(), strict=False)
            assert relative(other(ids), logits) > 1e-2, change
