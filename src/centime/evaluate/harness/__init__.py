"""Other people's tasks: EleutherAI's lm-evaluation-harness over our engine, its results kept, repeated and compared.

The harness is the extra `evaluate`; `engine_lm` and `run` import it, the others know of scores alone.
"""
