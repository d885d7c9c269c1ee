"""`centime doctor`: what this copy of centime finds on this machine, what is missing, and the command that mends it."""

from centime.doctor.examine import Finding, as_json, examine

__all__ = ["Finding", "as_json", "examine"]
