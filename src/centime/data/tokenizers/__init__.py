"""From text to token ids and back: byte-pair encodings, the special tokens, and conversations as DeepSeek writes them.

A tokenizer is a folder with tokenizer.json, trained here (`centime tokenizer train`) or a published one.
"""

from centime.data.tokenizers.chat_encoder import ChatEncoder
from centime.data.tokenizers.tokenizer import Tokenizer, load_tokenizer

__all__ = ["ChatEncoder", "Tokenizer", "load_tokenizer"]
