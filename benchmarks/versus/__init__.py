"""The parts of versus_dense.py: the two models and their text, one training run, the account of it, the picture."""
