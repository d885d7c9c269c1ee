"""The paged cache of latents: which blocks hold which prefixes, their entries in memory, and those kept on disk."""
