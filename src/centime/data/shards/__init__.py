"""Token shards: folders of uint16 or uint32 ids with an index and checksums, written once and read by many.

`centime data prepare` makes them from sources, `centime data describe` and `check` look into them.
"""

from centime.data.shards.shard_set import ShardSet, require_tokenizer, split_folder

__all__ = ["ShardSet", "require_tokenizer", "split_folder"]
