"""WHAT is computed: the DeepSeek decoder and its parts. No file here knows of ranks, batches to come or optimizers."""

from centime.model.decoder import Features, Transformer
from centime.model.router import Router, Routing

__all__ = ["Features", "Router", "Routing", "Transformer"]
