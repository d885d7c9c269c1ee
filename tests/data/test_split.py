"""Which split a document belongs to."""

from __future__ import annotations

import math

import pytest

from centime.data.split import digest, is_held_out, require_share
from centime.errors import UserError


@pytest.mark.parametrize("share", [1.0, 1.5, -0.01, math.nan, math.inf])
def test_what_is_no_share_of_the_documents_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=rf"^--holdout {share} is not a share of the documents; expected at least 0"):
        require_share("holdout", share)
    for fits in (0.0, 0.999):
        require_share("holdout", fits)


def test_a_share_of_the_texts_is_held_out_and_a_larger_one_holds_them_too() -> None:
    texts = [digest(f"text {number}".encode()) for number in range(4000)]
    held = [{text for text in texts if is_held_out(text, rate)} for rate in (0.0, 0.1, 0.5, 1.0)]
    assert held[0] < held[1] < held[2] < held[3] == set(texts)
    assert not held[0]
    assert 320 < len(held[1]) < 480  # 400 are expected, with a deviation of 19
    assert digest(b"text") == int.from_bytes(bytes.fromhex("d7f35fa228381a1c"), "little")
