"""Text -> tokenizer -> packed shards -> rows; resumable to the exact token."""

from centime.data.chat_encoder import ChatEncoder
from centime.data.loader import Loader
from centime.data.pairs import PairLoader
from centime.data.tokenizer import Tokenizer, load_tokenizer

__all__ = ["ChatEncoder", "Loader", "PairLoader", "Tokenizer", "load_tokenizer"]
