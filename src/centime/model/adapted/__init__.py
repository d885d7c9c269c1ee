"""Low-rank adapters beside frozen matrices: where they stand, what they compute, how they merge, PEFT's files."""
