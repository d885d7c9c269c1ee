"""Quantised matrices of a model: as folders hold them, and folders made of them."""
