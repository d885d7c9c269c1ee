"""From a step's hidden states to the tokens drawn: `drawer.py` for all requests together, by `sampler.py`."""
