"""Server-sent events as bytes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from centime.serve.http.responses import as_event

breaks = st.sampled_from('\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\\"')


@given(st.text(st.characters(exclude_categories=["Cs"]) | breaks), st.none() | st.just("delta"))
def test_an_event_is_one_line_of_data_however_a_client_splits_lines(text: str, name: str | None) -> None:
    event = as_event({"text": text}, name).decode()
    assert event.endswith("\n\n")
    *named, data = event.removesuffix("\n\n").splitlines()
    assert named == ([] if name is None else ["event: delta"])
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
