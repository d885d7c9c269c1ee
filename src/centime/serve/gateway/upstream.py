"""The server behind the gateway: what it is, what it has room for, how many tokens it finds in a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from centime.errors import UserError
from centime.serve.api.errors import ApiError
from centime.serve.gateway.asked import Asked

CONNECT_S = 10.0
ASK_S = 10.0  # for questions that take no model: names, token counts
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
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
    """A server that speaks OpenAI's API. url: with or without its /v1. key: what it asks of us, if anything."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        try:
            scheme = httpx2.URL(self.url).scheme
        except httpx2.InvalidURL:
            scheme = ""
        if scheme not in {"http", "https"}:
            raise UserError(f"the upstream {url!r} is no address; give one such as http://127.0.0.1:8001.")
        self.client = httpx2.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(None, connect=CONNECT_S),  # an answer takes as long as it takes
            # let go of before the other side does (uvicorn, and so vLLM, after 5 s): a request must not meet its end
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0),
            trust_env=False,  # its address is given; a proxy for the web is not meant
        )

    async def facts(self) -> Facts:
        """Asks what it serves. Raises UserError when nothing that speaks OpenAI's API answers."""
        try:
            answer = await self.client.get("/v1/models", timeout=ASK_S)
            answer.raise_for_status()
            models = answer.json()["data"]
            names = tuple(str(model["id"]) for model in models)
            first = models[0] if models else {}
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            hint = "; give its key with --upstream-key" if status in {401, 403} else ""
            raise UserError(f"{self.url}/v1/models answered {status}{hint}.") from None
        except (httpx2.HTTPError, OSError) as error:
            raise UserError(f"the upstream {self.url} cannot be reached ({error}); is it up?") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{self.url}/v1/models is no list of models: no server with OpenAI's API.") from None
        kind = str(first.get("owned_by") or "")
        context = first.get("max_model_len") or first.get("context_window")
        if kind == "llamacpp":
            context = await self._context_of_llama()
        return Facts(kind, names, context if isinstance(context, int) and context > 0 else None)

    async def _context_of_llama(self) -> Any:
        """llama-server's context of one slot."""
        props = await self._ask("GET", "/props")
        settings = props.get("default_generation_settings") if props else None
        return settings.get("n_ctx") if isinstance(settings, dict) else None

    async def models(self) -> Any:
        """The body of its /v1/models. Raises ApiError."""
        try:
            answer = await self.client.get("/v1/models", timeout=ASK_S)
            if answer.status_code >= 400:
                raise refused(answer)
            return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise lost(error) from None

    async def answers(self) -> bool:
        """Whether it is there."""
        return await self._ask("GET", "/v1/models") is not None

    async def count(self, asked: Asked, facts: Facts) -> int | None:
        """Tokens of a prompt as the upstream reads it; None where it cannot be asked."""
        body, model = asked.body, asked.body.get("model")
        if asked.choices > 1 and isinstance(body.get("prompt"), list):
            return None
        if facts.kind == "vllm":
            wanted = ("messages", "tools", "chat_template_kwargs") if asked.kind == "chat" else ("prompt",)
            told = await self._ask("POST", "/tokenize", {"model": model} | {k: body[k] for k in wanted if k in body})
            return _count(told)
        text: Any = body.get("prompt")
        if asked.kind != "completions":
            applied = await self._ask("POST", "/apply-template", body) if facts.kind == "llamacpp" else None
            text = applied.get("prompt") if applied else None
        if isinstance(text, list) and text and all(isinstance(token, int) for token in text):
            return len(text)
        if not isinstance(text, str):
            return None
        if facts.kind == "llamacpp":
            return _count(
                await self._ask("POST", "/tokenize", {"content": text, "add_special": True, "parse_special": True})
            )
        return _count(await self._ask("POST", "/tokenize", {"model": model, "prompt": text}))

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """A small question; None where the upstream does not know it."""
        try:
            answer = await self.client.request(method, path, json=body, timeout=ASK_S)
            found = answer.json() if answer.status_code == 200 else None
        except (httpx2.HTTPError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    async def send(self, asked: Asked, body: dict[str, Any], facts: Facts) -> httpx2.Response:
        """The upstream's answer once its head is there, its body still to be read and closed.

        Raises ApiError: 503 when it cannot be reached, else what it answered.
        """
        below = "/anthropic" if asked.kind == "messages" and facts.kind in ANTHROPIC_BELOW else ""
        request = self.client.build_request("POST", below + PATHS[asked.kind], json=body)
        try:
            response = await self.client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise lost(error) from None
        if response.status_code < 400:
            return response
        try:
            await response.aread()
        except httpx2.HTTPError as error:
            raise lost(error) from None
        finally:
            await response.aclose()
        raise refused(response)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def lost(error: Exception) -> ApiError:
    """The connection to the upstream is gone, or was never there."""
    reason = str(error) or type(error).__name__
    return ApiError(503, f"The model's server cannot be reached ({reason}); try again later.", code="upstream_lost")


def refused(response: httpx2.Response) -> ApiError:
    """What the upstream refused, in our shape: its own sentence under its own status."""
    status = response.status_code
    try:
        told = response.json()
    except ValueError:
        told = None
    error = told.get("error", told) if isinstance(told, dict) else None
    message = error.get("message") if isinstance(error, dict) else error if isinstance(error, str) else None
    if status in {401, 403}:
        return ApiError(503, "The model's server refuses the gateway: its key is wrong.", code="upstream_refused")
    code = error.get("code") if isinstance(error, dict) and isinstance(error.get("code"), str) else None
    wait = response.headers.get("retry-after", "")
    return ApiError(
        status,
        str(message or f"The model's server answered {status}."),
        code=code,
        retry_after=int(wait) if wait.isdigit() else None,
    )


def _count(told: dict[str, Any] | None) -> int | None:
    """From {"count": n} (vLLM, SGLang, centime) or {"tokens": [...]} (llama-server)."""
    if told is None:
        return None
    count, tokens = told.get("count"), told.get("tokens")
    return count if isinstance(count, int) else len(tokens) if isinstance(tokens, list) else None
