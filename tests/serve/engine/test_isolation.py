"""What one request brings into a step, and raises there, ends that request alone: its neighbours are answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer
from centime.serve.engine.engine import Engine
from centime.serve.engine.executor import NOT_FINITE
from centime.serve.engine.request import DeadEnd, Event, Piece, Request, SamplingParams


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def model_of(tokenizer: Tokenizer, padding: int = 0, **changes: Any) -> Transformer:
    """Its vocabulary has `padding` more rows than the tokenizer has tokens, as DeepSeek-V3's has 465."""
    config = small_config(tokenizer.vocab_size + padding, positions=256).model_copy(update=changes)
    model = Transformer(config)
    model.init_weights(1)
    return model.eval()


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "drafts"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    return model_of(tokenizer, num_nextn_predict_layers=request.param)


class Bad:
    """A grammar that is no good from its `number`-th token on, at one of its faces; free until then."""

    def __init__(self, face: str, number: int, error: Exception) -> None:
        self._face, self._number, self._error = face, number, error
        self._accepted = 0

    def _used(self, face: str, at: int) -> bool:
        return face == self._face and at >= self._number

    def fill(self, mask_row: object) -> None:
        if self._used("fill", self._accepted):
            raise self._error
        assert isinstance(mask_row, torch.Tensor)
        mask_row.fill_(0 if self._used("nothing", self._accepted) else -1)

    def accept(self, token: int) -> None:
        if self._used("accept", self._accepted):
            raise self._error
        self._accepted += 1

    @property
    def finished(self) -> bool:
        if self._used("finished", self._accepted - 1):
            raise self._error
        return False


def neighbours(served: Engine, culprit: Request, count: int = 3) -> list[Asked]:
    """Answers made beside a culprit, in steps that it is part of, from its first to its last."""
    beside = [Asked([3, 5 + n], max_tokens=16, temperature=0.0) for n in range(count)]
    run(served, *beside[:1], culprit, *beside[1:])
    return beside


