"""Text -> tokenizer -> packed shards -> rows; resumable to the exact token."""

from centime.data.loader import Loader
from centime.data.pairs import PairLoader
from centime.data.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Loader", "PairLoader", "Tokenizer", "load_tokenizer"]
