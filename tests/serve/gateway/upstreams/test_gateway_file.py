"""The gateway's file: what is wrong with it is a sentence that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.errors import UserError
from centime.serve.gateway.upstreams.gateway_file import UpstreamSection, read_gateway_file

GOOD = '[[upstream]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "upstream is missing (the servers: [[upstream]])"),
        ("x = [", "is not TOML"),
        ('[[upstream]]\nname = "a"\n', "upstream.0.url is missing (where it is, such as http://gpu1:8000)"),
        (GOOD + "pirce = '$2/h'\n", "upstream.0.pirce is not a key of a gateway. Did you mean 'price'?"),
        (GOOD + "devices = true\n", "upstream.0.devices is true"),
        (GOOD + "silence_s = nan\n", "upstream.0.silence_s"),
        (GOOD + "price_list = 'nothing'\n", "Upstream 'a': "),
        (GOOD + "peak_hours = '01:00-02:00'\n", "Upstream 'a': peak_hours go with a price_list."),
        (GOOD + "key_env = 'CENTIME_NO_SUCH'\n", "CENTIME_NO_SUCH, which is empty"),
        (GOOD + "key_file = 'none'\n", "none cannot be read"),
        (GOOD + "key_env = 'A'\nkey_file = 'b'\n", "has key_env and key_file; give one"),
        (GOOD.replace("http:", "ftp:"), "The url of upstream 'a' is 'ftp://127.0.0.1:1'"),
        (GOOD + GOOD, "Two upstreams are called 'a'"),
        (GOOD + '[gateway]\ndefault = "b"\n', "gateway.default is 'b', which no [[upstream]] is called."),
        (GOOD + '[[model]]\nname = "m"\n', "model.0.route is missing"),
        (
            GOOD + '[[model]]\nname = "m"\naliases = ["m"]\n[[model.route]]\nupstream = "b"\n',
            "Two models, or aliases, are called 'm': a request could not tell them apart. Model 'm' goes to 'b'",
        ),
        (GOOD + '[[model]]\nname = "m"\n[[model.route]]\nupstream = "a"\nweight = 0\n', "model.0.route.0.weight is 0"),
    ],
)
def test_faults_are_sentences(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(UserError) as told:
        read_gateway_file(file)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_key_comes_from_a_file_beside_or_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    monkeypatch.setenv("SOME_KEY", "sk-from-env")
    given = {"name": "a", "url": "http://x"}
    assert UpstreamSection(**given, key_file="key").key(tmp_path) == "sk-from-file"
    assert UpstreamSection(**given, key_env="SOME_KEY").key(tmp_path) == "sk-from-env"
    assert UpstreamSection(**given).key(tmp_path) is None
    (tmp_path / "key").write_text("two words")
    with pytest.raises(UserError, match="no word of printable ASCII"):
        UpstreamSection(**given, key_file="key").key(tmp_path)
