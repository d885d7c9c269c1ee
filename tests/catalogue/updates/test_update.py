"""What a fetch leaves on disk: a whole file, or what was there before, and a sentence."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.catalogue.updates.made import EPOCH, RUNPOD, Catalogues

from centime.catalogue.refreshed import refreshed_path
from centime.catalogue.updates import SOURCES, update
from centime.catalogue.updates.found import named
from centime.errors import UserError

PATHS = {"skypilot": "/sky", "litellm": "/litellm.json", "epoch": "/epoch.csv"}
FILE = {"skypilot": "/sky/runpod/vms.csv", "litellm": "/litellm.json", "epoch": "/epoch.csv"}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_becomes_a_file_of_ones_own(server: Catalogues, centime_home: Path, source: str) -> None:
    done = update(source, server.address + PATHS[source])
    assert done.path == centime_home / "refreshed" / f"{source}.csv"
    assert server.address in done.path.read_text()
    assert [path.name for path in done.path.parent.iterdir()] == [f"{source}.csv"]
    assert f"{source}: {len(done.found.rows)} " in str(done)


BROKEN = {
    "an error": (500, b"oops", "answered 500"),
    "a page": (200, b"<html><body>moved</body></html>", "the prices are as they were"),
    "nothing": (200, b"", "the prices are as they were"),
    "noise": (200, b"\xff\xfe\x00\x01" * 50, "the prices are as they were"),
    "another table": (200, b"a,b\n1,2\n", "the prices are as they were"),
    "an empty object": (200, b"{}", "the prices are as they were"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("source", SOURCES)
def test_a_broken_answer_is_a_sentence_and_changes_nothing(server: Catalogues, source: str, kind: str) -> None:
    path = update(source, server.address + PATHS[source]).path
    before = path.read_bytes()
    status, body, words = BROKEN[kind]
    server.answers[FILE[source]] = (status, body)
    with pytest.raises(UserError, match=words):
        update(source, server.address + PATHS[source])
    assert path.read_bytes() == before
    assert len([*path.parent.iterdir()]) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_an_answer_that_is_cut_short_changes_nothing(server: Catalogues, source: str) -> None:
    server.cut.add(FILE[source])
    with pytest.raises(UserError, match="cut short"):
        update(source, server.address + PATHS[source])
    assert not refreshed_path(source).parent.exists()


@pytest.mark.parametrize("source", SOURCES)
def test_offline_is_a_sentence(source: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        port = free.getsockname()[1]
        with pytest.raises(UserError, match=r"cannot be read \(.*refused\).* --from"):
            update(source, f"http://127.0.0.1:{port}")
    assert not refreshed_path(source).exists()


def test_a_line_that_is_short_is_named(server: Catalogues) -> None:
    server.answers["/sky/runpod/vms.csv"] = (200, (RUNPOD + "1x_H100,H100,1.0\n").encode())
    with pytest.raises(UserError, match=r"runpod/vms.csv, line 7 has not 10 fields"):
        update("skypilot", server.address + "/sky")


def test_a_copy_on_this_machine_is_of_the_day_it_was_written(tmp_path: Path) -> None:
    copy = tmp_path / "hardware.csv"
    copy.write_text(EPOCH)
    assert update("epoch", str(copy)).as_json()["date"] >= "2026"
    with pytest.raises(UserError, match="No such file"):
        update("epoch", str(tmp_path / "other.csv"))


def test_of_many_names_the_first_are_shown() -> None:
    names = [f"chip{number}" for number in range(9)]
    assert named(names[:8]) == ", ".join(names[:8])
    assert named(reversed(names)) == ", ".join(names[:8]) + " and 1 more"


def test_what_is_no_source() -> None:
    with pytest.raises(UserError, match="Did you mean 'skypilot'"):
        update("sky-pilot")


def test_a_file_that_somebody_changed_is_a_sentence(server: Catalogues) -> None:
    from centime.catalogue.chips import chip
    from centime.catalogue.hourly_prices import gpu_hour

    path = update("skypilot", server.address + "/sky").path
    path.write_text("device,per_hour\nH100 SXM 80GB,1\n")
    with pytest.raises(UserError, match="run that again, or delete the file"):
        gpu_hour(chip("h100"))
