"""OpenAI, and every server that speaks its chat protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec

from ...runtime import Message, Request, handles
from ...supervisors import Estimate, FailureKind
from ...supervisors.policies import Concurrency, Exponential, Fixed, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpRequest
from .._prices import DEFAULT_PRICES, PriceTable
from .._relay import RelayRequest, StreamWatch
from .._secret import Secret
from .._usage import Usage
from ._chat import ChatMessage, estimate_chat
from ._openai_errors import OPENAI_ERRORS
from ._openai_watch import OpenAIWatch

_BASE_URL = "https://api.openai.com/v1"


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the model's answer."""

    id: str
    model: str
    """The model that answered, often a dated release of the one asked for."""
    text: str
    finish_reason: str | None
    """``stop``, or ``length`` when *max_tokens* cut the answer; None: the server does not say."""
    usage: Usage


class ChatCompletion(Request[ChatReply], frozen=True, kw_only=True):
    """Ask a model to continue a conversation."""

    model: str
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    """The longest answer, reasoning included."""
    response_format: Mapping[str, object] | None = None
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


class OpenAI(HttpService):
    """Stand for OpenAI, or for a server that speaks its protocol at another *base_url*.

    Besides :class:`ChatCompletion` it takes any :class:`HttpRequest`, with the same policy. A call
    that got no answer is made again: at worst an answer is paid for twice.
    """

    provider: ClassVar[str] = "openai"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(
            attempts=3,
            backoff=Exponential(1.0, cap=30.0),
            # Its limits are counted by the minute, and a 429 nearly always says how long to wait.
            backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(60.0)},
            # Of the bad requests only a conflict (409) is retryable, and that once.
            attempts_by_kind={FailureKind.BAD_REQUEST: 2},
        ),
        concurrency=Concurrency(8),
        attempt_timeout=120.0,
    )
    errors: ClassVar[ErrorTable] = OPENAI_ERRORS

    def __init__(
        self,
        key: Secret | str | None,
        *,
        base_url: str = _BASE_URL,
        headers: Mapping[str, str] | None = None,
        prices: PriceTable = DEFAULT_PRICES,
    ) -> None:
        super().__init__(base_url, key=key, headers=headers, prices=prices)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Build it from ``OPENAI_API_KEY`` and, if set, ``OPENAI_BASE_URL``."""
        env = os.environ if env is None else env
        return cls(
            Secret.from_env("OPENAI_API_KEY", env=env), base_url=env.get("OPENAI_BASE_URL") or _BASE_URL
        )

    @handles
    async def complete(self, message: ChatCompletion) -> ChatReply:
        """Ask the model once."""
        reply = await self.exchange(
            HttpRequest("POST", "/chat/completions", json=self._payload(message), idempotent=True)
        )
        return self._read(message, self.decode(reply, _Completion))

    def watch_stream(self, message: RelayRequest) -> StreamWatch | None:
        """Watch a relayed stream for its errors and its end marker."""
        return OpenAIWatch(self)

    def is_repeatable(self, message: Message) -> bool:
        """Tell that everything may be attempted again: at worst an answer is paid for twice."""
        return True

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost."""
        if not isinstance(message, ChatCompletion):
            return None
        return estimate_chat(self._prices, message.model, message.messages, message.max_tokens)

    def _payload(self, message: ChatCompletion) -> dict[str, object]:
        # OpenAI's reasoning models refuse the old name; the servers that copied the API know only that.
        limit = (
            "max_completion_tokens" if self.base_url.startswith("https://api.openai.com/") else "max_tokens"
        )
        fields: dict[str, object] = {
            "model": message.model,
            "messages": message.messages,
            "temperature": message.temperature,
            limit: message.max_tokens,
            "response_format": message.response_format,
        }
        return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)

    def _read(self, message: ChatCompletion, completion: _Completion) -> ChatReply:
        if not completion.choices:
            raise self.failure(FailureKind.INVALID_RESPONSE, "the answer holds no choice")
        choice = completion.choices[0]
        if choice.finish_reason == "content_filter":
            raise self.failure(FailureKind.CONTENT_POLICY, "the answer was filtered", code="content_filter")
        if choice.message.refusal:
            raise self.failure(FailureKind.CONTENT_POLICY, choice.message.refusal, code="refusal")
        return ChatReply(
            id=completion.id,
            model=completion.model or message.model,
            text=choice.message.content or "",
            finish_reason=choice.finish_reason,
            usage=self._prices.charge(message.model, completion.usage.normal())
            if completion.usage
            else Usage(),
        )


# What the server sends, as far as it is read. Compatible servers leave out much of it.
class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def normal(self) -> Usage:
        prompt = self.prompt_tokens_details or _PromptDetails()
        output = self.completion_tokens_details or _OutputDetails()
        return Usage(
            input_tokens=self.prompt_tokens or 0,
            output_tokens=self.completion_tokens or 0,
            cached_tokens=prompt.cached_tokens or 0,
            cache_write_tokens=prompt.cache_write_tokens or 0,
            reasoning_tokens=output.reasoning_tokens or 0,
        )


class _Text(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Text
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    id: str = ""
    model: str = ""
    usage: _Usage | None = None
