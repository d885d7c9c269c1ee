"""A server with excerpts of the public catalogues."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.catalogue.updates.made import Catalogues, catalogues


@pytest.fixture
def server() -> Iterator[Catalogues]:
    with catalogues() as made:
        yield made
