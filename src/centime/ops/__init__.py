"""HOW it is computed: one operation a file, a plain reference beside each fast path. Imports nothing of ours."""
