"""What a gateway of a file says at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.serve.gateway.command import offered
from centime.serve.gateway.upstreams.gateway_file import read_gateway_file

RACK = '[[upstream]]\nname = "rack"\nurl = "http://127.0.0.1:9"\n'
OTHER = '[[upstream]]\nname = "other"\nurl = "http://127.0.0.1:9"\n'
CHAT = '[[model]]\nname = "chat{}"\naliases = {}\n[[model.route]]\nupstream = "rack"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RACK, "all that rack lists"),
        (RACK + OTHER, "all that rack and other list"),
        (RACK + "models = []\n" + CHAT.format("", '["gpt-4o", "mini"]'), "chat (also gpt-4o, mini)"),
        (RACK + 'models = ["org/m"]\n' + OTHER + CHAT.format("", []), "chat, org/m, all that other lists"),
        (RACK + "models = []\n", "no model"),
        (
            RACK + "models = []\n" + "".join(CHAT.format(number, []) for number in range(9)),
            ", ".join(f"chat{number}" for number in range(8)) + ", 1 more",
        ),
    ],
)
def test_what_clients_may_name_is_told_in_words(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    assert offered(read_gateway_file(file)) == said
