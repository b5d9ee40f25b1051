"""Anthropic."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import ClassVar, Self

import msgspec

from ...runtime import Message, handles
from ...supervisors import Estimate, FailureKind
from ...supervisors.policies import Concurrency, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpRequest
from .._prices import DEFAULT_PRICES, PriceTable
from .._probe import Probe
from .._relay import RelayRequest, StreamWatch
from .._secret import Secret
from ._anthropic_answer import Answer, MessageReading
from ._anthropic_errors import ANTHROPIC_ERRORS
from ._anthropic_messages import CreateMessage, MessageChunk, MessageReply, StreamMessage, message_payload
from ._anthropic_watch import AnthropicWatch
from ._chat import PROBE_MESSAGES, estimate_call, estimate_relay
from ._streaming import read_stream

_BASE_URL = "https://api.anthropic.com"
_VERSION = "2023-06-01"
_PROBE_MODEL = "claude-haiku-4-5"


class Anthropic(HttpService):
    """Stand for Anthropic.

    It takes :class:`CreateMessage`, the stream :class:`StreamMessage`, and any :class:`HttpRequest`,
    with the same policy. A call that got no answer is made again: at worst an answer is paid for twice.
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
        answer = self.decode(await self.exchange(self._request(message)), Answer)
        return answer.read(self, message, partial(self._prices.charge, message.model))

    @handles
    async def stream_message(self, message: StreamMessage) -> AsyncGenerator[MessageChunk]:
        """Ask the model once, and pass on what it writes."""
        reading = MessageReading(self, message, partial(self._prices.charge, message.model))
        async with aclosing(read_stream(self, message, self._request(message), reading)) as chunks:
            async for chunk in chunks:
                yield chunk

    def probe(self, model: str | None = None) -> Probe | None:
        """Have a small model, or *model*, answer with one token."""
        message = CreateMessage(model=model or _PROBE_MODEL, messages=PROBE_MESSAGES, max_tokens=1)
        estimate = self.estimate(message)
        return Probe(
            request=HttpRequest("POST", "/v1/messages", json=message_payload(message)),
            purpose=f"one token from {message.model}",
            usd=None if estimate is None else estimate.usd,
        )

    def watch_stream(self, message: RelayRequest) -> StreamWatch | None:
        """Watch a relayed stream for its errors and its end marker."""
        return AnthropicWatch(self)

    def is_repeatable(self, message: Message) -> bool:
        """Tell that everything may be attempted again: at worst an answer is paid for twice."""
        return True

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost."""
        if isinstance(message, RelayRequest):
            return estimate_relay(self._prices, message)
        if not isinstance(message, CreateMessage | StreamMessage):
            return None
        return estimate_call(self._prices, message.model, message.input_tokens, message.max_tokens)

    def _request(self, message: CreateMessage | StreamMessage) -> HttpRequest:
        try:
            payload = message_payload(message)
        except msgspec.DecodeError as error:
            detail = f"the arguments of a tool call are no JSON: {error}"
            raise self.failure(FailureKind.BAD_REQUEST, detail) from error
        # At worst an answer is paid for twice.
        return HttpRequest("POST", "/v1/messages", json=payload, idempotent=True)
