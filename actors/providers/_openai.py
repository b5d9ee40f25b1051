"""OpenAI, and every server that speaks its chat protocol."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import ClassVar, Self

import msgspec

from ...runtime import Message, handles
from ...supervisors import Estimate, FailureKind
from ...supervisors.policies import Concurrency, Exponential, Fixed, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpReply, HttpRequest
from .._prices import DEFAULT_PRICES, PriceTable, estimate_tokens
from .._probe import Probe
from .._relay import RelayRequest, StreamWatch
from .._secret import Secret
from .._usage import Usage
from ._chat import PROBE_MESSAGES, Pricing, estimate_call, estimate_relay, estimate_usage
from ._openai_chat import ChatChunk, ChatCompletion, ChatReply, StreamChat, chat_payload
from ._openai_completion import ChatReading, Completion, EndMarker
from ._openai_embeddings import CreateEmbeddings, EmbeddingsReply, WireEmbeddings, embeddings_payload
from ._openai_errors import OPENAI_ERRORS
from ._openai_images import CreateImages, ImagesReply, WireImages, images_payload
from ._openai_response import ResponseReading, WireResponse
from ._openai_responses import (
    CreateResponse,
    ResponseChunk,
    ResponseReply,
    StreamResponse,
    response_payload,
)
from ._openai_watch import OpenAIWatch
from ._streaming import read_stream

_BASE_URL = "https://api.openai.com/v1"


class OpenAI(HttpService):
    """Stand for OpenAI, or for a server that speaks its protocol at another *base_url*.

    It takes :class:`ChatCompletion`, :class:`CreateResponse`, :class:`CreateEmbeddings` and
    :class:`CreateImages`, the streams :class:`StreamChat` and :class:`StreamResponse`, and any
    :class:`HttpRequest`, with the same policy. A call that got no answer is made again: at worst an
    answer is paid for twice.

    Args:
        key: The API key; None for a server that wants none.
        base_url: Where the API is, with its version. For Azure ``https://NAME.openai.azure.com/openai/v1``;
            there a limit clears sooner, so set ``rate_limit_wait`` to 10 seconds.
        headers: Sent with every request.
        prices: What the models cost.
        end_marker: How a streamed chat says that it is whole. A stream that ends otherwise is broken.
            ``finish_reason`` is what OpenAI does. ``done`` takes ``[DONE]`` without a reason too, for
            servers that give none (Ollama); behind a gateway it may hide a break. ``any`` takes
            every end that is not a broken connection.
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
        end_marker: EndMarker = "finish_reason",
    ) -> None:
        super().__init__(base_url, key=key, headers=headers, prices=prices)
        self._end_marker: EndMarker = end_marker

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
        answer = self.decode(await self._post("/chat/completions", self._payload(message)), Completion)
        return answer.read(self, message, self._pricing(message.model))

    @handles
    async def stream_chat(self, message: StreamChat) -> AsyncGenerator[ChatChunk]:
        """Ask the model once, and pass on what it writes."""
        request = _request("/chat/completions", self._payload(message))
        reading = ChatReading(self, message, self._pricing(message.model), self._end_marker)
        async with aclosing(read_stream(self, message, request, reading)) as chunks:
            async for chunk in chunks:
                yield chunk

    @handles
    async def respond(self, message: CreateResponse) -> ResponseReply:
        """Ask the model once."""
        answer = self.decode(await self._post("/responses", response_payload(message)), WireResponse)
        return answer.read(self, message, self._pricing(message.model))

    @handles
    async def stream_response(self, message: StreamResponse) -> AsyncGenerator[ResponseChunk]:
        """Ask the model once, and pass on what it writes."""
        request = _request("/responses", response_payload(message))
        reading = ResponseReading(self, message, self._pricing(message.model))
        async with aclosing(read_stream(self, message, request, reading)) as chunks:
            async for chunk in chunks:
                yield chunk

    @handles
    async def embed(self, message: CreateEmbeddings) -> EmbeddingsReply:
        """Ask for the vectors once."""
        answer = self.decode(await self._post("/embeddings", embeddings_payload(message)), WireEmbeddings)
        reply = answer.read(self, message)
        return msgspec.structs.replace(reply, usage=self._prices.charge(message.model, reply.usage))

    @handles
    async def paint(self, message: CreateImages) -> ImagesReply:
        """Ask for the images once."""
        answer = self.decode(await self._post("/images/generations", images_payload(message)), WireImages)
        reply = answer.read(self)
        return msgspec.structs.replace(reply, usage=self._prices.charge(message.model, reply.usage))

    def probe(self, model: str | None = None) -> Probe | None:
        """List the models, which is free, or have *model* answer with one token."""
        if model is None:
            return Probe(request=HttpRequest("GET", "/models"), purpose="lists the models")
        message = ChatCompletion(model=model, messages=PROBE_MESSAGES, max_tokens=1)
        estimate = self.estimate(message)
        return Probe(
            request=HttpRequest("POST", "/chat/completions", json=self._payload(message)),
            purpose=f"one token from {model}",
            usd=None if estimate is None else estimate.usd,
        )

    def watch_stream(self, message: RelayRequest) -> StreamWatch | None:
        """Watch a relayed stream for its errors and its end marker."""
        return OpenAIWatch(self)

    def is_repeatable(self, message: Message) -> bool:
        """Tell that everything may be attempted again: at worst an answer is paid for twice."""
        return True

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost."""
        match message:
            case ChatCompletion() | StreamChat():
                most = message.max_tokens
            case CreateResponse() | StreamResponse():
                most = message.max_output_tokens
            case CreateEmbeddings():
                return self._estimate(message.model, Usage(input_tokens=estimate_tokens(message.texts)))
            case CreateImages():
                usage = Usage(input_tokens=estimate_tokens([message.prompt]), images=message.n)
                return self._estimate(message.model, usage)
            case RelayRequest():
                return estimate_relay(self._prices, message)
            case _:
                return None
        return estimate_call(self._prices, message.model, message.input_tokens, most)

    def _estimate(self, model: str, usage: Usage) -> Estimate:
        return estimate_usage(self._prices, model, usage)

    async def _post(self, path: str, payload: object) -> HttpReply:
        return await self.exchange(_request(path, payload))

    def _payload(self, message: ChatCompletion | StreamChat) -> dict[str, object]:
        # OpenAI's reasoning models refuse the old name; the servers that copied the API know only that.
        is_openai = self.base_url.startswith("https://api.openai.com/")
        return chat_payload(message, limit_name="max_completion_tokens" if is_openai else "max_tokens")

    def _pricing(self, model: str) -> Pricing:
        return partial(self._prices.charge, model)


def _request(path: str, payload: object) -> HttpRequest:
    # At worst an answer is paid for twice.
    return HttpRequest("POST", path, json=payload, idempotent=True)
