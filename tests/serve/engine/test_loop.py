"""The engine's thread: many clients at once, sleeping when idle, draining, and what it refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest
import torch
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_model, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine import engine as engine_file
from centime.serve.engine.engine import WINDOW_NS, Engine
from centime.serve.engine.request import Event, Finished, QueueFull, Request, SamplingParams


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


@pytest.fixture
def served(model: Transformer, tokenizer: Tokenizer) -> Iterator[Engine]:
    started = engine(model, tokenizer, max_waiting=4, max_running=2)
    started.start()
    yield started
    started.stop()


def ask(served: Engine, prompt: list[int], **params: object) -> tuple[list[Event], threading.Event]:
    events, over = list[Event](), threading.Event()

    def deliver(event: Event) -> None:
        events.append(event)
        if isinstance(event, Finished):
            over.set()

    options = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 5} | params
    served.submit(Request(prompt, SamplingParams(**options), deliver))  # type: ignore[arg-type]
    return events, over


def test_clients_in_many_threads_are_all_answered(served: Engine, model: Transformer) -> None:
    answers: dict[int, list[int]] = {}

    def client(number: int) -> None:
        while True:
            try:
                events, over = ask(served, [3, number])
                break
            except QueueFull:
                time.sleep(0.01)
        assert over.wait(60)
        answers[number] = [token for event in events[:-1] for token in event.tokens]  # type: ignore[union-attr]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: brute_force(model, [3, number], 5) for number in range(10)}


def test_now_is_the_last_seconds_and_older_steps_count_no_more(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five tokens are put out: nine are computed with the prompt's, in as many steps of a second each."""
    clock = 10**12
    monkeypatch.setattr(engine_file, "time", SimpleNamespace(monotonic_ns=lambda: clock))
    served = engine(model, tokenizer)
    served.submit(Asked([3, 4, 5, 6, 7], max_tokens=5))
    seconds = WINDOW_NS / 1e9
    for steps in range(1, 6):
        clock += 10**9
        served.step()
        assert served.stats().output_tokens_per_s == steps / seconds
        assert served.stats().computed_tokens_per_s == (4 + steps) / seconds
    clock += WINDOW_NS - 4 * 10**9 - 1
    assert served.stats().output_tokens_per_s == 5 / seconds
    clock += 1  # the first step is as old as the window
    assert served.stats().output_tokens_per_s == 4 / seconds
    assert served.stats().computed_tokens_per_s == 4 / seconds
    clock += WINDOW_NS
    assert served.stats().output_tokens_per_s == served.stats().computed_tokens_per_s == 0
    assert served.stats().output_tokens == 5
    served.submit(Asked([3, 4], max_tokens=1))
    served.step()
    assert len(served._recent) == 1


def test_idle_means_idle(served: Engine) -> None:
    _, over = ask(served, [3, 4])
    assert over.wait(60)
    time.sleep(0.1)
    process = psutil.Process()
    thread = next(t.ident for t in threading.enumerate() if t.name == "centime-engine")
    native = next(t.native_id for t in threading.enumerate() if t.ident == thread)
    before = next(t for t in process.threads() if t.id == native)
    time.sleep(1.0)
    after = next(t for t in process.threads() if t.id == native)
    assert after.user_time + after.system_time - before.user_time - before.system_time <= 0.01


def test_a_full_queue_and_an_engine_that_has_ended_refuse(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer, max_waiting=2)
    for _ in range(2):
        served.submit(Asked([3]))
    with pytest.raises(QueueFull, match="too many"):
        served.submit(Asked([3]))
    served.start()
    served.stop()
    with pytest.raises(QueueFull, match="shutting down"):
        served.submit(Asked([3]))


def test_stopping_ends_what_is_in_progress(model: Transformer, tokenizer: Tokenizer) -> None:
    served = engine(model, tokenizer)
    request = Asked([3], max_tokens=40)
    served.submit(request)
    served.step()
    served.stop()
    assert request.end.reason == "aborted"


@pytest.mark.parametrize(("prompt", "said"), [([], "no token"), ([3] * 64, "shorten"), ([10**6], "token 1000000")])
def test_prompts_that_cannot_be_answered_are_refused(served: Engine, prompt: list[int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        served.submit(Asked(prompt))


def test_a_stop_string_cuts_the_text_and_is_named(model: Transformer, tokenizer: Tokenizer) -> None:
    whole = Asked([3, 4], max_tokens=12)
    served = engine(model, tokenizer)
    run(served, whole)
    text = whole.text
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    cut = Asked([3, 4], max_tokens=12, stop=("never there", stop))
    run(served, cut)
    assert cut.text == text[: text.index(stop)]
    assert (cut.end.reason, cut.end.stop) == ("stop", stop)
    last = whole.tokens[6]
    by_id = Asked([3, 4], max_tokens=12, stop_token_ids=(last,))
    run(served, by_id)
    assert (by_id.end.reason, by_id.end.stop) == ("stop", last)
    assert by_id.tokens == whole.tokens[: whole.tokens.index(last)]


def test_a_fault_fails_its_step_and_not_the_server(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = engine(model, tokenizer)
    hidden = served.executor.runner.hidden
    failing, after = Asked([3, 4], max_tokens=4), Asked([3, 4], max_tokens=4)
    monkeypatch.setattr(served.executor.runner, "hidden", lambda *_: 1 / 0)
    run(served, failing)
    monkeypatch.setattr(served.executor.runner, "hidden", hidden)
    run(served, after)
    assert failing.end.reason == "failed"
    assert "division by zero" in (failing.end.error or "")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert after.tokens == brute_force(model, [3, 4], 4)
    assert served.stats().blocks_used == 0


def test_a_receiver_that_raises_has_left(model: Transformer, tokenizer: Tokenizer) -> None:
    served, staying = engine(model, tokenizer), Asked([3, 5], max_tokens=8)

    def gone(event: Event) -> None:
        raise BrokenPipeError

    leaving = Request([3, 4], SamplingParams(max_tokens=40, ignore_eos=True), gone)
    run(served, leaving, staying)
    assert staying.tokens == brute_force(model, [3, 5], 8)
    assert served.stats().output_tokens < 8 + 5


def test_weights_that_are_no_numbers_fail_with_a_sentence(tokenizer: Tokenizer) -> None:
    broken = small_model(tokenizer)
    with torch.no_grad():
        broken.norm.weight[0] = float("nan")
    request = Asked([3, 4])
    run(engine(broken, tokenizer), request)
    assert request.end.reason == "failed"
    assert "not finite" in (request.end.error or "")


def test_books_in_doubt_end_the_engine_and_say_so(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = engine(model, tokenizer)
    monkeypatch.setattr(served.pool, "check", lambda tables: 1 / 0)
    served.start()
    events, over = ask(served, [3, 4], max_tokens=40)
    assert over.wait(60)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "failed"
    assert served.stats().failed
    with pytest.raises(QueueFull, match="has failed"):
        served.submit(Asked([3]))
    served.stop()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert sum(isinstance(event, Finished) for event in events) == 1
