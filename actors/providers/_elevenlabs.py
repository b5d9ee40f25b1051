"""ElevenLabs: speech."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from typing import ClassVar, Self
from urllib.parse import quote

import msgspec

from ...runtime import Message, handles
from ...supervisors import Estimate, FailureKind, ProviderError
from ...supervisors.policies import Adaptive, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpReply, HttpRequest
from .._prices import DEFAULT_PRICES, PriceTable
from .._probe import Probe
from .._secret import Secret
from .._usage import Usage
from ._elevenlabs_errors import ELEVENLABS_ERRORS, TOO_MANY_AT_ONCE
from ._elevenlabs_messages import ListVoices, Speak, Speech, SpeechChunk, StreamSpeech, Voice
from ._elevenlabs_stream import Hearing

_BASE_URL = "https://api.elevenlabs.io"
_SLOT_WAIT = 1.0


class ElevenLabs(HttpService):
    """Stand for ElevenLabs.

    Besides :class:`Speak` and :class:`ListVoices` it takes any :class:`HttpRequest`, with the same
    policy. A call that got no answer is made again: at worst a text is paid for twice.

    A plan allows so many requests at the same time. The guard begins with as many as the smallest plan
    allows, and goes by what ElevenLabs' answers say of yours. Whoever sets a concurrency sets the most
    there will be. When there are too many all the same, because other programs use the account, nobody calls
    for a second, and then a quarter as many as before, until calls go well again.
    """

    provider: ClassVar[str] = "elevenlabs"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(attempts=3, backoff=Exponential(1.0, cap=30.0)),
        concurrency=Adaptive(low=1, high=15, start=2),
        attempt_timeout=120.0,
    )
    errors: ClassVar[ErrorTable] = ELEVENLABS_ERRORS

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
        """Build it from ``ELEVENLABS_API_KEY`` and, if set, ``ELEVENLABS_BASE_URL``."""
        env = os.environ if env is None else env
        key = Secret.from_env("ELEVENLABS_API_KEY", env=env)
        return cls(key, base_url=env.get("ELEVENLABS_BASE_URL") or _BASE_URL)

    def secret_headers(self) -> dict[str, Secret]:
        """Return the header that carries the key."""
        return {} if self._key is None else {"xi-api-key": self._key}

    @handles
    async def speak(self, message: Speak) -> Speech:
        """Have a text spoken, once."""
        reply = await self.exchange(_request(message))
        self._heed(reply.headers)
        if not (reply.body and _is_audio(reply.headers)):
            raise self._silence()
        return Speech(
            audio=reply.body,
            content_type=_content_type(reply.headers),
            request_id=reply.headers.get("request-id", ""),
            usage=self._usage(message, reply.headers),
        )

    @handles
    async def stream_speech(self, message: StreamSpeech) -> AsyncGenerator[SpeechChunk]:
        """Have a text spoken, once, and pass on the audio as it comes."""
        async with self.exchange_stream(_request(message)) as response:
            self._heed(response.headers)
            if not _is_audio(response.headers):
                raise self._silence()
            usage = self._usage(message, response.headers)
            hearing = Hearing(_content_type(response.headers), response.headers.get("request-id", ""), usage)
            reason = "left"
            try:
                async for data in response:
                    yield hearing.hear(data)
                if not hearing.has_begun:
                    raise self._silence()
                yield hearing.last_chunk()
            except ProviderError as error:
                reason = "broken"
                if not hearing.has_begun:
                    raise
                raise hearing.broken(error) from error
            finally:
                if hearing.has_begun and not hearing.is_over:
                    self._tell_dropped(message, usage, reason)

    @handles
    async def voices(self, message: ListVoices) -> tuple[Voice, ...]:
        """List the voices of the account."""
        del message
        return self.decode(await self.exchange(HttpRequest("GET", "/v1/voices")), _Voices).voices

    def failure_of(self, reply: HttpReply) -> ProviderError:
        """Classify a response that is not what was asked for."""
        error = super().failure_of(reply)
        self._heed(reply.headers)
        if error.code in TOO_MANY_AT_ONCE:
            # One of our own has to end first, and the guard lets no more begin than there are slots.
            error.retry_after = _SLOT_WAIT
        return error

    def _heed(self, headers: Mapping[str, str]) -> None:
        most = headers.get("maximum-concurrent-requests", "")
        if most.isdecimal() and int(most):
            self.bound_concurrency(int(most))

    def probe(self, model: str | None = None) -> Probe | None:
        """List the voices, which is free."""
        return Probe(request=HttpRequest("GET", "/v1/voices"), purpose="lists the voices")

    def _usage(self, message: Speak | StreamSpeech, headers: Mapping[str, str]) -> Usage:
        """Return the characters billed: the fast models count half of them."""
        billed = headers.get("character-cost", "")
        characters = int(billed) if billed.isdecimal() else len(message.text)
        return self._prices.charge(message.model, Usage(characters=characters))

    def _silence(self) -> ProviderError:
        return self.failure(FailureKind.INVALID_RESPONSE, "the answer holds no audio")

    def _tell_dropped(self, message: StreamSpeech, usage: Usage, reason: str) -> None:
        self.emit(
            "provider.stream_dropped",
            provider=self.name,
            operation=type(message).__name__,
            model=message.model,
            reason=reason,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            usd=usage.usd,
        )

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost."""
        if not isinstance(message, Speak | StreamSpeech):
            return None
        usage = Usage(characters=len(message.text))
        return Estimate(message.model, self._prices.cost(message.model, usage))


def _request(message: Speak | StreamSpeech) -> HttpRequest:
    fields: dict[str, object] = {"text": message.text, "model_id": message.model}
    if message.settings:
        fields["voice_settings"] = message.settings
    path = f"/v1/text-to-speech/{quote(message.voice, safe='')}"
    return HttpRequest(
        "POST",
        f"{path}/stream" if isinstance(message, StreamSpeech) else path,
        json=fields | dict(message.extra),
        query={"output_format": message.output_format},
        idempotent=True,  # at worst a text is paid for twice
    )


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "audio/mpeg")


def _is_audio(headers: Mapping[str, str]) -> bool:
    return not _content_type(headers).startswith(("application/json", "text/html"))


# What the server sends, as far as it is read.
class _Voices(msgspec.Struct):
    voices: tuple[Voice, ...]
