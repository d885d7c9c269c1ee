"""Model folders of the Hugging Face Hub: config.json to a ModelConfig and back, and what a tokenizer's files say.

Every key is checked; what one of them says and centime cannot compute is refused in a sentence.
"""

from centime.catalogue.hf.config import from_hf, holds_model, model_folder, read
from centime.catalogue.hf.family import family_of, to_hf
from centime.catalogue.hf.quantization import WeightStorage, quantization
from centime.catalogue.hf.settings import explain
from centime.catalogue.hf.tokenizer import read_config, read_template

__all__ = [
    "WeightStorage",
    "explain",
    "family_of",
    "from_hf",
    "holds_model",
    "model_folder",
    "quantization",
    "read",
    "read_config",
    "read_template",
    "to_hf",
]
