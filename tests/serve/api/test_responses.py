"""OpenAI's Responses API of our own engine, with the published client."""

from __future__ import annotations

import httpx2
import openai
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent


def test_a_stream_is_the_whole_answer_in_pieces(url: str) -> None:
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    (model,) = [one.id for one in client.models.list()][:1]
    whole = client.responses.create(model=model, input="One, two,", max_output_tokens=8, temperature=0)
    assert whole.usage is not None
    assert whole.usage.output_tokens == 8
    assert whole.status == "incomplete"
    events = list(client.responses.create(
        model=model, input=[{"role": "user", "content": "One, two,"}], max_output_tokens=8, temperature=0, stream=True
    ))  # fmt: skip
    texts = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert "".join(texts) == whole.output_text
    assert not isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.usage.input_tokens == whole.usage.input_tokens  # type: ignore[union-attr]


def test_what_the_chat_does_not_take_is_told(url: str) -> None:
    body = {"model": "tiny", "input": "Hi", "tools": [{"type": "function", "name": "no spaces"}]}
    told = httpx2.post(url + "/v1/responses", json=body)
    assert told.status_code in {400, 404, 422}
    assert told.json()["error"]["message"]
