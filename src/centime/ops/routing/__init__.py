"""Which experts a token visits: the plain rule, and the same in one launch; and experts that have adapters."""
