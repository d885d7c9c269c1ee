"""What `gpu.py` checks and times: operations against their references, kernels, whole steps of models."""
