"""What a vendor says was used, against what the ledger holds: by day and model, and why they differ. No torch."""
