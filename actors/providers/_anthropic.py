"""Anthropic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec

from ...runtime import Message, Request, handles
from ...supervisors import Estimate, FailureKind
from ...supervisors.policies import Concurrency, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpRequest
from .._prices import DEFAULT_PRICES, PriceTable
from .._relay import RelayRequest, StreamWatch
from .._secret import Secret
from .._usage import Usage
from ._anthropic_errors import ANTHROPIC_ERRORS
from ._anthropic_watch import AnthropicWatch
from ._chat import ChatMessage, estimate_chat

_BASE_URL = "https://api.anthropic.com"
_VERSION = "2023-06-01"


class MessageReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the model's answer."""

    id: str
    model: str
    text: str
    """The text blocks of the answer, joined."""
    stop_reason: str | None
    """``end_turn``, or ``max_tokens`` and ``model_context_window_exceeded`` when the answer was cut."""
    usage: Usage


class CreateMessage(Request[MessageReply], frozen=True, kw_only=True):
    """Ask a model to continue a conversation."""

    model: str
    messages: tuple[ChatMessage, ...]
    """Without the system's part, which goes into *system*."""
    max_tokens: int = 1024
    """The longest answer; the API insists on a number."""
    system: str | None = None
    temperature: float | None = None
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


class Anthropic(HttpService):
    """Stand for Anthropic.

    Besides :class:`CreateMessage` it takes any :class:`HttpRequest`, with the same policy. A call
    that got no answer is made again: at worst an answer is paid for twice.
    """

    provider: ClassVar[str] = "anthropic"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(
            attempts=3,
            backoff=Exponential(2.0, cap=60.0),
            attempts_by_kind={FailureKind.RATE_LIMIT: 5, FailureKind.OVERLOADED: 5},
            # Its windows have been seen to take just under three minutes to clear.
            max_wait=300.0,
        ),
        concurrency=Concurrency(4),
        attempt_timeout=120.0,
    )
    errors: ClassVar[ErrorTable] = ANTHROPIC_ERRORS

    def __init__(
        self,
        key: Secret | str | None,
        *,
        base_url: str = _BASE_URL,
        headers: Mapping[str, str] | None = None,
        prices: PriceTable = DEFAULT_PRICES,
    ) -> None:
        headers = {"anthropic-version": _VERSION, **(headers or {})}
        super().__init__(base_url, key=key, headers=headers, prices=prices)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Build it from ``ANTHROPIC_API_KEY`` and, if set, ``ANTHROPIC_BASE_URL``."""
        env = os.environ if env is None else env
        key = Secret.from_env("ANTHROPIC_API_KEY", env=env)
        return cls(key, base_url=env.get("ANTHROPIC_BASE_URL") or _BASE_URL)

    def secret_headers(self) -> dict[str, Secret]:
        """Return the header that carries the key."""
        return {} if self._key is None else {"x-api-key": self._key}

    @handles
    async def create(self, message: CreateMessage) -> MessageReply:
        """Ask the model once."""
        request = HttpRequest("POST", "/v1/messages", json=_payload(message), idempotent=True)
        answer = self.decode(await self.exchange(request), _Answer)
        if answer.stop_reason == "refusal":
            raise self.failure(FailureKind.CONTENT_POLICY, "the model refused to answer", code="refusal")
        return MessageReply(
            id=answer.id,
            model=answer.model or message.model,
            text="".join(block.text for block in answer.content if block.type == "text"),
            stop_reason=answer.stop_reason,
            usage=self._prices.charge(message.model, answer.usage.normal()),
        )

    def watch_stream(self, message: RelayRequest) -> StreamWatch | None:
        """Watch a relayed stream for its errors and its end marker."""
        return AnthropicWatch(self)

    def is_repeatable(self, message: Message) -> bool:
        """Tell that everything may be attempted again: at worst an answer is paid for twice."""
        return True

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost."""
        if not isinstance(message, CreateMessage):
            return None
        texts = () if message.system is None else (message.system,)
        return estimate_chat(self._prices, message.model, message.messages, message.max_tokens, *texts)


def _payload(message: CreateMessage) -> dict[str, object]:
    fields: dict[str, object] = {
        "model": message.model,
        "messages": message.messages,
        "max_tokens": message.max_tokens,
        "system": message.system,
        "temperature": message.temperature,
    }
    return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)


# What the server sends, as far as it is read.
class _Block(msgspec.Struct):
    type: str
    text: str = ""


class _Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None

    def normal(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage(
            # Anthropic counts what went through its cache apart.
            input_tokens=self.input_tokens + read + written,
            output_tokens=self.output_tokens,
            cached_tokens=read,
            cache_write_tokens=written,
        )


class _Answer(msgspec.Struct):
    content: list[_Block]
    usage: _Usage
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