def unharmed(model: Transformer, served: Engine, beside: Sequence[Asked]) -> None:
    for request in beside:
        assert request.tokens == brute_force(model, request.prompt, 16)
        assert request.end.reason == "length"
    assert served.stats().blocks_used == 0
    assert not served.stats().failed


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("face", ["fill", "accept", "finished"])
def test_a_grammar_that_raises(
    model: Transformer, tokenizer: Tokenizer, face: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    served = engine(model, tokenizer)
    culprit = Asked([3, 4], max_tokens=16, constraint=Bad(face, number, RuntimeError("odd\n2026-01-01 ERROR \x1b[31m")))
    unharmed(model, served, neighbours(served, culprit))
    assert culprit.end.reason == "failed"
    assert "odd" in (culprit.end.error or "")
    printed = capsys.readouterr().err
    assert "\x1b" not in printed  # what a client wrote may be in a message: it writes no line of its own
    assert not any(line.startswith("2026") for line in printed.splitlines())


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("how", ["fill", "nothing"])
def test_a_grammar_that_leads_nowhere_is_its_askers(
    model: Transformer, tokenizer: Tokenizer, how: str, number: int
) -> None:
    """Whether it says so or admits no token: refused, with a sentence, and charged for what it had."""
    served = engine(model, tokenizer)
    culprit = Asked([3, 4], max_tokens=16, constraint=Bad(how, number, DeadEnd("leads nowhere")))
    unharmed(model, served, neighbours(served, culprit))
    assert culprit.end.reason == "refused"
    assert "leads nowhere" in (culprit.end.error or "")
    assert culprit.end.usage.prompt_tokens == 2
    assert culprit.end.usage.output_tokens == len(culprit.tokens) == number


def _text(served: Engine, fault: Exception) -> None:
    def decode(ids: Sequence[int]) -> str:
        raise fault

    served.scheduler.running[-1].text.decode = decode


def _adjustment(served: Engine, fault: Exception) -> None:
    def apply(scores_V: torch.Tensor) -> None:
        raise fault

    logits_processor = served.scheduler.running[-1].logits_processor
    logits_processor.apply = apply  # type: ignore[method-assign]
    logits_processor.changes = True


def _draw(served: Engine, fault: Exception) -> None:
    served.scheduler.running[-1].seed = 2**200  # no seed that a digest takes


@pytest.mark.parametrize("harm", [_text, _adjustment, _draw])
def test_text_penalties_and_draws_that_raise(
    model: Transformer, tokenizer: Tokenizer, harm: Callable[[Engine, Exception], None]
) -> None:
    served = engine(model, tokenizer)
    beside = [Asked([3, 5 + n], max_tokens=16) for n in range(3)]
    culprit = Asked([3, 4], max_tokens=40, temperature=1.0)
    for request in (*beside, culprit):
        served.submit(request)
    served.step()
    assert served.scheduler.running[-1].request is culprit
    harm(served, ValueError("odd"))
    while served.step():
        pass
    unharmed(model, served, beside)
    assert culprit.end.reason == "failed"


def test_logits_that_are_no_numbers_end_their_own_rows(model: Transformer, tokenizer: Tokenizer) -> None:
    """A token whose embedding is damaged: who has it fails; a prefix with it is never found again."""
    broken = model_of(tokenizer, num_nextn_predict_layers=model.config.num_nextn_predict_layers)
    beside = [Asked([3, 5 + n], max_tokens=16) for n in range(3)]
    said = {token for request in beside for token in brute_force(broken, request.prompt, 16)}
    rare = next(token for token in range(100, 300) if token not in said)
    sound = broken.embed.weight[rare].clone()
    with torch.no_grad():
        broken.embed.weight[rare] = math.inf
    served = engine(broken, tokenizer, step_tokens=24)
    culprits = [Asked([3, rare, *range(5, 45)], max_tokens=16), Asked([3, 4, rare], max_tokens=16, temperature=1.0)]
    run(served, beside[0], *culprits, *beside[1:])
    with torch.no_grad():
        broken.embed.weight[rare] = sound
    unharmed(broken, served, beside)
    assert [culprit.end.error for culprit in culprits] == [NOT_FINITE] * 2
    after = Asked([3, rare, *range(5, 45)], max_tokens=16)
    run(served, after)
    unharmed(broken, served, [after])
    assert after.end.usage.hit_tokens <= 1  # the begin token alone was computed soundly


def test_a_forward_pass_that_fails_for_one_is_done_again_for_the_others(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = engine(model, tokenizer)
    hidden = served.executor.runner.hidden

    def fussy(spans: Any, tokens: Sequence[int]) -> torch.Tensor:
        if 66 in tokens:
            raise MemoryError("no room for 66")
        return hidden(spans, tokens)

    monkeypatch.setattr(served.executor.runner, "hidden", fussy)
    culprit = Asked([3, 4, 66], max_tokens=16)
    unharmed(model, served, neighbours(served, culprit))
    assert culprit.end.reason == "failed"
    assert (culprit.end.usage.prompt_tokens, culprit.end.usage.output_tokens) == (0, 0)


def test_guesses_that_fail_cost_nobody_an_answer(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tokenizer, num_nextn_predict_layers=1)
    served = engine(model, tokenizer)
    monkeypatch.setattr(served.executor.runner, "guesses", lambda *_: 1 / 0)
    beside = [Asked([3, 5 + n], max_tokens=16) for n in range(3)]
    run(served, *beside)
    unharmed(model, served, beside)
    again = Asked([3, 5, *beside[0].tokens], max_tokens=1)
    run(served, again)
    assert again.end.usage.hit_tokens == 0  # blocks without MTP's entries are not made known


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_ids_of_the_padding_are_nobodys(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """The model has more rows than tokens: none is drawn, guessed or penalised; no prompt may have one."""
    model = model_of(tokenizer, padding=20, num_nextn_predict_layers=1)
    with torch.no_grad():
        model.head_weight[tokenizer.vocab_size :] *= 30  # the padding is what it likes best
    served = engine(model, tokenizer)
    penalties = {"repetition_penalty": 1.3, "frequency_penalty": 0.5, "presence_penalty": 0.5}
    chosen = data.draw(st.lists(st.sampled_from(sorted(penalties)), unique=True))
    asked = [
        Asked([3, 5 + n], max_tokens=12, temperature=0.7 * n, logprobs=20, **{name: penalties[name] for name in chosen})
        for n in range(3)
    ]
    run(served, *asked)
    for request in asked:
        assert request.end.reason == "length"
        reported = [e for event in request.events if isinstance(event, Piece) for e in event.logprobs]
        seen = [*request.tokens, *(token for one in reported for token, _ in one.best)]
        assert max(seen) < tokenizer.vocab_size
    with pytest.raises(Exception, match=f"token {tokenizer.vocab_size + 3}"):
        served.submit(Asked([3, tokenizer.vocab_size + 3], **penalties))


def test_receivers_that_raise_at_any_event(model: Transformer, tokenizer: Tokenizer) -> None:
    for at in range(4):
        left = iter(range(10**6))

        def gone(event: Event, at: int = at, left: Iterator[int] = left) -> None:
            if next(left) >= at:
                raise BrokenPipeError

        served = engine(model, tokenizer)
        culprit = Request([3, 4], SamplingParams(max_tokens=40, ignore_eos=True), gone)
        unharmed(model, served, neighbours(served, culprit))


def test_ignore_eos_means_nothing_under_a_grammar(tokenizer: Tokenizer) -> None:
    """Where the grammar lets the answer end and the model ends it, it is over."""
    model = model_of(tokenizer)
    with torch.no_grad():
        model.head_weight[tokenizer.eos_id] *= 0
        model.head_weight[tokenizer.eos_id] += 50 * model.head_weight.abs().mean() * torch.sign(model.norm.weight)
    served = engine(model, tokenizer)
    free = Bad("never", 0, ValueError())
    culprit = Asked([3, 4], max_tokens=16, constraint=free, ignore_eos=True, logit_bias={tokenizer.eos_id: 100.0})
    unharmed(model, served, neighbours(served, culprit, 2))
    assert culprit.end.reason == "end"
    assert culprit.tokens == []


def test_what_was_not_computed_is_not_told_as_used(model: Transformer, tokenizer: Tokenizer) -> None:
    """An answer that is aborted while it waits, or within its prompt, tells what was computed until then."""
    served = engine(model, tokenizer, step_tokens=8, max_running=2)
    prompts = [Asked([3, *range(5, 65)], max_tokens=4), Asked([3, *range(6, 66)], max_tokens=4)]
    waiting = Asked([3, *range(7, 67)], max_tokens=4)
    for request in (*prompts, waiting):
        served.submit(request)
    for _ in range(4):
        served.step()
    computed = {g.request.id: g.computed for g in served.scheduler.all()}
    for request in (*prompts, waiting):
        served.abort(request.id)
    while served.step():
        pass
    assert waiting.end.usage.prompt_tokens == 0
    for request in prompts:
        assert request.end.usage.prompt_tokens == computed[request.id] < 61
        assert request.end.usage.output_tokens == 0
    assert sum(computed.values()) == 32
