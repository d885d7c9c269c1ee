"""How good a model is: bits per byte on files, beside general compressors; exact-match accuracy on generated sums."""
