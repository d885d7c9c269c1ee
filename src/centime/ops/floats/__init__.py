"""What training computes in float32 on a processor, each a call of our own kernels beside PyTorch's way."""
