"""What a person may have meant, where a name is none."""

from __future__ import annotations

import pytest

from centime.errors import nearest, nearest_name

MODELS = ["DeepSeek-V3", "deepseek-v3.2", "Qwen3-235B", "", "V3"]


@pytest.mark.parametrize(
    ("word", "cutoff", "said"),
    [
        ("deepsek-v3", 0.5, " Did you mean 'DeepSeek-V3'?"),
        ("QWEN3-235b", 0.5, " Did you mean 'Qwen3-235B'?"),
        ("llama", 0.5, ""),
        ("qw", 0.5, ""),
        ("qw", 0.0, " Did you mean 'Qwen3-235B'?"),
        ("abcd", 0.5, ""),
    ],
)
def test_the_nearest_name_is_offered_as_it_is_written(word: str, cutoff: float, said: str) -> None:
    assert nearest(word, MODELS, cutoff) == said


def test_half_alike_is_near_and_of_two_spellings_the_first_is_meant() -> None:
    assert nearest("abxy", ["abcd"]) == " Did you mean 'abcd'?"  # 2 of 4 letters: a ratio of 0.5
    assert nearest("axyz", ["abcd"]) == ""
    assert nearest("v3", ["V3", "v3"]) == " Did you mean 'V3'?"
    assert nearest("v3", []) == ""


def test_a_name_that_holds_what_was_written_comes_before_one_that_looks_like_it() -> None:
    def spelled(name: str) -> str:
        return name.casefold().replace("-", "").replace(".", "")

    assert nearest_name("235-b", MODELS, spelled, ["236B"]) == " Did you mean 'Qwen3-235B'?"
    assert nearest_name("236b", MODELS, spelled, ["237B"]) == " Did you mean '237B'?"
    assert nearest_name("3", MODELS, spelled, ["4"]) == ""  # one letter is held by too many
    assert nearest_name("v3", ["V3-Base"], spelled, []) == " Did you mean 'V3-Base'?"
