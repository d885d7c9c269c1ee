"""HOW it is computed: one operation a file, a plain PyTorch reference beside each fast path. Imports nothing of ours."""
