"""A model's matrices in the form that serving on a processor wants, and the layers that compute with them."""

from centime.model.packed.weights import is_in_panels, pack_weights

__all__ = ["is_in_panels", "pack_weights"]
