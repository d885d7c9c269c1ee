"""Which replica a prompt goes to: the one that has most of it, unless the others have less to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from centime.serve.replicas.affinity import BUSY, Affinity

BLOCK = 4
prompts = st.lists(st.integers(0, 2), min_size=1, max_size=40)


def test_a_prompt_goes_where_its_beginning_was_computed() -> None:
    affinity, idle = Affinity(BLOCK), {"a": 0, "b": 0, "c": 0}
    shared = list(range(20))
    affinity.sent([*shared, 100, 101], "", "b")
    affinity.sent([*shared[:8], 7, 7, 7, 7], "", "c")
    assert affinity.choose([*shared, 55], "", idle) == "b"
    assert affinity.choose([*shared[:8], 7, 7, 7, 7, 1], "", idle) == "c"
    assert affinity.choose([9, 9, 9, 9], "", idle) == "a"
    assert affinity.choose([*shared, 55], "somebody else", idle) == "a"


def test_a_hit_is_left_where_waiting_costs_more() -> None:
    affinity = Affinity(BLOCK)
    prompt = list(range(BUSY + BLOCK))
    affinity.sent(prompt, "", "a")
    assert affinity.choose(prompt, "", {"a": 1, "b": 0}) == "a"
    assert affinity.choose(prompt, "", {"a": 2, "b": 0}) == "b"
    affinity.sent(prompt[:BUSY], "another", "a")  # as much as one answer counts for: of equals, the first
    assert affinity.choose(prompt[:BUSY], "another", {"a": 1, "b": 0}) == "a"
    assert affinity.choose(prompt[:BUSY], "another", {"b": 0, "a": 1}) == "b"


def test_a_replica_that_died_has_nothing() -> None:
    affinity, prompt = Affinity(BLOCK), list(range(16))
    affinity.sent(prompt, "", "b")
    affinity.forget("b")
    assert affinity.choose(prompt, "", {"a": 0, "b": 0}) == "a"


@given(st.lists(st.tuples(prompts, st.sampled_from("abc")), max_size=30), prompts)
def test_the_longest_known_beginning_decides_among_idle_replicas(
    history: list[tuple[list[int], str]], prompt: list[int]
) -> None:
    affinity, idle = Affinity(BLOCK), {"a": 0, "b": 0, "c": 0}
    known = dict.fromkeys(idle, 0)
    for sent, replica in history:
        affinity.sent(sent, "", replica)
    for sent, replica in history:
        for end in range(BLOCK, min(len(sent), len(prompt)) + 1, BLOCK):
            if sent[:end] == prompt[:end]:
                known[replica] = max(known[replica], end)
    assert affinity.choose(prompt, "", idle) == max(idle, key=lambda replica: known[replica])


@given(st.lists(st.tuples(prompts, st.sampled_from("abc")), max_size=30))
def test_what_it_remembers_is_bounded(history: list[tuple[list[int], str]]) -> None:
    affinity = Affinity(BLOCK, most=5)
    for sent, replica in history:
        affinity.sent(sent, "", replica)
    known = {tuple(sent[:end]) for sent, _ in history for end in range(BLOCK, len(sent) + 1, BLOCK)}
    assert len(affinity._holders) == min(5, len(known))
