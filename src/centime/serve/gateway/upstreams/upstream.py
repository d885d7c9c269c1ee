"""The server behind the gateway: what it is, what it has room for, and how it is asked."""

from __future__ import annotations

import asyncio
import http.cookiejar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx2

from centime.addresses import shown_address
from centime.errors import UserError
from centime.serve.gateway.inbound import Inbound
from centime.serve.gateway.sse import Malformed
from centime.serve.gateway.upstreams.tokenize_requests import count_of, prompt_question, text_question
from centime.serve.http.errors import ApiError
from centime.serve.http.paths import Kind
from centime.serve.http.responses import as_json
from centime.serve.json_body import UnreadableJson, read_json
from centime.serve.wording import plain

CONNECT_S = 10.0
ASK_S = 10.0  # for questions that take no model: names, token counts
MAX_ANSWER = 256 * 2**20  # bytes: embeddings of thousands of texts are the largest
PATHS: dict[Kind, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "embeddings": "/v1/embeddings",
}

ANTHROPIC_BELOW = {"centime", "deepseek"}  # whose Anthropic API is below /anthropic


@dataclass(frozen=True)
class Facts:
    """What the upstream says of itself. kind: vllm, sglang, llamacpp, centime, or whatever its models are owned by."""

    kind: str
    models: tuple[str, ...]
    context: int | None  # tokens of prompt and answer that it has room for; None where it does not say


