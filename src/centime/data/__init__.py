"""Text -> tokenizer -> packed shards -> rows; resumable to the exact token."""

from centime.data.loader import Loader
from centime.data.pairs import PairLoader
from centime.data.tokenizers import ChatEncoder, Tokenizer, load_tokenizer

__all__ = ["ChatEncoder", "Loader", "PairLoader", "Tokenizer", "load_tokenizer"]
