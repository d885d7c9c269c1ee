"""The config.json of any decoder, of whatever family, as the planner's Architecture.

The planner needs no weights and no family's code, only sizes: what a config.json says is read by the meaning of its
keys, under the names that families give them. What would change a size and is not understood is refused by name.
"""

from centime.catalogue.decoders.decoder import architecture_of, read_architecture

__all__ = ["architecture_of", "read_architecture"]
