"""Lines of sizes: what is one, what it says, and what is refused in a sentence."""

from __future__ import annotations

import pytest

from centime.catalogue.models import architecture
from centime.catalogue.sizes import is_stated, read_stated, split_names
from centime.errors import UserError
from centime.plan.training.case import case


def test_what_is_a_line_of_sizes() -> None:
    for text in ("8B", "0.5b", "16B-A3B", "1T-A32B,layers=61", "layers=32,hidden=4096", "top-k=4,layers=2", "8B,"):
        assert is_stated(text), text
    for text in ("llama-8B", "8", "B", "8B-instruct", "gpu=h100", "A3B", "owner/8B", "", "8B-3B", "model=8B"):
        assert not is_stated(text), text


def test_what_a_line_says() -> None:
    sizes = read_stated("16B-a3b, layers=27,hidden=2_048,n_experts=64,top-k=6")
    assert (sizes.total, sizes.active, sizes.layers, sizes.hidden) == (16e9, 3e9, 27, 2048)
    assert (sizes.experts, sizes.topk, sizes.heads, sizes.latent) == (64, 6, None, False)
    assert sizes.is_mixture
    assert read_stated("8B,attention=mla").latent
    assert not read_stated("500M").is_mixture


REFUSED = {
    "8B,colour=3": "'colour=3' is no size, written as key=value. Known: layers, hidden",
    "8B,layer=3": "'layer=3' is no size.* Did you mean 'layers'",
    "8B,": "'' is no size",
    "8B,3": "'3' is no size",
    "8B,layers=": "layers is ''; expected a whole number of 1 to 10,000",
    "8B,layers=0": "layers is '0'",
    "8B,layers=1e3": "layers is '1e3'",
    "8B,layers=nan": "layers is 'nan'",
    "8B,layers=-2": "layers is '-2'",
    "8B,layers=\u0661": "layers is",
    "8B,layers=10001": "layers is '10001'",
    "8B,layers=3,layers=3": "layers comes twice",
    "8B,attention=mla,attention=mla": "attention comes twice",
    "8B,attention=linear": "attention is 'linear'; expected gqa, mha or mla",
    "8B,attention=mla,kv_heads=8": "keeps one latent for all heads",
    "8B,attention=mha,kv_heads=8": "as many key-value heads as heads",
    "8B,heads=32,kv_heads=5": "kv_heads=5 does not divide heads=32",
    "16B-A3B,experts=4,topk=6": "topk=6 is more than experts=4",
    "8B-A8B": "8.00 B of 8.00 B parameters are active",
    "100K": "100 K parameters; expected 1M to 1000T",
    "9999T": "10.0. P parameters",
    "16B-A3K": "3.00 K active parameters",
    "layers=32": "neither how many parameters nor both layers and hidden",
    "layers=32,hidden=4096,experts=8": "without a total needs experts, topk and expert_width",
    "16B,experts=64": "needs its active parameters, or layers, hidden, experts and topk",
    "16B-A3B,dense_layers=900": "dense_layers=900 leaves none of 32 layers with experts",
    "8B,layers=200,hidden=8192": r"200 layers of 8192 .* take 32.3 B of 8.00 B parameters before any feed-forward",
    "8B,layers=32,hidden=4096,ffn=28672": "come to 13.7 B parameters, not 8.00 B",
    "16B-A3B,experts=64,topk=60": "experts=64,topk=60 come to",
    "16B-A3B,layers=27,hidden=2048,shared_width=0,experts=64,topk=30": "come to 7.96 B active parameters, not 3.00 B",
    "16B-A3B,shared_width=100000": "parameters before any feed-forward",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"^model .*{REFUSED[text]}"):
        architecture(text)


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("layers", 1, 10_000), ("hidden", 8, 2**20), ("heads", 1, 2**16), ("kv_heads", 1, 2**16),
        ("head_dim", 1, 2**16), ("ffn", 1, 2**20), ("vocab", 1, 2**24), ("experts", 2, 2**16), ("topk", 1, 2**16),
        ("expert_width", 1, 2**20), ("shared_width", 0, 2**20), ("dense_layers", 0, 10_000),
    ],
)  # fmt: skip
def test_a_size_may_be_at_its_bounds_and_not_beyond(key: str, least: int, most: int) -> None:
    beside = ",experts=65536" if key == "topk" else ""
    for value in (least, most):
        assert getattr(read_stated(f"16B-A3B,{key}={value}{beside}"), key) == value
    for value in (least - 1, most + 1):
        with pytest.raises(UserError, match=f"{key} is '{value}'; expected a whole number of {least} to {most:,}"):
            read_stated(f"16B-A3B,{key}={value}")


def test_sizes_stay_with_their_model_between_others() -> None:
    line = "deepseek-v3, 16B-A3B,layers=27 ,experts=64,qwen3-8b,layers=4,hidden=64"
    assert split_names(line) == ["deepseek-v3", "16B-A3B,layers=27,experts=64", "qwen3-8b,layers=4,hidden=64"]
    assert split_names("a,,b") == ["a", "b"]
    assert split_names("layers=4,hidden=64") == ["layers=4,hidden=64"]


def test_a_run_in_a_line_has_its_models_sizes() -> None:
    run = case("model=16B-A3B,layers=27,gpu=h100,gpus=64,tokens=2T,layout=pp=2,ep=8,experts=64")
    assert (run.model, run.layout, run.gpus) == ("16B-A3B,layers=27,experts=64", "pp=2,ep=8", 64)
