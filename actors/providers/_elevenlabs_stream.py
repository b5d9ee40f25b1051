"""Speech as it is heard: what came so far, and what it costs."""

from __future__ import annotations

from ...supervisors import FailureKind, ProviderError, StreamBrokenError
from .._usage import Usage
from ._elevenlabs_messages import Speech, SpeechChunk

_CUT_OFF = frozenset({FailureKind.NETWORK, FailureKind.TIMEOUT})


class Hearing:
    """Keep what one stream of speech has brought."""

    def __init__(self, content_type: str, request_id: str, usage: Usage) -> None:
        self.usage = usage
        """Billed with the first piece of audio, however much of it is heard."""
        self.is_over = False
        self._content_type = content_type
        self._request_id = request_id
        self._audio = bytearray()

    @property
    def has_begun(self) -> bool:
        """Tell whether there was any audio."""
        return bool(self._audio)

    def hear(self, data: bytes) -> SpeechChunk:
        """Take the next piece, and return it as a chunk."""
        self._audio += data
        return SpeechChunk(audio=data, content_type=self._content_type)

    def last_chunk(self) -> SpeechChunk:
        """Return the last chunk, which says what it cost."""
        self.is_over = True
        return SpeechChunk(audio=b"", content_type=self._content_type, usage=self.usage)

    def broken(self, error: ProviderError) -> StreamBrokenError:
        """Say that the stream broke, with what came before."""
        return StreamBrokenError(
            error.provider,
            FailureKind.STREAM_BROKEN if error.kind in _CUT_OFF else error.kind,
            error.detail,
            partial=Speech(
                audio=bytes(self._audio),
                content_type=self._content_type,
                request_id=self._request_id,
                usage=self.usage,
            ),
            retryable=error.retryable,
        )
