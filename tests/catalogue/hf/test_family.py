"""Which published family computes a configuration."""

from __future__ import annotations

import itertools

from centime.catalogue.hf.family import has_experts
from centime.catalogue.model_config import ModelConfig


def test_a_model_has_experts_where_a_layer_of_it_or_of_its_mtp_modules_has() -> None:
    for layers, dense, mtp, experts in itertools.product((1, 4), (0, 1, 3, 4, 5, 9), (0, 1, 2), (None, 16)):
        config = ModelConfig(
            num_hidden_layers=layers,
            first_k_dense_replace=dense,
            num_nextn_predict_layers=mtp,
            n_routed_experts=experts,
        )
        assert has_experts(config) == any(config.layer_has_experts(layer) for layer in range(layers + mtp)), config
