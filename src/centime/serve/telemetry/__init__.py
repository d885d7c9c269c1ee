"""What a server tells of each request, beside its ledger: lines of a log, OpenTelemetry's spans and metrics."""
