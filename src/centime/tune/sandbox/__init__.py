"""Programs that a model wrote, run where they can do no harm: `run_program` from outside, `child.py` inside."""

from centime.tune.sandbox.run import SandboxLimits, SandboxResult, run_program

__all__ = ["SandboxLimits", "SandboxResult", "run_program"]
