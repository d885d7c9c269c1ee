"""A gateway whose requests are told of."""

from tests.serve.gateway.conftest import put

__all__ = ["put"]
