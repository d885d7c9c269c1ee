"""Server-sent events are read as the HTML standard has them, however a server writes them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.serve.gateway.test_inbound import JSON

from centime.serve.gateway import sse


@given(JSON, st.sampled_from([None, 1]), st.sampled_from(["", " "]), st.sampled_from(["", ": ping\n", "event: x\n"]))
def test_data_are_the_same_whether_a_blank_follows_the_colon_and_over_how_many_lines(
    value: Any, indent: int | None, blank: str, before: str
) -> None:
    body = {"choices": value}
    lines = json.dumps(body, indent=indent).splitlines()
    found = sse.data_of((before + "".join(f"data:{blank}{line}\n" for line in lines) + "\n").encode())
    assert found is not None
    assert sse.object_of(found) == body
    assert sse.data_of(f"{before}\n".encode()) is None
