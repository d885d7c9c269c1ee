"""A gateway to administrate."""

from tests.serve.gateway.conftest import put

__all__ = ["put"]
