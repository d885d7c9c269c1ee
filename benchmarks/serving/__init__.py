"""The contestants of benchmarks/serve.py, each in a process of its own (contestant.py)."""