class Upstream:
    """A server that speaks OpenAI's API. url: with or without its /v1. key: what it asks of us, if anything.

    A user and a password in the url are sent to it (RFC 7617) and not shown: `url` is without them.
    connect_s, silence_s: seconds to a connection, and between two pieces of an answer; None: no end.
    """

    def __init__(
        self, url: str, key: str | None = None, *, connect_s: float = CONNECT_S, silence_s: float | None = None
    ) -> None:
        self._connect_s, self._silence_s = connect_s, silence_s
        address = url.rstrip("/").removesuffix("/v1")
        self.url = shown_address(address)
        try:
            scheme = httpx2.URL(address).scheme
        except httpx2.InvalidURL:
            scheme = ""
        if scheme not in {"http", "https"}:
            raise UserError(f"the upstream {self.url!r} is no address; give one such as http://127.0.0.1:8001.")
        no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.client = httpx2.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(None, connect=connect_s),  # an answer takes as long as it takes
            # let go of before the other side does (uvicorn, and so vLLM, after 5 s): a request must not meet its end
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0),
            trust_env=False,  # its address is given; a proxy for the web is not meant
            verify=scheme == "https",  # without TLS the world's certificates need not be read
            cookies=no_cookies,  # what it gives to one client is not brought along by the next
        )

    async def facts(self) -> Facts:
        """Asks what it serves. Raises UserError when nothing that speaks OpenAI's API answers."""
        try:
            answer = await self.client.get("/v1/models", timeout=ASK_S)
            answer.raise_for_status()
            models = read_json(answer.content)["data"]
            names = tuple(str(model["id"]) for model in models)
            first = models[0] if models else {}
            contexts = [model.get("max_model_len") or model.get("context_window") for model in models]
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            hint = "; give its key with --upstream-key" if status in {401, 403} else ""
            raise UserError(f"{self.url}/v1/models answered {status}{hint}.") from None
        except (httpx2.HTTPError, OSError) as error:
            raise UserError(f"the upstream {self.url} cannot be reached ({error}); is it up?") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{self.url}/v1/models is no list of models: no server with OpenAI's API.") from None
        kind = str(first.get("owned_by") or "")
        if kind == "llamacpp":
            contexts = [await self._context_of_llama()]
        known = [context for context in contexts if isinstance(context, int) and context > 0]
        return Facts(kind, names, max(known, default=None))

    async def _context_of_llama(self) -> Any:
        """llama-server's context of one slot."""
        props = await self._ask("GET", "/props")
        settings = props.get("default_generation_settings") if props else None
        return settings.get("n_ctx") if isinstance(settings, dict) else None

    async def models(self) -> Any:
        """The body of its /v1/models. Raises ApiError."""
        return await self._answer("GET", "/v1/models")

    async def answers(self) -> bool:
        """Whether it is there."""
        return await self._ask("GET", "/v1/models") is not None

    async def count(self, inbound: Inbound, facts: Facts) -> int | None:
        """Tokens of a prompt as the upstream reads it; None where it cannot be asked."""
        body = inbound.body
        if inbound.kind != "completions" and facts.kind == "llamacpp":
            applied = await self._ask("POST", "/apply-template", body)
            body = {"prompt": applied.get("prompt")} if applied else {}
        question = prompt_question(inbound, body, facts.kind)
        return question if not isinstance(question, dict) else count_of(await self._ask("POST", "/tokenize", question))

    async def count_text(self, text: str, model: Any, facts: Facts) -> int | None:
        """Tokens of a text that the model wrote; None where the upstream cannot be asked."""
        return count_of(await self._ask("POST", "/tokenize", text_question(text, model, facts.kind)))

    async def tokenize(self, body: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
        """The answer to a client's /tokenize, in vLLM's words whatever the upstream's are. Raises ApiError."""
        question = dict(body)
        if facts.kind == "llamacpp":
            text = body.get("prompt")
            if text is None:
                text = (await self._answer("POST", "/apply-template", question)).get("prompt")
            question = text_question(text if isinstance(text, str) else "", None, facts.kind) | {"add_special": True}
        answer = await self._answer("POST", "/tokenize", question)
        count = count_of(answer)
        if count is None:
            raise unusable("something that counts no tokens")
        return {"tokens": answer.get("tokens") or [], "count": count, "max_model_len": facts.context}

    async def count_tokens(self, body: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
        """The answer to a client's count_tokens, which is the upstream's own. Raises ApiError."""
        try:
            return await self._answer("POST", _path("count_tokens", facts), body)
        except ApiError as error:
            lacks_model = re.search(rf"\b{re.escape(str(body.get('model')))}\b", error.message)
            if error.status not in {404, 405, 501} or lacks_model:
                raise
            raise ApiError(404, "The model's server does not count the tokens of a conversation.") from None

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """A small question; None where the upstream does not know it."""
        try:
            return await self._answer(method, path, body)
        except ApiError:
            return None

    async def _answer(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer to a small question. Raises ApiError."""
        content = None if body is None else as_json(body)
        try:
            async with asyncio.timeout(2 * ASK_S):
                answer = await self._open(method, path, content, ASK_S)
                try:
                    found = read_json(await read_whole(answer), finite=False)
                finally:
                    await answer.aclose()
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise lost(error) from None
        except (UnreadableJson, Malformed):
            found = None
        if not isinstance(found, dict):
            raise unusable("something that is no JSON object")
        return found

    async def send(
        self, kind: Kind, body: Mapping[str, Any], facts: Facts, request_id: str | None = None
    ) -> httpx2.Response:
        """The upstream's answer once its head is there, its body still to be read and closed. request_id: sent along in
        x-request-id, so that its log and ours can be laid side by side.

        A server may close a connection that was kept just as a request is written to it; that one is asked once more.
        Raises ApiError: 503 when it cannot be reached, else what it answered.
        """
        path, content = _path(kind, facts), as_json(body)
        headers = {} if request_id is None else {"X-Request-Id": request_id}
        try:
            try:
                return await self._open("POST", path, content, self._silence_s, headers)
            except httpx2.RemoteProtocolError as error:
                if "disconnected without sending a response" not in str(error):
                    raise
                return await self._open("POST", path, content, self._silence_s, headers)
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise lost(error) from None

    async def _open(
        self,
        method: str,
        path: str,
        content: bytes | None,
        read_s: float | None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> httpx2.Response:
        request = self.client.build_request(
            method,
            path,
            content=content,
            headers={**headers, **({} if content is None else {"Content-Type": "application/json"})},
            timeout=httpx2.Timeout(read_s, connect=self._connect_s),
        )
        response = await self.client.send(request, stream=True)
        if response.is_success:
            return response
        raw = b""
        try:
            async with asyncio.timeout(ASK_S):
                raw = await read_whole(response)
        except (httpx2.HTTPError, httpx2.StreamError, Malformed, TimeoutError):
            pass  # its status says enough
        finally:
            await response.aclose()
        raise refused(response, raw)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def _path(kind: Kind, facts: Facts) -> str:
    below = kind in {"messages", "count_tokens"} and facts.kind in ANTHROPIC_BELOW
    return ("/anthropic" if below else "") + PATHS[kind]


async def read_whole(response: httpx2.Response) -> bytes:
    """A body. Raises Malformed where it is larger than `MAX_ANSWER`."""
    raw = bytearray()
    async for piece in response.aiter_bytes():
        raw += piece
        if len(raw) > MAX_ANSWER:
            raise Malformed(f"more than {MAX_ANSWER // 2**20} MiB")
    return bytes(raw)


def lost(error: Exception) -> ApiError:
    """The connection to the upstream is gone, or was never there."""
    reason = str(error) or type(error).__name__
    return ApiError(503, f"The model's server cannot be reached ({reason}); try again later.", code="upstream_lost")


def unusable(what: str) -> ApiError:
    """The upstream answered, but with no answer."""
    return ApiError(503, f"The model's server answered with {what}.", code="upstream_failed")


def refused(response: httpx2.Response, raw: bytes) -> ApiError:
    """What the upstream refused, in our shape: its own sentence under its own status."""
    status = response.status_code
    if status in {401, 403}:
        return ApiError(503, "The model's server refuses the gateway: its key is wrong.", code="upstream_refused")
    if status == 402:
        return ApiError(503, "The model's server refuses the gateway: its key has no money.", code="upstream_refused")
    if not 400 <= status < 600:
        return unusable(f"the status {status}, which is no answer")
    try:
        parsed = read_json(raw)
    except UnreadableJson:
        parsed = None
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    message = error.get("message") if isinstance(error, dict) else error if isinstance(error, str) else None
    code, param = (_word(error, "code"), _word(error, "param")) if isinstance(error, dict) else (None, None)
    wait = response.headers.get("retry-after", "")
    return ApiError(
        status,
        str(message or f"The model's server answered {status}."),
        param=param,
        code=code,
        retry_after=int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else None,
    )


def _word(error: dict[str, Any], name: str) -> str | None:
    """A field of an error that is a word, as it may go into ours."""
    value = error.get(name)
    return plain(value, 100) if isinstance(value, str) else None
