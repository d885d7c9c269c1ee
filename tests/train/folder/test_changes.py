"""What a resume may change: by --set, and nothing that decides which rows a step takes."""

from __future__ import annotations

import pytest

from centime import recipe as recipes
from centime.train.folder.changes import changes

TEXT = """
name = "n"
[model]
[data]
tokenizer = "t"
train = [{ path = "t" }]
[context]
tokens = 5
sequence_length = 512
plateaus = [{ until = 1.0, ratio = 0.5 }]
"""


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("train.lr=1e-5", True),
        ("context.lr=1e-5", True),
        ("context.plateaus.0.ratio=0.1", True),
        ("context.plateaus=[]", True),
        ("optimizer.clip=2.0", True),
        ("optimizer.name=muon", False),
        ("train.batch_size=7", False),
        ("train.sequence_length=128", False),
        ("seed=3", False),
        ("data.train.0.weight=2.0", False),
    ],
)
def test_rates_and_weights_may_change_where_it_is_said(setting: str, meant: bool) -> None:
    before, after = recipes.parse(TEXT), recipes.parse(TEXT, [setting])
    found = changes(before, after)
    assert found
    assert all(change.meant([setting]) for change in found) is meant
    assert not any(change.meant([]) for change in found)
    assert not any(change.meant(["optimizer.beta1=0.5"]) for change in found)
    assert changes(before, before) == []
    assert changes(before, recipes.parse(TEXT, ["run.keep=7"])) == []
