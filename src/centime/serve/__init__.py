"""Talking to a model: sampling, streaming, generation with the latent cache, and the cost of each answer."""
