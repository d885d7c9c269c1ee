"""From nothing to a small trained model, its bill and its answers: what `make quickstart` runs."""
