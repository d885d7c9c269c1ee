"""Where a model's chat template is found, and how long it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.catalogue.hf.tokenizer import MAX_TEMPLATE, read_template
from centime.errors import UserError


def test_a_file_of_its_own_comes_first_and_is_as_long_as_a_template_may_be(tmp_path: Path) -> None:
    config = {"chat_template": "of the config"}
    assert read_template(tmp_path, config) == "of the config"
    file = tmp_path / "chat_template.jinja"
    file.write_text("x" * MAX_TEMPLATE)
    assert len(read_template(tmp_path, config) or "") == MAX_TEMPLATE == 1_048_576
    file.write_text("x" * (MAX_TEMPLATE + 1))
    with pytest.raises(UserError, match="has 1,048,577 characters; a chat template has at most 1,048,576"):
        read_template(tmp_path, config)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, None),
        ({"chat_template": [{"name": "tools", "template": "a"}, {"name": "default", "template": "b"}]}, "b"),
        ({"chat_template": [{"name": "tools", "template": "a"}]}, None),
    ],
)
def test_of_several_templates_the_default_is_taken(
    tmp_path: Path, config: dict[str, object], found: str | None
) -> None:
    assert read_template(tmp_path, config) == found
