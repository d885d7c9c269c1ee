"""The paged cache of latents: which blocks hold which prefixes, their entries in memory, and those kept on disk.

`block_pool.py` keeps the books, `paged_cache.py` the entries, `disk_tier.py` what outlives both. Knows no requests.
"""
