"""Adapters on one device, beside a frozen model."""
