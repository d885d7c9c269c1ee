"""Where a user's own files live, for users who have no home and paths that cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.catalogue.home import centime_home
from centime.errors import UserError

VARIABLES = ("CENTIME_HOME", "XDG_DATA_HOME", "HOME")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"CENTIME_HOME": "/a/b", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"CENTIME_HOME": "", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/centime"),
        ({"CENTIME_HOME": "~/c", "HOME": "/h"}, "/h/c"),
        ({"HOME": "/h"}, "/h/.local/share/centime"),
    ],
)
def test_the_first_that_is_set(given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert centime_home() == Path(expected)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)  # as in a container run under a number of nobody's
    with pytest.raises(UserError, match=r"HOME is not set .* set CENTIME_HOME"):
        centime_home()


@pytest.mark.parametrize("given", ["~nobody-of-that-name/x", "n" * 300, "circle/x"])
@pytest.mark.parametrize("variable", ["CENTIME_HOME", "XDG_DATA_HOME"])
def test_no_path(variable: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if given.startswith("~") and variable == "XDG_DATA_HOME":
        pytest.skip("XDG_DATA_HOME is no shell word")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CENTIME_HOME", raising=False)
    monkeypatch.setenv(variable, given)
    with pytest.raises(UserError, match=variable):
        centime_home()
